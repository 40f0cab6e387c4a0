"""An evaluation in MLflow: one parent run, and under it a run for every model on every dataset.

An experiment is a board. Runs carry a `run_key`, the hash of what was asked and of the scores that
were found: an evaluation of a known key is neither logged again nor changed. A new one has children
for the cells (model × dataset) that are new; to the others, logged before, it has links. With the
files of its runs a board can be built again (`leaderboards.rebuilding`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from leaderboards import cell_runs, export, runs
from leaderboards.cell_runs import Cells, Pair
from leaderboards.records import Board, Moment, Row, ScoreTable
from leaderboards.run_writers import NewRun
from leaderboards.runs import Files, Found, Store

CELLS = "cells.json"
BOARD = "board.json"
PAGE = "page"  # folder of the page's files below the parent run
MEDIA = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".png")
MEDIA_BYTES = 20_000_000  # sounds and pictures of a page that are logged; more are left out
EARLIER = 50  # evaluations that a history goes back


@dataclass(frozen=True)
class Evaluation:
    """What is logged: a board and the score tables it was built from.

    `suite` names the experiment; `models` holds a model's record by its fingerprint, logged as
    parameters.
    """

    suite: str
    board: Board
    tables: Sequence[ScoreTable]
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def cells(self) -> Cells:
        """The score tables by fingerprint and dataset, with the key of each cell."""
        return cell_runs.cells(self.suite, self.board, self.tables)

    @cached_property
    def key(self) -> str:
        """Of what was asked and of the scores; not of timings, which differ from night to night."""
        board = self.board
        asked = [section.comparison.to_json() for section in board.sections]
        keys = sorted(self.cells.keys.values())
        return cell_runs.key(
            "evaluation", board.title, board.suite_digest, board.tolerated_failures, asked, keys
        )


@dataclass(frozen=True)
class Logged:
    """An evaluation in the store; `children` are run ids by (model fingerprint, dataset).

    `created` is False when everything was there already and nothing was added; `children` is then
    empty. `new` counts the children that were added, the others are links to runs of earlier
    evaluations. `when` is ISO 8601, in UTC.
    """

    parent: str
    when: str
    children: Mapping[Pair, str]
    created: bool
    new: int = 0


@dataclass(frozen=True)
class Tracker:
    """Where evaluations are logged: a tracking URI, and the folder for files (None: the store's).

    Opened when it is first needed, since MLflow takes seconds to import.
    """

    uri: str
    suite: str
    artifacts: Path | None = None

    @cached_property
    def store(self) -> Store:
        """The suite's experiment."""
        return runs.open_store(self.uri, self.suite, artifacts=self.artifacts)

    def standing(self, evaluation: Evaluation) -> tuple[str, str] | None:
        """Run id and time of this very evaluation, if it was logged before."""
        if file := runs.database(self.uri):
            return _standing(Path(file), self.suite, evaluation.key)
        with runs.quiet():
            found = self.store.found(evaluation.key)
        return (found.run, found.when) if found else None

    def earlier(self, before: str | None = None) -> list[Found]:
        """The evaluations logged before a time (None: all of them), newest first, at most 50."""
        with runs.quiet():
            found = self.store.evaluations(EARLIER + 1)
        return [run for run in found if before is None or run.when < before][:EARLIER]

    def log(self, evaluation: Evaluation, page: Path | None = None) -> Logged:
        """Log an evaluation; `page` is the folder of its page, of which small files are kept.

        Values are raw (a word error rate of 26.7 % is 0.267).
        """
        if standing := self.standing(evaluation):
            return Logged(*standing, {}, created=False)
        with runs.quiet():
            if found := self.store.found(evaluation.key):  # also removes what a crash left
                return Logged(found.run, found.when, {}, created=False)
            return _log(self.store, evaluation, page)


def _log(store: Store, evaluation: Evaluation, page: Path | None) -> Logged:
    before = _latest_cells(store)
    known = {cell["run_key"]: cell for cell in before["cells"]}
    cells = evaluation.cells
    new = {pair: None for pair in cells.tables if cells.keys[pair] not in known}  # in order
    tags = {"run_key": evaluation.key, "kind": "evaluation"}
    parent, where = store.begin(evaluation.board.title, tags)
    listed = {pair: known[cells.keys[pair]] for pair in cells.tables if pair not in new}
    written = []
    for pair in new:
        files = cell_runs.files(cells.tables[pair])
        run = cell_runs.new_run(evaluation.board, cells, pair, parent, evaluation.models)
        child, place = store.begin(run.name, run.all_tags())
        store.put(place, files)
        written.append(cell_runs.named(run, child))
        listed[pair] = cell_runs.listing(cells, pair, child, files)
    indexes, index_files = cell_runs.indexes(evaluation.board, parent, before["indexes"])
    record = {"cells": [listed[pair] for pair in sorted(listed)], "indexes": indexes}
    linked = {pair: cell for pair, cell in listed.items() if pair not in new}
    files = _board_files(evaluation.board, page) | index_files | {CELLS: _json(record)}
    store.put(where, files)
    store.finish([*written, _parent(evaluation, parent, linked, len(new))])
    found = store.found(evaluation.key)
    when = found.when if found else ""
    children = {pair: str(cell["run"]) for pair, cell in listed.items()}
    return Logged(parent, when, children, created=True, new=len(new))


def _parent(
    evaluation: Evaluation, run: str, linked: Mapping[Pair, Mapping[str, Any]], new: int
) -> NewRun:
    board = evaluation.board
    parameters: dict[str, Any] = {
        "title": board.title,
        "tolerated_failures": board.tolerated_failures,
    }
    parameters |= {f"version.{name}": text for name, text in board.versions.items()}
    parameters |= {
        f"link.{cell['model']}-{cell['fingerprint']}.{cell['dataset']}": cell["run"]
        for cell in linked.values()
    }
    tags = {
        "run_key": evaluation.key,
        "kind": "evaluation",
        "suite": evaluation.suite,
        "suite_digest": board.suite_digest,
        "cells.new": str(new),
        "cells.linked": str(len(linked)),
    }
    return NewRun(run, board.title, "", tags, _differences(board), parameters)


def _board_files(board: Board, page: Path | None) -> dict[str, bytes | Path]:
    files: dict[str, bytes | Path] = {
        BOARD: export.to_json(board).encode(),
        "board.csv": export.to_csv(board).encode(),
    }
    if any(section.slices for section in board.sections):
        files["slices.parquet"] = cell_runs.slices(board)
    return {**files, **(_page_files(page) if page is not None else {})}


def _page_files(folder: Path) -> Files:
    """The page's files; without its sounds and pictures where they are more than 20 MB."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    media = [path for path in found if path.suffix.lower() in MEDIA]
    if sum(path.stat().st_size for path in media) > MEDIA_BYTES:
        found = [path for path in found if path not in set(media)]
    return {f"{PAGE}/{path.relative_to(folder).as_posix()}": path for path in found}


def _latest_cells(store: Store) -> dict[str, Any]:
    """What the latest evaluation lists: its cells with their runs and files, its indexes."""
    latest = store.evaluations(1)
    try:
        return dict(json.loads(store.read(latest[0].run, CELLS))) if latest else _NONE
    except FileNotFoundError:  # deleted from the outside: then everything is new
        return _NONE


_NONE: dict[str, Any] = {"cells": [], "indexes": {}}


def _differences(board: Board) -> dict[str, float]:
    return {
        f"{section.comparison.name}/{row.model}-{row.fingerprint}/{name}": value
        for section in board.sections
        for row in section.rows
        for name, value in quantities(row).items()
        if value is not None
    }


def quantities(row: Row) -> dict[str, float | None]:
    """A row's values by what they are: the domains, `change` and `gap`; raw."""
    domains = {name: row.cell(name).value for name in ("synthetic", "simulated", "real")}
    return {**domains, "change": row.change.value, "gap": row.gap.value}


def moments(found: Sequence[Found]) -> tuple[Moment, ...]:
    """Evaluations as points in time, oldest first; `values` of the domains, not of changes."""
    return tuple(
        Moment(
            run.when,
            run.run,
            {
                name: value
                for name, value in values(run).items()
                if name.rpartition("|")[2] not in ("change", "gap")
            },
        )
        for run in sorted(found, key=lambda run: run.when)
    )


def values(run: Found) -> dict[str, float]:
    """What an evaluation found, by `comparison|model|fingerprint|quantity`."""
    answer = {}
    for name, value in sorted(run.metrics.items()):
        comparison, _, rest = name.partition("/")
        chain, _, quantity = rest.rpartition("/")
        model, _, fingerprint = chain.rpartition("-")
        answer[f"{comparison}|{model}|{fingerprint}|{quantity}"] = value
    return answer


def _standing(file: Path, suite: str, key: str) -> tuple[str, str] | None:
    """Asked of the database itself, since importing MLflow takes longer than all the rest."""
    if not file.is_file():
        return None
    question = (
        "SELECT r.run_uuid, r.start_time FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid "
        "JOIN experiments e ON e.experiment_id = r.experiment_id WHERE t.key = 'run_key' "
        "AND t.value = ? AND e.name = ? AND r.status = 'FINISHED' AND r.lifecycle_stage = 'active'"
    )
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute(question, (key, suite)).fetchone()
    except sqlite3.Error:  # no such tables yet: MLflow makes them
        return None
    return (str(row[0]), runs.moment(int(row[1]))) if row else None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
