"""What the page shows of a blind metric's calibration: a picture, and tables of errors.

What was measured on the board's own clips stands first; then the estimator's card, as its maker
gives it: single figures by name, and a table for every figure that is told group by group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from leaderboards import charts, words
from leaderboards.records import BlindError, Calibration, Section

CURVE = "reliability"  # the card's key for the points of its curve
ORDER = ("guess", "truth", "clips")  # of a point; the first two may end in a unit, as `guess_db`


@dataclass(frozen=True)
class Grid:
    """A table: its title, the heads of its columns, its lines as they are shown."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Trust:
    """The calibration of a section: drawing ('' without points) and its words, tables, figures."""

    chart: Markup
    described: str
    grids: tuple[Grid, ...]
    figures: tuple[tuple[str, str], ...]


def view(section: Section) -> Trust | None:
    """What there is to show; None for a metric that is not blind."""
    found = section.calibration
    if found is None:
        return None
    card = found.card or {}
    curves = {"here": found.curve, "its maker's": points(card.get(CURVE))}
    shown = {name: curve for name, curve in curves.items() if curve}
    grids = [*_measured(section, found), *_foreign(section, found), *_groups(card)]
    return Trust(
        Markup(charts.reliability(section.measure, shown, found.truth)),
        f"Mean guess against mean true {found.truth}, bin by bin: on the dashed line guesses are "
        "right on average.",
        tuple(grids),
        tuple(_figures(card)),
    )


def points(value: Any) -> tuple[tuple[float, float, int], ...]:
    """A card's curve as mean guess, mean truth and clips; those that are no such points left out.

    Points are lists in the order of `ORDER`, or objects that name the three.
    """
    found = []
    for point in value if isinstance(value, list | tuple) else ():
        if isinstance(point, Mapping):
            point = [point.get(name, point.get(f"{name}_db")) for name in ORDER]
        numbers = [*point, 1][:3] if isinstance(point, list | tuple) else []
        if len(numbers) == len(ORDER) and all(isinstance(n, int | float) for n in numbers[:2]):
            found.append((float(numbers[0]), float(numbers[1]), int(numbers[2] or 1)))
    return tuple(found)


def _measured(section: Section, found: Calibration) -> Iterator[Grid]:
    if found.errors:
        heads = ("Dataset", "Model", "Clips", f"True {found.truth}", "Guess", "Error, mean", "Bias")
        lines = tuple(_line(section, error) for error in found.errors)
        yield Grid(
            "Measured here, where clips come with the truth",
            (*heads, "Spread of the truth", "Pearson r", "90 % intervals that hold"),
            lines,
        )


def _line(section: Section, error: BlindError) -> tuple[str, ...]:
    measure, called = section.measure, words.names(section.rows)
    covered = words.NOTHING if error.covered is None else words.share(error.covered)
    return (
        error.dataset,
        called.get(error.fingerprint, "all"),
        f"{error.clips:,}",
        words.number(measure, error.truth),
        words.number(measure, error.guess),
        words.number(measure, error.mae),
        words.signed(measure, error.bias),
        words.number(measure, error.deviation),
        words.correlation(error.pearson),
        f"{covered} of {error.intervals:,}" if error.intervals else covered,
    )


def _foreign(section: Section, found: Calibration) -> Iterator[Grid]:
    if found.foreign:
        called = words.names(section.rows)
        lines = tuple(
            (each.dataset, called[each.fingerprint], f"{each.clips:,}", words.share(each.share))
            for each in found.foreign
        )
        yield Grid(
            f"Clips unlike what {found.estimator} was trained on",
            ("Dataset", "Model", "Clips", "Unlike"),
            lines,
        )


def _figures(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures that stand alone; arrays that the estimator computes with are left out."""
    for name in sorted(card, key=str):
        if not isinstance(card[name], list | tuple | Mapping):
            yield str(name), plain(card[name])


def _groups(card: Mapping[str, Any]) -> Iterator[Grid]:
    """The figures that are told group by group, a table each."""
    for name in sorted(card, key=str):
        of = card[name]
        if name == CURVE or not _grouped(of):
            continue
        named = of.items() if isinstance(of, Mapping) else ((str(n), g) for n, g in enumerate(of))
        groups = {str(group): figures for group, figures in named}
        heads = sorted({str(head) for figures in groups.values() for head in figures})
        lines = tuple(
            (group, *(plain(figures.get(head)) for head in heads))
            for group, figures in groups.items()
        )
        yield Grid(f"The estimator’s card: {name}", ("Group", *heads), lines)


def _grouped(value: Any) -> bool:
    """Whether a value is a mapping, or a list, of mappings."""
    inner: Sequence[Any] = list(value.values()) if isinstance(value, Mapping) else value
    several = isinstance(inner, list | tuple) and bool(inner)
    return several and all(isinstance(each, Mapping) for each in inner)


def plain(value: Any) -> str:
    """A value of a card as it is shown: three digits of a fraction, `–` for none."""
    if value is None:
        return words.NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.3g}"
    return json.dumps(value, ensure_ascii=False, default=str)
