"""Small made score tables, written as the score step writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboards.boards import build
from leaderboards.records import Board, Comparison, DatasetInfo, Domain, Role, ScoreTable
from metrics import spec


class Elements(HTMLParser):
    """Every start tag with its attributes, and whether tags nest as they should."""

    EMPTY = frozenset({"meta", "link", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("cluster", pa.string()),
        ("pair", pa.string()),
        ("end", pa.string()),
        ("reason", pa.string()),
        ("numerator", pa.float64()),
        ("denominator", pa.float64()),
        ("value", pa.float64()),
        ("capped", pa.bool_()),
        ("detail", pa.string()),
        ("schema_version", pa.int32()),
    ]
)
WORDS = 10
Rows = list[dict[str, object]]
Made = Callable[..., ScoreTable]


def rows(
    values: Sequence[float | str], *, speakers: int, denominator: float, pair: str | None
) -> Rows:
    """A row a value; a string is why a clip failed, with `~` before it why it is undefined."""
    return [
        _row(index, value, speakers=speakers, denominator=denominator, pair=pair)
        for index, value in enumerate(values)
    ]


def _row(
    index: int, value: float | str, *, speakers: int, denominator: float, pair: str | None
) -> dict[str, object]:
    row: dict[str, object] = {
        "key": f"clip-{index:03d}",
        "cluster": f"made/s{index % speakers}",
        "pair": f"{pair}-{index}" if pair else None,
        "capped": False,
        "detail": "{}",
        "schema_version": 1,
    }
    if isinstance(value, str):
        end = "undefined" if value.startswith("~") else "failed"
        return row | {"end": end, "reason": value.lstrip("~")}
    numerator = value * denominator
    return row | {
        "end": "scored", "numerator": numerator, "denominator": denominator, "value": value
    }  # fmt: skip


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Writes a score table: made("model", "dataset", "domain", values, metric="wer", …)."""
    folder = tmp_path_factory.mktemp("scores")

    def write(
        model: str,
        dataset: str,
        domain: Domain,
        values: Sequence[float | str],
        *,
        metric: str = "wer",
        role: Role = "model",
        speakers: int = 8,
        pair: str | None = None,
        rtfx: float | None = None,
        **parameters: object,
    ) -> ScoreTable:
        fixed = spec(metric, **parameters)
        pooled = float(WORDS) if metric in {"wer", "cer"} else 1.0
        table = pa.Table.from_pylist(
            rows(values, speakers=speakers, denominator=pooled, pair=pair), schema=SCHEMA
        )
        path = folder / f"{len(list(folder.iterdir()))}.parquet"
        pq.write_table(table, path)
        name = f"{sum(model.encode()):08x}"
        return ScoreTable(
            model, name, role, dataset, domain, fixed.record(), fixed.hash, (str(path),), rtfx
        )

    return write


@pytest.fixture(scope="session")
def elements() -> Callable[[str], list[tuple[str, dict[str, str | None]]]]:
    """Parses a page: its start tags in order; fails where tags do not nest."""

    def parse(page: str) -> list[tuple[str, dict[str, str | None]]]:
        parser = Elements()
        parser.feed(page)
        parser.close()
        assert parser.open == []
        return parser.found

    return parse


def around(mean: float, *, clips: int = 40, spread: float = 0.02, seed: int = 0) -> list[float]:
    """Values around a mean that do not repeat from seed to seed."""
    return (mean + spread * np.random.default_rng(seed).standard_normal(clips)).tolist()


READING = Comparison(
    "reading",
    "recognition",
    "Read speech",
    "wer",
    synthetic=("voices",),
    simulated=("rooms",),
    real=("street", "meeting"),
)
SPEAKERS = Comparison(
    "speakers", "separation", "Two speakers", "si_snri", synthetic=("mixed",), simulated=("hall",)
)
DATASETS = (
    DatasetInfo("voices", "synthetic", 40, 300.0),
    DatasetInfo("rooms", "simulated", 40, 300.0, {"silent": 2}),
    DatasetInfo("street", "real", 40, 400.0),
    DatasetInfo("meeting", "real", 40, 9000.0),
    DatasetInfo("mixed", "synthetic", 40, 200.0),
    DatasetInfo("hall", "simulated", 40, 200.0),
)


@pytest.fixture(scope="session")
def tables(made: Made) -> list[ScoreTable]:
    """Two recognisers and a baseline on four datasets; two separators, a baseline and an oracle."""
    reading = {"voices": "synthetic", "rooms": "simulated", "street": "real", "meeting": "real"}
    values = {
        "large": (0.05, 0.10, 0.30, 0.34),
        "small": (0.09, 0.20, 0.20, 0.22),
        "sphinx": (0.18, 0.39, 0.47, 0.55),
    }
    found = [
        made(model, dataset, domain, around(mean, seed=row), rtfx=5.0,
             role="baseline" if model == "sphinx" else "model", pair="p" if row < 2 else None)
        for model, means in values.items()
        for row, ((dataset, domain), mean) in enumerate(zip(reading.items(), means, strict=True))
    ]  # fmt: skip
    speaking = {
        "dual-path": ("model", 15.2, 8.1),
        "masknet": ("model", 16.0, 7.2),
        "mixture": ("baseline", 0.0, 0.0),
        "ideal mask": ("oracle", 19.0, 15.0),
    }
    for seed, (model, (role, near, far)) in enumerate(speaking.items()):
        for dataset, domain, mean in (("mixed", "synthetic", near), ("hall", "simulated", far)):
            spread = 0.0 if role == "baseline" else 0.6
            scores = around(mean, seed=seed, spread=spread)
            found.append(made(model, dataset, domain, scores, metric="si_snri", role=role))
    return found


@dataclass(frozen=True)
class World:
    """The comparisons and datasets that the made tables answer, for tests to vary."""

    reading: Comparison
    speakers: Comparison
    datasets: tuple[DatasetInfo, ...]
    around: Callable[..., list[float]]


@pytest.fixture(scope="session")
def world() -> World:
    return World(READING, SPEAKERS, DATASETS, around)


@pytest.fixture(scope="session")
def board(tables: list[ScoreTable]) -> Board:
    return build(
        (READING, SPEAKERS),
        tables,
        DATASETS,
        title="Does it hold in real life?",
        suite_digest="9c1e0c7d5a3b",
        versions={"python": "3.11"},
    )
