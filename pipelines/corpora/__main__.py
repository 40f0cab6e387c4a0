"""`python -m pipelines.corpora` prints docs/corpora.md: every reader and its data sheet."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator

from pipelines.corpora import READERS
from pipelines.corpora.base import Corpus

INTRODUCTION = """\
# Corpora

Made by `python -m pipelines.corpora` (`make docs`) from the readers' docstrings; change them there.

A reader lists a corpus without touching its audio. In a suite it stands under `corpus`; on the
command line, `realear prepare FOLDER --reader NAME --set option=value --name DATASET`. What a
corpus's own tables leave open or get wrong is a counted failure, never a clip that is missing.
"""


def readers() -> dict[str, type[Corpus]]:
    """Every reader by name."""
    found = {}
    for name, place in READERS.items():
        module, _, attribute = place.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


def page() -> str:
    """The whole page as Markdown, ending in a newline."""
    modules: dict[str, list[str]] = {}
    for name, reader in readers().items():
        modules.setdefault(reader.__module__, []).append(name)
    lines = [INTRODUCTION, "| reader | | licence | options |", "| --- | --- | --- | --- |"]
    lines += _table()
    for module, names in modules.items():
        text = inspect.cleandoc(sys.modules[module].__doc__ or "")
        lines += ["", f"## {', '.join(names)}", "", text]
    return "\n".join(lines) + "\n"


def _table() -> Iterator[str]:
    for name, reader in readers().items():
        summary = summary_of(reader).replace("|", "\\|")
        options = ", ".join(f"`{o}`" for o in reader.model_fields if o not in ("folder", "name"))
        licence = reader.licence if reader.licence != "unknown" else ""
        yield f"| [`{name}`](#{anchor(reader)}) | {summary} | {licence} | {options} |"


def anchor(reader: type[Corpus]) -> str:
    """Where a reader's sheet stands in the page."""
    names = [name for name, other in readers().items() if other.__module__ == reader.__module__]
    return "-".join(names)


def summary_of(reader: type[Corpus]) -> str:
    """The first sentence of a reader's data sheet, as one line."""
    text = inspect.cleandoc(sys.modules[reader.__module__].__doc__ or "")
    return " ".join(text.split("\n\n")[0].split())


if __name__ == "__main__":
    sys.stdout.write(page())
