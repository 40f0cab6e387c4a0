"""The example suite on real recordings equals direct calls on the stored shards, clip by clip.

What lies on the disk is read with webdataset, soundfile and pyarrow alone, and scored by calling
jiwer, pesq and pystoi as their manuals say.
"""

import csv
import io
import itertools
import json
from pathlib import Path
from typing import NamedTuple

import jiwer
import numpy as np
import pesq
import pyarrow.parquet as pq
import pystoi
import pytest
import soundfile
from ruamel.yaml import YAML
from threadpoolctl import threadpool_limits
from webdataset.tariterators import group_by_keys, tar_file_expander

import metrics
from metrics.text import basic

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "real-recordings.yaml"
LIMITS = {  # clips; the recordings that are few anyway stay whole
    "digits": 12,
    "read-sentences-read": 8,
    "card-commands-read": 4,
    "digits-read": 8,
    "pairs": 3,
    "noisy-readings": 3,
}
UNIT = 2.0**-24  # in which tallies count


class Example(NamedTuple):
    suite: dict
    folder: Path
    file: Path

    def samples(self, place: str, dataset: str) -> dict[str, dict[str, bytes]]:
        """Key to members, from all tars of a dataset below a folder."""
        found = []
        for path in sorted((self.folder / place / dataset).glob("*.tar")):
            with path.open("rb") as file:  # webdataset leaves closing what it opens to chance
                members = tar_file_expander([{"url": str(path), "stream": file}])
                found += [(sample.pop("__key__"), sample) for sample in group_by_keys(members)]
        assert len(dict(found)) == len(found)
        return dict(found)

    def chains(self, model: str) -> str:
        """Name and fingerprint of a model's folder."""
        [found] = (self.folder / "predictions").glob(f"{model}-????????")
        return found.name

    def scores(self, model: str, dataset: str, metric: str) -> dict[str, dict]:
        """Key to row of the score tables."""
        places = (self.folder / "scores" / self.chains(model) / dataset).glob(f"{metric}-*")
        [place] = [path for path in places if path.name.rpartition("-")[0] == metric]
        rows = [row for path in place.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
        assert len({row["key"] for row in rows}) == len(rows)
        return {row["key"]: row for row in rows}

    def on_board(self, model: str, dataset: str, metric: str) -> float:
        """What the exported board says."""
        [path] = (self.folder / "site").glob("*/board.csv")
        rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        [value] = [
            row["value"]
            for row in rows
            if (row["model"], row["dataset"], row["metric"]) == (model, dataset, metric)
        ]
        return float(value)

    def cells(self, comparison: str) -> list[tuple[str, str]]:
        """Every (model, dataset) of a comparison."""
        asked = self.suite["comparisons"][comparison]
        return list(itertools.product(asked["models"], asked["synthetic"] + asked["real"]))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(LIMITS, id="limited"),
        pytest.param({}, id="whole", marks=[pytest.mark.slow, pytest.mark.timeout(3_600)]),
    ],
)
def example(request, once, recordings, realear) -> Example:
    suite = YAML(typ="safe").load(EXAMPLE.read_text(encoding="utf-8"))
    for name, clips in request.param.items():
        suite["datasets"][name]["limit"] = clips

    def evaluate(folder: Path) -> None:
        file = folder / "limited.yaml" if request.param else EXAMPLE
        if request.param:
            file.write_text(json.dumps(suite))
        # One worker is this process: starting worker processes would take most of the time.
        ended = realear("evaluate", file, "--out", folder, "--workers", 1 if request.param else 2)
        assert ended.code == 0, ended.text

    folder = once(f"recordings-{len(request.param)}", evaluate)
    return Example(suite, folder, folder / "limited.yaml" if request.param else EXAMPLE)


@pytest.fixture(autouse=True)
def one_thread():
    """As on a worker: with two threads pystoi's last digit may be another."""
    with threadpool_limits(1):
        yield


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(data), dtype="float64")


def si_snr_by_the_book(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Le Roux et al. 2019, with the means removed, in extended precision; dB."""
    s, e = (np.asarray(x, np.longdouble) for x in (reference, estimate))
    s, e = s - s.mean(), e - e.mean()
    target = (e @ s) / (s @ s) * s
    return float(10 * np.log10((target @ target) / ((e - target) @ (e - target))))


DIRECT = {
    "pesq": lambda rate, s, e: pesq.pesq(rate, s, e, {8_000: "nb", 16_000: "wb"}[rate]),
    "stoi": lambda rate, s, e: pystoi.stoi(s, e, rate),
    "si_snr": lambda rate, s, e: metrics.si_snr(s, e),
}

# Bit for bit, but for STOI, which takes pystoi's steps by itself.
ROUNDING = {"pesq": 0, "stoi": 1e-14, "si_snr": 0, "si_snri": 0}


def test_every_clip_is_accounted_for_and_scored(example):
    checked = 0
    for comparison, asked in example.suite["comparisons"].items():
        for model, dataset in example.cells(comparison):
            keys = set(example.samples("datasets", dataset))
            assert len(keys) == example.suite["datasets"][dataset].get("limit", len(keys))
            for metric in asked["metrics"]:
                rows = example.scores(model, dataset, metric)
                assert set(rows) == keys
                assert {row["end"] for row in rows.values()} == {"scored"}
                checked += len(rows)
    assert checked > 200


@pytest.mark.parametrize(
    ("metric", "pooled", "counted"),
    [("wer", jiwer.wer, jiwer.process_words), ("cer", jiwer.cer, jiwer.process_characters)],
)
def test_error_rates_equal_jiwer(example, metric, pooled, counted):
    for model, dataset in example.cells("recognition"):
        truth = example.samples("datasets", dataset)
        heard = example.samples(f"predictions/{example.chains(model)}", dataset)
        rows = example.scores(model, dataset, metric)
        texts = {
            key: (basic(sample["txt"].decode()), basic(heard[key]["txt"].decode()))
            for key, sample in truth.items()
        }
        for key, (said, understood) in texts.items():
            found = counted(said, understood)
            missed = found.substitutions + found.deletions
            assert rows[key]["numerator"] == missed + found.insertions
            assert rows[key]["denominator"] == missed + found.hits
        said, understood = (list(side) for side in zip(*texts.values(), strict=True))
        assert example.on_board(model, dataset, metric) == pooled(said, understood)


def test_recognition_heard_something(example):
    """A suite whose recogniser answers nothing would pass every comparison above."""
    heard = example.samples(
        f"predictions/{example.chains('pocketsphinx')}", "read-sentences"
    ).values()
    assert sum(len(sample["txt"].split()) for sample in heard) > 30
    assert example.on_board("pocketsphinx", "read-sentences", "wer") < 0.5


@pytest.mark.parametrize("metric", ["pesq", "stoi", "si_snr"])
def test_enhancement_equals_direct_calls(example, metric):
    for model, dataset in example.cells("enhancement"):
        truth = example.samples("datasets", dataset)
        answers = example.samples(f"predictions/{example.chains(model)}", dataset)
        rows = example.scores(model, dataset, metric)
        for key, sample in truth.items():
            clean, rate = decoded(sample["clean.flac"])
            enhanced, answered = decoded(answers[key]["enhanced.wav"])
            assert rate == answered == 16_000
            direct = DIRECT[metric](rate, clean, enhanced)
            assert rows[key]["value"] == pytest.approx(direct, rel=0, abs=ROUNDING[metric])
            if metric == "si_snr":
                expected = si_snr_by_the_book(clean, enhanced)
                assert rows[key]["value"] == pytest.approx(expected, abs=1e-9)
        values = [row["value"] for row in rows.values()]
        assert example.on_board(model, dataset, metric) == pytest.approx(np.mean(values), abs=UNIT)


@pytest.mark.parametrize("metric", ["pesq", "stoi", "si_snr", "si_snri"])
def test_separation_equals_direct_calls(example, metric):
    for model, dataset in example.cells("separation"):
        truth = example.samples("datasets", dataset)
        answers = example.samples(f"predictions/{example.chains(model)}", dataset)
        rows = example.scores(model, dataset, metric)
        for key, sample in truth.items():
            sources, estimates, mixture = _separated(sample, answers[key])
            values = _by_source(metric, sources, estimates, mixture)
            found = json.loads(rows[key]["detail"])["sources"]
            assert found == pytest.approx(values, rel=0, abs=ROUNDING[metric])
            assert rows[key]["value"] == sum(found) / 2
            if metric.startswith("si_snr"):
                expected = _by_the_book(metric, sources, estimates, mixture)
                assert values == pytest.approx(expected, abs=1e-9)
        values = [row["value"] for row in rows.values()]
        assert example.on_board(model, dataset, metric) == pytest.approx(np.mean(values), abs=UNIT)


def _separated(sample, answer):
    """True sources, estimates in their order, and the mixture, all at 8 kHz."""
    found = [decoded(sample[f"s{n}.flac"]) for n in (1, 2)]
    found += [decoded(answer[f"s{n}.wav"]) for n in (1, 2)]
    found.append(decoded(sample["flac"]))
    assert {rate for _, rate in found} == {8_000}
    first, second, *estimates, mixture = [signal for signal, _ in found]
    orders = itertools.permutations(estimates)
    best = max(
        orders,
        key=lambda order: sum(map(si_snr_by_the_book, (first, second), order)),
    )
    return (first, second), best, mixture


def _by_source(metric, sources, estimates, mixture):
    if metric == "si_snri":
        before = [metrics.si_snr(source, mixture) for source in sources]
        after = _by_source("si_snr", sources, estimates, mixture)
        return [a - b for a, b in zip(after, before, strict=True)]
    return [DIRECT[metric](8_000, s, e) for s, e in zip(sources, estimates, strict=True)]


def _by_the_book(metric, sources, estimates, mixture):
    after = list(map(si_snr_by_the_book, sources, estimates))
    if metric == "si_snr":
        return after
    return [a - si_snr_by_the_book(s, mixture) for a, s in zip(after, sources, strict=True)]


def test_the_oracle_and_the_baseline_show_that_the_scale_is_right(example):
    """The mixture gains nothing, the true masks gain a lot: no sign is turned, no side swapped."""
    assert example.on_board("mixture", "mixtures", "si_snri") == pytest.approx(0, abs=1e-9)
    assert example.on_board("oracle-irm", "mixtures", "si_snri") > 8


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_on_flink_every_file_is_the_same(example, flink, realear, tree, tmp_path):
    words = ["--runner", "FlinkRunner", "--flink_master", flink, "--tracking", "none"]
    ended = realear("evaluate", example.file, "--out", tmp_path, *words)
    assert ended.code == 0, ended.text
    assert tree(tmp_path) == tree(example.folder)
