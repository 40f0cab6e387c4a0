"""Recordings that need no manifest: their names and neighbours say what they are.

    reader: files
    folder: digits
    audio: "{digit}_{speaker}_{take}.wav"        # what stands in braces becomes a label
    text: {label: digit, words: {"0": zero, …}}  # or {file: transcripts.tsv} or {beside: .txt}

`{name}` matches within one file name, as little as it can; `{name:path}` goes across folders; `*`
and `**` match without a label. Templates (`speaker`, `session`, `clean`, `sources`) are filled from
the labels, and `{path}`, `{folder}`, `{file}`, `{stem}` of the recording.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from pipelines.corpora.base import Corpus, lines, recordings, sound_key, text_fault
from pipelines.records import Entry, Failure, RealEarError
from pipelines.schema import Config, nearest

EVERYTHING = "**"
_TOKEN = re.compile(r"\{(\w+)(:path)?\}|(\*\*/?)|(\*)")


class Text(Config):
    """Where transcripts come from: one of `file`, `beside`, `label`.

    `file`: a table of key and words: `tsv` (tab between), `kaldi` (first word is the key) or
    `sphinx` (`<s> words </s> (key)`). `beside`: the suffix of a text file next to each recording.
    `label`: a label of the file name, turned into words by `words`.
    """

    file: str | None = None
    format: Literal["tsv", "kaldi", "sphinx"] = "tsv"
    beside: str | None = None
    label: str | None = None
    words: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _one_origin(self) -> Text:
        if sum(value is not None for value in (self.file, self.beside, self.label)) != 1:
            raise ValueError("expected exactly one of file, beside, label")
        return self


class Files(Corpus):
    """A folder whose file names carry the labels."""

    audio: str = EVERYTHING
    text: Text | None = None
    speaker: str | None = None  # template; default: the label `speaker`, if the pattern has it
    session: str | None = None
    clean: str | None = None  # template of the clean recording, relative to the folder
    sources: tuple[str, ...] = ()  # templates of the separate sources

    def listed(self) -> Iterator[Entry]:
        """One entry a recording that matches; a transcript without its recording is one, too."""
        pattern = compile_pattern(self.audio)
        table = self._table()
        matched = 0
        for path in recordings(self.folder):
            if found := pattern.fullmatch(path):
                matched += 1
                yield self._entry(path, found.groupdict(), table)
        if not matched:
            raise RealEarError(
                f"expected recordings named like {self.audio!r} in {self.folder}, found none "
                f"(of {len(recordings(self.folder))} recordings there)"
            )
        yield from self._without_recording(table)

    def _entry(self, path: str, labels: dict[str, str], table: dict[str, str] | None) -> Entry:
        folder, _, name = path.rpartition("/")
        fields = {**labels, "path": path, "file": name, "stem": _without_suffix(name)}
        fields["folder"] = folder or "."
        key = sound_key(self._name(path))
        text, fault = self._text(key, path, labels, table)
        speaker = self._fill(self.speaker, fields) or labels.get("speaker")
        return Entry(
            key=key,
            audio=path,
            sources=tuple(self._fill(template, fields) or "" for template in self.sources),
            clean=self._fill(self.clean, fields),
            text=text,
            speaker=speaker,
            session=self._fill(self.session, fields) or labels.get("session"),
            labels={name: value for name, value in labels.items() if name != "speaker"},
            fault=fault or text_fault(key, path, text),
        )

    def _name(self, path: str) -> str:
        """The recording's name below the folder that the pattern fixes, without its suffix."""
        fixed = self.audio.split("{")[0].split("*")[0].rpartition("/")[0]
        return _without_suffix(path[len(fixed) + 1 :] if fixed else path)

    def _fill(self, template: str | None, fields: Mapping[str, str]) -> str | None:
        if template is None:
            return None
        try:
            return template.format_map(fields)
        except (KeyError, ValueError, IndexError) as error:
            missing = str(error.args[0])
            raise RealEarError(
                f"template {template!r} asks for {missing!r}: {nearest(missing, fields)}"
            ) from error

    def _table(self) -> dict[str, str] | None:
        """Transcripts of a table by their own id; None where the text comes from elsewhere."""
        if self.text is None or self.text.file is None:
            return None
        where = Path(self.folder, self.text.file)
        if not where.is_file():
            raise RealEarError(f"expected transcripts at {where}, found no file there")
        table: dict[str, str] = {}
        for line in filter(str.strip, lines(where)):
            name, words = _table_line(line, self.text.format, where)
            if table.setdefault(name, words) != words:
                raise RealEarError(
                    f"{where}: expected one transcript of {name!r}, found {table[name]!r} and "
                    f"{words!r}: keep the true one"
                )
        return table

    def _text(
        self, key: str, path: str, labels: Mapping[str, str], table: dict[str, str] | None
    ) -> tuple[str | None, Failure | None]:
        """A clip's transcript, or why it has none though it should."""
        if self.text is None:
            return None, None
        if table is not None:
            text = table.pop(self._name(path), None)
            detail = f"no line for {self._name(path)!r} in {self.text.file}"
        elif self.text.beside is not None:
            beside = Path(self.folder, path).with_suffix(self.text.beside)
            text = _read_text(beside) if beside.is_file() else None
            detail = f"no {self.text.beside} beside the recording"
        else:
            value = labels.get(self.text.label or "")
            text = self.text.words.get(value, value) if value is not None else None
            detail = f"the file name has no label {self.text.label!r}"
        missing = Failure(key, "prepare", "no_transcript", detail) if text is None else None
        return text, missing

    def _without_recording(self, table: dict[str, str] | None) -> Iterator[Entry]:
        """What is left in the table of transcripts after every recording took its own."""
        for name in sorted(table or ()):
            key = sound_key(name)
            fault = Failure(key, "prepare", "missing_file", f"{name!r} is in the table only")
            yield Entry(key=key, audio="", fault=fault)


def _without_suffix(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 (a million names, no Path for each)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A file-name pattern as a regular expression; a name in braces may stand only once."""
    if pattern == EVERYTHING:
        return re.compile(r".*", re.DOTALL)
    parts, last = [], 0
    for token in _TOKEN.finditer(pattern):
        parts.append(re.escape(pattern[last : token.start()]))
        name, crosses, deep, _ = token.groups()
        if name:
            parts.append(f"(?P<{name}>.+?)" if crosses else f"(?P<{name}>[^/]+?)")
        else:
            parts.append("(?:.*/)?" if deep == "**/" else ".*" if deep else "[^/]*")
        last = token.end()
    parts.append(re.escape(pattern[last:]))
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise RealEarError(f"audio: {pattern!r} is not a file-name pattern: {error}") from error


def _read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", "surrogateescape").strip()


def _table_line(line: str, form: str, where: Path) -> tuple[str, str]:
    """(id, words) of one line; RealEarError where the line has another form."""
    if form == "sphinx":
        if found := re.fullmatch(r"\s*(?:<s>)?(.*?)(?:</s>)?\s*\((\S+)\)\s*", line):
            return found[2], found[1].strip()
    else:
        name, separator, words = line.strip("\r\n").partition("\t")
        if form == "kaldi":  # any white space, as Kaldi's own scripts
            name, _, words = " ".join(line.split()).partition(" ")
        if separator or form == "kaldi":
            return name.strip(), words.strip()
    raise RealEarError(f"{where}: expected lines of the form {form!r}, found {line[:60]!r}")
