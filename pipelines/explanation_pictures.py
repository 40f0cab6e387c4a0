"""What there is to see, to hear and to read of an explained clip, for a board's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from metrics import FailedPrediction
from models import explaining
from pipelines import audio
from pipelines.pictures import Mask
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays, explanation
from pipelines.tasks.classification import truth


def mask(answer: Mapping[str, bytes]) -> Mask | None:
    """The mask as it lies over the clip; None where there is no explanation."""
    try:
        values = arrays.read_bytes(answer, explanation.MASK)
        rate = audio.header(answer[explanation.KEPT]).sample_rate
    except (FailedPrediction, KeyError, audio.BadAudio):
        return None
    transform = explaining.stft(rate)
    hop, window = transform.hop_samples / rate, transform.window_samples / rate
    return Mask(values / explaining.LEVELS, rate, hop - window / 2, hop)


def heard(clip: Clip, answer: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The clip, what is kept and what is removed of it and, where it is known, its source."""
    yield "What the classifier heard; in colour what the explanation keeps", clip.read()
    yield "What it keeps (x_in)", answer[explanation.KEPT]
    yield "What it removes (x_out)", answer[explanation.REMOVED]
    if clip.row.has(explanation.SOURCE):
        yield "The true source", clip.read(explanation.SOURCE)


def told(row: Row, answer: Mapping[str, bytes]) -> str:
    """The class that was explained, how probable it is of all three sounds, and the clip's own."""
    said, labels = explanation.said_of(answer), explanation.labels_of(answer)
    logits = explanation.logits_of(answer).astype(np.float64)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    full, kept, removed = 100 * shares[:, labels.index(said)]
    best = labels[int(shares[1].argmax())]
    own = truth(row)
    words = f"Explained: {said}. Probability {full:.1f} %, kept part {kept:.1f} %"
    words += f" (heard as {best})" if best != said else ""
    words += f", removed part {removed:.1f} %."
    return words if own is None else f"{words} The clip is of the class {own}."
