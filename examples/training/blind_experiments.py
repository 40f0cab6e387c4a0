"""How far to trust the blind estimators: the experiments behind docs/blind.md.

    realear generate examples/training/quality.yaml --out WORK
    python examples/training/blind_experiments.py WORK              # all of them, in turn
    python examples/training/blind_experiments.py WORK known outside   # or some

Every table is over test sets stratified evenly in 5 dB bins of the true SI-SNR from -5 to 20 dB, of
voices that nothing was trained or calibrated on. What was trained is kept in WORK/experiments and
not trained again. `transfer` wants the recordings in the folder named by REALEAR_RECORDINGS.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blind_data import (
    PAIRS,
    POOL,
    RANKED,
    RATE,
    SET,
    TALKERS,
    Data,
    both,
    digits,
    generated,
    made,
    read,
    readers,
    separated,
    truth_of,
)
from scipy.signal import butter, sosfiltfilt
from scipy.stats import kendalltau

import models
from models import calibration
from models.blind_networks import Published
from models.training import quality
from pipelines.quality_training import half_of

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CROP = 1.25  # seconds that are learnt from at a time
BATCH, STEPS, RATE_OF_LEARNING = 64, 1_200, 3e-3
SINGLE_STEPS = 300  # on one separator
MORE_STEPS, MORE_RATE = 150, 1e-3  # with people's voices, after espeak-ng's
PUBLISHED_STEPS, PUBLISHED_CROP = 800, 1.0
OURS = {"width": 32, "context": 128}  # the network that comes with RealEar
KINDS = {  # what is left out together
    "ratio mask": ("leaky-ratio-mask",),
    "Conv-TasNet": ("small-conv-tasnet", "rough-conv-tasnet"),
    "NMF": ("nmf",),
    "gating": ("gated-mixture",),
    "binary mask": ("leaky-binary-mask",),
    "crosstalk": ("crosstalk", "mixture"),
    "spoilt": ("spoilt",),
}
MASKS = ("ratio mask", "binary mask")  # kinds that training makes anew, unless one is left out


# Training


def learnt(
    name: str,
    data: Data,
    work: Path,
    make: Callable[[], Any],
    steps: int,
    *,
    start: Any = None,
    remasked: float = quality.REMASKED,
) -> Any:
    """A network after training, from WORK/experiments where it was trained before; it begins with
    the weights of `start`. On a GPU where there is one.
    """
    module = make()
    if start is not None:
        module.network.load_state_dict(start.state_dict())
    path = work / "experiments" / f"{name}.pt"
    if path.exists():
        module.network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        return module.network.eval()
    torch.manual_seed(0)
    module.steps = steps
    module.to(DEVICE).train()
    crop = PUBLISHED_CROP if isinstance(module, quality.PublishedTraining) else CROP
    [optimizer], [schedule] = module.configure_optimizers()
    began = time.monotonic()
    for step, batch in zip(range(steps), batches(data, round(crop * RATE)), strict=False):
        loss = _loss(module, batch, remasked)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        schedule["scheduler"].step()
        if step % 100 == 99:
            print(f"  {name}: {step + 1}/{steps} loss {loss.item():.2f} "
                  f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    network = module.network.cpu().eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network


def _loss(module: Any, batch: quality.Batch, remasked: float) -> torch.Tensor:
    if isinstance(module, quality.PublishedTraining):
        return module.loss(batch)
    varied = quality.varied(batch, remasked)
    with torch.autocast(DEVICE, torch.bfloat16):  # as `realear train` does
        return module.loss(varied)


def batches(data: Data, size: int) -> Iterator[quality.Batch]:
    """Batches for ever, of random stretches; clips come in a random order, again and again. A few
    that are silent are left out of their batch.
    """
    numbers = np.flatnonzero(np.isfinite(data.truth))
    sounds = torch.from_numpy(data.sounds[numbers]).to(DEVICE)
    room = torch.from_numpy(np.maximum(data.lengths[numbers] - size, 0) + 1).to(DEVICE)
    places = torch.arange(size, device=DEVICE)
    while True:
        for chosen in torch.randperm(len(numbers), device=DEVICE).split(BATCH):
            start = (torch.rand(len(chosen), device=DEVICE) * room[chosen]).long()
            heard = (start[:, None] + places).clamp(max=sounds.shape[2] - 1)
            whole = sounds[chosen].gather(2, heard[:, None].expand(-1, 4, -1)).float()
            whole = whole[(whole[:, 1:3].var(dim=2) >= 1).all(1)] / 32_768
            yield whole[:, 0], whole[:, 1], whole[:, 2], whole[:, 3]


def spectral() -> quality.QualityTraining:
    """One like the network that comes with RealEar."""
    return quality.QualityTraining(RATE, dict(OURS), RATE_OF_LEARNING, STEPS)


def going_on() -> quality.QualityTraining:
    """One like the network that comes with RealEar, to go on from its weights."""
    return quality.QualityTraining(RATE, dict(OURS), MORE_RATE, MORE_STEPS)


def published() -> quality.PublishedTraining:
    """REAL-M's network."""
    return quality.PublishedTraining(3e-4, PUBLISHED_STEPS)


# Judging


def guesses(network: Any, data: Data) -> calibration.Guesses:
    """Raw guesses of all clips."""
    rows = []
    for start in range(0, len(data), 64):
        numbers = np.arange(start, min(start + 64, len(data)))
        sounds = torch.from_numpy(data.sounds[numbers].astype(np.float32) / 32_768)
        mixtures, estimates, _, others = sounds.unbind(1)
        heard = (
            (mixtures, estimates)
            if isinstance(network, Published)
            else (mixtures, estimates, others)
        )
        with torch.inference_mode():
            found = network(*heard, torch.from_numpy(data.lengths[numbers]))
        if isinstance(found, torch.Tensor):
            rows.append(found[:, None].numpy())
            continue
        figures = torch.stack([found.si_snr, torch.exp(found.log_scale)], dim=1)
        rows.append(torch.cat([figures, found.statistics, found.pooled], dim=1).numpy())
    whole = np.concatenate(rows).astype(np.float64)
    if whole.shape[1] == 1:
        return calibration.Guesses(whole[:, 0])
    return calibration.Guesses(whole[:, 0], whole[:, 1], whole[:, 2:])


def judgements(network: Any, learnt: Data, held_out: Data, test: Data) -> dict[str, np.ndarray]:
    """Judgements of a test set, calibrated on held-out clips, by whoever `learnt` from others."""
    held_out = held_out.where(np.isfinite(held_out.truth))
    features = None
    if not isinstance(network, Published):  # which compares no clips
        known = np.array(calibration.some(np.flatnonzero(np.isfinite(learnt.truth))))
        features = guesses(network, learnt.where(known)).features
    fitted = calibration.fit(guesses(network, held_out), held_out.truth, features)
    return fitted.judgements(guesses(network, test))


def row(name: str, found: dict[str, np.ndarray], test: Data, *, evenly: bool = True) -> list[str]:
    """A line of a table: agreement with the truth, stratified unless told otherwise."""
    known = np.flatnonzero(np.isfinite(test.truth))
    chosen = test.stratified() if evenly else known
    told = calibration.figures({k: v[chosen] for k, v in found.items()}, test.truth[chosen])
    names = ("pearson", "spearman", "mae_db", "bias_db", "truth_std_db", "coverage", "outside")
    shown = ["" if told.get(one) is None else f"{told[one]:.3f}" for one in names]
    return [name, str(told["clips"]), *shown]


HEAD = ("", "n", "Pearson", "Spearman", "MAE dB", "bias dB", "std of truth dB", "90 % holds",
        "outside")  # fmt: skip


def table(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")
    sys.stdout.flush()


# The experiments


@dataclass(frozen=True)
class Bench:
    """What every experiment gets: the datasets of quality.yaml, and where it may work."""

    work: Path
    training: Data
    held_out: Data
    test: Data

    @classmethod
    def of(cls, work: Path) -> Bench:
        """Read from where `realear generate` wrote."""
        names = ("quality-training", "quality-heldout", "quality-test")
        cache = work / "experiments"
        return cls(work, *(read(work / "datasets" / name, cache) for name in names))

    def ours(self) -> Any:
        """Our network, trained on the whole pool: the weights that come with RealEar."""
        judge = models.create("blind-si-snr", device="cpu")
        judge.load()
        return judge.network

    def shipped(self, name: str, test: Data) -> dict[str, np.ndarray]:
        """What a judge that comes with RealEar says, by its own calibration."""
        judge = models.create(name, device="cpu")
        judge.load()
        alone = np.array([not test.sounds[number][3].any() for number in range(len(test))])
        return judge.calibrated().judgements(guesses(judge.network, test), alone)


def known(bench: Bench) -> None:
    """Held-out voices, separators that were learnt from: ours by group and bin, and beside it the
    published network on fewer of the same clips, for it is slow.
    """
    test, few = bench.test, bench.test.where(bench.test.stratified()[::4])
    ours = bench.shipped("blind-si-snr", test)
    alone = bench.shipped("blind-si-snr", by_itself(test))
    lines = [
        row("ours", ours, test),
        row("ours, every clip", ours, test, evenly=False),
        row("ours, each estimate by itself", alone, test),
    ]
    for name in ("blind-si-snr", "real-m-network"):
        lines.append(row(f"{name}, a quarter", bench.shipped(name, few), few, evenly=False))
    table("New voices, known separators", HEAD, lines)
    for title, values in (("separator", bench.test.separators), ("domain", bench.test.domains)):
        lines = []
        for value in sorted(set(values)):
            chosen = values == value
            some = {name: each[chosen] for name, each in ours.items()}
            lines.append(row(value, some, bench.test.where(chosen)))
        table(f"Ours, by {title}", HEAD, lines)
    lines = []
    names = np.array([calibration.bin_of(value) for value in bench.test.truth])
    for value in sorted(set(names), key=lambda name: bench.test.truth[names == name].min()):
        some = {name: each[names == value] for name, each in ours.items()}
        lines.append(row(value, some, bench.test.where(names == value), evenly=False))
    table("Ours, by true SI-SNR in dB", HEAD, lines)


def by_itself(data: Data) -> Data:
    """The same estimates, without the others of their mixtures."""
    sounds = np.array(data.sounds[np.arange(len(data))])
    sounds[:, 3] = 0
    return replace(data, sounds=sounds)


def left_out(bench: Bench) -> None:
    """Each kind of separator judged by who never heard it, nor made anything like it: where masks
    are left out, training makes none anew.
    """
    lines, figures = [], []
    for kind, separators in KINDS.items():
        name = "spectral-without-" + kind.replace(" ", "-")
        learning = bench.training.without(separators)
        network = learnt(
            name,
            learning,
            bench.work,
            spectral,
            STEPS,
            remasked=0.0 if kind in MASKS else quality.REMASKED,
        )
        test = bench.test.of(separators)
        found = judgements(network, learning, bench.held_out.without(separators), test)
        lines.append(row(kind, found, test))
        figures.append([float(lines[-1][2]), float(lines[-1][4])])
    mean = np.mean(figures, axis=0)
    lines.append(["mean", "", f"{mean[0]:.3f}", "", f"{mean[1]:.3f}", *[""] * 4])
    table("Separators never heard, each left out of the pool", HEAD, lines)


def left_out_published(bench: Bench) -> None:
    """The same of the published network, calibrated on an eighth of the clips, for it is slow."""
    lines = []
    few = bench.held_out.where(np.arange(0, len(bench.held_out), 8))
    for kind, separators in KINDS.items():
        name = "published-without-" + kind.replace(" ", "-")
        learning = bench.training.without(separators)
        network = learnt(name, learning, bench.work, published, PUBLISHED_STEPS)
        test = bench.test.of(separators)
        test = test.where(test.stratified())
        found = judgements(network, learning, few.without(separators), test)
        lines.append(row(kind, found, test, evenly=False))
    table("Separators never heard, the published network", HEAD, lines)


def outside(bench: Bench) -> None:
    """What the flag says of ordinary clips, and of a separator that cuts the spectrum in two."""
    chosen = np.unique(bench.test.mixtures, return_index=True)[1]
    cut = split_by_frequency(bench.test.where(chosen))
    found = bench.shipped("blind-si-snr", bench.test)
    strange = bench.shipped("blind-si-snr", cut)
    lines = [
        row("ordinary", found, bench.test, evenly=False),
        row("low-pass / high-pass", strange, cut, evenly=False),
    ]
    table("Outside what was learnt from", HEAD, lines)


def split_by_frequency(data: Data) -> Data:
    """Each mixture's part below or above a frequency of 600 to 1,600 Hz as the estimate."""
    random = np.random.default_rng(0)
    sounds = np.array(data.sounds[np.arange(len(data))])
    for number, size in enumerate(data.lengths):
        mixture = sounds[number, 0, :size].astype(np.float64)
        edge = butter(8, random.uniform(600, 1_600), fs=RATE, output="sos")
        low = sosfiltfilt(edge, mixture)
        parts = (low, mixture - low) if random.uniform() < 0.5 else (mixture - low, low)
        sounds[number, 1, :size], sounds[number, 3, :size] = np.rint(parts)
    names = np.full(len(data), "frequency split")
    return replace(data, sounds=sounds, truth=truth_of(sounds, data.lengths), separators=names)


def pool(bench: Bench) -> None:
    """Trained on one separator or on the pool, against who is judged: REAL-M's table on ours.

    The pool's judge is the one that comes with RealEar, which learnt for longer.
    """
    lines = []
    for name in KINDS:
        learning, held_out = bench.training.of(KINDS[name]), bench.held_out.of(KINDS[name])
        label = "spectral-only-" + name.replace(" ", "-")
        network = learnt(label, learning, bench.work, spectral, SINGLE_STEPS, remasked=0.0)
        found = judgements(network, learning, held_out, bench.test)
        lines.append([f"{name} alone", *_by_kind(found, bench.test)])
    found = bench.shipped("blind-si-snr", bench.test)
    lines.append(["the pool", *_by_kind(found, bench.test)])
    table("Trained on … against judged: Pearson / MAE dB", ["", *KINDS], lines)


def _by_kind(found: dict[str, np.ndarray], test: Data) -> Iterator[str]:
    for tested in KINDS.values():
        chosen = np.isin(test.separators, tested)
        some = {name: each[chosen] for name, each in found.items()}
        told = row("", some, test.where(chosen))
        yield f"{told[2]} / {told[4]}"


def ranking(bench: Bench) -> None:
    """Whether separators, as they are, rank by blind as by true SI-SNR."""
    datasets = {
        "quality-voices": made(bench.work, "quality-voices"),
        "ranking-pairs": {**SET, "recipe": {**PAIRS, "clips": 40}},
        "ranking": separated(["ranking-pairs"], pool=RANKED),
    }
    data = generated(bench.work, datasets, "ranking")
    found = bench.shipped("blind-si-snr", data)["si_snr"]
    lines, means = [], []
    for name in sorted(set(data.separators)):
        chosen = (data.separators == name) & np.isfinite(data.truth)
        means.append([data.truth[chosen].mean(), found[chosen].mean()])
        lines.append([name, str(chosen.sum()), *(f"{value:.2f}" for value in means[-1])])
    tau = kendalltau(*np.array(means).T).statistic
    lines = sorted(lines, key=lambda line: -float(line[2]))
    table(f"Ranking, Kendall's tau {tau:.2f}", ("", "n", "true dB", "blind dB"), lines)


def dry(bench: Bench) -> None:
    """Reverberant mixtures judged against the talkers as heard, and against the dry ones."""
    lines = []
    for reference in ("heard", "dry"):
        name = f"against-{reference}"
        datasets = {
            "quality-voices": made(bench.work, "quality-voices"),
            "rooms": {**SET, "recipe": {**PAIRS, "clips": 100, "room": {"t60_s": [0.15, 0.6]}}},
            name: separated(["rooms"], reference=reference, each=1, pool=POOL, spread_db=[-5, 20]),
        }
        data = generated(bench.work, datasets, name)
        found = bench.shipped("blind-si-snr", data)
        lines.append(row(f"against the {reference} talkers", found, data, evenly=False))
    table("Rooms: which reference the guess is a guess of", HEAD, lines)


def transfer(bench: Bench) -> None:
    """Real voices, judged by who learnt from espeak-ng alone, and by who heard some people, too."""
    recordings = Path(os.environ["REALEAR_RECORDINGS"])
    reading = readers(recordings, bench.work)
    lines = []
    for number, (heard, unheard) in enumerate((TALKERS, TALKERS[::-1])):
        known, unknown = (digits(bench.work, names) for names in (heard, unheard))
        calibrating = half_of(known.mixtures.tolist())
        people = known.where(~calibrating)
        some = np.random.default_rng(0).permutation(len(bench.training))[: 2 * len(people)]
        learning = both(bench.training.where(some), people)
        held_out = both(bench.held_out, known.where(calibrating))
        name = f"spectral-people-{number}"
        network = learnt(name, learning, bench.work, going_on, MORE_STEPS, start=bench.ours())
        for test, what in ((unknown, "digits of " + " and ".join(unheard)), (reading, "readers")):
            alone = bench.shipped("blind-si-snr", test)
            added = judgements(network, learning, held_out, test)
            lines.append(row(f"{what}: espeak-ng only", alone, test))
            lines.append(row(f"{what}: with {' and '.join(heard)}", added, test))
    table("Real voices", HEAD, lines)


EXPERIMENTS: dict[str, Callable[[Bench], None]] = {
    "known": known,
    "outside": outside,
    "ranking": ranking,
    "left-out": left_out,
    "pool": pool,
    "dry": dry,
    "transfer": transfer,
    "left-out-published": left_out_published,
}


def main() -> None:
    """Run experiments by name, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path, help="where quality.yaml was generated to")
    parser.add_argument("experiments", nargs="*", help=f"of {', '.join(EXPERIMENTS)}")
    asked = parser.parse_args()
    if unknown := set(asked.experiments) - EXPERIMENTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(EXPERIMENTS)}")
    if "transfer" in (asked.experiments or EXPERIMENTS) and "REALEAR_RECORDINGS" not in os.environ:
        parser.error("transfer: expected the recordings' folder in REALEAR_RECORDINGS, found none")
    torch.set_num_threads(1)
    bench = Bench.of(asked.work)
    for name in asked.experiments or EXPERIMENTS:
        EXPERIMENTS[name](bench)


if __name__ == "__main__":
    main()
