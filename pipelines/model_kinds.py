"""Kinds of recipe whose clips come from another model's answers: a generator that can be wrong.

recipe: {kind: separated, of: [mixtures], model: nmf}  # its estimates, and their true SI-SNR
recipe: {kind: separated, of: [mixtures], pool: [{model: nmf}, {model: mixture}], each: 1,
         spread_db: [-5, 25]}  # those of one of several, some blended to be as good as is drawn
recipe: {kind: transcribed, of: [dataset], model: pocketsphinx}  # clips with what it understood
recipe: {kind: labelled, of: [dataset], model: "module:Class", classes: [rain, wind]}

A row names clip, model, parameters and fingerprint; the model itself is made only to be checked and
is loaded once a shard, by whoever renders it; of a pool, each that the shard asks. Whatever it
throws costs one clip.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics import FailedPrediction, SignalItem, UndefinedMetric, pit_si_snr, si_snr
from models.blind import others_of
from pipelines import audio, batches, tasks
from pipelines.answers import (
    Answer,
    Asked,
    Asking,
    Estimate,
    Labelled,
    Labelling,
    Separated,
    Transcribed,
    Transcript,
)
from pipelines.kinds import Figures, Kind, Rendering, Sources, Stage
from pipelines.predict import Handling
from pipelines.recipes import base, blends
from pipelines.records import Failure
from pipelines.shards.datasets import HEARD, Clip, Row, printable
from pipelines.shards.packing import Sample
from pipelines.tasks.base import heard

REMEMBERED = 16  # answers of a separator, for the other sources of the same mixture
LEVELS = (0.01, 1.0)  # peaks at which an estimate is stored as it is; else it is brought to LEVEL
LEVEL = 0.9
TINY = 1e-12  # an embedding that is shorter has no direction

Options = TypeVar("Options", bound=Asking)
Planned = TypeVar("Planned", bound=Answer)
Render = Callable[[Planned], Sample]


class Refused(ValueError):
    """A clip that the model's answer makes no sample of: `reason` is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ModelKind(Kind[Options, Planned]):
    """What the kinds share: a row a clip, or several; a model that is loaded for a shard."""

    refusal = "error"

    @abstractmethod
    def answers(self, model: Any, stage: Stage) -> Render[Planned]:
        """A function from a row to its sample, by a loaded model."""

    def seconds(self, row: Planned) -> float:
        """As long as the clip."""
        return row.seconds

    def speakers(self, row: Planned) -> tuple[str, ...]:
        """The clip's own."""
        return () if row.speaker is None else (row.speaker,)

    def figures(self, row: Planned) -> Figures:
        """Who is asked."""
        return {"Model": f"{row.model}-{row.fingerprint}"}

    @contextmanager
    def renderer(self, job: Rendering) -> Iterator[Render[Planned]]:
        """The model is loaded before the first row; RealEarError if its fingerprint is another."""
        stage = Stage(job.folders)
        try:
            yield self.answers(_loaded(job.rows[0]), stage)
        finally:
            stage.close()


def _loaded(row: Answer) -> Any:
    """The model of a row, on one thread: answers must not depend on a machine's cores."""
    model = Handling(row.model, row.model, "", row.parameters, row.fingerprint).load()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return model


def _planned(recipe: Asked, clip: Row, key: str) -> dict[str, Any]:
    """What every row says."""
    return {
        "key": key,
        "clip": clip.key,
        "sample_rate": clip.sample_rate,
        "seconds": clip.seconds,
        "speaker": clip.speaker,
        "model": recipe.model,
        "parameters": recipe.parameters,
        "fingerprint": recipe.fingerprint,
    }


class SeparatedClips(ModelKind[Separated, Estimate]):
    """Estimates of separators with their true SI-SNR, for those who guess it from sound alone.

    Beside the mixture and the `estimate` lie the `reference` that it was measured against and the
    `others`, what the separator made of everything else (`models.blind.others_of`).
    """

    options = Separated
    row = Estimate

    def plan(self, recipe: Separated, sources: Sources) -> list[Estimate]:
        """A row a source of every mixture and separator; the key says all three."""
        clips = [clip for clip in sources.of(sources.own).values() if _separable(clip)]
        if not clips:
            raise ValueError(
                f"expected mixtures with their sources in {', '.join(sources.own)}, found none: "
                "generate them with `kind: scenes` and two talkers"
            )
        _refuse_rooms_missing(recipe, clips)
        rows = [row for clip in clips for one in _drawn(recipe, clip) for row in one]
        base.refuse_twins((row.key for row in rows), "key", "generate from one dataset at a time")
        return rows

    def notes(self, sources: Sources, rows: Sequence[Any]) -> tuple[str, ...]:
        """What was left out, and what dry references mean."""
        alone = sum(not _separable(clip) for clip in sources.of(sources.own).values())
        notes = [f"{alone} clips without separate sources were left out"] if alone else []
        if rows and rows[0].reference == "dry":
            notes.append("SI-SNR is against the dry talkers: reverberation counts as error")
        return tuple(notes)

    def figures(self, row: Estimate) -> Figures:
        """Who is asked, and for which source."""
        return {**super().figures(row), "Source": f"s{row.source}"}

    @contextmanager
    def renderer(self, job: Rendering) -> Iterator[Render[Estimate]]:
        """Every model of the shard is loaded before its first row."""
        stage = Stage(job.folders)
        asked = {row.fingerprint: row for row in job.rows}
        try:
            yield self.answers({name: _loaded(row) for name, row in asked.items()}, stage)
        finally:
            stage.close()

    def answers(self, model: Any, stage: Stage) -> Render[Estimate]:
        """Each mixture is separated once where its sources are not far apart in the shard; `model`
        holds the loaded ones by fingerprint.
        """

        @lru_cache(maxsize=REMEMBERED)
        def separated(key: str, fingerprint: str) -> SignalItem:
            clip = stage.clip(key)
            task = tasks.get("separation")
            answer = _unless_failed(*batches.ask(task, model[fingerprint], [clip]))
            item: SignalItem = _asked(lambda: task.item(clip, answer, clip.row.sample_rate))
            return item

        return lambda row: _estimate(
            row, stage.clip(row.clip), separated(row.clip, row.fingerprint)
        )


def _separable(clip: Row) -> bool:
    return tasks.get("separation").applies(clip)


def _refuse_rooms_missing(recipe: Separated, clips: Sequence[Row]) -> None:
    if recipe.reference == "dry" and not all(clip.has("s1_dry") for clip in clips):
        raise ValueError(
            "reference: expected mixtures with s1_dry beside s1, found some without: say "
            "`reference: heard`, or generate them with a `room`"
        )


def _drawn(recipe: Separated, clip: Row) -> Iterator[list[Estimate]]:
    """The rows of each separator that parts a mixture, one a source."""
    able = [one for one in recipe.members if one.sources in (None, clip.sources)]
    order = base.generator(recipe.seed, clip.key, "pool").permutation(len(able))
    names = [one.model for one in recipe.members]
    for number in sorted(order[: recipe.each or len(order)]):
        one = able[int(number)]
        told = [one.fingerprint] if names.count(one.model) > 1 else []
        wanted = _wanted(recipe, clip, one.fingerprint)
        yield [
            Estimate(
                **_planned(one, clip, base.key_of(clip.key, one.model, *told, f"s{source}")),
                source=source,
                reference=recipe.reference,
                wanted_db=wanted,
            )
            for source in range(1, clip.sources + 1)
        ]


def _wanted(recipe: Separated, clip: Row, fingerprint: str) -> tuple[float, ...]:
    random = base.generator(recipe.seed, clip.key, fingerprint, "spread")
    if recipe.spread_db is None or random.uniform() < recipe.unblended:
        return ()
    return tuple(base.uniform(random, recipe.spread_db) for _ in range(clip.sources))


def _estimate(row: Estimate, clip: Clip, item: SignalItem) -> Sample:
    """The estimate that belongs to a source, as long as the mixture, its SI-SNR as stored, and what
    else the separator made of the mixture.
    """
    count = len(item.estimates)
    references = np.stack([clip.signal(row.role(n + 1)) for n in range(count)])
    finished = [_finished(row, clip, item, reference, n) for n, reference in enumerate(references)]
    estimates = np.stack([stored for stored, _ in finished]) / 32_768.0
    # Blended with the rest of the mixture, an estimate may be more another talker's than its own.
    order = _asked(lambda: pit_si_snr(references, estimates)[1])
    values = _asked(lambda: np.atleast_1d(si_snr(references, estimates[list(order)])))
    source = row.source - 1
    own = order[source]
    stored, gain_db = finished[own]
    said = {
        "si_snr_db": f"{values[source]:.4f}",
        "mean_si_snr_db": f"{values.mean():.4f}",
        "source": f"s{row.source}",
        "reference": row.role(row.source),
        "separator": row.model,
        **({"estimate_gain_db": f"{gain_db:.2f}"} if gain_db else {}),
        **({"blended_to_db": f"{row.wanted_db[own]:.3f}"} if row.wanted_db else {}),
        **({"taken_from": f"s{own + 1}"} if own != source else {}),
    }
    rest = others_of(clip.signal(), np.delete(estimates, own, axis=0))
    sounds = {
        HEARD: kept(clip, HEARD),
        "estimate": stored,
        "others": _at_a_level(rest)[0],
        "reference": kept(clip, row.role(row.source)),
    }
    return _sample(row, clip, sounds, {**clip.row.labels, **said}, text=clip.row.text)


def _finished(
    row: Estimate, clip: Clip, item: SignalItem, reference: NDArray[np.float64], source: int
) -> tuple[NDArray[np.int16], float]:
    """A source's estimate as stored, and the gain (dB) that it took."""
    found = item.estimates[source]
    estimate = np.zeros(len(reference))
    estimate[: len(found)] = found  # resampling may have cost a sample or two
    if row.wanted_db:
        rest = clip.signal() - reference
        estimate = blends.at_si_snr(reference, estimate, rest, row.wanted_db[source])
    return _at_a_level(estimate)


def _at_a_level(estimate: NDArray[np.float64]) -> tuple[NDArray[np.int16], float]:
    """In 16 bits, and the gain (dB) that it took: SI-SNR minds no gain, but clipping and noise."""
    peak = float(np.abs(estimate).max(initial=0.0))
    low, high = LEVELS
    if peak == 0.0 or (low <= peak and peak * 32_768 <= high * 32_767):
        return base.quantised(estimate), 0.0
    gain = LEVEL / peak
    return base.quantised(gain * estimate), float(20 * np.log10(gain))


class TranscribedClips(ModelKind[Transcribed, Transcript]):
    """Clips with what a recogniser understood in the place of what was said."""

    options = Transcribed
    row = Transcript
    keeps_sounds = True

    def plan(self, recipe: Transcribed, sources: Sources) -> list[Transcript]:
        """A row a clip, under the clip's own key."""
        return [
            Transcript(
                **_planned(recipe, clip, clip.key),
                keep_text=recipe.keep_text,
                least_confidence=recipe.least_confidence,
            )
            for clip in sources.of(sources.own).values()
        ]

    def notes(self, sources: Sources, rows: Sequence[Any]) -> tuple[str, ...]:  # noqa: ARG002
        """Texts are not to be taken for the truth."""
        return ("texts are what a model understood; `confidence` is the model's own measure",)

    def answers(self, model: Any, stage: Stage) -> Render[Transcript]:
        """One clip at a time."""
        return lambda row: _transcript(row, stage.clip(row.clip), model)


def _transcript(row: Transcript, clip: Clip, model: Any) -> Sample:
    text, confidence = _understood(model, clip)
    _refuse_unsure(row.least_confidence, confidence, repr(text))
    labels = {**clip.row.labels, "recogniser": row.model}
    labels.pop("confidence", None)
    if confidence is not None:
        labels["confidence"] = f"{confidence:.4g}"
    if row.keep_text and clip.row.text is not None:
        labels["original_text"] = clip.row.text
    return _sample(row, clip, _all_kept(clip), labels, text=text)


def _understood(model: Any, clip: Clip) -> tuple[str, float | None]:
    """Text and confidence, None from a model that offers none or where nothing was recognised."""
    if not hasattr(model, "transcribe_with_confidence"):
        answer = _unless_failed(*batches.ask(tasks.get("recognition"), model, [clip]))
        return answer["txt"].decode(), None
    signal, _ = heard(model, clip)
    return _asked(lambda: _checked(model.transcribe_with_confidence([signal])))


def _checked(answer: Any) -> tuple[str, float | None]:
    """The one text and confidence of an answer; Refused, or whatever unpacking throws."""
    [(text, confidence)] = answer
    if not isinstance(text, str):
        raise Refused("not_text", f"expected words, found {type(text).__name__}")
    text.encode()  # half a character could not be stored
    if confidence is not None and not 0 <= confidence <= 1:
        raise Refused("wrong_confidence", f"expected a confidence from 0 to 1, found {confidence}")
    return text, None if confidence is None else float(confidence)


class LabelledClips(ModelKind[Labelled, Labelling]):
    """Clips with the class whose prompt lies nearest to the sound in a model's space."""

    options = Labelled
    row = Labelling
    keeps_sounds = True

    def plan(self, recipe: Labelled, sources: Sources) -> list[Labelling]:
        """A row a clip, under the clip's own key."""
        return [
            Labelling(
                **_planned(recipe, clip, clip.key),
                classes=recipe.classes,
                template=recipe.template,
                temperature=recipe.temperature,
                least_confidence=recipe.least_confidence,
            )
            for clip in sources.of(sources.own).values()
        ]

    def notes(self, sources: Sources, rows: Sequence[Any]) -> tuple[str, ...]:  # noqa: ARG002
        """Classes are not to be taken for the truth."""
        return ("classes are a model's guesses; `confidence` is its softmax over these classes",)

    def answers(self, model: Any, stage: Stage) -> Render[Labelling]:
        """Prompts are embedded once a shard, clips one at a time."""

        @cache
        def prompted(prompts: tuple[str, ...]) -> NDArray[np.float64]:
            return _asked(lambda: _directions(model.embed_text(list(prompts)), len(prompts)))

        return lambda row: _labelling(row, stage.clip(row.clip), model, prompted(row.prompts))


def _labelling(row: Labelling, clip: Clip, model: Any, prompts: NDArray[np.float64]) -> Sample:
    signal, rate = heard(model, clip)
    [direction] = _asked(lambda: _directions(model.embed_audio([signal], sample_rate=rate), 1))
    if len(direction) != prompts.shape[1]:
        detail = f"sound in {len(direction)} dimensions, text in {prompts.shape[1]}"
        raise Refused("wrong_dimensions", detail)
    shares = _softmax(prompts @ direction / row.temperature)
    best = int(shares.argmax())
    _refuse_unsure(row.least_confidence, float(shares[best]), repr(row.classes[best]))
    labels = {
        **clip.row.labels,
        "class": row.classes[best],
        "class_index": str(best),
        "confidence": f"{shares[best]:.4g}",
        "labeller": row.model,
    }
    return _sample(row, clip, _all_kept(clip), labels, text=clip.row.text)


def _directions(answer: Any, count: int) -> NDArray[np.float64]:
    """Embeddings as unit vectors, (count, dimensions); Refused where they are none."""
    found = np.asarray(answer, dtype=np.float64)
    if found.ndim != 2 or len(found) != count or not found.size:
        raise Refused("wrong_dimensions", f"expected ({count}, dimensions), found {found.shape}")
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(found).all() or lengths.min() < TINY:
        raise Refused("not_finite", "an embedding holds NaN, infinity or nothing but zeros")
    return np.asarray(found / lengths)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def _refuse_unsure(least: float | None, confidence: float | None, answer: str) -> None:
    if least is None or (confidence is not None and confidence >= least):
        return
    found = "none" if confidence is None else f"{confidence:.4g}"
    raise Refused("unsure", f"expected a confidence of {least:g} or more, found {found}: {answer}")


def _unless_failed(answer: Mapping[str, bytes] | Failure) -> Mapping[str, bytes]:
    if isinstance(answer, Failure):
        raise Refused(answer.reason, answer.detail)
    return answer


T = TypeVar("T")


def _asked(question: Callable[[], T]) -> T:
    """What a model or a metric says; Refused, whatever it throws."""
    try:
        return question()
    except Refused:
        raise
    except (FailedPrediction, UndefinedMetric) as error:
        raise Refused(error.reason, error.detail) from error
    except Exception as error:
        raise Refused("error", printable(f"{type(error).__name__}: {error}")) from error


def kept(clip: Clip, role: str) -> audio.Encoded:
    """A sound of a clip, byte for byte."""
    data = clip.read(role)
    return audio.keep(data, audio.decode(data))


def _all_kept(clip: Clip) -> dict[str, audio.Encoded]:
    return {role: kept(clip, role) for role in clip.row.sounds}


def _sample(
    row: Answer, clip: Clip, sounds: Mapping[str, Any], labels: Mapping[str, str], text: str | None
) -> Sample:
    """A clip again, with other sounds, labels and text."""
    return Sample(
        key=row.key,
        sounds=sounds,
        sample_rate=clip.row.sample_rate,
        cluster=clip.row.cluster,
        pair=clip.row.pair or clip.row.key,
        speaker=clip.row.speaker,
        session=clip.row.session,
        text=text,
        labels=labels,
        provenance={"row": row.model_dump(mode="json")},
    )
