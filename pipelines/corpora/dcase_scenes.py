"""DCASE task 1: acoustic scenes of TUT 2016 and 2017, and of TUT/TAU Urban 2018 to 2022.

Content: TUT Acoustic Scenes 2016 (development: 1,170 segments of 30 s) and 2017 (4,680 of 10 s), 15
scenes in Finland, binaural, 44.1 kHz, 24 bit. TUT Urban Acoustic Scenes 2018 (8,640 segments of
10 s, 24 h) and TAU Urban Acoustic Scenes 2019 (14,400, 40 h), ten scenes in European cities,
binaural, 48 kHz, 24 bit. TAU Urban Acoustic Scenes 2020 Mobile (23,040 segments, 64 h, one channel
of 44.1 kHz, three devices and six simulated ones); 2022 Mobile is the same cut into 1 s. Licence:
the university's own, for non-commercial use.

    folder/
      meta.csv    2018 and later, with a header: filename, scene_label, identifier, source_label
      meta.txt    2016 and 2017, no header: file, scene and, in 2017, identifier
      audio/airport-barcelona-0-0-a.wav      scene-city-location-segment-device
      audio/a001_0_30.wav                    recording_start_end
      evaluation_setup/fold1_train.csv, fold1_evaluate.csv or fold1_test.csv     (or .txt)

Both tables have tabs between their columns, whatever their names end in. Evaluation sets whose
labels are not published have no such table, and are not read.

Key: the file's name. Session: the recording location (`identifier`; in 2016, the original recording
that the file's name begins with), since segments of one place are not independent. Labels: `class`
(the scene), `class_index` (its place in the alphabetical order of its edition's scenes, as the
corpora give no numbers), `location`, `city`, `device` (a: the binaural recorder; b, c, d: phones
and cameras; s1 and on: simulated), `fold` (the fold whose test part holds the clip), `split` (its
part of the fold named by the option `fold`: train, test, or neither). There are no speakers and no
texts.

    reader: dcase-scenes
    folder: TAU-urban-acoustic-scenes-2020-mobile-development
    fold: 1
    split: [test]     # by default every clip of the table

A. Mesaros, T. Heittola, T. Virtanen, "TUT Database for Acoustic Scene Classification and Sound
Event Detection", EUSIPCO, 2016; the same, "A Multi-Device Dataset for Urban Acoustic Scene
Classification", DCASE Workshop, 2018; T. Heittola, A. Mesaros, T. Virtanen, "Acoustic Scene
Classification in DCASE 2020 Challenge", DCASE Workshop, 2020.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pipelines.corpora import listing, tables
from pipelines.corpora.base import Corpus, lines, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry

TABLES = ("meta.csv", "meta.txt")
COLUMNS = ("filename", "scene_label", "identifier")  # of meta.txt, which has two or all of them
SCENES_2016 = (
    "beach", "bus", "cafe/restaurant", "car", "city_center", "forest_path", "grocery_store",
    "home", "library", "metro_station", "office", "park", "residential_area", "train", "tram",
)  # fmt: skip
SCENES_2018 = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall",
    "street_pedestrian", "street_traffic", "tram",
)  # fmt: skip
SCENES_2020 = ("indoor", "outdoor", "transportation")  # of the edition with three classes
_LIST = re.compile(r"fold(\d+)_(train|test|evaluate)\.(?:txt|csv)")
_SEGMENT = re.compile(r"(.+)_\d+_\d+")  # recording_start_end, in seconds
_PLACE = re.compile(r"([a-z_]+)-\d+")  # city-location

Folds = dict[str, dict[str, set[str]]]  # fold, then train or test, then files


class DcaseScenes(Corpus):
    """A development set of acoustic scenes, of any year."""

    licence: ClassVar[str] = "non-commercial"

    fold: int = 1
    split: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the table, and one a recording that the table does not name."""
        table = listing.required(self.folder, TABLES, "a DCASE scene classification set")
        folds = _folds(Path(self.folder, "evaluation_setup"))
        if folds:
            listing.chosen("fold", [str(self.fold)], list(folds))
        parts = folds.get(str(self.fold), {})
        splits = listing.chosen("split", self.split, list(parts))
        scenes = SCENES_2016 if table.suffix == ".txt" else SCENES_2018

        def entry(row: Cells) -> Entry:
            tested = {fold: found["test"] for fold, found in folds.items()}
            place = {"fold": _part(row, tested), "split": _part(row, parts)}
            return _entry(row, scenes, place)

        def wanted(row: Cells) -> bool:
            return not self.split or _part(row, parts) in splits

        yield from listing.described(
            self.folder, table, _rows(table), entry, wanted=wanted, below="audio"
        )


def _rows(table: Path) -> Iterator[tuple[int, Cells | str]]:
    if table.suffix == ".csv":
        return tables.delimited(table, delimiter="\t", needs=COLUMNS[:2])
    first = next(filter(str.strip, lines(table)), "")
    columns = COLUMNS[: first.count("\t") + 1]
    return tables.delimited(table, delimiter="\t", columns=columns, needs=COLUMNS[:2])


def _folds(folder: Path) -> Folds:
    """Which files the cross-validation lists name; `evaluate` is `test` with its labels."""
    folds: Folds = {}
    for path in sorted(folder.glob("fold*")):
        if found := _LIST.fullmatch(path.name):
            parts = folds.setdefault(found[1], {"train": set(), "test": set()})
            files = {line.split("\t")[0].strip() for line in lines(path)}
            parts["train" if found[2] == "train" else "test"] |= files - {"filename", ""}
    return folds


def _part(row: Cells, parts: Mapping[str, set[str]]) -> str | None:
    """The first part whose files a row's is one of."""
    return next((name for name, files in parts.items() if row["filename"] in files), None)


def _entry(row: Cells, scenes: tuple[str, ...], parts: dict[str, str | None]) -> Entry:
    path, scene = row["filename"], row["scene_label"]
    stem = PurePosixPath(path).stem
    key = sound_key(stem)
    location = row.get("identifier") or _recording(stem)
    city = _PLACE.fullmatch(location or "")
    labels = listing.known(
        {
            "class": scene,
            "class_index": _index(scene, scenes),
            "location": location,
            "city": city[1] if city else None,
            "device": row.get("source_label"),
            **parts,
        }
    )
    return Entry(
        key=key,
        audio=path,
        session=location,
        labels=labels,
        fault=text_fault(key, *row.values()) or listing.without_label(key, labels),
    )


def _recording(stem: str) -> str | None:
    """The original recording that a segment of 2016 was cut from."""
    found = _SEGMENT.fullmatch(stem)
    return found[1] if found else None


def _index(scene: str, scenes: tuple[str, ...]) -> str | None:
    for names in (scenes, SCENES_2020):
        if scene in names:
            return str(names.index(scene))
    return None
