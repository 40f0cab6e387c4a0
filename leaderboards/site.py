"""A board as a folder that needs nothing else: it opens from a disk, a stick or any web server.

index.html     the first view, readable without a script
board.css      board.js
data/          section-0.js · slices-0-0.js · cells-0-0.js · history-0.js, read when asked for
vendor/        vega-<version>.js: Vega, Vega-Lite and Vega-Embed as vl-convert packs them
media/         sounds and pictures of clips
board.csv      board.json

The page's content security policy allows its own files and nothing else: no address, no inline
script or style, no `eval`; Vega's expressions are walked by its interpreter. `file:` stands beside
`'self'` because Firefox matches no file with `'self'`. `trusted-types` refuses whatever would make
HTML of a string, in our scripts and in Vega.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import vl_convert

from leaderboards import export, layout, page, payloads
from leaderboards.details import Detail, Origin
from leaderboards.examples import Media, Place
from leaderboards.records import Board

INDEX = "index.html"
OWN = ("data", "media", "vendor")  # folders in which what is not of this board is removed


def write(
    board: Board,
    folder: str | Path,
    *,
    details: Mapping[Place, Detail] | None = None,
    media: Media | None = None,
    origins: Sequence[Origin] = (),
    cache: Path | None = None,
) -> Path:
    """Write the board's page into a folder; the path of its `index.html`.

    `details` (`details.read`) are shown when a cell is opened, with the commands and facts of
    `origins`. The files that `media` names lie in `media/` already; the caller guarantees that they
    may be handed on. `cache` is a folder where the packed chart library is kept for other boards.
    Other files in `data/`, `media/` and `vendor/` are removed. The same board
    gives the same bytes. OSError where the folder cannot be written.
    """
    root, heard = Path(folder), media or Media()
    kept = _named(heard)
    for name, text in _data(board, details or {}, heard, origins):
        _put(root / "data" / f"{name}.js", payloads.script(name, text))
        kept.add(f"data/{name}.js")
    kept.add(_library(root, cache))
    _put(root / "board.css", layout.style("board"))
    _put(root / "board.js", layout.script("board"))
    _put(root / "board.csv", export.to_csv(board))
    _put(root / "board.json", export.to_json(board))
    _put(root / INDEX, page.build_page(board, library=library(), note=heard.note))
    _sweep(root, kept)
    return root / INDEX


def library() -> str:
    """The name of the chart library's file."""
    return (
        f"vega-{vl_convert.get_vega_version()}-{importlib.metadata.version('vl-convert-python')}.js"
    )


def _named(media: Media) -> set[str]:
    sounds = [sound for example in media.examples for sound in example.sounds]
    return {name for sound in sounds for name in (sound.file, sound.picture) if name}


def _data(
    board: Board, details: Mapping[Place, Detail], media: Media, origins: Sequence[Origin]
) -> Iterator[tuple[str, object]]:
    for at, section in enumerate(board.sections):
        yield f"section-{at}", payloads.of_section(board, section)
        for number, cut in enumerate(payloads.of_slices(section)):
            yield f"slices-{at}-{number}", cut
        if earlier := payloads.remembered(board, section):
            yield f"history-{at}", earlier
        listed = [(d, name) for d in section.shown() for name in section.comparison.datasets(d)]
        for number, (domain, name) in enumerate(listed):
            cells = payloads.of_dataset(section, domain, name, details, media, origins)
            yield f"cells-{at}-{number}", cells


def _library(root: Path, cache: Path | None) -> str:
    """Put the chart library beside the page, once a version: packing it takes seconds."""
    name = f"vendor/{library()}"
    if not (root / name).is_file():
        _put(root / name, _kept(cache) if cache else _bundle())
    return name


def _kept(cache: Path) -> str:
    """The chart library from a folder, or packed and left there, if the folder can be written."""
    path = cache / library()
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    packed = _bundle()
    with suppress(OSError):
        _put(path, packed)
    return packed


@lru_cache(maxsize=1)
def _bundle() -> str:
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _put(path: Path, text: str) -> None:
    """Write a file under a passing name and rename it: what has its name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Names of files that were never UTF-8 may stand in keys; they are shown as escapes.
        passing.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)


def _sweep(root: Path, kept: set[str]) -> None:
    for name in OWN:
        for path in sorted((root / name).glob("*")):
            if f"{name}/{path.name}" not in kept and path.is_file():
                path.unlink()
