"""Submit: take in predictions that somebody else made, so that they are scored like any other.

`hyp.csv` (or .tsv, .jsonl; columns `key` and `text`) for recognition, or a folder with a file a
clip: `{key}.txt`, `{key}.wav` for enhancement, `{key}.s1.wav`… or `s1/{key}.wav`… for separation.
A clip of the dataset without a prediction counts as failed; a prediction for no clip is an error.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines import audio, stores, tasks
from pipelines.audio import BadAudio
from pipelines.predict import Handling
from pipelines.records import Failure, Part, RealEarError, digest
from pipelines.schema import nearest
from pipelines.shards import sidecars
from pipelines.shards.datasets import Card, Row, read_rows
from pipelines.shards.tars import TarWriter
from pipelines.workspace import Workspace

VERSION = "1"  # bump when the same files would be stored otherwise
SUBMITTED = ("recognition", "separation", "enhancement")  # tasks whose answers come as such files
SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".aiff")
TABLES = {".csv": ",", ".tsv": "\t", ".jsonl": ""}

Found = dict[str, dict[str, str]]  # key to member name to text, or to the path of a file


@dataclass(frozen=True)
class Submission:
    """Predictions by key, for a task: words as they are, signals as paths."""

    task: str
    answers: Found


@dataclass(frozen=True)
class Storing:
    """What storing one shard of somebody's predictions needs."""

    rows: tuple[Row, ...]
    answers: Mapping[str, Mapping[str, str]]
    task: str


def read(path: str, task: str | None = None) -> Submission:
    """Somebody's predictions; RealEarError where the place holds none in a known form, or for a
    task whose answers have none.
    """
    if task is not None and task not in SUBMITTED:
        raise RealEarError(
            f"expected predictions for {', '.join(SUBMITTED)}, found the task {task!r}: "
            "score a model of that task by its name, or your own as module:Class"
        )
    where = Path(path)
    if where.is_file():
        return Submission("recognition", _table(where))
    if not where.is_dir():
        raise RealEarError(f"expected predictions at {path}: a folder or a .csv, found nothing")
    found = _folder(where)
    if not found:
        raise RealEarError(
            f"expected files such as KEY.txt, KEY.wav or KEY.s1.wav in {path}, found none"
        )
    guessed = task or _task(found)
    if guessed == "enhancement":
        found = {key: _as_enhanced(key, members) for key, members in found.items()}
    return Submission(guessed, found)


def _as_enhanced(key: str, members: Mapping[str, str]) -> dict[str, str]:
    """A signal in a folder of any name is the enhanced one, if it is the only one."""
    signals = {name: value for name, value in members.items() if name != "txt"}
    if len(signals) > 1:
        raise RealEarError(
            f"expected one signal of {key!r}, found {', '.join(sorted(signals))}: keep the enhanced"
        )
    return dict(zip(["enhanced.wav"], signals.values(), strict=False))


def _task(found: Found) -> str:
    """What the kind of files tells about the task."""
    names = {name for members in found.values() for name in members}
    if names == {"txt"}:
        return "recognition"
    return "separation" if "s1.wav" in names else "enhancement"


def _table(where: Path) -> Found:
    if where.suffix not in TABLES:
        raise RealEarError(f"expected a .csv, .tsv or .jsonl file, found {where.name}")
    try:
        lines = list(io.StringIO(where.read_bytes().decode("utf-8-sig"), newline=""))
        rows = (
            [json.loads(line) for line in lines if line.strip()]
            if where.suffix == ".jsonl"
            else list(csv.DictReader(lines, delimiter=TABLES[where.suffix], strict=True))
        )
    except (ValueError, csv.Error) as error:
        raise RealEarError(f"{where}: expected UTF-8 rows of key and text: {error}") from error
    found: Found = {}
    for row in rows:
        if not isinstance(row, dict) or row.get("key") is None or row.get("text") is None:
            raise RealEarError(f"{where}: expected columns 'key' and 'text', found {row!r:.120}")
        key = str(row["key"])
        if key in found:
            raise RealEarError(f"{where}: expected one prediction a key, found {key!r} twice")
        found[key] = {"txt": str(row["text"])}
    return found


def _folder(where: Path) -> Found:
    found: Found = {}
    for path in sorted(where.rglob("*")):
        key, _, source = path.stem.partition(".")
        if path.suffix == ".txt":
            key, member = path.stem, "txt"
            value = path.read_bytes().decode("utf-8", "replace")
        elif path.suffix in SOUNDS:
            source = source or (path.parent.name if path.parent != where else "")
            member, value = f"{source or 'enhanced'}.wav", str(path)
        else:
            continue
        if member in found.setdefault(key, {}):
            raise RealEarError(
                f"expected one {member} of {key!r}, found a second one at {path}: keep one of them"
            )
        found[key][member] = value
    return found


def handling(name: str, submission: Submission) -> Handling:
    """Somebody's predictions in the place of a model; the fingerprint is their content's."""
    hashed = hashlib.sha256()
    for key, members in sorted(submission.answers.items()):
        for member, value in sorted(members.items()):
            content = value.encode() if member == "txt" else Path(value).read_bytes()
            hashed.update(f"{key}\0{member}\0{len(content)}\0".encode() + content)
    return Handling(name, "submitted", submission.task, {}, hashed.hexdigest()[:8])


def plan(workspace: Workspace, card: Card, folder: str, given: Submission,
         asked: Handling) -> list[Part]:  # fmt: skip
    """Parts that store the predictions as shards; RealEarError for keys that no clip has."""
    rows = {shard.stem: read_rows(f"{folder}/{shard.stem}.parquet") for shard in card.shards}
    known = {row.key for shard in rows.values() for row in shard}
    if unknown := sorted(set(given.answers) - known):
        raise RealEarError(
            f"{len(unknown)} of {len(given.answers)} predictions are for keys that dataset "
            f"{card.name!r} does not have, e.g. {unknown[0]!r}: {nearest(unknown[0], known)}"
        )
    return [
        Part(
            folder=workspace.predictions(asked.chain, card.name),
            stem=shard.stem,
            inputs=digest(["submit", VERSION, asked.chain, asked.task, shard.content]),
            clips=shard.clips,
            seconds=shard.seconds,
            payload=Storing(
                tuple(rows[shard.stem]),
                {r.key: given.answers[r.key] for r in rows[shard.stem] if r.key in given.answers},
                asked.task,
            ),
        )
        for shard in card.shards
    ]


def store_shard(part: Part) -> None:
    """Write one prediction shard (the work function of this step)."""
    storing: Storing = part.payload
    failures: list[Failure] = []
    digests: list[object] = []
    target = f"{part.folder}/{part.stem}.tar"
    with stores.partial(target) as name, Path(name).open("wb") as file:
        writer = TarWriter(file)
        for row in storing.rows:
            try:
                members = _members(row, storing)
            except BadAudio as error:
                failures.append(Failure(row.key, "submit", error.reason, str(error)))
                continue
            writer.write(row.key, members)
            digests.append(
                [row.key, {n: hashlib.sha256(d).hexdigest() for n, d in members.items()}]
            )
        tar = writer.close()
    content = digest([digests, [failure.key for failure in failures]])
    sidecars.write(
        part, {target: tar}, content=content, clips_out=len(digests), seconds=part.seconds,
        failures=failures,
    )  # fmt: skip


def _members(row: Row, storing: Storing) -> dict[str, bytes]:
    """The members of one answer; BadAudio("missing") where it has not all that the task wants."""
    given = storing.answers.get(row.key, {})
    wanted = tasks.get(storing.task).members(row)
    missing = [name for name in wanted if name not in given]
    if missing:
        raise BadAudio("missing", f"no prediction {', '.join(missing)}")
    return {name: _member(name, given[name]) for name in wanted}


def _member(name: str, value: str) -> bytes:
    if name == "txt":
        return value.encode()
    recording = audio.decode(stores.read_bytes(value))
    return audio.encode_wav(recording.samples.mean(axis=1), recording.sample_rate)
