"""Doing without libraries that others import only because they find them.

Arrow looks for pandas when it is first given a value of Python's, to tell a Series from a list;
Beam does for types of batches, and for pymongo for the sake of one of its sources. That is a
quarter of what a worker process imports, and 0.15 s and 40 MB of a command that has nothing to do.
Both libraries are there for whoever imports them later, and Arrow then knows of pandas.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Absent(MetaPathFinder):
    """Finds nothing under some names, and lets nobody else look."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:  # noqa: ARG002
        """Nothing; ModuleNotFoundError where it is one of the names."""
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is left out for now", name=fullname)


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Within the block, libraries that are not loaded yet cannot be imported."""
    hiding = _Absent(names)
    sys.meta_path.insert(0, hiding)
    try:
        yield
    finally:
        sys.meta_path.remove(hiding)


def arrow() -> None:
    """Have Arrow do without pandas until somebody imports it."""
    import pyarrow

    if "pandas" in sys.modules:
        return
    with absent("pandas"):
        pyarrow.scalar(0)  # it looks once, and remembers
    sys.meta_path.insert(0, _Told())


class _Told(MetaPathFinder):
    """Waits for the first import of pandas, and has Arrow look again when that is done."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """Where pandas is; nothing of any other name."""
        if fullname != "pandas":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(fullname)
        if found is not None and found.loader is not None:
            _then(found.loader, _look_again)
        return found


def _then(loader: Any, done: Any) -> None:
    """Have a loader call `done` when its module is loaded."""
    load = loader.exec_module

    def both(module: ModuleType) -> None:
        load(module)
        done()

    loader.exec_module = both


def _look_again() -> None:
    import pyarrow

    pyarrow.table({}).to_pandas()
