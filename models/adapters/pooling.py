"""One answer a clip: of a long one by windows, of an empty one none, at no rate but the network's.

Networks on spectra of a fixed length hear windows. Where the libraries cut a long clip at random,
or at its end, every sample is heard here and the windows' answers are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from models.base import Model, Signal, Vector, check_rate


def check_rate_of(model: Model, sample_rate: int) -> None:
    """ValueError unless signals come at the rate of a loaded model."""
    if check_rate(sample_rate) != model.sample_rate:
        raise ValueError(
            f"{type(model).__name__}: expected signals at {model.sample_rate} Hz, got "
            f"{sample_rate} Hz; resample them first"
        )


def refuse_empty(_: Signal) -> NoReturn:
    """FailedPrediction for a clip without a sample, of which no number would say anything."""
    from metrics import FailedPrediction  # 20 ms that naming a model need not pay

    raise FailedPrediction("empty", "expected a clip with samples, found none")


def windows(clip: Signal, size: int) -> list[Signal]:
    """A clip of up to `size` samples as it is; a longer one in windows of that size, end to end,
    the last one moved back to end with the clip.
    """
    starts = [*range(0, len(clip) - size, size), max(0, len(clip) - size)]
    return [clip[start : start + size] for start in starts]


def cropped(clip: Signal, size: int, crop: str) -> Signal:
    """The `size` samples in a longer clip's middle where `crop` is "centre"; else all of it."""
    if crop != "centre" or len(clip) <= size:
        return clip
    start = (len(clip) - size) // 2
    return clip[start : start + size]


def mean_over_windows(
    clips: Sequence[Signal],
    size: int,
    at_once: int,
    ask: Callable[[list[Signal]], NDArray[np.float32]],
) -> list[Vector]:
    """The mean of what `ask` answers, (windows, n), to the windows of each clip in turn; at most
    `at_once` of them are asked about together.
    """
    cut = [windows(clip, size) for clip in clips]
    every = [window for parts in cut for window in parts]
    groups = [every[at : at + at_once] for at in range(0, len(every), at_once)]
    answers = np.concatenate([ask(group) for group in groups])
    ends = np.cumsum([len(parts) for parts in cut])
    return [part.mean(axis=0) for part in np.split(answers, ends[:-1])]
