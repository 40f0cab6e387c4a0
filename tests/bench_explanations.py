"""Explanations: judged together against a loop over clips; the same results.

The classifier is the one that comes with RealEar. Clips are of 1 s to 1.1 s, as spoken digits and
short sounds are; masks are given, so that only judging them is timed: x_in and x_out, what the
classifier says of all three, and every metric.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

import metrics
from models import create, explaining
from models.base import Model
from models.explained import Pair
from models.explaining import Explainer, Mask

CLIPS, RATE = 32, 16_000
ROUNDS = 3
OF_LOGITS = {  # metric: whether it is about the part kept
    "faithfulness": False, "faithfulness_logit": False, "input_fidelity": True,
    "average_increase": True, "average_drop": True, "average_gain": True,
}  # fmt: skip


def clips() -> list[np.ndarray]:
    """Tones in noise, of unlike lengths."""
    random = np.random.default_rng(0)
    made = []
    for number in range(CLIPS):
        time_ = np.arange(RATE + int(random.integers(RATE // 10))) / RATE
        tone = 0.2 * np.sin(2 * np.pi * (200 + 50 * number) * time_)
        made.append((tone + random.normal(0, 0.02, time_.size)).astype(np.float32))
    return made


class Given(Explainer):
    """Masks that were found before, of all clips in their order."""

    def __init__(self, masks: list[Mask]) -> None:
        self.masks = masks

    def explain(self, *_args: object, **_options: object) -> list[Mask]:
        """As they are."""
        return self.masks


def together(pair: Pair, signals: list[np.ndarray]) -> dict[str, np.ndarray]:
    """As RealEar does: each sound is heard once, in batches; all metrics from the same logits."""
    found = pair.explain(signals, sample_rate=RATE)
    full, kept, removed = np.stack([one.logits for one in found]).transpose(1, 0, 2)
    return {
        name: getattr(metrics, name)(full, kept if of_kept else removed)
        for name, of_kept in OF_LOGITS.items()
    }


def one_by_one(
    classifier: Model, signals: list[np.ndarray], masks: list[Mask]
) -> dict[str, np.ndarray]:
    """Clip by clip, every metric asking the classifier itself, as toolkits of metrics do."""
    values: dict[str, list[float]] = {name: [] for name in OF_LOGITS}
    for signal, mask in zip(signals, masks, strict=True):
        kept = explaining.kept(signal, explaining.rounded(mask), RATE)
        for name, of_kept in OF_LOGITS.items():
            part = kept if of_kept else signal - kept
            logits = (classifier.classify([each], sample_rate=RATE)[0] for each in (signal, part))
            values[name].append(float(getattr(metrics, name)(*logits)))
    return {name: np.array(each) for name, each in values.items()}


def timed(function: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Theirs over ours, medians of rounds in turns."""
    pairs = [(timed(ours), timed(theirs)) for _ in range(ROUNDS)]
    left, right = (statistics.median(times) for times in zip(*pairs, strict=True))
    return right / left


def judged() -> None:
    """All metrics of all clips."""
    classifier, signals = create("sound-cnn"), clips()
    masks = create("energy-mask").explain(signals, classifier, [0] * CLIPS, sample_rate=RATE)
    pair = Pair(classifier, Given(masks))
    pair.load()
    ours, theirs = together(pair, signals), one_by_one(classifier, signals, masks)
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-2)
    faster = ratio(lambda: together(pair, signals), lambda: one_by_one(classifier, signals, masks))
    what = f"six metrics of {CLIPS} explanations"
    print(f"{what:<46} {faster:6.2f} × a loop over clips and metrics", flush=True)


def scored() -> None:
    """Metrics alone, from logits that are there."""
    random = np.random.default_rng(1)
    full, kept = random.normal(size=(2, 10_000, 39))

    def loop() -> list[float]:
        return [float(metrics.average_drop(*each)) for each in zip(full, kept, strict=True)]

    np.testing.assert_allclose(metrics.average_drop(full, kept), loop())
    faster = ratio(lambda: metrics.average_drop(full, kept), loop)
    print(f"{'average drop of 10,000 logits':<46} {faster:6.2f} × a loop over clips", flush=True)


def main() -> None:
    """Every comparison, a line each."""
    import torch

    torch.set_num_threads(1)
    print("\nexplanations, one thread\n")
    judged()
    scored()


if __name__ == "__main__":
    main()
