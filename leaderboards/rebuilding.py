"""A board built again from tracking alone: clips' scores come back, all else is computed anew.

What an evaluation logged says of every cell in which run its files lie, and their SHA-256. Files
are kept under that, so what was fetched once is not fetched again, whichever run it belongs to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from leaderboards import boards, runs, tracking
from leaderboards.cell_runs import METADATA
from leaderboards.records import (
    Blind,
    Board,
    ClipRule,
    Comparison,
    DatasetInfo,
    ScoreTable,
    SliceRule,
)
from leaderboards.runs import Store


@dataclass(frozen=True)
class Rebuilt:
    """A board from tracking, with the experiment, the run and the time that it is of.

    `fetched` counts the files that had to be downloaded, `kept` those that were there.
    """

    board: Board
    tables: tuple[ScoreTable, ...]
    suite: str
    run: str
    when: str
    fetched: int
    kept: int


def rebuild(uri: str, folder: Path, *, experiment: str | None = None) -> Rebuilt:
    """The board of the latest evaluation in an experiment, the only one where none is named.

    Files lie in `folder` afterwards. The board has no history yet. ValueError where there is no
    such experiment or no evaluation in it, or where a file is missing or not what was logged.
    """
    with runs.quiet():
        store, suite = runs.existing_store(uri, experiment)
        latest = store.evaluations(1)
        if not latest:
            raise ValueError(f"expected an evaluation in experiment {suite!r} of {uri}, found none")
        folder.mkdir(parents=True, exist_ok=True)
        fetching = _Fetching(store, folder)
        run = latest[0].run
        try:
            record = json.loads(store.read(run, tracking.BOARD))
            listed = json.loads(store.read(run, tracking.CELLS))
        except FileNotFoundError as error:
            raise ValueError(f"experiment {suite!r} of {uri}: {error}") from error
        tables = tuple(fetching.table(file) for file in _files(listed["cells"]))
        indexes = {name: fetching.file(file) for name, file in listed["indexes"].items()}
    board = _built(record, tables, {name: str(path) for name, path in indexes.items()})
    return Rebuilt(board, tables, suite, run, latest[0].when, fetching.fetched, fetching.kept)


def _files(listed: list[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The cells' files one by one, as `run`, `file` and `sha256`."""
    return [
        {"run": cell["run"], "file": name, "sha256": digest}
        for cell in listed
        for name, digest in sorted(cell["files"].items())
    ]


@dataclass
class _Fetching:
    """Files of a store's runs, in a folder by their SHA-256, and a count of them."""

    store: Store
    folder: Path
    fetched: int = 0
    kept: int = 0

    def file(self, wanted: Mapping[str, str]) -> Path:
        """Where a file lies, fetched if need be."""
        if not re.fullmatch("[0-9a-f]{64}", wanted["sha256"]):  # it names a file of ours
            raise ValueError(f"run {wanted['run']}: expected a SHA-256, found {wanted['sha256']!r}")
        target = self.folder / f"{wanted['sha256']}.parquet"
        if target.is_file() and _sha256(target) == wanted["sha256"]:
            self.kept += 1
            return target
        try:
            self.store.fetch(wanted["run"], wanted["file"], target)
        except FileNotFoundError as error:
            raise ValueError(f"{error}: log the evaluation again") from error
        if _sha256(target) != wanted["sha256"]:
            target.unlink()
            raise ValueError(
                f"run {wanted['run']}: expected {wanted['file']} as it was logged, found other "
                "bytes: log the evaluation again"
            )
        self.fetched += 1
        return target

    def table(self, wanted: Mapping[str, str]) -> ScoreTable:
        """A score table of a cell: what it is stands in the file's metadata."""
        path = self.file(wanted)
        record = json.loads(pq.ParquetFile(path).schema_arrow.metadata[METADATA])
        return ScoreTable(**{**_known(ScoreTable, record), "paths": (str(path),)})


def _built(
    record: Mapping[str, Any], tables: tuple[ScoreTable, ...], indexes: Mapping[str, str]
) -> Board:
    infos = [DatasetInfo(**_known(DatasetInfo, each)) for each in record["datasets"]]
    return boards.build(
        [_comparison(section["comparison"]) for section in record["sections"]],
        tables,
        [replace(info, index=indexes.get(info.name, "")) for info in infos],
        title=record["title"],
        tolerated_failures=record["tolerated_failures"],
        suite_digest=record["suite_digest"],
        versions=record["versions"],
    )


def _comparison(record: Mapping[str, Any]) -> Comparison:
    known = _known(Comparison, record)
    known["slices"] = tuple(SliceRule(**_known(SliceRule, each)) for each in known["slices"])
    known["clips"] = tuple(ClipRule(**_known(ClipRule, each)) for each in known["clips"])
    known["blind"] = Blind(**_known(Blind, blind)) if (blind := known.get("blind")) else None
    return Comparison(**known)


def _known(cls: Any, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's fields from JSON, lists as tuples; ValueError for one that is not known here."""
    names = {field.name for field in fields(cls)}
    if more := sorted(record.keys() - names):
        raise ValueError(
            f"{cls.__name__}: unknown field {more[0]!r}: it was logged by a later version of "
            "RealEar, install that one"
        )
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
