"""Verify: is a dataset what its card, index and sidecars say, byte for byte and clip for clip?

Each shard is looked at by itself (hashes, index against tar, every sound decoded, every text
compared), then the whole (card against index, the same sound twice, what the labels cover).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines import audio, stores, transforms
from pipelines.audio import BadAudio
from pipelines.engines import Engine
from pipelines.make import Made
from pipelines.records import Part, RealEarError, digest
from pipelines.shards import datasets, sidecars, tars
from pipelines.shards.datasets import FAILURES, HEARD, INDEX, Clip
from pipelines.shards.packing import said_of
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be: in which shard, about which clip, and what."""

    shard: str
    key: str  # empty: the shard as a whole
    what: str


@dataclass(frozen=True)
class Verified:
    """What a verification found. Duplicates are no problem by themselves: sets of equal sounds."""

    clips: int
    problems: tuple[Problem, ...]
    duplicates: tuple[tuple[str, ...], ...]  # keys of clips that sound the same
    contradictions: tuple[tuple[str, ...], ...]  # … whose transcripts or classes differ
    coverage: Mapping[str, float]  # share of clips that have a text, a speaker, each label


@dataclass(frozen=True)
class Verifying:
    """Where the shard to look at lies."""

    dataset: str


def verify(made: Made, workspace: Workspace, engine: Engine) -> Verified:
    """Look at every byte of a dataset; nothing in it is changed."""
    folder = f"{workspace.root}/verified/{made.card.name}"
    parts = [
        Part(folder, shard.stem, shard.content, shard.clips, shard.seconds, Verifying(made.folder))
        for shard in made.card.shards
    ]
    _forget(folder)
    transforms.run(f"Verify {made.card.name}", parts, check_shard, engine)
    reports = [stores.read_json(f"{folder}/{part.stem}.problems.json") for part in parts]
    problems = [Problem(**problem) for report in reports for problem in report]
    _forget(folder)
    return _whole(made, problems)


def _forget(folder: str) -> None:
    """Remove an earlier report: what was sound yesterday is looked at again."""
    for path in stores.listing(folder, "*.json"):
        stores.remove(path)


def check_shard(part: Part) -> None:
    """Look at one shard (the work function of this step)."""
    job: Verifying = part.payload
    problems = list(_problems(job.dataset, part.stem))
    where = f"{part.folder}/{part.stem}.problems.json"
    stores.write_json(where, [asdict(problem) for problem in problems])
    sidecars.write(
        part, sidecars.facts(where), content="", clips_out=part.clips, seconds=part.seconds
    )


def _problems(folder: str, stem: str) -> Iterator[Problem]:
    try:
        sidecars.check(folder, stem)
    except RealEarError as error:
        yield Problem(stem, "", str(error))
    tar, index = f"{folder}/{stem}.tar", f"{folder}/{stem}.parquet"
    try:
        rows = datasets.read_rows(index)
        found = tars.scan(tar)
    except Exception as error:  # whatever a damaged file makes a reader throw
        yield Problem(stem, "", f"cannot be read: {type(error).__name__}: {error}")
        return
    for key in sorted(found.keys() - {row.key for row in rows}):
        yield Problem(stem, key, "is in the tar, but not in the index")
    with stores.open_read(tar) as file:
        for row in rows:
            expected = {member.name: member for member in row.members}
            if found.get(row.key) != expected:
                yield Problem(stem, row.key, "lies elsewhere in the tar than its index row says")
            else:
                yield from _of_clip(stem, Clip(row, file))


def _of_clip(stem: str, clip: Clip) -> Iterator[Problem]:
    """What is wrong about the content of one clip."""
    row = clip.row
    contents: dict[str, str] = {}
    for role, member in row.sounds.items():
        try:
            data = clip.read(role)
            found = audio.decode(data)
        except (BadAudio, RealEarError) as error:
            yield Problem(stem, row.key, f"{member.name} cannot be read: {error}")
            return
        heard = row.peak_dbfs is not None  # else its bytes were kept unheard
        contents[role] = found.content if heard else audio.fingerprint(data)
        if (found.sample_rate, len(found.pcm)) != (
            row.sample_rate,
            round(row.seconds * row.sample_rate),
        ):
            yield Problem(stem, row.key, f"{member.name} is not as long or fast as the index says")
    known = json.loads(clip.read("json"))
    known.pop("provenance", None)
    if (
        contents.get(HEARD) != row.sound
        or digest([known, dict(sorted(contents.items()))]) != row.content
    ):
        yield Problem(stem, row.key, "its sounds or labels are not those that its digest is of")
    if known != said_of(row) or (row.text is not None and clip.read("txt").decode() != row.text):
        yield Problem(stem, row.key, "its index row says something else than its members")


def _whole(made: Made, problems: list[Problem]) -> Verified:
    """What shows only when all shards are looked at together."""
    index = datasets.read_table(f"{made.folder}/{INDEX}")
    failures = datasets.read_table(f"{made.folder}/{FAILURES}")
    card = made.card
    for what, stated, found in (
        ("clips", card.clips, len(index)),
        ("refused clips", card.failed, len(failures)),
        ("clips in shards", card.clips, sum(shard.clips for shard in card.shards)),
        ("distinct keys", card.clips, len(set(index["key"].to_pylist()))),
        ("content", card.content, digest(sorted(index["content"].to_pylist()))),
    ):
        if stated != found:
            problems.append(Problem("", "", f"{what}: the card says {stated}, found {found}"))
    same = _same(index)
    return Verified(
        clips=len(index),
        problems=tuple(problems),
        duplicates=tuple(tuple(keys) for keys in same.values()),
        contradictions=tuple(_contradicting(index, same)),
        coverage=coverage(index),
    )


def _same(index: Any) -> dict[str, list[str]]:
    """Sound to the keys of the clips that have it, where there are several."""
    count = Counter(index["sound"].to_pylist())
    found: dict[str, list[str]] = {}
    for key, sound in zip(index["key"].to_pylist(), index["sound"].to_pylist(), strict=True):
        if count[sound] > 1:
            found.setdefault(sound, []).append(key)
    return found


def _contradicting(index: Any, same: Mapping[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """Equal sounds of which different things are said."""
    wanted = {key for keys in same.values() for key in keys}
    said = {
        key: (text, json.loads(labels).get("class"))
        for key, text, labels in zip(
            *(index[name].to_pylist() for name in ("key", "text", "labels")), strict=True
        )
        if key in wanted
    }
    for keys in same.values():
        if len({said[key] for key in keys}) > 1:
            yield tuple(keys)


def coverage(index: Any) -> dict[str, float]:
    """The share of clips that have a text, a speaker, a session, and each label; empty for none."""
    clips = len(index)
    if not clips:
        return {}
    found = {name: 1 - index[name].null_count / clips for name in ("text", "speaker", "session")}
    labels: Counter[str] = Counter()
    for text, many in Counter(index["labels"].to_pylist()).items():
        for name in json.loads(text):
            labels[name] += many
    return found | {name: count / clips for name, count in sorted(labels.items())}


def shared(one: Made, other: Made) -> list[tuple[str, str]]:
    """Keys of clips that sound the same in two datasets: training data that is also tested on."""
    sounds = [
        {
            sound: key
            for key, sound in zip(
                *(table[name].to_pylist() for name in ("key", "sound")), strict=True
            )
        }
        for table in (datasets.read_table(f"{made.folder}/{INDEX}") for made in (one, other))
    ]
    return sorted((sounds[0][sound], sounds[1][sound]) for sound in sounds[0].keys() & sounds[1])
