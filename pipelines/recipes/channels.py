"""Channels: what lies between a mouth's sound and the model: device, line, codec, network.

The effects of a channel come in the order of the way that sound takes:

1. colouring: the device's frequency response, drawn or measured;
2. saturation: an amplifier driven too hard, softly (tanh);
3. clipping: a converter's full scale, hard;
4. rate: resampling to a lower rate (and, at the end, back);
5. band: a high-pass, a low-pass or both;
6. codec: encoded and decoded (`pipelines.recipes.codecs`);
7. loss of packets of 20 ms (`pipelines.recipes.packets`).

Each is optional and draws from a generator of its own, so adding one leaves the others as they
were. Nothing moves in time: filters have no phase, resampling and codecs no delay. What would pass
full scale on entering the codec or at the end is turned down as a whole, and the label
`channel_gain_db` says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from pipelines.recipes.base import Range, Recipe, Row, generator, uniform
from pipelines.recipes.codecs import Codec, CodecRow, coded, fitted, resampled
from pipelines.recipes.levels import PEAK, decibels
from pipelines.recipes.packets import Loss, LossRow, without_lost
from pipelines.recipes.spectra import band, curve, shaped

TELEPHONE_BAND = (300.0, 3_400.0)  # Hz
TELEPHONE_RATE = 8_000  # Hz
SUPPORTS = tuple(62.5 * 2.0**octave for octave in range(9))  # Hz, of drawn responses: to 16 kHz
_FULL = 1.0 - 2.0**-15  # the largest sample of 16 bits
_OVERSAMPLING = 4  # a saturated amplifier's harmonics do not fold back

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Curve = tuple[tuple[float, float], ...]  # (Hz, dB), rising in Hz


class Colouring(Recipe):
    """What a device's response is drawn from.

    Attributes:
        gain_db: [low, high] dB, drawn at each octave from 62.5 Hz to 16 kHz; smooth in between.
        curves: measured responses by name, as [Hz, dB] points rising in Hz; where there are any,
            one of them is taken instead.
        probability: of a clip to be coloured.
    """

    gain_db: Range = (-6.0, 6.0)
    curves: dict[str, Curve] = Field(default_factory=dict)
    probability: Probability = 1.0

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name, points in self.curves.items():
            hertz = [point[0] for point in points]
            if not hertz or hertz[0] <= 0.0 or any(low >= high for low, high in pairwise(hertz)):
                raise ValueError(
                    f"expected points of curve {name!r} that rise in Hz from above 0, found "
                    f"{hertz[:5]}: sort them"
                )
        return self

    def draw(self, seed: int) -> ColouringRow:
        """A response."""
        random = generator(seed, "response")
        if self.curves:
            name = sorted(self.curves)[int(random.integers(len(self.curves)))]
            return ColouringRow(device=name, points=self.curves[name])
        points = tuple((hz, uniform(random, self.gain_db, digits=1)) for hz in SUPPORTS)
        return ColouringRow(device="drawn", points=points)


class ColouringRow(Row):
    """A device's response: its curve's name, or `drawn`, and the (Hz, dB) points."""

    device: str
    points: Curve


class Saturation(Recipe):
    """`drive_db`: [low, high] dB by which the clip's peak passes the level of saturation."""

    drive_db: Range = (0.0, 12.0)
    probability: Probability = 1.0


class Clipping(Recipe):
    """Where samples are cut off: at what a share of them pass, or at a level.

    Attributes:
        share: [low, high] share of the samples that are not zero; None with `level_db`.
        level_db: [low, high] dB of full scale at which samples are cut; None with `share`.
        probability: of a clip to be clipped.
    """

    share: Range | None = None
    level_db: Range | None = None
    probability: Probability = 1.0

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.share is None) == (self.level_db is None):
            raise ValueError("expected one of share, level_db: give it as [low, high]")
        if self.share is not None and not (self.share[0] >= 0.0 and self.share[1] < 1.0):
            raise ValueError(f"expected share within [0, 1), found {self.share}")
        return self


class Band(Recipe):
    """Edges of the band that passes, [low, high] Hz each, -6 dB there; None for no edge."""

    low_hz: Range | None = None
    high_hz: Range | None = None
    probability: Probability = 1.0

    @model_validator(mode="after")
    def _open(self) -> Self:
        if self.low_hz is None and self.high_hz is None:
            raise ValueError("expected low_hz, high_hz or both, found neither: leave band out")
        lowest = (self.low_hz or self.high_hz or (0.0, 0.0))[0]
        if lowest <= 0.0:
            raise ValueError(f"expected edges above 0 Hz, found {lowest:g}: raise it")
        if self.low_hz and self.high_hz and self.low_hz[1] >= self.high_hz[0]:
            raise ValueError(
                f"expected low_hz below high_hz, found {self.low_hz} and {self.high_hz}: part them"
            )
        return self


def _named(codecs: Any) -> Any:
    """Codecs may be named alone: `codecs: [gsm, {name: opus, kbps: [8, 24]}]`."""
    if isinstance(codecs, Sequence) and not isinstance(codecs, str):
        return [{"name": codec} if isinstance(codec, str) else codec for codec in codecs]
    return codecs


class Channel(Recipe):
    """What channels are drawn from; the module's text has the order.

    Attributes:
        telephone: 300 to 3,400 Hz at 8 kHz, in the place of `rates` and `band`.
        colouring, saturation, clipping, band, loss: None for none.
        rates: Hz, one drawn; a rate at or above the clip's changes nothing. None to keep the rate.
        codecs: one drawn; `pcm` among them for clips without one. None for no codec at all.
        probability: of a clip to go through the channel.
    """

    telephone: bool = False
    colouring: Colouring | None = None
    saturation: Saturation | None = None
    clipping: Clipping | None = None
    rates: Annotated[tuple[Annotated[int, Field(ge=4_000, le=48_000)], ...] | None,
                     Field(min_length=1)] = None  # fmt: skip
    band: Band | None = None
    codecs: Annotated[tuple[Codec, ...] | None, BeforeValidator(_named), Field(min_length=1)] = None
    loss: Loss | None = None
    probability: Probability = 1.0

    @model_validator(mode="after")
    def _one_band(self) -> Self:
        if self.telephone and (self.rates or self.band):
            raise ValueError("expected telephone, or rates and band, found both: leave one out")
        return self


class ChannelRow(Row):
    """A channel as decided; every part is None where it does nothing.

    Attributes:
        telephone: whether `rate` and `band_hz` are the telephone's, for the label.
        colouring, codec, loss: see there.
        drive_db: dB by which the clip's peak passes the level of saturation.
        clipped_share: share of the samples that are cut. clip_db: dB of full scale to cut at.
        rate: Hz in between. band_hz: (low, high) edges in Hz.
    """

    telephone: bool = False
    colouring: ColouringRow | None = None
    drive_db: float | None = None
    clipped_share: float | None = None
    clip_db: float | None = None
    rate: int | None = None
    band_hz: tuple[float | None, float | None] | None = None
    codec: CodecRow | None = None
    loss: LossRow | None = None


@dataclass(frozen=True)
class Passed:
    """What came through a channel.

    Attributes:
        signal: (time,) float64 in [-1, 1), as long as what went in.
        gain_db: 0, or below where the channel would have passed full scale and was turned down.
        labels: of the row (see `labels`), and `channel_gain_db` where that is not 0.
    """

    signal: np.ndarray
    gain_db: float
    labels: Mapping[str, str]


def draw(channel: Channel, random: np.random.Generator) -> ChannelRow:
    """One channel out of many. Takes one integer from `random`, whatever the options."""
    seed = int(random.integers(2**53))
    if not _happens(channel.probability, seed, "channel"):
        return ChannelRow()
    drawn: dict[str, Any] = {"telephone": channel.telephone}
    if channel.telephone:
        drawn |= {"rate": TELEPHONE_RATE, "band_hz": TELEPHONE_BAND}
    if channel.rates:
        drawn["rate"] = channel.rates[int(generator(seed, "rate").integers(len(channel.rates)))]
    if channel.codecs:
        place = int(generator(seed, "codecs").integers(len(channel.codecs)))
        drawn["codec"] = channel.codecs[place].draw(seed)
    for name in ("colouring", "saturation", "clipping", "band", "loss"):
        effect = getattr(channel, name)
        if effect is not None and _happens(effect.probability, seed, name):
            drawn |= _drawn(effect, name, seed)
    return ChannelRow(**drawn)


def _happens(probability: float, seed: int, name: str) -> bool:
    return bool(generator(seed, name, "probability").random() < probability)


def _drawn(effect: Any, name: str, seed: int) -> dict[str, Any]:
    """The fields of a row that one effect decides."""
    random = generator(seed, name)
    if isinstance(effect, Colouring | Loss):
        return {name: effect.draw(seed)}
    if isinstance(effect, Saturation):
        return {"drive_db": uniform(random, effect.drive_db, digits=1)}
    if isinstance(effect, Clipping):
        if effect.share is not None:
            return {"clipped_share": uniform(random, effect.share, digits=4)}
        assert effect.level_db is not None
        return {"clip_db": uniform(random, effect.level_db, digits=1)}
    low = effect.low_hz and uniform(generator(seed, name, "low"), effect.low_hz, digits=0)
    high = effect.high_hz and uniform(generator(seed, name, "high"), effect.high_hz, digits=0)
    return {"band_hz": (low, high)}


def labels(row: ChannelRow) -> dict[str, str]:
    """What slices are cut by.

    `channel`: the effects in order but the loss, such as `telephone+gsm`; `loss` for nothing else,
    `none` for a channel that does nothing. Then their values: `loss`, `clipped_share` or `clip_db`,
    `drive_db`, `device`, `band_hz`, `channel_rate_hz`, `kbps`, `codec_quality`, each where there
    is one.
    """
    codec = row.codec if row.codec is not None and row.codec.name != "pcm" else None
    names = [
        ("colouring", row.colouring),
        ("saturation", row.drive_db),
        ("clipping", row.clipped_share if row.clip_db is None else row.clip_db),
        ("telephone" if row.telephone else "rate", row.rate),
        ("band", None if row.telephone else row.band_hz),
        (codec.name if codec else "", codec),
    ]
    values = {
        "loss": row.loss and row.loss.share,
        "clipped_share": row.clipped_share,
        "clip_db": row.clip_db,
        "drive_db": row.drive_db,
        "device": row.colouring and row.colouring.device,
        "band_hz": row.band_hz and "-".join("" if hz is None else f"{hz:g}" for hz in row.band_hz),
        "channel_rate_hz": row.rate,
        "kbps": codec and codec.kbps,
        "codec_quality": codec and codec.quality,
    }
    named = "+".join(name for name, part in names if part is not None)
    return {"channel": named or ("loss" if row.loss else "none")} | {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def apply(row: ChannelRow, signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """What comes through a channel: `passed`, without its gain and labels."""
    return passed(row, signal, sample_rate).signal


def passed(row: ChannelRow, signal: np.ndarray, sample_rate: int) -> Passed:
    """Send a signal through a channel. The same row and signal give the same bits.

    Args:
        row: of `draw`.
        signal: (time,) float64 in [-1, 1); empty is fine and stays so.
        sample_rate: Hz.

    Raises:
        ValueError: samples that are not finite, or more than one channel.
    """
    if signal.ndim != 1 or not np.isfinite(signal).all():
        raise ValueError(
            f"expected finite samples of shape (time,), found shape {signal.shape}: mend the clip"
        )
    rate = min(row.rate or sample_rate, sample_rate)
    heard = resampled(_device(row, signal, sample_rate), sample_rate, rate)
    if row.band_hz is not None:
        heard = shaped(heard, rate, band(*row.band_hz))
    gain_db = 0.0
    if row.codec is not None:
        gain_db = turned_down_db(heard)
        heard = coded(row.codec, heard * decibels(gain_db), rate)
    if row.loss is not None:
        heard = without_lost(row.loss, heard, rate)
    heard = fitted(resampled(heard, rate, sample_rate), signal.size)
    last_db = turned_down_db(heard)
    gain_db += last_db
    said = {"channel_gain_db": f"{gain_db:.2f}"} if gain_db else {}
    return Passed(heard * decibels(last_db), gain_db, labels(row) | said)


def _device(row: ChannelRow, signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Microphone, amplifier and converter."""
    heard = signal
    if row.colouring is not None:
        heard = shaped(heard, sample_rate, curve(row.colouring.points))
    if row.drive_db is not None:
        heard = saturated(heard, sample_rate, row.drive_db)
    if row.clipped_share is not None:
        heard = clipped(heard, share=row.clipped_share)
    if row.clip_db is not None:
        heard = np.clip(heard, -decibels(row.clip_db), decibels(row.clip_db))
    return heard


def turned_down_db(signal: np.ndarray) -> float:
    """The gain in dB that brings a peak beyond 16 bits' full scale to 0.95; 0 for every other."""
    peak = float(np.max(np.abs(signal), initial=0.0))
    return 20.0 * math.log10(PEAK / peak) if peak > _FULL else 0.0


def saturated(signal: np.ndarray, sample_rate: int, drive_db: float) -> np.ndarray:
    """A signal (time,) bent by tanh, its peak `drive_db` above the level of saturation.

    Quiet samples stay as they are. Computed at four times the rate, so that no harmonic folds back.
    """
    peak = float(np.max(np.abs(signal), initial=0.0))
    if peak == 0.0:
        return signal.copy()
    level = peak / decibels(drive_db)
    fine = resampled(signal, sample_rate, _OVERSAMPLING * sample_rate)
    bent = level * np.tanh(fine / level)
    return fitted(resampled(bent, _OVERSAMPLING * sample_rate, sample_rate), signal.size)


def clipped(signal: np.ndarray, *, share: float) -> np.ndarray:
    """A signal (time,) cut off at the level that `share` of its samples other than zero pass."""
    sounding = np.abs(signal[signal != 0.0])
    if not sounding.size:
        return signal.copy()
    level = float(np.quantile(sounding, 1.0 - share))
    return np.asarray(np.clip(signal, -level, level))
