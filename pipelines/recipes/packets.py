"""Packets: which of them are lost, in bursts, and what is heard instead.

Losses follow the model of Gilbert (1960) and Elliott (1963): a good state that loses nothing and a
bad one that loses a share of its packets (`density`), with a fixed chance to change after each
packet. Over a long signal `share` of all packets is lost, and a visit to the bad state lasts
`burst_packets` on average; a short signal may well lose none. Packets are cut out of what the codec
decoded: that a decoder needs a while after a gap to find its way again is not modelled.
"""

from __future__ import annotations

from typing import Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from pipelines.recipes.base import Range, Recipe, Row, generator, refuse_twins, seed_of, uniform

PACKET_SECONDS = 0.02
FADE_PACKETS = 3  # repeats until silence: 60 ms, as in Appendix I of G.711
Fill = Literal["zeros", "repeat"]
FILLS: tuple[Fill, ...] = get_args(Fill)


class Loss(Recipe):
    """What the loss of packets is drawn from; pairs are [low, high].

    Attributes:
        share: of the packets that are lost, over a long signal.
        burst_packets: how long a visit to the bad state lasts on average, 1 or more.
        density: share of the packets of the bad state that are lost; 1 is Gilbert's model.
        fills: what is heard instead, one drawn for each clip: `zeros`, or `repeat`, the last packet
            that came, fading to silence over three packets.
        probability: of a clip to lose packets at all.
    """

    share: Range = (0.0, 0.1)
    burst_packets: Range = (1.0, 4.0)
    density: Range = (1.0, 1.0)
    fills: tuple[Fill, ...] = Field(default=FILLS, min_length=1)
    probability: float = Field(default=1.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        refuse_twins(self.fills, "fill", "name each once")
        if self.share[0] < 0.0 or self.burst_packets[0] < 1.0:
            raise ValueError("expected share of 0 or more and burst_packets of 1 or more")
        if not (self.density[0] > 0.0 and self.density[1] <= 1.0):
            raise ValueError(f"expected density above 0 and up to 1, found {self.density}")
        burst = self.burst_packets[0]
        most = self.density[0] * burst / (1.0 + burst)
        if self.share[1] > most:
            raise ValueError(
                f"expected share up to {most:.3g}, the most that bursts of {burst:g} packets and a "
                f"density of {self.density[0]:g} can lose, found {self.share[1]:g}: lower it or "
                "lengthen the bursts"
            )
        return self

    def draw(self, seed: int) -> LossRow:
        """A way to lose packets."""
        fill = generator(seed, "fill").integers(len(self.fills))
        return LossRow(
            share=uniform(generator(seed, "share"), self.share),
            burst_packets=uniform(generator(seed, "burst"), self.burst_packets, digits=2),
            density=uniform(generator(seed, "density"), self.density),
            fill=self.fills[int(fill)],
            seed=seed_of(seed, "packets"),
        )


class LossRow(Row):
    """How a clip loses packets: see `Loss`; `seed` decides which."""

    share: float
    burst_packets: float
    density: float
    fill: Fill
    seed: int


def lost(row: LossRow, packets: int) -> np.ndarray:
    """Which packets are lost, (packets,) bool; the first ones are the same for any number."""
    bad_share = row.share / row.density
    leave = 1.0 / row.burst_packets
    enter = leave * bad_share / (1.0 - bad_share)
    draws = generator(row.seed).random((packets + 1, 2))
    bad = draws[0, 0] < bad_share
    found = np.zeros(packets, dtype=bool)
    for packet, (change, drop) in enumerate(draws[1:]):
        found[packet] = bad and drop < row.density
        bad = change >= leave if bad else change < enter
    return found


def without_lost(row: LossRow, signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """A signal (time,) as heard after the loss of 20-ms packets; the same length."""
    size = round(PACKET_SECONDS * sample_rate)
    heard = signal.copy()
    gone = lost(row, -(-signal.size // size))
    ramp = 1.0 - np.arange(FADE_PACKETS * size) / (FADE_PACKETS * size)
    since, last = 0, np.zeros(size)
    for packet, missing in enumerate(gone):
        place = slice(packet * size, (packet + 1) * size)
        if not missing:
            since, last = 0, signal[place]
            continue
        fade = ramp[since * size : (since + 1) * size] if row.fill == "repeat" else np.zeros(0)
        heard[place] = 0.0
        length = min(heard[place].size, fade.size)
        heard[place][:length] = last[:length] * fade[:length]
        since += 1
    return heard
