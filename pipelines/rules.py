"""How a comparison may cut, choose and rank: slices by name, which clips and models count, ties.

Slices have names of their own for what RealEar's readers and recipes write into an index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from leaderboards.labels import LABELS, alternatives
from leaderboards.records import ClipRule, SliceRule
from metrics.intervals import LEVEL
from pipelines.schema import Config, nearest

# Columns of an index that clips may be cut or chosen by; labels come on top.
COLUMNS = (
    "seconds", "sample_rate", "channels", "sources", "cluster", "speaker", "session", "peak_dbfs",
    "rms_dbfs", "loudness_lufs", "clipping", "silence", "bandwidth_hz", "dc", "clipped",
)  # fmt: skip

BUILT_IN: Mapping[str, SliceRule] = {
    rule.name: rule
    for rule in (
        SliceRule("snr", "labels.snr_db", (0, 5, 10, 15, 20), unit="dB"),
        SliceRule("overlap", "labels.overlap", (0.2, 0.4, 0.6, 0.8)),
        SliceRule("t60", "labels.t60_s", (0.2, 0.4, 0.6, 0.8), unit="s"),
        SliceRule("noise", "labels.noise"),
        SliceRule("speakers", "labels.talkers, labels.speakers, sources"),
        SliceRule("gender", "labels.gender"),
        SliceRule("accent", "labels.accent"),
        SliceRule("device", "labels.device"),
        SliceRule("duration", "seconds", (2, 5, 10, 20), unit="s"),
        SliceRule("loudness", "loudness_lufs", (-35, -30, -25, -20), unit="LUFS"),
        SliceRule("bandwidth", "bandwidth_hz", (3500, 7000, 12000), unit="Hz"),
    )
}


def _column(name: str) -> str:
    for one in alternatives(name):
        if one not in COLUMNS and not one.removeprefix(LABELS):
            raise ValueError(f"expected a label after {LABELS!r}, found {one!r}")
        if one not in COLUMNS and not one.startswith(LABELS):
            raise ValueError(f"unknown column {one!r}: {_near_column(one)}")
    return name


def _near_column(name: str) -> str:
    return f"{nearest(name, COLUMNS)} (a label is written {LABELS}{name})"


def _rule(value: Any) -> Any:
    """A built-in slice's name as the mapping that it stands for."""
    if not isinstance(value, str):
        return value
    if value not in BUILT_IN:
        raise ValueError(f"unknown slice {value!r}: {nearest(value, BUILT_IN)}")
    rule = BUILT_IN[value]
    return {name: getattr(rule, name) for name in SliceConfig.model_fields}


class SliceConfig(Config):
    """A way of cutting clips: a column with edges, or values, or what is found in it."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    column: Annotated[str, BeforeValidator(_column)]  # several, after commas: the first that is set
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    unit: str = ""

    @model_validator(mode="after")
    def _sound(self) -> SliceConfig:
        self.rule()
        return self

    def rule(self) -> SliceRule:
        """As the board knows it; ValueError for edges that do not rise, or with values."""
        return SliceRule(self.name, self.column, self.edges, self.values, self.unit)


Slice = Annotated[SliceConfig, BeforeValidator(_rule)]


class ClipConfig(Config):
    """Which clips count: `at_least` ≤ the column < `below`, or one of `values`."""

    column: Annotated[str, BeforeValidator(_column)]
    at_least: float | None = None
    below: float | None = None
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> ClipConfig:
        if self.at_least is None and self.below is None and not self.values:
            raise ValueError("expected at_least, below or values, found none")
        return self

    def rule(self) -> ClipRule:
        """As the board knows it."""
        return ClipRule(self.column, self.at_least, self.below, self.values)


class InclusionConfig(Config):
    """What counts: which clips, and which models are ranked."""

    clips: tuple[ClipConfig, ...] = ()  # a clip must meet all of them
    # The share of each dataset's clips that a model must be scored on; below it is shown unranked.
    min_scored: Annotated[float, Field(ge=0, le=1)] = 0.0


def _level(value: Any) -> Any:
    level = isinstance(value, float | int) and 0.5 < value < 1.0
    if value != "none" and not level:
        raise ValueError("expected none, or a level between 0.5 and 1 such as 0.95")
    return value


# The level of the paired intervals that make ties; none: neighbours are never tied.
Ties = Annotated[Literal["none"] | float, BeforeValidator(_level)]
TIES: Ties = LEVEL
