"""What all recipes share: validated models, keyed random generators, keys, the rendered clip."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, model_validator

KEY_LENGTH = 80  # characters of a key, at most: a tar name holds 100 with its suffixes
_TAIL = 10  # hex digits that keep shortened keys apart


class Recipe(pydantic.BaseModel):
    """The options of one recipe: frozen, unknown keys refused, validated at construction."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(pydantic.BaseModel):
    """One generated clip, decided but not made: frozen and JSON (`model_dump(mode="json")`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"expected [low, high] with low <= high, found [{low}, {high}]: swap them")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]  # [low, high], both included


class Spread(Recipe):
    """Values to draw from: written `[low, high]`, `{grid: [value…]}`, or as one value alone.

    Attributes:
        range: any value from low to high, both included. grid: one of these, each as likely.
    """

    range: Range | None = None
    grid: tuple[float, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return {"grid": (given,)}
        return {"range": given} if isinstance(given, list | tuple) else given

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.range is None) == (not self.grid):
            raise ValueError("expected [low, high] or {grid: [value, …]}: write one of them")
        if not np.isfinite(self.grid).all():
            raise ValueError(f"expected finite values, found {list(self.grid)}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.range or (min(self.grid), max(self.grid))

    def draw(self, random: np.random.Generator, *, digits: int = 3) -> float:
        """One value; from a range rounded to `digits` decimals."""
        if self.range is not None:
            return uniform(random, self.range, digits=digits)
        return self.grid[int(random.integers(len(self.grid)))]


@dataclass(frozen=True)
class Rendered:
    """A clip as made.

    Attributes:
        sounds: (time,) int16 by role, all of one length. `audio` is what a model hears; `s1`,
            `s2`… the talkers as they sound in it, `noise` the rest: they add up to `audio`, or
            to `pre` where a channel came after the sum. `clean` is a single talker without the
            noise; `s1_dry` and `s1_early` are a talker in a room without the room, and with its
            first 50 ms only.
        sample_rate: Hz, of all of them.
        labels: what the clip is sliced by, as found in what was made.
    """

    sounds: Mapping[str, NDArray[np.int16]]
    sample_rate: int
    labels: Mapping[str, str] = field(default_factory=dict)


def quantised(signal: NDArray[np.float64]) -> NDArray[np.int16]:
    """(…, time) in [-1, 1) rounded to 16 bits, half to even; ValueError if it would clip."""
    steps = np.rint(signal * 32_768.0)
    if steps.size and not (steps.min() >= -32_768.0 and steps.max() <= 32_767.0):
        peak = np.abs(signal).max()
        raise ValueError(f"expected samples in [-1, 1), found a peak of {peak:.3f}: turn it down")
    return steps.astype(np.int16)


def _bytes(*parts: str | int) -> bytes:
    """The SHA-256 of the parts as a JSON list, so that ("ab", "c") is not ("a", "bc")."""
    return hashlib.sha256(json.dumps(parts).encode("ascii")).digest()


def generator(*parts: str | int) -> np.random.Generator:
    """A random generator that depends on the parts alone.

    Args:
        parts: names and numbers, in order, such as (seed, clip key, "noise").

    Returns:
        a numpy generator over Philox, keyed by the SHA-256 of the parts. Draws that belong to
        different things take generators of their own: then adding one draw changes no other.
    """
    key = int.from_bytes(_bytes(*parts)[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def seed_of(*parts: str | int) -> int:
    """An integer in [0, 2^53) that depends on the parts alone; exact in any JSON reader."""
    return int.from_bytes(_bytes(*parts)[:8], "little") >> 11


def uniform(random: np.random.Generator, bounds: tuple[float, float], *, digits: int = 3) -> float:
    """A value in [low, high], rounded to `digits` decimals so that rows read well."""
    low, high = bounds
    value = round(float(random.uniform(low, high)), digits)
    return min(max(value, low), high)


def key_of(*parts: str) -> str:
    """A sample key of [A-Za-z0-9_-], at most 80 characters, made of the parts joined by "-".

    Where the text had to be changed or cut, ten digits of the SHA-256 of the parts follow, so that
    texts that differ only in what was removed keep different keys. Of nothing: those digits alone.
    """
    exact = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", exact).strip("-")
    if plain == exact and 0 < len(plain) <= KEY_LENGTH:
        return plain
    tail = _bytes(*parts).hex()[:_TAIL]
    return f"{plain[: KEY_LENGTH - _TAIL - 1]}-{tail}".lstrip("-")


def refuse_twins(names: Iterable[str], what: str, remedy: str) -> None:
    """Raise ValueError if a name occurs twice; the message names the first five."""
    twins = sorted(name for name, count in Counter(names).items() if count > 1)
    if twins:
        shown = ", ".join(map(repr, twins[:5]))
        raise ValueError(
            f"expected every {what} once, found {len(twins)} repeated: {shown}; {remedy}"
        )
