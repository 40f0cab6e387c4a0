"""What the page reads when it is asked for more: classic scripts that hand over JSON.

Chromium lets a page from `file://` neither fetch nor import, but load scripts. So every file of
`data/` is one call with one string of JSON: no name in it can become a property of a prototype, and
since `<`, `>`, `&` and the two line ends of JavaScript are written as escapes, it may stand
anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leaderboards import plots, tables, words
from leaderboards.details import Detail, Origin, Pick
from leaderboards.examples import Example, Media, Place
from leaderboards.records import (
    Board,
    DatasetCell,
    Domain,
    Duel,
    Measure,
    Moment,
    Row,
    Section,
    SliceCell,
)

DUMBBELL = 30  # models that the first view draws
UNSAFE = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})
UNHEARD = "There is no sound with this board."


def script(name: str, value: Any) -> str:
    """A file of `data/`: the value under its name. ValueError for NaN and infinity."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"RealEar.receive({_literal(name)}, {_literal(text)});\n"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(UNSAFE)


def of_section(board: Board, section: Section) -> dict[str, Any]:
    """What a section shows beyond its first view: datasets, clips, duels, charts."""
    called = words.names(section.rows)
    listed = [(d, name) for d in section.shown() for name in section.comparison.datasets(d)]
    return {
        "comparison": section.comparison.name,
        "higher": section.measure.higher_is_better,
        "models": [
            {
                "fingerprint": row.fingerprint,
                "name": called[row.fingerprint],
                "mark": words.ROLE_MARKS[row.role],
                "place": words.place(row, section.headline),
            }
            for row in section.rows
        ],
        "datasets": [{"name": name, "domain": domain} for domain, name in listed],
        "matrix": [
            [[entry.text, entry.small, entry.sort] for entry in line]
            for line in tables.matrix(section)
        ],
        "clips": list(_clips(section)),
        "duels": [_duel(section, duel, called) for duel in section.duels],
        "slices": [rule.name for rule in _cut(section)],
        "charts": _charts(board, section),
    }


def _charts(board: Board, section: Section) -> dict[str, Any]:
    sides = {"wide": plots.WIDE, "narrow": plots.NARROW}
    found: dict[str, Any] = {"spread": plots.spread(section)}
    if plots.facing(section):
        found["scatter"] = {name: plots.scatter(section, size=size) for name, size in sides.items()}
    if len(section.rows) > DUMBBELL:
        found["dumbbell"] = {
            name: plots.dumbbell(section, narrow=name == "narrow") for name in sides
        }
    if section.slices:
        found["groups"] = plots.groups(section)
    if remembered(board, section):
        found["timeline"] = plots.timeline(section)
    return found


def _clips(section: Section) -> Iterator[list[Any]]:
    """Model, dataset and what became of the clips, where not every clip was scored."""
    names = [name for d in section.shown() for name in section.comparison.datasets(d)]
    for at, row in enumerate(section.rows):
        for domain in section.shown():
            for cell in row.cell(domain).datasets:
                counts = cell.counts
                if counts.scored < counts.total or counts.capped:
                    yield [
                        at, names.index(cell.dataset), f"{counts.scored:,}",
                        f"{counts.capped:,} at the cap" if counts.capped else "",
                        f"{counts.n_undefined:,}", words.reasons(counts.undefined),
                        f"{counts.n_failed:,}", words.reasons(counts.failed),
                    ]  # fmt: skip


def _duel(section: Section, duel: Duel, called: Mapping[str, str]) -> dict[str, Any]:
    measure = section.measure
    return {
        "one": called[duel.one],
        "other": called[duel.other],
        "fingerprints": [duel.one, duel.other],
        "value": words.signed(measure, duel.value),
        "span": words.span(measure, duel.interval),
        "verdict": verdict(measure, duel, called),
        "counts": [duel.wins, duel.equal, duel.losses],
        "deciding": [
            [dataset, key, words.signed(measure, difference)]
            for dataset, key, difference in duel.deciding
        ],
    }


def verdict(measure: Measure, duel: Duel, called: Mapping[str, str]) -> str:
    """Who of the two is better, or that nobody can tell."""
    if duel.value is None:
        return "no clip in common"
    if duel.interval is None:
        return "too few speakers to tell"
    if duel.interval.low <= 0 <= duel.interval.high:
        return "may be chance"
    ahead = duel.one if (duel.value > 0) == measure.higher_is_better else duel.other
    return f"{called[ahead]} is better"


def _cut(section: Section) -> list[Any]:
    """The slices that have any cell."""
    known = {cell.slice for cell in section.slices}
    return [rule for rule in section.comparison.slices if rule.name in known]


def of_slices(section: Section) -> Iterator[dict[str, Any]]:
    """A slice after another: its groups, and every model in every group of every domain."""
    places = {row.fingerprint: at for at, row in enumerate(section.rows)}
    by_slice: dict[str, list[SliceCell]] = {}
    for cell in section.slices:
        by_slice.setdefault(cell.slice, []).append(cell)
    for rule in _cut(section):
        cells = by_slice[rule.name]
        groups = list(dict.fromkeys(cell.group for cell in cells))
        at = {group: n for n, group in enumerate(groups)}
        yield {
            "name": rule.name,
            "column": rule.column,
            "groups": groups,
            "domains": [d for d in section.shown() if any(cell.domain == d for cell in cells)],
            "cells": [
                [cell.domain, places[cell.fingerprint], at[cell.group], *_sliced(section, cell)]
                for cell in cells
                if cell.fingerprint in places
            ],
        }


def _sliced(section: Section, cell: SliceCell) -> list[Any]:
    """Value and interval as they are drawn, then as they are written, clips, and whether faint."""
    measure, scale = section.measure, section.measure.scale
    low, high = (
        (cell.interval.low * scale, cell.interval.high * scale) if cell.interval else (None, None)
    )
    return [
        None if cell.value is None else cell.value * scale,
        low,
        high,
        words.number(measure, cell.value),
        words.span(measure, cell.interval),
        cell.scored,
        int(cell.faint),
    ]


def remembered(board: Board, section: Section) -> list[dict[str, Any]]:
    """The history of the section's headline value: `LINES` models, those that lead now, by name."""
    called = words.names(section.rows)
    wanted = {row.model: called[row.fingerprint] for row in reversed(section.rows)}
    found: dict[str, list[dict[str, Any]]] = {}
    for moment in board.history:
        for model, value in _told(moment, section):
            if model in wanted:
                name = wanted[model]
                point = {"when": moment.when, "model": name, "value": value * section.measure.scale}
                found.setdefault(name, []).append(
                    point | {"told": words.amount(section.measure, value)}
                )
    leading = [called[row.fingerprint] for row in section.rows if called[row.fingerprint] in found]
    return [point for name in leading[: plots.LINES] for point in found[name]]


def _told(moment: Moment, section: Section) -> Iterator[tuple[str, float]]:
    """Model and value of the section's headline, whatever its fingerprint was then."""
    for key, value in moment.values.items():
        comparison, _, rest = key.partition("|")
        model, _, place = rest.rpartition("|")[0].rpartition("|")
        del place  # the fingerprint
        if comparison == section.comparison.name and rest.endswith(f"|{section.headline}"):
            yield model, value


def of_dataset(
    section: Section,
    domain: Domain,
    dataset: str,
    details: Mapping[Place, Detail],
    media: Media,
    origins: Sequence[Origin],
) -> list[dict[str, Any]]:
    """Every model's cell on a dataset: what its panel shows."""
    examples = {
        (e.fingerprint, e.key): e
        for e in media.examples
        if (e.comparison, e.dataset) == (section.comparison.name, dataset)
    }
    made = {origin.fingerprint: origin for origin in origins if origin.dataset == dataset}
    found = []
    for row in section.rows:
        cell = tables.find(row, domain, dataset)
        if cell is None:
            continue
        place = (section.comparison.name, row.fingerprint, dataset)
        detail = details.get(place)
        panel = _panel(section, row, cell) | _made(section, row, made.get(row.fingerprint))
        if detail is not None:
            own = {key: e for (of, key), e in examples.items() if of == row.fingerprint}
            panel |= _seen(section, detail, own)
            panel["silence"] = "" if own else media.silence.get(place, UNHEARD)
        found.append(panel)
    return found


def _panel(section: Section, row: Row, cell: DatasetCell) -> dict[str, Any]:
    counts, measure = cell.counts, section.measure
    capped = f"{counts.capped:,} at the cap" if counts.capped else ""
    return {
        "fingerprint": row.fingerprint,
        "value": words.amount(measure, cell.value),
        "span": words.span(measure, cell.interval),
        "note": cell.note,
        "counts": [
            ["scored", f"{counts.scored:,}", capped],
            ["undefined", f"{counts.n_undefined:,}", words.reasons(counts.undefined)],
            ["failed", f"{counts.n_failed:,}", words.reasons(counts.failed)],
        ],
    }


def _seen(section: Section, detail: Detail, examples: Mapping[str, Example]) -> dict[str, Any]:
    found = detail.histogram
    bins = []
    if found is not None:
        edges = zip(found.edges, found.edges[1:], found.counts, strict=False)
        bins = [[low, high, count] for low, high, count in edges]
    return {
        "bins": bins,
        "beyond": [found.below, found.above] if found else [0, 0],
        "median": detail.median,
        "picks": [_pick(section, pick, examples.get(pick.key)) for pick in detail.picks],
    }


def _pick(section: Section, pick: Pick, example: Example | None) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "kind": words.joined(pick.kinds),
        "key": pick.key,
        "score": words.amount(section.measure, pick.value),
    }
    if example is not None:
        answer["sounds"] = [[s.label, s.file, s.picture, s.note] for s in example.sounds]
        answer["words"] = example.words()
        answer["told"] = example.told
    return answer


def _made(section: Section, row: Row, origin: Origin | None) -> dict[str, Any]:
    facts = [["Model fingerprint", row.fingerprint], ["Metric", section.measure.hash]]
    if origin is not None:
        facts += [list(fact) for fact in origin.facts]
    return {"commands": list(origin.commands) if origin else [], "facts": facts}
