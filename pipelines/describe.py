"""Describe: a prepared dataset out of its card and its index, as text and as a page.

The index is read as columns from end to end: a million clips take seconds and some hundred MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leaderboards import dataset_page, dataset_terminal, description
from leaderboards.description import Description, Label, Quantity, Refusal
from pipelines import auditions, stores
from pipelines.config import parse_name
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.shards.datasets import Card
from pipelines.workspace import Workspace

PARSED = 1 << 16  # clips whose labels are parsed at a time
COMMON = 10  # values shown of a label
SAID = ("text", "speaker", "session")  # columns that are shown as labels are
LENGTHS = "members.list.element.length"  # bytes of every member of every clip
COLUMNS = (
    "key", "shard", "seconds", "sample_rate", "channels", *SAID, "labels", "peak_dbfs", "rms_dbfs",
    "loudness_lufs", "clipping", "silence", "bandwidth_hz", "dc", "clipped",
)  # fmt: skip
PERCENT, KILO = 100.0, 1e-3


def describe(where: str, workspace: Workspace, *, with_audio: bool) -> Path:
    """Print what a dataset holds and write its page into the workspace's site; the page's path.

    `where`: the dataset's folder or its name in the workspace; RealEarError for none such.
    `with_audio` puts a few clips into the page though the card does not say that it may be done.
    """
    from pipelines.arguments import find  # brings Beam

    made = find(where, workspace)
    table = read_index(made.folder)
    found = extract(made.folder, made.card, table)
    dataset_terminal.show(found)
    if with_audio or made.card.redistribute:
        found = auditions.with_sounds(found, made.folder, table)
    # Any folder may be described, so its card's name is not known to be the name of a file.
    target = f"{workspace.site}/datasets/{parse_name(made.card.name)}.html"
    html = dataset_page.build_page(found)
    stores.write_bytes(target, html.encode("utf-8", "backslashreplace"))
    return Path(target)


def read_index(folder: str) -> pa.Table:
    """The index's columns that are described; RealEarError where there is no index."""
    if not datasets.is_whole(folder):
        raise RealEarError(
            f"expected {datasets.INDEX} and {datasets.FAILURES} in {folder}, found not both: "
            "make the dataset again"
        )
    with stores.open_read(f"{folder}/{datasets.INDEX}") as file:
        return pq.ParquetFile(file).read(columns=[*COLUMNS, LENGTHS])


def extract(folder: str, card: Card, table: pa.Table) -> Description:
    """A dataset's description, without sounds, from its card and its index table."""
    return Description(
        name=card.name,
        domain=card.domain,
        clips=len(table),
        seconds=card.seconds,
        shards=len(card.shards),
        size=_bytes(table),
        licence=card.licence,
        language=card.language,
        redistribute=card.redistribute,
        sources=card.sources,
        sample_rates=tuple(_counted(table["sample_rate"])),
        channels=tuple(_counted(table["channels"])),
        quantities=tuple(_quantities(table)),
        clipping=_beyond(table["clipping"], 0.0),
        silent=_beyond(table["silence"], 1.0 - 1e-9),
        cut=_beyond(table["clipped"], 0),
        labels=tuple(_labels(table)),
        words=_words(table["text"]),
        refused=tuple(_refused(folder)),
        duplicates=card.duplicates,
        notes=card.notes,
        digests={"Content": card.content, "Inputs": card.inputs},
        made_by=dict(card.made_by),
    )


def _bytes(table: pa.Table) -> int:
    lengths = pc.struct_field(pc.list_flatten(table["members"]), "length")
    return int(pc.sum(lengths).as_py() or 0)


def _counted(column: pa.ChunkedArray, most: int | None = None) -> list[tuple[Any, int]]:
    """Different values and how often each is there, the most frequent first, equals in order."""
    found = pa.table(pc.value_counts(column.drop_null()).flatten(), ["value", "n"])
    if not len(found):
        return []
    k = len(found) if most is None else min(most, len(found))
    by = [("n", "descending"), ("value", "ascending")]
    first = found.take(pc.select_k_unstable(found, k=k, sort_keys=by))
    return list(zip(first["value"].to_pylist(), first["n"].to_pylist(), strict=True))


def _beyond(column: pa.ChunkedArray, bound: float) -> int:
    return int(pc.sum(pc.greater(column, bound)).as_py() or 0)


def _quantities(table: pa.Table) -> Iterator[Quantity]:
    """Every figure that any clip has, and how clips and audio spread over speakers and sessions."""
    highest = (pc.max(table["sample_rate"]).as_py() or 0) / 2
    unit, scale = _time(table["seconds"])
    given: dict[str, Any] = {"total": len(table)}
    level = {"step": 1.0} | given
    yield from _some("seconds", table["seconds"], scale, unit=unit, limits=(0.0, None), **given)
    yield from _some("loudness_lufs", table["loudness_lufs"], unit="LUFS", **level)
    yield from _some("rms_dbfs", table["rms_dbfs"], unit="dBFS", **level)
    yield from _some("peak_dbfs", table["peak_dbfs"], unit="dBFS", **level)
    band = {"limits": (0.0, highest * KILO), "closed_above": True} | given
    yield from _some("bandwidth_hz", table["bandwidth_hz"], KILO, unit="kHz", **band)
    for name, most in (("silence", 100.0), ("clipping", None), ("dc", None)):
        limits = (0.0, most) if most else (None, None)
        yield from _some(name, table[name], PERCENT, unit="%", limits=limits, **given)
    for name in ("speaker", "session"):
        yield from _spread(table, name)


def _some(
    name: str, column: pa.ChunkedArray, scale: float = 1.0, **settings: Any
) -> Iterator[Quantity]:
    values = column.drop_null().to_numpy() * scale
    if (found := description.quantity(name, values, **settings)) is not None:
        yield found


def _spread(table: pa.Table, name: str) -> Iterator[Quantity]:
    """Clips and audio of each speaker or session."""
    named = table.select([name, "seconds"]).filter(pc.is_valid(table[name]))
    each = named.group_by(name).aggregate([("seconds", "count"), ("seconds", "sum")])
    unit, scale = _time(each["seconds_sum"])
    start = (0.0, None)
    yield from _some(f"{name}_clips", each["seconds_count"], unit="clips", limits=start, step=1.0)
    yield from _some(f"{name}_seconds", each["seconds_sum"], scale, unit=unit, limits=start)


def _time(seconds: pa.ChunkedArray) -> tuple[str, float]:
    """The unit that suits lengths, and how many of it a second is."""
    most = pc.max(seconds).as_py() or 0.0
    for unit, each, enough in (("s", 1.0, 180.0), ("min", 60.0, 180 * 60.0)):
        if most < enough:
            return unit, 1 / each
    return "h", 1 / 3600.0


def _labels(table: pa.Table) -> Iterator[Label]:
    """Text, speaker and session, whether any clip has them or not, then every other label."""
    columns = [(name, table[name]) for name in SAID]
    for name, column in [*columns, *sorted(_label_columns(table["labels"]).items())]:
        clips = len(column) - column.null_count
        values = pc.count_distinct(column).as_py()
        yield Label(name, clips, values, tuple(_counted(column, COMMON)))


def _label_columns(labels: pa.ChunkedArray) -> Mapping[str, pa.ChunkedArray]:
    """Every label's values, of the clips that have it; many objects are parsed at a time."""
    found: dict[str, list[pa.Array]] = {}
    for start in range(0, len(labels), PARSED):
        texts = labels.slice(start, PARSED).to_pylist()
        objects = json.loads(f"[{','.join(texts)}]")
        for name in set().union(*objects):
            values = [given[name] for given in objects if name in given]
            found.setdefault(name, []).append(pa.array(values, pa.string()))
    return {name: pa.chunked_array(chunks) for name, chunks in found.items()}


def _words(column: pa.ChunkedArray) -> tuple[int, int]:
    """How many words there are between blanks, and how many different ones."""
    words: pa.ChunkedArray = pc.list_flatten(pc.utf8_split_whitespace(column.drop_null()))
    words = words.filter(pc.not_equal(words, ""))
    return len(words), pc.count_distinct(words).as_py()


def _refused(folder: str) -> Iterator[Refusal]:
    """What was refused, by reason, the most frequent first, with the first clip of each."""
    table = datasets.read_table(f"{folder}/{datasets.FAILURES}")
    asked: Sequence[Any] = [("key", "count"), ("key", "first"), ("detail", "first")]
    found = table.group_by("reason", use_threads=False).aggregate(asked)
    for row in sorted(found.to_pylist(), key=lambda row: (-row["key_count"], row["reason"])):
        yield Refusal(row["reason"], row["key_count"], row["key_first"], row["detail_first"])
