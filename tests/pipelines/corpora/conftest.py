"""What the tests of readers share: a corpus of the test's own, prepared and read again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pipelines.shards import datasets
from pipelines.shards.datasets import Row


@dataclass(frozen=True)
class Outcome:
    """What became of a corpus: index rows by key, and keys and reasons of what was refused."""

    rows: dict[str, Row]
    refused: Counter[tuple[str, str]]


@pytest.fixture
def outcome(corpora) -> Callable[..., Outcome]:
    """`outcome(reader="…", **options)`: the corpus of the fixture `corpora`, end to end."""

    def prepare(**options) -> Outcome:
        made = corpora.prepare(**options)
        rows = datasets.read_rows(f"{made.folder}/index.parquet")
        failures = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
        assert len(failures) == made.card.failed
        refused = Counter((failure["key"], failure["reason"]) for failure in failures)
        return Outcome({row.key: row for row in rows}, refused)

    return prepare
