"""What there is to say of a prepared dataset, as plain records, and the binning of its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leaderboards import examples
from leaderboards.records import Domain

BINS, FEWEST = 24, 8  # of a histogram: about so many, and no fewer
TAIL = 3.0  # a range so much wider than that of 99 % of the values is cut to it
INNER = (0.005, 0.995)  # those 99 %
FINEST = 1e-9  # width of a bin against the largest value: floats must tell its edges apart
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class Histogram:
    """Counts between edges: bin n is [edges[n], edges[n + 1]), the last one closed.

    `below` and `above` count what lies beyond the outermost edges.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0

    def merged(self, most: int) -> Histogram:
        """The same values in at most so many bins, each several of these."""
        each = math.ceil(len(self.counts) / most)
        starts = range(0, len(self.counts), each)
        return replace(
            self,
            edges=(*(self.edges[start] for start in starts), self.edges[-1]),
            counts=tuple(sum(self.counts[start : start + each]) for start in starts),
        )


@dataclass(frozen=True)
class Quantity:
    """One figure over all clips, or over all speakers: five quantiles and a histogram, in `unit`.

    `count` says how many have it; the others (of `total`) have none.
    """

    name: str  # the index's column, or "speaker_clips", "speaker_seconds", "session_…"
    unit: str
    count: int
    total: int
    least: float
    low: float  # 5 % are below
    median: float
    high: float  # 5 % are above
    most: float
    histogram: Histogram


def quantity(
    name: str,
    values: ArrayLike,
    *,
    unit: str,
    total: int | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    step: float = 0.0,
    closed_above: bool = False,
) -> Quantity | None:
    """The figures of an array of any shape; None where it is empty.

    `limits` fix where the histogram begins and ends, None: where the values do. `step` is the
    least width of a bin: finer than that the figure is not measured. `closed_above`: a value on an
    edge, such as the upper edge of a band, belongs to the bin below.
    """
    found = np.asarray(values, dtype=np.float64).ravel()
    if not found.size:
        return None
    least, low, median, high, most = np.quantile(found, QUANTILES).tolist()
    return Quantity(
        name=name,
        unit=unit,
        count=found.size,
        total=found.size if total is None else total,
        least=least,
        low=low,
        median=median,
        high=high,
        most=most,
        histogram=_histogram(np.nextafter(found, -np.inf) if closed_above else found, limits, step),
    )


def _histogram(
    values: np.ndarray, limits: tuple[float | None, float | None], step: float
) -> Histogram:
    low, high = _span(values)
    start, stop = limits
    low, high = (low if start is None else start), (high if stop is None else stop)
    wide = (high - low) / BINS or step or 1.0
    width = _round(max(wide, step, FINEST * max(abs(low), abs(high), 1.0)))
    first = math.floor(low / width)
    # An open end has a bin of its own for a value that lies on its edge: 5 s are not 4.5 to 5 s.
    last = math.floor(high / width) + 1 if stop is None else math.ceil(high / width)
    missing = max(FEWEST - (last - first), 0) if stop is None else 0
    first -= missing // 2 if start is None else 0
    last = max(last, first + FEWEST) if missing else last
    edges = [round(n * width, 10) for n in range(first, last + 1)]
    counts, _ = np.histogram(values, edges)
    return Histogram(
        edges=tuple(edges),
        counts=tuple(counts.tolist()),
        below=int((values < edges[0]).sum()),
        above=int((values > edges[-1]).sum()),
    )


def _span(values: np.ndarray) -> tuple[float, float]:
    """All values, or the inner 99 % where a few would leave them no room in the picture."""
    least, low, high, most = np.quantile(values, [0.0, *INNER, 1.0]).tolist()
    return (low, high) if most - least > TAIL * (high - low) > 0 else (least, most)


def _round(width: float) -> float:
    """The next wider of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9))


@dataclass(frozen=True)
class Label:
    """What is said of clips under a name: how many have it, how many different values there are."""

    name: str
    clips: int
    values: int
    common: tuple[tuple[str, int], ...] = ()  # the most frequent values first


@dataclass(frozen=True)
class Refusal:
    """Clips that could not be used for one reason, with one of them."""

    reason: str
    clips: int
    key: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Sound:
    """A clip to listen to: why it was chosen ("loudest"), what is known of it, its file's bytes.

    `cut` is how many seconds of a longer clip are there; None for the whole of it.
    """

    kinds: tuple[str, ...]
    key: str
    seconds: float
    audio: bytes
    figures: tuple[str, ...] = ()  # such as "−23.1 LUFS"
    speaker: str | None = None
    text: str | None = None
    cut: float | None = None

    def __post_init__(self) -> None:
        """Refuse audio that no browser would play."""
        examples.media_type(self.audio, f"clip {self.key!r}")


@dataclass(frozen=True)
class Description:
    """A prepared dataset: what its card states and what its index shows."""

    name: str
    domain: Domain
    clips: int
    seconds: float
    shards: int
    size: int  # bytes of all members of the shards
    licence: str = ""
    language: str = ""
    redistribute: bool = False
    sources: int = 0  # the most separate sources that a clip comes with
    sample_rates: tuple[tuple[int, int], ...] = ()  # Hz and clips, the most frequent first
    channels: tuple[tuple[int, int], ...] = ()  # channels and clips, the most frequent first
    quantities: tuple[Quantity, ...] = ()
    clipping: int = 0  # clips with any clipping
    silent: int = 0  # clips that are silent from end to end
    cut: int = 0  # clips with samples beyond full scale, cut when the shard was written
    labels: tuple[Label, ...] = ()
    words: tuple[int, int] = (0, 0)  # of all texts: how many, how many different ones
    refused: tuple[Refusal, ...] = ()
    duplicates: int = 0  # clips that sound exactly as another one
    notes: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)
    sounds: tuple[Sound, ...] = ()

    def find(self, name: str) -> Quantity | None:
        """The quantity of that name; None where no clip has it."""
        return next((found for found in self.quantities if found.name == name), None)

    def label(self, name: str) -> Label | None:
        """The label of that name; None where no clip has it."""
        return next((found for found in self.labels if found.name == name and found.clips), None)

    def to_json(self) -> dict[str, Any]:
        """All of it but the sounds, as a JSON object."""
        return asdict(replace(self, sounds=()))
