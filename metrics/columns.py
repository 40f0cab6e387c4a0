"""Columns with a row a clip, as they become tallies: checked, counted, and laid out by cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ENDS = ("scored", "undefined", "failed")
Counts = dict[str, int]


class Rows(NamedTuple):
    """The scored rows, the clusters that they belong to, and why the others were not scored."""

    scored: NDArray[np.bool_]  # (rows,)
    clusters: tuple[str, ...]  # sorted ids that have a scored row
    places: NDArray[np.intp]  # (scored rows,): each one's place in `clusters`
    undefined: Counts
    failed: Counts


def rows(
    clusters: Sequence[str],
    *,
    ends: Sequence[str] | None,
    reasons: Sequence[str | None] | None,
    **columns: ArrayLike,
) -> Rows:
    """The rows of columns that must all be as long as `clusters`; every row scored without `ends`.

    ValueError for unequal lengths, an unknown end, or an unscored row without a reason.
    """
    number = len(clusters)
    column = np.full(number, "scored") if ends is None else np.asarray(ends)
    check_lengths(number, ends=column, **columns)
    check_ends(column)
    scored = column == "scored"
    ids, places = layout(
        [name for name, kept in zip(clusters, scored.tolist(), strict=True) if kept]
    )
    return Rows(
        scored,
        ids,
        places,
        count_reasons(column, reasons, "undefined"),
        count_reasons(column, reasons, "failed"),
    )


def layout(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The sorted unique names, and for each name its place among them."""
    # A dictionary: numpy.unique sorts Python strings, which takes several times as long.
    unique = set(names)
    if not all(isinstance(name, str) and name for name in unique):
        raise ValueError("clusters: expected an id for every scored clip, found rows without one")
    ids = tuple(sorted(map(str, unique)))
    index = {name: place for place, name in enumerate(ids)}
    return ids, np.fromiter((index[name] for name in names), np.intp, len(names))


def finite(values: ArrayLike, scored: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The scored values as float64; ValueError where one is NaN or infinite."""
    kept = np.asarray(values, dtype=np.float64)[scored]
    if not np.isfinite(kept).all():
        raise ValueError(
            "expected finite numbers in scored rows, found NaN or infinity; such clips are failed"
        )
    return kept


def check_lengths(number: int, **columns: ArrayLike) -> None:
    """ValueError unless every column has `number` rows."""
    lengths = {name: len(np.asarray(column)) for name, column in columns.items()}
    if set(lengths.values()) != {number}:
        raise ValueError(f"expected columns of {number} rows like clusters, found {lengths}")


def check_ends(ends: NDArray[np.str_]) -> None:
    """ValueError for an end other than the three."""
    unknown = set(ends.tolist()) - set(ENDS)
    if unknown:
        raise ValueError(
            f"ends: expected {', '.join(ENDS)}, found {', '.join(sorted(map(repr, unknown)))}"
        )


def count_reasons(ends: NDArray[np.str_], reasons: Sequence[str | None] | None, end: str) -> Counts:
    """How many rows had this end, by reason; ValueError for one without a reason."""
    numbers = np.flatnonzero(ends == end).tolist()
    if numbers and reasons is None:
        raise ValueError(f"expected a column of reasons, because {len(numbers)} rows are {end}")
    found = [reasons[row] for row in numbers] if reasons is not None else []
    if not all(found):
        raise ValueError(f"expected a reason for every {end} clip, found rows without one")
    return counted(map(str, found))


def counted(reasons: Iterable[str]) -> Counts:
    """The reasons counted, in their order."""
    return _sorted(Counter(reasons))


def added(one: Mapping[str, int], other: Mapping[str, int]) -> Counts:
    """The sum of two counts by reason, sorted."""
    return _sorted(Counter(one) + Counter(other))


def _sorted(counts: Mapping[str, int]) -> Counts:
    return {reason: counts[reason] for reason in sorted(counts)}
