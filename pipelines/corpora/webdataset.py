"""An existing WebDataset: shards in plain tars, a clip a key; read in place, never unpacked.

    reader: webdataset
    folder: /corpora/podcasts
    shards: "dev/*.tar"             # default: every tar below the folder
    audio: mix.wav                  # the member that is heard, where a key has several recordings
    text: transcript                # fields of the .json; default: text, speaker, session
    ignore: [pkl]                   # members that may be there and are not opened

A format, not a corpus: hours, rate, language and licence are those of the recordings.

    dev/000000.tar
        0001.flac  0001.json  0001.txt  0001.cls  0001.s1.flac  0001.s2.flac
        0002.flac  …

A key is a member's name with its folder, up to the first dot of the file name; what follows is the
member's suffix, upper or lower case. The recording is the one member whose suffix is wav, flac,
mp3, ogg, opus or m4a; `s1.…`, `s2.…` are its separate sources, `clean.…` and `noise.…` its clean
signal and its noise, as RealEar writes them itself. Text: `.txt`, else the JSON's. Labels:
`class_index` from `.cls`; texts and numbers of the JSON, and those in its object `labels`. Members
without a dot in their name, with one that begins and ends with `__`, and macOS's `._…` are no part
of a clip.

Counted failures: names that lead out of a folder, links and devices (`unsafe_member`), tars cut
short (`truncated`; what stood before is kept), damaged or put together (`bad_tar`, `trailing`),
pickles, also within `.npy` (`pickle`; never opened), a member twice (`duplicate_key`), texts beyond
256 KiB (`oversized`). Compressed tars are refused.

Aizman, Maltby, Breuel: High performance I/O for large scale deep learning. IEEE Big Data 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipelines.corpora import jsonlines, tars
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.stretches import refused
from pipelines.corpora.tables import Cells
from pipelines.corpora.tars import Damage, Member
from pipelines.records import Entry, InTar, RealEarError

AUDIO = ("flac", "wav", "mp3", "ogg", "opus", "m4a")
PICKLES = {"pkl", "pickle", "pyd", "pth", "pt"}
LARGEST = 1 << 18  # bytes of a text or JSON member
NPY_HEADER = 1 << 16  # bytes of a .npy's header that are searched for objects
# What RealEar and WebDataset write about a clip that is no label of it.
NO_LABELS = {"key", "cluster", "pair", "provenance", "labels", "__key__", "__url__"}
_META = re.compile(r"__[^/]*__($|/)")
_ROLE = re.compile(rf"(s[1-9][0-9]?|clean|noise)\.({'|'.join(AUDIO)})")


class _Refusal(Exception):
    """Why a key gives no clip: a reason in one word, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass
class _Sample:
    """The members of a key by suffix, and the first thing that is wrong with any of them."""

    members: dict[str, Member] = field(default_factory=dict)
    refusal: _Refusal | None = None

    def add(self, suffix: str, member: Member) -> None:
        """Take in a member; one that is not sound, or twice there, spoils the sample."""
        if member.fault:
            self.refusal = self.refusal or _Refusal(
                member.fault, f"{member.name!r:.120}: {member.detail}"
            )
        elif suffix in self.members:
            self.refusal = self.refusal or _Refusal(
                "duplicate_key", f"{member.name!r:.120} stands twice in the tar"
            )
        self.members.setdefault(suffix, member)


class WebDataset(Corpus):
    """Samples of the shards of a WebDataset."""

    shards: str = "**/*.tar"
    audio: str | None = None
    text: str = "text"
    speaker: str = "speaker"
    session: str = "session"
    ignore: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a key of each shard, and one for each place where a shard is damaged."""
        for shard in self._shards():
            yield from self._entries(shard)

    def _shards(self) -> list[str]:
        """The shards that the pattern finds, relative to the folder."""
        if self.shards.startswith("/") or ".." in PurePosixPath(self.shards).parts:
            raise RealEarError(
                f"expected shards below {self.folder}, found the pattern {self.shards!r}: let "
                "`folder` be what the pattern starts from"
            )
        root = Path(self.folder)
        found = sorted(path for path in root.glob(self.shards) if path.is_file())
        packed = [
            next(root.glob(self.shards + end), None) for end in (".gz", ".xz", ".zst", ".bz2")
        ]
        if squeezed := [path.name for path in packed if path]:
            raise RealEarError(f"expected plain tars, found {squeezed[0]}: unpack such tars once")
        if not found:
            raise RealEarError(
                f"expected shards named like {self.shards!r} in {self.folder}, found none: name "
                "them with `shards`, as in `shards: 'train/*.tar'`"
            )
        return [path.relative_to(root).as_posix() for path in found]

    def _entries(self, shard: str) -> Iterator[Entry]:
        where = Path(self.folder, shard)
        samples: dict[str, _Sample] = {}
        damages: list[Damage] = []
        for item in tars.members(where):
            if isinstance(item, Damage):
                damages.append(item)
            elif split := _split(item):
                samples.setdefault(split[0], _Sample()).add(split[1], item)
        with where.open("rb") as file:
            for key, sample in samples.items():
                yield self._entry(shard, key, sample, file)
        for damage in damages:
            key = sound_key(f"{shard.removesuffix('.tar')}/byte-{damage.offset}")
            yield refused(key, damage.reason, f"{shard}: {damage.detail}")

    def _entry(self, shard: str, name: str, sample: _Sample, file: BinaryIO) -> Entry:
        key = sound_key(name)
        try:
            if sample.refusal:
                raise sample.refusal
            self._refuse_pickles(sample, file)
            return self._clip(key, shard, sample.members, file)
        except _Refusal as refusal:
            return refused(key, refusal.reason, f"{shard}: {refusal}")

    def _clip(self, key: str, shard: str, members: dict[str, Member], file: BinaryIO) -> Entry:
        def sound(member: Member) -> InTar:
            return InTar(shard, member.offset, member.length)

        heard = self._heard(members)
        roles = _roles({suffix: m for suffix, m in members.items() if m is not heard})
        sources = sorted((role for role in roles if role[0] == "s"), key=lambda role: int(role[1:]))
        if sources != [f"s{n}" for n in range(1, len(sources) + 1)]:
            raise _Refusal("missing_file", f"expected s1, s2, …, found {', '.join(sources)}")
        fields = _fields(members, file)
        labels = jsonlines.scalars(fields.get("labels")) | self._labels(fields, members, file)
        said = {name: _scalar(fields, name) for name in (self.speaker, self.session)}
        text = self._text(fields, members, file)
        return Entry(
            key=key,
            audio=sound(heard),
            sources=tuple(sound(roles[role]) for role in sources),
            clean=sound(roles["clean"]) if "clean" in roles else None,
            noise=sound(roles["noise"]) if "noise" in roles else None,
            text=text,
            speaker=said[self.speaker],
            session=said[self.session],
            labels=labels,
            fault=text_fault(key, heard.name, text, *said.values(), *labels, *labels.values()),
        )

    def _heard(self, members: dict[str, Member]) -> Member:
        """The recording of a sample."""
        wanted = AUDIO if self.audio is None else (_suffix(self.audio),)
        found = [suffix for suffix in members if suffix in wanted]
        if len(found) == 1:
            return members[found[0]]
        if found:
            detail = f"found {', '.join(found)}: name the one that is heard with `audio`"
            raise _Refusal("several_files", detail)
        expected = f"a member .{_suffix(self.audio)}" if self.audio else "a recording"
        there = ", ".join(members) or "nothing"
        raise _Refusal("missing_file", f"expected {expected}, found {there!r:.120}")

    def _refuse_pickles(self, sample: _Sample, file: BinaryIO) -> None:
        ignored = tuple(_suffix(name) for name in self.ignore)
        for suffix, member in sample.members.items():
            last = suffix.rpartition(".")[2]
            if suffix in ignored or last in ignored:
                continue
            if last in PICKLES or (last == "npy" and _has_objects(file, member)):
                detail = f"{member.name!r:.120} may run anything once opened, so it is not"
                raise _Refusal("pickle", f"{detail}; `ignore: [{last}]` leaves such members aside")

    def _text(self, fields: Cells, members: dict[str, Member], file: BinaryIO) -> str | None:
        if "txt" in members:
            return _text(file, members["txt"]).strip()
        found = _scalar(fields, self.text)
        if found is None and fields.get(self.text) != "" and "text" in self.model_fields_set:
            raise _Refusal("no_transcript", f"its JSON has no text {self.text!r}")
        return "" if fields.get(self.text) == "" else found

    def _labels(self, fields: Cells, members: dict[str, Member], file: BinaryIO) -> dict[str, str]:
        taken = NO_LABELS | {self.text, self.speaker, self.session}
        labels = jsonlines.scalars({n: value for n, value in fields.items() if n not in taken})
        if "cls" in members:
            number = _text(file, members["cls"]).strip()
            if not re.fullmatch(r"[0-9]{1,9}", number):
                raise _Refusal("bad_line", f"expected a number in .cls, found {number!r:.80}")
            labels["class_index"] = number
        return labels


def _split(member: Member) -> tuple[str, str] | None:
    """Key and suffix of a member; None for one that belongs to no clip."""
    name = re.sub(r"^(\./)+", "", member.name)
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if member.fault and not (stem and dot):
        return name, ""
    if _META.match(name) or base.startswith("._") or not dot:
        return None
    if not stem:  # a suffix and nothing before it
        return (name, suffix.lower()) if suffix.lower() in AUDIO else None
    return f"{folder}{slash}{stem}", suffix.lower()


def _roles(members: dict[str, Member]) -> dict[str, Member]:
    """References by role; a role in two formats is refused."""
    roles: dict[str, Member] = {}
    for suffix, member in members.items():
        if found := _ROLE.fullmatch(suffix):
            if found[1] in roles:
                raise _Refusal("several_files", f"found two members {found[1]}: expected one")
            roles[found[1]] = member
    return roles


def _has_objects(file: BinaryIO, member: Member) -> bool:
    """Whether a NumPy file says that it holds Python objects, which are pickled."""
    start = _read(file, member, NPY_HEADER)
    width = 2 if start[6:7] == b"\x01" else 4  # bytes that hold the header's length
    length = int.from_bytes(start[8 : 8 + width], "little")
    return b"|O" in start[8 + width : 8 + width + length]


def _suffix(name: str) -> str:
    return name.lstrip(".").lower()


def _fields(members: dict[str, Member], file: BinaryIO) -> Cells:
    """The object of a sample's JSON; nothing where it has none."""
    if "json" not in members:
        return {}
    found = jsonlines.parse(_text(file, members["json"]))
    if isinstance(found, str):
        raise _Refusal("bad_line", f"expected a JSON object, found {found!r:.80}")
    return found


def _scalar(fields: Cells, name: str) -> str | None:
    return jsonlines.scalars({name: fields.get(name)}).get(name)


def _text(file: BinaryIO, member: Member) -> str:
    if member.length > LARGEST:
        detail = f"{member.name!r:.120} has {member.length} bytes, at most {LARGEST} are read"
        raise _Refusal("oversized", detail)
    return _read(file, member, LARGEST).decode("utf-8-sig", "surrogateescape")


def _read(file: BinaryIO, member: Member, most: int) -> bytes:
    file.seek(member.offset)
    return file.read(min(member.length, most))
