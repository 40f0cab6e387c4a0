"""Arguments: what words on the command line stand for: datasets, readers, parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import stores
from pipelines.make import Made
from pipelines.records import RealEarError
from pipelines.schema import nearest
from pipelines.shards import datasets
from pipelines.workspace import Workspace


def find(dataset: str, workspace: Workspace) -> Made:
    """A prepared dataset by its folder, or by its name in the workspace."""
    for folder in (dataset.rstrip("/"), workspace.dataset(dataset)):
        if stores.exists(f"{folder}/{datasets.CARD}"):
            return Made(datasets.read_card(folder), folder)
    listed = stores.listing(f"{workspace.root}/datasets", f"*/{datasets.CARD}")
    known = [path.split("/")[-2] for path in listed]
    raise RealEarError(
        f"expected a prepared dataset (a folder with {datasets.CARD}, or a name in "
        f"{workspace.root}/datasets), found none called {dataset!r}: {nearest(dataset, known)}"
    )


def corpus(
    folder: str, reader: str, settings: Sequence[str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """A reader and its options; those that the command has words of its own for are of `files`."""
    named = {name: value for name, value in given.items() if value}
    if reader == "files" and Path(folder).is_file():
        reader = "manifest"
    where = {"file": folder} if reader == "manifest" else {"folder": folder}
    return {"reader": reader, **where, **named, **words(settings, "--set")}


def words(settings: Sequence[str], what: str) -> dict[str, Any]:
    """`name=value` words as a mapping; values are JSON where they can be, else text."""
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise RealEarError(f"{what}: expected name=value, found {setting!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def metric(text: str) -> tuple[str, dict[str, Any]]:
    """`wer:normaliser=basic` as the metric's name and parameters.

    Every parameter begins with its name after a colon, so that other colons may stand in its value:
    `blind_si_snr:estimator=package:Class:parameters={"a": 1}`.
    """
    name, _, rest = text.partition(":")
    settings = re.split(r":(?=[A-Za-z_]\w*=)", rest) if rest else []
    return name, words(settings, "--metric")


def transcripts(text: str | None, label: str | None) -> dict[str, str] | None:
    """Where transcripts come from, as the corpus reader takes it."""
    if label:
        return {"label": label}
    if text is None:
        return None
    return {"beside": text} if text.startswith(".") else {"file": text}
