"""Explanation: a clip in, what its class owes to which cells of its spectrogram out.

Asked is a pair, a classifier and an explainer of it (`models.explained`). The clip's own class is
not needed; where a clip came with its source (`clean`, of a clip that something was mixed into),
it is asked whether the explanation points there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics import ExplanationItem, FailedPrediction, Parts, UndefinedMetric
from models import explaining
from pipelines import audio
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays
from pipelines.tasks.base import Question, Task, check_signals, heard, read_answer, same_length
from pipelines.tasks.classification import LABELS, LOGITS, place, truth

KEPT, REMOVED, MASK, EMBEDDINGS = "in.wav", "out.wav", "mask.npy", "embeddings.npy"
SOURCE = "clean"  # the role of what a clip's class stands for, where something else is heard too
PARTS = 3  # the clip, what is kept of it, what is removed


@dataclass(frozen=True)
class Doubt(Question):
    """A clip to be explained, and its source, (time,) float32, where it is known."""

    clean: NDArray[np.float32] | None = None


class Explanation(Task):
    """Pairs with `explain`. Of a clip is stored: `npy`, logits (3, classes) of x, x_in and x_out;
    `json`, the classes, and which was explained; `mask.npy`, (frames, frequencies) uint8; `in.wav`
    and `out.wav`, float32; `embeddings.npy`, (2 or 3, dim) of x, x_in and the source.
    """

    name = "explanation"
    method = "explain"
    metrics = (
        *("faithfulness", "input_fidelity", "average_increase", "average_drop", "average_gain"),
        *("sparseness", "complexity"),
    )

    def applies(self, row: Row) -> bool:
        """Every clip."""
        return True

    def members(self, clip: Row) -> tuple[str, ...]:
        """Logits, classes, mask, both parts, embeddings."""
        return (LOGITS, LABELS, MASK, KEPT, REMOVED, EMBEDDINGS)

    def question(self, model: Any, clip: Clip) -> Doubt:
        """A signal and, of a mixture, the source and the rest; an oracle must have them."""
        signal, rate = heard(model, clip)
        clean = _source(clip, rate, len(signal))
        if clean is None and model.role == "oracle":
            raise UndefinedMetric("no_reference", f"the clip has no member {SOURCE!r}")
        both = None if clean is None else np.stack([clean, signal - clean]).astype(np.float32)
        alone = None if clean is None else clean.astype(np.float32)
        return Doubt(clip.row, signal, rate, references=both, clean=alone)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """An explanation a clip."""
        truth = {}
        if model.role == "oracle":
            truth["references"] = [question.references for question in questions]
        answers: Sequence[Any] = model.explain(
            [question.signal for question in questions],
            sample_rate=questions[0].sample_rate,
            cleans=[getattr(question, "clean", None) for question in questions],
            **truth,
        )
        return answers

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """See the class; FailedPrediction for logits that are not finite, or parts of another
        length.
        """
        if not np.isfinite(answer.logits).all():
            raise FailedPrediction("not_finite", "the logits hold NaN or infinity")
        kept, removed = (
            check_signals(part, (question.size,)) for part in (answer.kept, answer.removed)
        )
        said = {"labels": list(answer.labels), "class": answer.labels[answer.said]}
        return {
            LOGITS: arrays.to_npy(answer.logits),
            LABELS: arrays.to_json(said),
            MASK: arrays.to_bytes(answer.mask),
            KEPT: audio.encode_wav(kept, question.sample_rate),
            REMOVED: audio.encode_wav(removed, question.sample_rate),
            EMBEDDINGS: arrays.to_npy(answer.embeddings),
        }

    def item(
        self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None
    ) -> ExplanationItem:
        """Logits and mask and, where the clip came with the source of the class that was explained,
        what the mask keeps of both.
        """
        logits = logits_of(answer)
        mask = arrays.read_bytes(answer, MASK)
        undefined = _unlike(clip.row, answer)
        parts = None if undefined else _parts(clip, answer, mask)
        full, kept, removed = logits.astype(np.float64)
        return ExplanationItem(full, kept, removed, mask / explaining.LEVELS, parts, undefined)


def logits_of(answer: Mapping[str, bytes]) -> NDArray[np.float32]:
    """The stored logits, (3, classes); FailedPrediction where they are none."""
    found = arrays.read_array(answer, LOGITS, 2)
    if len(found) != PARTS or found.shape[1] != len(labels_of(answer)):
        raise FailedPrediction("wrong_classes", f"{found.shape} logits do not fit the labels")
    return found


def labels_of(answer: Mapping[str, bytes]) -> list[str]:
    """The classes, in the order of the logits."""
    found = arrays.read_json(answer, LABELS).get("labels")
    if not isinstance(found, list):
        raise FailedPrediction("undecodable", f"{LABELS}: expected labels")
    return [str(label) for label in found]


def said_of(answer: Mapping[str, bytes]) -> str:
    """The class that was explained."""
    return str(arrays.read_json(answer, LABELS).get("class"))


def _unlike(row: Row, answer: Mapping[str, bytes]) -> str:
    """Why there is nothing to compare with; "" where the clip's class is what was explained."""
    found = truth(row)
    if not row.has(SOURCE) or found is None:
        return "no_reference"
    labels = labels_of(answer)
    try:
        same = labels[place(found, labels)] == said_of(answer)
    except UndefinedMetric as error:
        return error.reason
    return "" if same else "other_class"


def _parts(clip: Clip, answer: Mapping[str, bytes], mask: NDArray[np.uint8]) -> Parts:
    """The source, and what the mask keeps of it and of the rest, at the classifier's rate."""
    rate = audio.header(answer[KEPT]).sample_rate
    source, kept, mixture = same_length(
        clip.signal(SOURCE, rate), read_answer(answer, KEPT, rate), clip.signal(sample_rate=rate)
    )
    if explaining.shape(len(kept), rate) != mask.shape:
        raise FailedPrediction("wrong_length", f"a mask of {mask.shape} for {len(kept)} samples")
    both = (part.astype(np.float32) for part in (source, mixture - source))
    own, rest = (explaining.kept(each, mask, rate).astype(np.float64) for each in both)
    return Parts(source, mixture, kept, own, rest)


def _source(clip: Clip, rate: int, samples: int) -> audio.Signal | None:
    """A clip's source at the classifier's rate, as long as the clip."""
    if not clip.row.has(SOURCE):
        return None
    found = clip.signal(SOURCE, rate)[:samples]
    return np.pad(found, (0, samples - len(found)))
