"""Corpora: readers that list what a collection of recordings holds, without touching the audio.

A reader is a frozen configuration with one method, `entries()`. To add one: a module in this
folder, a line in READERS, a test.
"""

from __future__ import annotations

import importlib
from typing import Any

from pipelines.corpora.base import Corpus
from pipelines.records import RealEarError
from pipelines.schema import nearest, validate

READERS = {
    "files": "pipelines.corpora.files:Files",
    "manifest": "pipelines.corpora.manifest:Manifest",
}


def create(config: dict[str, Any], where: str) -> Corpus:
    """The reader that a configuration names under `reader`; RealEarError where it is wrong."""
    settings = dict(config)
    name = str(settings.pop("reader", "files"))
    if name not in READERS:
        raise RealEarError(f"{where}: unknown reader {name!r}: {nearest(name, READERS)}")
    module, _, attribute = READERS[name].partition(":")
    reader: type[Corpus] = getattr(importlib.import_module(module), attribute)
    return validate(reader, settings, where)
