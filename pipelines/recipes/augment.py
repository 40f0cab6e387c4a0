"""Augment: one or several changed views of a clip, for contrastive training and recognition.

What is done to a clip, each where the recipe asks for it, in this order:

1. perturbation: speed, tempo, pitch (`pipelines.recipes.perturb`);
2. crop: a random stretch; a clip that is no longer than it stays whole;
3. mix-up (Zhang et al., 2018): another clip, brought to the power of the first (each measured as a
   whole), at a random place, cut or padded to the first one's length, and added: weight × first +
   (1 - weight) × other;
4. frequency shift: all frequencies by the same number of Hz (single sideband);
5. gain;
6. channel: codec, band, loss… (`pipelines.recipes.channels`);
7. frequency masks, then time masks, after SpecAugment (`pipelines.recipes.masks`).

A view that would pass full scale is turned down as a whole; the label `turned_down_db` says so.

**What stays true.** The text: unless the crop cut something off or another clip was mixed in; masks
and lost packets hide words that a recogniser is to guess, as in SpecAugment. The speaker: unless
speed, pitch or frequencies moved (another voice: Kaldi counts it as another speaker), or two are
mixed. The clip's labels (`class`…): unless two are mixed; a crop is taken to be of its clip's
class. A mixed view says everything of both, as `mix1_weight`, `mix1_text`, `mix1_class`,
`mix2_speaker` and so on, and nothing under the plain names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from pipelines.recipes import channels, perturb
from pipelines.recipes.base import (
    Range,
    Recipe,
    Rendered,
    Row,
    generator,
    key_of,
    quantised,
    refuse_twins,
    seed_of,
    uniform,
)
from pipelines.recipes.channels import Channel, ChannelRow, Probability
from pipelines.recipes.codecs import fitted
from pipelines.recipes.levels import decibels, power, to_level
from pipelines.recipes.masks import FrequencyMasks, Spans, TimeMasks, masked
from pipelines.recipes.perturb import Perturbation, PerturbationRow
from pipelines.recipes.spectra import shifted

Read = Callable[[str], np.ndarray]  # source key -> (time,) at the view's sample rate
MOST_SHIFT = 1_000.0  # Hz


class Mixing(Recipe):
    """`weight`: [low, high] within 0 to 1 of the first clip; the other has the rest."""

    weight: Range = (0.5, 1.0)
    probability: Probability = 1.0

    @model_validator(mode="after")
    def _share(self) -> Self:
        if not (self.weight[0] >= 0.0 and self.weight[1] <= 1.0):
            raise ValueError(f"expected weight within [0, 1], found {self.weight}: narrow it")
        return self


class Augment(Recipe):
    """How views are made; the module's text has the order. None leaves a step out.

    Attributes:
        views: of each clip. sample_rate: Hz of the views; sources are handed over at it.
        crop_seconds: [low, high]. frequency_shift_hz: [low, high] within ±1,000. gain_db: [low,
            high]. The other steps have recipes of their own.
        seed: another seed makes other views.
    """

    views: int = Field(default=1, ge=1, le=1_000)
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)
    perturbation: Perturbation | None = None
    crop_seconds: Range | None = None
    mixing: Mixing | None = None
    frequency_shift_hz: Range | None = None
    gain_db: Range | None = None
    channel: Channel | None = None
    time_masks: TimeMasks | None = None
    frequency_masks: FrequencyMasks | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.crop_seconds is not None and self.crop_seconds[0] <= 0.0:
            raise ValueError(f"expected crop_seconds above 0, found {self.crop_seconds}: raise it")
        low, high = self.frequency_shift_hz or (0.0, 0.0)
        if low < -MOST_SHIFT or high > MOST_SHIFT:
            raise ValueError(
                f"expected frequency_shift_hz within ±{MOST_SHIFT:g}, found [{low:g}, {high:g}]: "
                "narrow it"
            )
        return self


@dataclass(frozen=True)
class SourceClip:
    """A clip that views are made of.

    Attributes:
        key, seconds: which, and how long. speaker, text: None where nobody knows.
        labels: what is true of every part of it: `class`, `class_index`, `language`…
    """

    key: str
    seconds: float
    speaker: str | None = None
    text: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


class Part(Row):
    """A source clip as a view needs it: its key and what is said of it."""

    key: str
    speaker: str | None
    text: str | None
    labels: dict[str, str]


class MixRow(Row):
    """The other clip of a mixed view.

    Attributes:
        part: which clip. weight: of the first clip; this one has 1 - weight.
        start_seconds: where it begins within the view; below 0 where its beginning is cut off.
    """

    part: Part
    weight: float
    start_seconds: float


class View(Row):
    """One view, decided: `render` needs this and the named source signals.

    Attributes:
        key: sample key. view: number from 1 among those of its source. source: the clip.
        sample_rate: Hz. seconds: how long it will be, by the source's stated length.
        cropped: (start, length) in seconds after the perturbation; None for the whole clip.
        time_masks: (start, length) in seconds. frequency_masks: (low, high) in Hz.
        The others: see the recipes; None for none.
    """

    key: str
    view: int
    source: Part
    sample_rate: int
    seconds: float
    perturbation: PerturbationRow | None = None
    cropped: tuple[float, float] | None = None
    mix: MixRow | None = None
    frequency_shift_hz: float | None = None
    gain_db: float | None = None
    channel: ChannelRow | None = None
    time_masks: Spans = ()
    frequency_masks: Spans = ()

    @property
    def source_keys(self) -> tuple[str, ...]:
        """The source clips that rendering reads, each once, the first one leading."""
        return (self.source.key,) if self.mix is None else (self.source.key, self.mix.part.key)

    @property
    def text(self) -> str | None:
        """What is said, where that is still the whole text of one clip."""
        return None if self.mix is not None or self.cropped is not None else self.source.text

    @property
    def speaker(self) -> str | None:
        """Who speaks, where it is still one voice and that voice."""
        same = self.perturbation is None or self.perturbation.keeps_voice
        return None if self.mix or self.frequency_shift_hz or not same else self.source.speaker


def plan(recipe: Augment, sources: Sequence[SourceClip]) -> list[View]:
    """What becomes of which clip.

    The order of `sources` does not matter. Each decision draws from a generator of its own, keyed
    by the seed, the clip and the number of the view: another step in the recipe changes none of the
    others' draws (but masks and crops lie within a clip's length, which a perturbation changes).
    Other source clips change only which ones are mixed in.

    Returns:
        rows by source key, then by view, with different keys.

    Raises:
        ValueError: no sources, a repeated key, a clip without length, or mixing asked of one clip.
    """
    _check(recipe, sources)
    ordered = sorted(sources, key=lambda clip: clip.key)
    rows = [
        _view(recipe, ordered, place, view)
        for place in range(len(ordered))
        for view in range(1, recipe.views + 1)
    ]
    refuse_twins((row.key for row in rows), "view", "give the source clips other keys")
    return rows


def _check(recipe: Augment, sources: Sequence[SourceClip]) -> None:
    if not sources:
        raise ValueError("expected source clips to augment, found none: prepare some first")
    refuse_twins((clip.key for clip in sources), "source clip", "name each clip once")
    short = [clip.key for clip in sources if not clip.seconds > 0.0]
    if short:
        raise ValueError(f"expected source clips of some length, found 0 s: {short[:5]}; drop them")
    if recipe.mixing is not None and len(sources) < 2:
        raise ValueError("expected two source clips or more to mix, found 1: add some")


def _view(recipe: Augment, clips: Sequence[SourceClip], place: int, view: int) -> View:
    clip = clips[place]
    name = (recipe.seed, clip.key, view)
    drawn: dict[str, Any] = {"seconds": clip.seconds}
    if recipe.perturbation is not None:
        row = perturb.draw(recipe.perturbation, generator(*name, "perturbation"))
        drawn |= {"perturbation": row, "seconds": perturb.seconds(row, clip.seconds)}
    if recipe.crop_seconds is not None:
        drawn |= _crop(recipe.crop_seconds, drawn["seconds"], name)
    drawn["seconds"] = round(drawn["seconds"], 6)
    if recipe.mixing is not None and _happens(recipe.mixing.probability, *name, "mixing"):
        drawn["mix"] = _mix(recipe.mixing, clips, place, drawn["seconds"], name)
    for option in ("frequency_shift_hz", "gain_db"):
        if (bounds := getattr(recipe, option)) is not None:
            drawn[option] = uniform(generator(*name, option), bounds, digits=1)
    if recipe.channel is not None:
        drawn["channel"] = channels.draw(recipe.channel, generator(*name, "channel"))
    if recipe.time_masks is not None:
        seed = seed_of(*name, "time masks")
        drawn["time_masks"] = recipe.time_masks.draw(seed, drawn["seconds"])
    if recipe.frequency_masks is not None:
        seed = seed_of(*name, "frequency masks")
        drawn["frequency_masks"] = recipe.frequency_masks.draw(seed, recipe.sample_rate)
    return View(
        key=key_of(clip.key, f"{seed_of(*name) % 16**10:010x}"),
        view=view,
        source=_part(clip),
        sample_rate=recipe.sample_rate,
        **drawn,
    )


def _part(clip: SourceClip) -> Part:
    return Part(key=clip.key, speaker=clip.speaker, text=clip.text, labels=dict(clip.labels))


def _happens(probability: float, *name: str | int) -> bool:
    return bool(generator(*name, "probability").random() < probability)


def _crop(
    bounds: tuple[float, float], seconds: float, name: tuple[int, str, int]
) -> dict[str, Any]:
    """Where a crop lies, and how long the clip then is; nothing for a clip that stays whole."""
    wanted = uniform(generator(*name, "crop"), bounds)
    if wanted >= seconds:
        return {}
    start = uniform(generator(*name, "crop start"), (0.0, seconds - wanted), digits=6)
    return {"cropped": (start, wanted), "seconds": wanted}


def _mix(
    mixing: Mixing,
    clips: Sequence[SourceClip],
    place: int,
    seconds: float,
    name: tuple[int, str, int],
) -> MixRow:
    """Another clip than the one at `place`, its weight, and where it begins."""
    other = int(generator(*name, "mix").integers(len(clips) - 1))
    clip = clips[other + (other >= place)]
    slack = seconds - clip.seconds
    start = uniform(generator(*name, "mix start"), (min(slack, 0.0), max(slack, 0.0)), digits=6)
    weight = uniform(generator(*name, "weight"), mixing.weight)
    return MixRow(part=_part(clip), weight=weight, start_seconds=start)


def render(row: View, read: Read) -> Rendered:
    """Make one view. The same row and signals give the same bits, in any process.

    Args:
        row: of `plan`.
        read: fetches a source clip's signal by its key: (time,) float at `row.sample_rate`, asked
            once for each of `row.source_keys`.

    Returns:
        `audio`, and as labels those of `labels`, `channel_gain_db` and `turned_down_db` where
        something was turned down.

    Raises:
        ValueError: a source is empty, not finite or not of one channel; or silent and to be mixed.
    """
    rate = row.sample_rate
    whole = _source(row, read)
    heard = _cropped(row, whole)
    if row.mix is not None:
        heard = _mixed(row, row.mix, heard, power(whole), read)
    if row.frequency_shift_hz is not None:
        heard = shifted(heard, rate, row.frequency_shift_hz)
    heard = heard * decibels(row.gain_db or 0.0)
    said = labels(row)
    if row.channel is not None:
        through = channels.passed(row.channel, heard, rate)
        heard = through.signal
        said |= through.labels
    heard = masked(heard, rate, times=row.time_masks, bands=row.frequency_masks)
    gain_db = channels.turned_down_db(heard)
    if gain_db:
        said["turned_down_db"] = f"{-gain_db:.2f}"
    return Rendered({"audio": quantised(heard * decibels(gain_db))}, rate, said)


def _signal(read: Read, key: str) -> np.ndarray:
    signal = np.asarray(read(key), dtype=np.float64)
    if signal.ndim != 1 or not signal.size or not np.isfinite(signal).all():
        raise ValueError(
            f"expected finite samples of one channel, shape (time,), of source clip {key!r}, found "
            f"shape {signal.shape}: mend the clip or leave it out"
        )
    return signal


def _source(row: View, read: Read) -> np.ndarray:
    signal = _signal(read, row.source.key)
    if row.perturbation is None:
        return signal
    return perturb.apply(row.perturbation, signal, row.sample_rate)


def _cropped(row: View, signal: np.ndarray) -> np.ndarray:
    """The stretch that the row names: as long as it says while the signal is not shorter."""
    if row.cropped is None:
        return signal
    length = min(round(row.cropped[1] * row.sample_rate), signal.size)
    start = min(round(row.cropped[0] * row.sample_rate), signal.size - length)
    return signal[start : start + length]


def _mixed(row: View, mix: MixRow, signal: np.ndarray, level: float, read: Read) -> np.ndarray:
    """The signal and the other clip, brought to the power `level`, weighted and added."""
    if level == 0.0:
        raise ValueError(f"expected sound in source clip {row.source.key!r} to mix, found silence")
    other = _signal(read, mix.part.key)
    other = to_level(other, 10.0 * math.log10(level), name=f"source clip {mix.part.key!r}")
    start = round(mix.start_seconds * row.sample_rate)
    placed = np.pad(other[max(0, -start) :], (max(0, start), 0))
    return mix.weight * signal + (1.0 - mix.weight) * fitted(placed, signal.size)


def labels(row: View) -> dict[str, str]:
    """What slices are cut by; the module's text says what stays true.

    `view`; the source's own labels, or those of both as `mix1_…` and `mix2_…`; `speed`, `tempo`,
    `semitones`, `frequency_shift_hz`, `gain_db` and the channel's, each where there is one; and
    `time_masks` and `frequency_masks`, how many there are.
    """
    said = {"view": str(row.view)}
    if row.mix is None:
        said |= row.source.labels
    else:
        said |= _labels_of(row.source, "mix1", row.mix.weight)
        said |= _labels_of(row.mix.part, "mix2", 1.0 - row.mix.weight)
    if row.perturbation is not None:
        said |= perturb.labels(row.perturbation)
    for name in ("frequency_shift_hz", "gain_db"):
        if (value := getattr(row, name)) is not None:
            said[name] = f"{value:g}"
    if row.channel is not None:
        said |= channels.labels(row.channel)
    for name in ("time_masks", "frequency_masks"):
        if masks := getattr(row, name):
            said[name] = str(len(masks))
    return said


def _labels_of(part: Part, prefix: str, weight: float) -> dict[str, str]:
    """Everything said of one clip of a mixed view, and its weight."""
    facts = {"weight": f"{weight:.3f}", "key": part.key, "speaker": part.speaker, "text": part.text}
    return {
        f"{prefix}_{name}": value
        for name, value in (facts | part.labels).items()
        if value is not None
    }
