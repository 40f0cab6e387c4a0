"""The metrics' part of `make bench`: speed against the peers, and what the intervals cost."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torchmetrics.functional import audio

import metrics
from metrics import intervals
from metrics.bss import bss_eval
from metrics.tally import Tally
from tests.bench import compare

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mir_eval.separation as mir_eval

RATE = 8_000  # Hz
CLIP = 4 * RATE  # samples


def separated(seed: int, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Two sources and their leaking, swapped estimates, `(2, time)` each."""
    random = np.random.default_rng(seed)
    references = random.normal(0, 0.1, (2, CLIP))
    estimates = references[::-1] + 0.3 * references + random.normal(0, 0.01, (2, CLIP))
    return references.astype(dtype), estimates.astype(dtype)


def permutations() -> None:
    """PIT SI-SNR of 1,000 two-source clips of 4 s at 8 kHz, one by one."""
    for dtype in (np.float32, np.float64):
        # Ten different clips, a hundred times each: a thousand would not fit beside each other.
        clips = [separated(seed, dtype) for seed in range(10)] * 100

        def ours(clips: list = clips) -> None:
            for references, estimates in clips:
                metrics.pit_si_snr(references, estimates)

        def theirs(clips: list = clips) -> None:
            for references, estimates in clips:
                audio.permutation_invariant_training(
                    torch.from_numpy(estimates)[None],
                    torch.from_numpy(references)[None],
                    audio.scale_invariant_signal_noise_ratio,
                )

        what = f"PIT SI-SNR, 1,000 clips of {np.dtype(dtype).name}"
        compare(what, f"torchmetrics in {np.dtype(dtype).name}", ours, theirs)


def distortions() -> None:
    """SDR, SIR, SAR and their permutation: two sources of 4 s at 8 kHz."""
    references, estimates = separated(0)

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            mir_eval.bss_eval_sources(references, estimates)

    compare(
        "SDR, SIR, SAR of two sources", "mir_eval", lambda: bss_eval(references, estimates), theirs
    )


def replicates() -> None:
    """1,000 bootstrap replicates of 1,000 clips by 40 speakers, in per cent of scoring the clips.

    The runs hear signals that lie in memory; what they take for a few clips is scaled up.
    """
    separations = [separated(seed) for seed in range(10)]
    enhancements = [_noisy(seed) for seed in range(10)]

    def si_snr_run() -> None:
        for references, estimates in separations:
            _, order = metrics.pit_si_snr(references, estimates)
            metrics.si_snr(references, estimates[list(order)])

    def perceptual_run() -> None:
        for pair in enhancements:
            metrics.pesq(*pair, 16_000)
            metrics.stoi(*pair, 16_000)

    clusters = [f"speaker-{number % 40}" for number in range(1_000)]
    values = np.random.default_rng(0).normal(10, 3, 1_000)
    spent = _seconds(lambda: _intervals(clusters, values))
    for what, run in (("PIT and SI-SNR run", si_snr_run), ("PESQ + STOI run", perceptual_run)):
        percent = 100 * spent / (100 * _seconds(run))
        print(
            f"{'tally, 1,000 replicates, interval: 1,000 clips':<46} {percent:6.2f} % of a {what}"
        )


def _noisy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bursts of noise in noise, 4 s at 16 kHz: an utterance for every library."""
    random = np.random.default_rng(seed)
    bursts = 0.02 + np.maximum(0, np.sin(2 * np.pi * 1.5 * np.arange(64_000) / 16_000)) ** 2
    clean = random.normal(0, 0.1, 64_000) * bursts
    return clean, clean + random.normal(0, 0.02, 64_000)


def _intervals(clusters: list[str], values: np.ndarray) -> None:
    """The weights are drawn anew; a report draws them once for all models and slices."""
    intervals._column.cache_clear()
    intervals.interval(Tally.from_arrays(clusters, values, np.ones(len(values))))


def _seconds(function: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Every comparison, a line each; everybody has one thread, as a worker of many has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            for bench in (permutations, distortions, replicates):
                bench()
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
