"""What every metric is made of: items, the score of a clip, and the two ways of having none.

A clip has one of three ends: it is scored (a `ClipScore`), it cannot be scored because of its input
(`UndefinedMetric`) or because of the model (`FailedPrediction`). Where both apply, the input is
blamed, so that the same clips are undefined for every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Scores = NDArray[np.float64]


class Unscored(ValueError):
    """Why a clip has no score: `reason` is a short slug that is counted, `detail` a sentence."""

    def __init__(self, reason: str, detail: str = "") -> None:
        # Both go to ValueError so that the exception survives pickling between workers.
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class UndefinedMetric(Unscored):
    """The input's fault ("silent_reference", "too_short"): no model can be scored on this clip."""


class FailedPrediction(Unscored):
    """The model's fault: "silent_estimate", "not_finite", "wrong_length" or "wrong_sources"."""


@dataclass(frozen=True)
class TextItem:
    """One utterance: what was said and what was recognised, both raw."""

    reference: str
    hypothesis: str


@dataclass(frozen=True, eq=False)
class SignalItem:
    """One clip's signals, at one sample rate.

    `references` and `estimates` are `(sources, time)` float64; the estimates are already in the
    references' order, and `permutation[i]` says which of the model's outputs became estimate `i`.
    `mixture` is `(time,)`: what the model heard, at the evaluation rate. `sample_rate` is in Hz.
    """

    references: Signal
    estimates: Signal
    mixture: Signal
    sample_rate: int
    permutation: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class ClassItem:
    """One clip with a class: its true `label` and the model's `scores`.

    `label` is the place of the true class in `scores`, `(classes,)` float64, higher is likelier;
    any scale (logits, probabilities, similarities).
    """

    label: int
    scores: Scores


@dataclass(frozen=True, eq=False)
class LogitsItem:
    """One clip with an explanation: what the classifier said of three signals, before softmax.

    `logits` are f(x) of the clip, `logits_in` f(x_in) of the part that the explanation keeps and
    `logits_out` f(x_out) of the part that it removes; each `(classes,)` float64.
    """

    logits: Scores
    logits_in: Scores
    logits_out: Scores


@dataclass(frozen=True, eq=False)
class Parts:
    """A mixture that came with the source of its class, and what a mask keeps; `(time,)` each.

    `kept_source` and `kept_rest` are kept of the source and of the rest; their sum is `kept`, x_in.
    """

    source: Signal
    mixture: Signal
    kept: Signal
    kept_source: Signal
    kept_rest: Signal


@dataclass(frozen=True, eq=False)
class ExplanationItem(LogitsItem):
    """One clip with an explanation that is a mask over its spectrogram, 0 to 1, of any shape.

    `parts` are there where the clip came with its source; else `undefined` says why not.
    """

    mask: NDArray[np.float64]
    parts: Parts | None = None
    undefined: str = "no_reference"


@dataclass(frozen=True, eq=False)
class EstimateItem:
    """One clip whose quality a model guessed without its clean signal.

    `reference` is the clean signal and `heard` what the model heard, both `(time,)` float64 at
    `sample_rate` Hz; `estimates` are its guesses by the metric's name ("stoi": 0.93).
    """

    reference: Signal
    heard: Signal
    sample_rate: int
    estimates: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class BlindItem:
    """One clip whose answer an estimator judged without the truth.

    `guesses` are by the metric's name, a value an estimate of the model ("si_snr": (7.9, 8.4)), and
    beside them what the estimator says of itself: "lower" and "upper", the ends of 90 % intervals,
    and "outside", 0 to 1, from ½ on unlike what it was trained on. `undefined` is why nobody could
    judge the clip, "" where somebody could.
    """

    guesses: Mapping[str, tuple[float, ...]]
    undefined: str = ""


@dataclass(frozen=True)
class RankItem:
    """One clip with a caption: at which place, from 1, the caption is found among `texts` by the
    sound, and the sound among `audios` by the caption.
    """

    audio_to_text: int
    text_to_audio: int
    texts: int
    audios: int


Item = (
    TextItem | SignalItem | ClassItem | LogitsItem | EstimateItem | BlindItem | RankItem
)  # an ExplanationItem is a LogitsItem


@dataclass(frozen=True)
class ClipScore:
    """The score of one clip: `numerator / denominator`.

    A pooled metric (WER) carries its counts; any other carries its value over 1. `detail` is JSON:
    "sources" lists the values of several sources, "capped" is true where a cap of ±100 dB was hit.
    """

    numerator: float
    denominator: float = 1.0
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The clip's own value; None where the denominator is 0 (an empty reference text)."""
        return self.numerator / self.denominator if self.denominator else None

    @property
    def capped(self) -> bool:
        """Whether any part of the value was cut to the cap."""
        return bool(self.detail.get("capped", False))


@dataclass(frozen=True)
class Metric:
    """A metric as data: what it is called, how it reads, and where its function lives.

    `unit` is "dB", "%", "MOS" or "" and `scale` the factor from value to unit (100 for "%").
    `pooled`: numerators and denominators are summed before dividing; otherwise it is a mean over
    clips. `item` names what it scores ("text", "signal", "class", "logits", "explanation"…).
    `function` is "module:function", loaded when first used; it takes an item and the parameters.
    `parameters` are the defaults; `libraries` are the distributions whose version changes the
    number.
    `needs` says in words what a clip must bring ("reference signal"), `failure_policy` which clips
    are undefined and which failed, `source` the paper or library that defines the number.
    `canonical` is "module:function" from a dict of all parameters to their checked, canonical
    form (ValueError where they cannot be), or "" where the names alone suffice. `truth` is the
    metric that a blind one guesses, "" for every other.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    version: str
    pooled: bool
    item: str
    function: str
    parameters: Mapping[str, Any]
    summary: str
    libraries: tuple[str, ...] = ()
    scale: float = 1.0
    needs: tuple[str, ...] = ()
    failure_policy: str = ""
    source: str = ""
    canonical: str = ""
    truth: str = ""
