"""Kinds of recipe that put clips of datasets together: scenes, LibriMix's own mixtures, and clips
covered by something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.corpora.base import sound_key
from pipelines.corpora.tables import Cells, delimited
from pipelines.kinds import Figures, Kind, Sources, Stage
from pipelines.recipes import covered, librimix, scenes
from pipelines.recipes.placing import overlapped
from pipelines.recipes.rooms import LEEWAY, Room
from pipelines.shards.datasets import Row
from pipelines.shards.packing import Sample
from pipelines.tasks.classification import truth


class Scenes(Kind[scenes.Scenes, scenes.Scene]):
    """Mixtures, noisy and reverberant speech."""

    options = scenes.Scenes
    row = scenes.Scene
    libraries = ("pyloudnorm", "pyroomacoustics", "soxr")
    costly = True  # walls are fitted to a room's reverberation, by simulating it

    def plan(self, recipe: scenes.Scenes, sources: Sources) -> list[scenes.Scene]:
        """Who is heard with whom, where and in what noise."""
        clips = [
            scenes.SourceClip(
                row.key, row.speaker or row.cluster, row.seconds, row.text, row.labels.get("gender")
            )
            for row in sources.of(sources.own).values()
        ]
        noises = [
            scenes.NoiseClip(row.key, _type(row) or name, row.seconds, row.session)
            for name in (recipe.noise.of if recipe.noise else ())
            for row in sources.of([name]).values()
        ]
        halls = [
            scenes.ResponseClip(row.key, row.labels.get("room") or row.session or row.key)
            for row in sources.of(
                recipe.recorded_rooms.of if recipe.recorded_rooms else ()
            ).values()
        ]
        return scenes.plan(recipe, clips, noises, halls)

    def notes(self, sources: Sources, rows: Sequence[scenes.Scene]) -> tuple[str, ...]:  # noqa: ARG002
        """How many clips lie in rooms whose reverberation is not the one asked for."""
        missed = sum(
            any(isinstance(talker.room, Room) and talker.room.missed for talker in row.talkers)
            for row in rows
        )
        if not missed:
            return ()
        return (
            f"{missed} of {len(rows)} clips are in rooms whose measured T60 is more than "
            f"{LEEWAY:.0%} from the one asked for: the label is what was measured",
        )

    def seconds(self, row: scenes.Scene) -> float:
        """As planned."""
        return row.seconds

    def speakers(self, row: scenes.Scene) -> tuple[str, ...]:
        """The talkers, not those who babble."""
        return tuple(talker.speaker for talker in row.talkers)

    def figures(self, row: scenes.Scene) -> Figures:
        """Who talks, how loud and for how long at once; noise, room and channel."""
        talkers = row.talkers
        found: Figures = {"Talkers": str(len(talkers))}
        if genders := [talker.gender for talker in talkers if talker.gender]:
            found["Gender"] = "+".join(sorted(genders))
        if row.split is not None:
            found["Split"] = row.split
        unit = "dBFS" if talkers[0].loudness_lufs is None else "LUFS"
        found[f"Level, {unit}"] = tuple(talker.level for talker in talkers)
        if len(talkers) > 1:
            spans = [(t.offset_seconds, t.offset_seconds + t.seconds) for t in talkers]
            found["Overlap"] = overlapped(spans)
        if row.noise is not None:
            found["Noise"] = row.noise.type
            if row.noise.snr_db is not None:
                found["SNR, dB"] = row.noise.snr_db
        rooms = [talker.room for talker in talkers if isinstance(talker.room, scenes.Room)]
        if rooms:
            found |= {"T60, s": rooms[0].t60_s, "Distance, m": tuple(r.distance_m for r in rooms)}
        return found

    def sample(self, row: scenes.Scene, stage: Stage) -> Sample:
        """One scene."""
        rendered = scenes.render(row, stage.signals_at(row.sample_rate))
        talkers = [stage.clip(talker.key).row for talker in row.talkers]
        alone = talkers[0] if len(talkers) == 1 else None
        return Sample(
            key=row.key,
            sounds=rendered.sounds,
            sample_rate=rendered.sample_rate,
            # A mixture belongs to all of its talkers; with one talker it is that talker's clip.
            cluster="+".join(sorted(talker.cluster for talker in talkers)),
            pair=(alone.pair or alone.key) if alone else row.key,
            speaker="+".join(talker.speaker or "" for talker in talkers) or None,
            text=row.text,
            labels=rendered.labels,
            provenance={"row": row.model_dump(mode="json")},
        )


def _type(row: Row) -> str | None:
    """What a recorded noise is of, where its corpus says so."""
    return row.labels.get("noise") or row.labels.get("class")


class CoveredClips(Kind[covered.Covered, covered.Covering]):
    """Clips of any classes under noise, speech or another class."""

    options = covered.Covered
    row = covered.Covering

    def plan(self, recipe: covered.Covered, sources: Sources) -> list[covered.Covering]:
        """What covers which clip."""
        clips = [_to_cover(row) for row in sources.of(sources.own).values()]
        covers = [_to_cover(row) for row in sources.of(recipe.over.of).values()]
        return covered.plan(recipe, clips, covers)

    def seconds(self, row: covered.Covering) -> float:
        """As long as the clip."""
        return row.seconds

    def speakers(self, row: covered.Covering) -> tuple[str, ...]:  # noqa: ARG002
        """Nobody is planned for."""
        return ()

    def figures(self, row: covered.Covering) -> Figures:
        """What covers it, and how loud."""
        return {"Over": row.labels["over"], "SNR, dB": row.snr_db}

    def sample(self, row: covered.Covering, stage: Stage) -> Sample:
        """One mixture, in the cluster and pair of the clip itself."""
        rendered = covered.render(row, stage.signals_at(row.sample_rate))
        own = stage.clip(row.clip).row
        return Sample(
            key=row.key,
            sounds=rendered.sounds,
            sample_rate=rendered.sample_rate,
            cluster=own.cluster,
            pair=own.pair or own.key,
            speaker=own.speaker,
            text=own.text,
            labels=rendered.labels,
            provenance={"row": row.model_dump(mode="json")},
        )


def _to_cover(row: Row) -> covered.SourceClip:
    return covered.SourceClip(row.key, row.seconds, truth(row), row.labels)


class LibriMix(Kind[librimix.LibriMix, librimix.Mixture]):
    """LibriMix's mixtures, of datasets of LibriSpeech and of WHAM!'s noise.

    A path of LibriMix's tables, `test-clean/1089/134686/1089-134686-0021.flac`, is looked for among
    the keys of the datasets: whole, then without its first folder, and so on to the file name. So
    the reader `librispeech` will do, and `files` for WHAM!'s noise, whatever folder they begin at.
    """

    options = librimix.LibriMix
    row = librimix.Mixture
    libraries = ("scipy",)

    def stated(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The table by its name, wherever it lies."""
        return {**recipe, "metadata": PurePosixPath(str(recipe["metadata"])).name}

    def plan(self, recipe: librimix.LibriMix, sources: Sources) -> list[librimix.Mixture]:
        """The mixtures of the table."""
        where = Path(recipe.metadata)
        info = where.with_name(f"{where.stem}_info{where.suffix}")
        sexes = librimix.sexes_of(_lines(info, ["mixture_ID"])) if info.is_file() else {}
        table = _lines(where, librimix.COLUMNS)
        found = librimix.plan(recipe, table, lambda path: _clip_at(path, sources.rows), sexes)
        _refuse_rates(found, sources)
        _refuse_mixed_down(found, sources)
        return found

    def seconds(self, row: librimix.Mixture) -> float:
        """As planned."""
        return row.seconds

    def speakers(self, row: librimix.Mixture) -> tuple[str, ...]:
        """The talkers that are heard."""
        return tuple(talker.speaker for talker in row.heard)

    def figures(self, row: librimix.Mixture) -> Figures:
        """Gains, and who is with whom."""
        found: Figures = {"Talkers": str(len(row.heard)), "Gain": tuple(t.gain for t in row.heard)}
        if row.noise is not None:
            found["Gain of the noise"] = row.noise.gain
        return found | ({"Gender": row.gender} if row.gender else {})

    def sample(self, row: librimix.Mixture, stage: Stage) -> Sample:
        """One mixture."""
        rendered = librimix.render(row, lambda key: stage.clip(key).channels()[0])
        talkers = [stage.clip(talker.key).row for talker in row.heard]
        alone = talkers[0] if len(talkers) == 1 else None
        texts = {f"text_{n}": t.text for n, t in enumerate(talkers, 1) if t.text is not None}
        return Sample(
            key=row.key,
            sounds=rendered.sounds,
            sample_rate=rendered.sample_rate,
            cluster="+".join(sorted(talker.cluster for talker in talkers)),
            pair=(alone.pair or alone.key) if alone else row.key,
            speaker="+".join(sorted(talker.speaker for talker in row.heard)) or None,
            text=alone.text if alone else None,
            labels={**rendered.labels, **({} if alone else texts)},
            provenance={"row": row.model_dump(mode="json")},
        )


def _lines(where: Path, columns: Sequence[str]) -> list[Cells]:
    """The rows of a table; ValueError naming the first line that is none."""
    found = []
    for number, cells in delimited(where, needs=columns):
        if isinstance(cells, str):
            raise ValueError(
                f"{where}, line {number}: expected a row, found {cells.strip()[:60]!r}"
            )
        found.append(cells)
    return found


def _clip_at(path: str, rows: Mapping[str, Row]) -> librimix.SourceClip | None:
    """The clip that a path of a table stands for, from whatever folder its key begins at."""
    parts = PurePosixPath(path).with_suffix("").parts
    keys = (sound_key("/".join(parts[start:])) for start in range(len(parts)))
    row = next((rows[key] for key in keys if key in rows), None)
    if row is None:
        return None
    return librimix.SourceClip(row.key, row.seconds, row.speaker or "")


def _refuse_rates(found: Sequence[librimix.Mixture], sources: Sources) -> None:
    used = {key: sources.rows[key].sample_rate for row in found for key in row.source_keys}
    wrong = [f"{key} at {rate} Hz" for key, rate in used.items() if rate != librimix.RATE]
    if wrong:
        raise ValueError(
            f"expected sources at {librimix.RATE} Hz, as LibriMix has them, found {len(wrong)} at "
            f"other rates: {', '.join(wrong[:3])}: prepare them without `sample_rate`"
        )


def _refuse_mixed_down(found: Sequence[librimix.Mixture], sources: Sources) -> None:
    """LibriMix takes the first channel of WHAM!'s noise; the mean of both would be another one."""
    keys = {row.noise.key for row in found if row.noise is not None}
    for name, made in sources.made.items():
        if made.card.made_by.get("channels") == "mono" and keys & sources.of([name]).keys():
            raise ValueError(
                f"expected the first channel of the noise, found that dataset {name!r} holds the "
                "mean of its channels: prepare it with `channels: 0`"
            )
