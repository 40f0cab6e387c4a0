"""Values on real recordings: stored once in golden.json, and equal to direct library calls.

`python -m tests.metrics.test_golden` (from the root, with REALEAR_RECORDINGS) writes the file anew,
for this module and for the battery.
"""

import json
import os
from functools import cache
from pathlib import Path

import fast_bss_eval
import numpy as np
import pesq
import pystoi
import pytest
import soundfile
import torch
import torchmetrics.functional.audio as peers
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from metrics import METRICS, SignalItem, UndefinedMetric, pit_si_snr, spec

GOLDEN = Path(__file__).with_name("golden.json")
SIGNAL = [name for name, metric in METRICS.items() if metric.item == "signal"]
Signals = NDArray[np.float64]


@cache
def items(folder: Path) -> dict[str, SignalItem]:
    """4 noisy sentences, scored as they are; 5 mixtures, each source half way to the mixture.

    The mixtures' estimates come in the reverse order, and are put right by their permutation.
    """
    noisy = sorted((folder / "voicebank-demand" / "noisy").iterdir())
    mixed = sorted((folder / "two-speaker-mixtures" / "mix").iterdir())
    assert (len(noisy), len(mixed)) == (4, 5)
    return {f"voicebank-demand/{path.name}": _noisy(path) for path in noisy} | {
        f"two-speaker-mixtures/{path.name}": _mixed(path) for path in mixed
    }


def _noisy(path: Path) -> SignalItem:
    heard, rate = soundfile.read(path)
    clean, _ = soundfile.read(path.parent.parent / "clean" / path.name)
    return SignalItem(clean[None], heard[None], heard, rate, (0,))


def _mixed(path: Path) -> SignalItem:
    heard, rate = soundfile.read(path)
    folder = path.parent.parent
    sources = np.stack([soundfile.read(folder / s / path.name)[0] for s in ("s1", "s2")])
    answers = ((sources + heard) / 2)[::-1]
    _, order = pit_si_snr(sources, answers)
    return SignalItem(sources, answers[list(order)], heard, rate, order)


def value(name: str, item: SignalItem) -> float | str:
    """The clip's value at its own rate, or why it has none (SIR of a single source)."""
    try:
        found = spec(name, sample_rate=item.sample_rate).score(item).value
    except UndefinedMetric as error:
        return error.reason
    assert found is not None
    return found


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small systems of equations are slower, not quicker, on several threads that others want."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recordings() -> dict[str, SignalItem]:
    folder = os.environ.get("REALEAR_RECORDINGS")
    if not folder:
        pytest.skip("REALEAR_RECORDINGS is not set")
    return items(Path(folder))


@pytest.mark.parametrize("name", SIGNAL)
def test_values_on_real_recordings_are_the_stored_ones(name, recordings):
    golden = json.loads(GOLDEN.read_text())["recordings"]
    assert {*golden} == {*recordings}
    for clip, item in recordings.items():
        stored = golden[clip][name]
        close = stored if isinstance(stored, str) else pytest.approx(stored, rel=1e-6, abs=1e-6)
        assert value(name, item) == close, clip


def test_the_permutation_is_found(recordings):
    assert {item.permutation for item in recordings.values()} == {(0,), (1, 0)}


def test_pesq_and_stoi_are_the_libraries_values(recordings):
    for item in recordings.values():
        assert value("pesq", item) == mean(item, direct_pesq, item.sample_rate)
        direct = mean(item, pystoi.stoi, item.sample_rate)
        assert value("stoi", item) == pytest.approx(direct, abs=1e-14)
        assert value("estoi", item) == mean(item, seeded_estoi, item.sample_rate)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("si_snr", peers.scale_invariant_signal_noise_ratio),
        ("si_sdr", peers.scale_invariant_signal_distortion_ratio),
        ("snr", peers.signal_noise_ratio),
    ],
)
def test_ratios_are_torchmetrics_values(name, theirs, recordings):
    def direct(reference: Signals, estimate: Signals) -> float:
        return float(theirs(torch.tensor(estimate.copy()), torch.tensor(reference)))

    for item in recordings.values():
        assert value(name, item) == pytest.approx(mean(item, direct), abs=1e-4)


def test_sdr_is_fast_bss_evals(recordings):
    for item in recordings.values():
        if len(item.references) < 2:
            continue  # it fails on single sources
        signals = (torch.tensor(s.copy()) for s in (item.references, item.estimates))
        theirs = fast_bss_eval.bss_eval_sources(*signals, compute_permutation=False)
        ours = [value(name, item) for name in ("sdr", "sir", "sar")]
        assert ours == pytest.approx([float(column.mean()) for column in theirs[:3]], abs=0.01)


def mean(item: SignalItem, function, *more) -> float:
    pairs = zip(item.references, item.estimates, strict=True)
    values = [float(function(*pair, *more)) for pair in pairs]
    return sum(values) / len(values)


def direct_pesq(reference: Signals, estimate: Signals, rate: int) -> float:
    return pesq.pesq(rate, reference, estimate, "wb" if rate == 16_000 else "nb")


def seeded_estoi(reference: Signals, estimate: Signals, rate: int) -> float:
    np.random.seed(0)
    return pystoi.stoi(reference, estimate, rate, extended=True)


def main() -> None:
    """Write golden.json."""
    from tests.metrics.test_battery import battery_values

    recordings = items(Path(os.environ["REALEAR_RECORDINGS"]))
    golden = {
        "battery": battery_values(),
        "recordings": {
            clip: {name: value(name, item) for name in SIGNAL} for clip, item in recordings.items()
        },
    }
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
