"""A board as files for other programs: CSV with a line a value, and JSON with everything.

Values are raw (a word error rate of 26.7 % is 0.267) and written so that reading them back gives
the same float; `scale` and `unit` say how they are shown. The order is the board's own, so equal
boards give equal bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from leaderboards.records import Board, Cell, Change, Counts, DatasetCell, Row, Section
from metrics.intervals import Interval

COLUMNS = (
    "comparison", "task", "metric", "metric_hash", "unit", "scale", "higher_is_better",
    "model", "fingerprint", "role", "quantity", "dataset", "value", "low", "high",
    "interval_method", "clusters", "rank", "tied_with", "scored", "undefined", "failed", "capped",
    "rtfx", "unranked", "note", "parameters", "hardware", "domain", "slice", "group",
    "datasets", "other",
)  # fmt: skip


def to_json(board: Board) -> str:
    """The whole board as indented JSON, ending with a line feed."""
    return json.dumps(board.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(board: Board) -> str:
    """A line for every domain, dataset, change and gap of every model; empty means no value.

    `quantity` is a domain, `change` or `gap`; `dataset` names the one dataset a line is about. Then
    follow, in `domain`: a `slice` with its `group` of clips, and how many `datasets` have such
    clips; `tau` and `rho` against synthetic data, over as many models as `scored` says; and `duel`,
    the paired difference of a model and the `other` (a fingerprint). Of a blind metric there are
    also `true` values; `mae`, `bias`, `pearson` and `covered` (the share of intervals that hold the
    truth), without a model for all together; `true_tau`; and `outside`, the share of clips unlike
    what the estimator was trained on.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for section in board.sections:
        for row in section.rows:
            shared = _shared(section, row)
            writer.writerows(shared | line for line in _lines(section, row))
        writer.writerows(_slices(section))
        writer.writerows(_agreements(section))
        writer.writerows(_duels(section))
        writer.writerows(_calibration(section))
    return stream.getvalue()


def _shared(section: Section, row: Row) -> dict[str, Any]:
    return _about(section) | {
        "model": row.model,
        "fingerprint": row.fingerprint,
        "role": row.role,
        "rtfx": _float(row.rtfx),
        "unranked": row.unranked,
        "parameters": "" if row.parameters is None else row.parameters,
        "hardware": row.hardware,
    }


def _about(section: Section) -> dict[str, Any]:
    measure = section.measure
    return {
        "comparison": section.comparison.name,
        "task": section.comparison.task,
        "metric": measure.name,
        "metric_hash": measure.hash,
        "unit": measure.unit,
        "scale": repr(measure.scale),
        "higher_is_better": str(measure.higher_is_better).lower(),
    }


def _lines(section: Section, row: Row) -> Iterator[dict[str, Any]]:
    for domain in section.shown():
        cell = row.cell(domain)
        yield {"quantity": domain, **_ranked(cell), **_valued(cell), **_counted(cell.counts)}
        for one in cell.datasets:
            yield {
                "quantity": domain, "dataset": one.dataset, **_valued(one), **_counted(one.counts)
            }  # fmt: skip
    yield {"quantity": "change", **_valued(row.change)}
    yield {"quantity": "gap", **_valued(row.gap)}


def _slices(section: Section) -> Iterator[dict[str, Any]]:
    shared, called = _about(section), {row.fingerprint: row.model for row in section.rows}
    for cell in section.slices:
        yield shared | {
            "quantity": "slice",
            "model": called[cell.fingerprint],
            "fingerprint": cell.fingerprint,
            "domain": cell.domain,
            "slice": cell.slice,
            "group": cell.group,
            "datasets": cell.datasets,
            "note": "faint" if cell.faint else "",
            "scored": cell.scored,
            **_spread(cell.value, cell.interval),
        }


def _agreements(section: Section) -> Iterator[dict[str, Any]]:
    for found in section.agreements:
        shared = {"domain": found.domain, "scored": found.models, "note": found.note}
        for name, one in (("tau", found.tau), ("rho", found.rho)):
            spread = _spread(one.value, one.interval)
            yield _about(section) | {"quantity": name} | shared | spread


def _duels(section: Section) -> Iterator[dict[str, Any]]:
    called = {row.fingerprint: row.model for row in section.rows}
    for found in section.duels:
        yield _about(section) | {
            "quantity": "duel",
            "model": called[found.one],
            "fingerprint": found.one,
            "other": found.other,
            "domain": found.domain,
            "scored": found.wins + found.losses + found.equal,
            **_spread(found.value, found.interval),
        }


def _calibration(section: Section) -> Iterator[dict[str, Any]]:
    found = section.calibration
    if found is None:
        return
    called = {row.fingerprint: row.model for row in section.rows}
    lines: list[dict[str, Any]] = [
        {"quantity": "true", "domain": cell.domain, "fingerprint": name, "scored":
         cell.counts.scored, **_valued(cell)}
        for name, cell in ((truth.fingerprint, truth.cell) for truth in found.truths)
    ]  # fmt: skip
    for error in found.errors:
        place = {"domain": error.domain, "dataset": error.dataset, "scored": error.clips}
        lines += [
            {"quantity": name, "fingerprint": error.fingerprint, **place,
             "value": _float(getattr(error, name))}
            for name in ("mae", "bias", "pearson", "covered")
        ]  # fmt: skip
    lines += [
        {"quantity": "true_tau", "domain": order.domain, "scored": order.models,
         "value": _float(order.tau)}
        for order in found.orders
    ]  # fmt: skip
    lines += [
        {"quantity": "outside", "domain": each.domain, "dataset": each.dataset, "scored":
         each.clips, "fingerprint": each.fingerprint, "value": _float(each.share)}
        for each in found.foreign
    ]  # fmt: skip
    for line in lines:
        yield _about(section) | {"model": called.get(line.get("fingerprint", ""), "")} | line


def _valued(item: Cell | DatasetCell | Change) -> dict[str, Any]:
    return {"note": item.note, **_spread(item.value, item.interval)}


def _spread(value: float | None, spread: Interval | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"value": _float(value)}
    if spread is None:
        return answer
    return answer | {
        "low": _float(spread.low),
        "high": _float(spread.high),
        "interval_method": spread.method,
        "clusters": spread.clusters,
    }


def _ranked(cell: Cell) -> dict[str, Any]:
    return {"rank": cell.rank or "", "tied_with": "; ".join(cell.tied_with)}


def _counted(counts: Counts) -> dict[str, Any]:
    return {
        "scored": counts.scored,
        "undefined": counts.n_undefined,
        "failed": counts.n_failed,
        "capped": counts.capped,
    }


def _float(value: float | None) -> str:
    return "" if value is None else repr(float(value))
