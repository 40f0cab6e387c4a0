"""Plans: a table that says what every clip will be, and from which the same bytes come again."""

import io
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import generate, make, plans, versions
from pipelines.config import DatasetConfig
from pipelines.engines import Engine
from pipelines.mixture_kinds import Scenes
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.workspace import Workspace

RATE = 8_000  # Hz
READINGS = {"kind": "readings", "sentences": 3, "readings_per_text": 2}
SCENES = {
    "kind": "scenes",
    "of": ["set"],
    "talkers": 2,
    "clips": 12,
    "sample_rate": RATE,
    "length": "max",
    "room": {},
    "noise": {"kinds": ["white", "pink"], "snr_db": [0, 10]},
}
DRY = {name: value for name, value in SCENES.items() if name != "room"}  # which takes no time


@pytest.fixture
def talkers(corpora) -> dict[str, make.Made]:
    """A prepared dataset `set`: four speakers, two clips each."""
    for number in range(8):
        samples = 6_400 + 800 * number
        corpora.wav(f"p{number // 2}_{number}.wav", corpora.noise(samples, seed=number))
        corpora.file(f"p{number // 2}_{number}.txt", f"text {number}")
    return {"set": corpora.prepare(audio="{speaker}_{take}.wav", text={"beside": ".txt"})}


def config(recipe: dict, **options) -> DatasetConfig:
    return DatasetConfig(**{"domain": "synthetic", "recipe": recipe, "shards": 3} | options)


def made(corpora, others, recipe=SCENES, **options) -> make.Made:
    return make.make("made", config(recipe, **options), corpora.workspace, corpora.engine, others)


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def said(plan: plans.Plan) -> str:
    file = io.StringIO()
    plans.summarise(plan, file=file, width=100)
    return file.getvalue()


def planned(others, recipe=SCENES, **options) -> plans.Plan:
    return generate.plan("made", config(recipe, **options), others)


# The table


@pytest.mark.parametrize("recipe", [READINGS, SCENES], ids=lambda recipe: recipe["kind"])
def test_a_plan_comes_back_from_its_table_as_it_was(talkers, recipe):
    plan = planned(talkers, recipe)
    table = plans.to_table(plan, "digest")
    assert plans.from_table(table, "x") == plan
    assert len(table) == plan.clips
    assert plans.to_table(planned(talkers, recipe), "digest").equals(table, check_metadata=True)


def test_the_table_can_be_read_by_anybody(corpora, talkers):
    folder = made(corpora, talkers).folder
    table = pq.read_table(f"{folder}/plan.parquet")
    index = {row.key: row for row in datasets.read_rows(f"{folder}/index.parquet")}
    contents = {
        r.key: r.content for r in datasets.read_rows(f"{talkers['set'].folder}/index.parquet")
    }
    assert table.column_names[0] == "key"
    assert set(table["key"].to_pylist()) == index.keys()
    for record in table.to_pylist():
        assert record["shard"] == index[record["key"]].shard
        assert (record["sample_rate"], record["schema_version"]) == (RATE, 2)
        keys = [talker["key"] for talker in json.loads(record["talkers"])]
        assert [source["key"] for source in record["made_of"]] == keys
        assert all(contents[s["key"]] == s["content"] for s in record["made_of"])
    stated = json.loads(table.schema.metadata[b"realear"])
    assert stated["kind"] == "scenes"
    assert stated["options"]["talkers"] == 2
    assert stated["options"]["seed"] == 0  # a default
    assert stated["datasets"] == {"set": talkers["set"].card.content}
    assert {"numpy", "scipy", "libsndfile", "pyroomacoustics"} <= stated["libraries"].keys()
    assert "missing" not in stated["libraries"].values()


def test_a_plan_is_written_again_only_if_it_says_something_else(corpora, talkers, monkeypatch):
    where = Path(made(corpora, talkers).folder, "plan.parquet")
    stamp, there = where.stat().st_mtime_ns, plans.read(str(where))
    made(corpora, talkers)
    assert where.stat().st_mtime_ns == stamp
    monkeypatch.setattr(plans, "libraries", lambda kind: {"numpy": "0"})
    made(corpora, talkers)  # nothing was rendered: the old versions made what is there
    assert replace(plans.read(str(where)), seal=there.seal) == there
    made(corpora, talkers, {**SCENES, "clips": 13})
    assert plans.read(str(where)).clips == 13
    assert plans.read(str(where)).libraries == {"numpy": "0"}


# Taken as it stands


@pytest.fixture
def planning(monkeypatch) -> list[str]:
    """Grows whenever scenes are planned."""
    found: list[str] = []
    plan = Scenes.plan
    monkeypatch.setattr(Scenes, "plan", lambda *asked: found.append("planned") or plan(*asked))
    return found


def decided(corpora, others, recipe=DRY, **options) -> plans.Plan:
    asked = config(recipe, **options)
    folder = corpora.workspace.dataset("made")
    homes = datasets.homes(folder, asdict(asked.cutting))
    return generate.decide("made", asked, folder, others, homes)


def test_scenes_are_planned_once_where_nothing_changed(corpora, talkers, planning):
    first = made(corpora, talkers, DRY)
    assert planning == ["planned"]
    assert made(corpora, talkers, DRY) == first
    assert decided(corpora, talkers) == plans.read(f"{first.folder}/plan.parquet")
    assert planning == ["planned"]
    assert decided(corpora, talkers) == planned(talkers, DRY)


def test_a_plan_that_grew_stands_too(corpora, talkers, planning):
    made(corpora, talkers, {**DRY, "clips": 6})
    grown = made(corpora, talkers, DRY)
    assert made(corpora, talkers, DRY) == grown
    assert len(planning) == 2


def label(corpora, talkers, monkeypatch):
    """One transcript of the sources is another; no sound changes."""
    corpora.file("p2_4.txt", "another text")
    corpora.prepare(audio="{speaker}_{take}.wav", text={"beside": ".txt"})
    talkers["set"] = make.Made(datasets.read_card(talkers["set"].folder), talkers["set"].folder)


def library(corpora, talkers, monkeypatch):
    known = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: known(name).replace(".", ".0"))


def our_code(corpora, talkers, monkeypatch):
    monkeypatch.setattr(versions, "code", lambda *packages: "0")


def rendering(corpora, talkers, monkeypatch):
    monkeypatch.setattr(generate, "VERSION", "next")


def row_by_hand(corpora, talkers, monkeypatch):
    where = Path(corpora.workspace.dataset("made"), "plan.parquet")
    table = pq.read_table(where)
    noise = [json.dumps({**json.loads(table["noise"][0].as_py()), "snr_db": 20.0})]
    column = [[*noise, *table["noise"].to_pylist()[1:]]]
    pq.write_table(table.set_column(table.column_names.index("noise"), "noise", column), where)


def note_by_hand(corpora, talkers, monkeypatch):
    where = Path(corpora.workspace.dataset("made"), "plan.parquet")
    table = pq.read_table(where)
    stated = json.loads(table.schema.metadata[b"realear"]) | {"notes": ["all is well"]}
    pq.write_table(table.replace_schema_metadata({b"realear": json.dumps(stated)}), where)


def half_a_file(corpora, talkers, monkeypatch):
    where = Path(corpora.workspace.dataset("made"), "plan.parquet")
    where.write_bytes(where.read_bytes()[:-100])


def no_card(corpora, talkers, monkeypatch):
    """As a kill before the end leaves it."""
    Path(corpora.workspace.dataset("made"), "dataset.json").unlink()


@pytest.mark.parametrize(
    "change",
    [label, library, our_code, rendering, row_by_hand, note_by_hand, half_a_file, no_card],
    ids=lambda change: change.__name__,
)
def test_scenes_are_planned_anew_after_any_change(corpora, talkers, planning, monkeypatch, change):
    made(corpora, talkers, DRY)
    change(corpora, talkers, monkeypatch)
    made(corpora, talkers, DRY)
    assert len(planning) == 2
    made(corpora, talkers, DRY)
    assert len(planning) == (3 if change is row_by_hand else 2)  # and then it stands again
    assert decided(corpora, talkers) == planned(talkers, DRY)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [({"seed": 1}, {}), ({"noise": None}, {}), ({}, {"limit": 11}), ({}, {"shards": 2})],
)
def test_scenes_of_another_recipe_or_cut_are_planned_anew(
    corpora, talkers, planning, recipe, options
):
    made(corpora, talkers, DRY)
    now = {**DRY, **recipe}
    made(corpora, talkers, now, **options)
    assert len(planning) == 2
    assert decided(corpora, talkers, now, **options).options == planned(talkers, now).options


def test_repacking_plans_anew(corpora, talkers, planning):
    made(corpora, talkers, DRY)
    make.make("made", config(DRY), corpora.workspace, corpora.engine, talkers, repack=True)
    assert len(planning) == 2


# Once more


def replayed(path: Path, workspace: Workspace, others, workers: int = 1) -> make.Made:
    return make.replay(plans.read(str(path)), workspace, Engine(workers=workers), others)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plan_makes_the_same_bytes_elsewhere(corpora, talkers, tmp_path, workers):
    first = made(corpora, talkers)
    plan = shutil.copy(f"{first.folder}/plan.parquet", tmp_path / "kept.parquet")
    again = replayed(plan, Workspace(str(tmp_path / "elsewhere")), talkers, workers)
    assert files(again.folder) == files(first.folder)


def test_a_dataset_that_grew_comes_again_with_its_shards(corpora, talkers, tmp_path):
    made(corpora, talkers, {**SCENES, "clips": 6})
    grown = made(corpora, talkers)
    assert len(grown.card.shards) > 3
    again = replayed(
        Path(grown.folder, "plan.parquet"), Workspace(str(tmp_path / "elsewhere")), talkers
    )
    assert files(again.folder) == files(grown.folder)


def test_a_plan_of_readings_needs_no_dataset(corpora, tmp_path):
    first = made(corpora, {}, READINGS)
    plan = Path(first.folder, "plan.parquet")
    again = replayed(plan, Workspace(str(tmp_path / "elsewhere")), {})
    assert files(again.folder) == files(first.folder)


def test_source_clips_that_are_missing_or_changed_are_counted_and_named(corpora, talkers):
    first = made(corpora, talkers)
    before = files(first.folder)
    (corpora.folder / "p0_0.wav").unlink()
    corpora.wav("p1_2.wav", corpora.noise(8_000, seed=99))
    corpora.file("p2_4.txt", "another text")
    again = {"set": corpora.prepare(audio="{speaker}_{take}.wav", text={"beside": ".txt"})}
    with pytest.raises(RealEarError) as caught:
        replayed(Path(first.folder, "plan.parquet"), corpora.workspace, again)
    message = str(caught.value)
    assert "expected its 8 source clips as they were" in message
    assert "1 missing (p0_0) and 2 changed in sound or labels (p1_2, p2_4)" in message
    assert "prepare set from the same recordings again" in message
    assert files(first.folder) == before


def test_a_plan_of_other_rendering_is_refused(talkers):
    plan = replace(planned(talkers), version="0")
    with pytest.raises(RealEarError, match=r"expected rendering of version .*, found 0"):
        generate.again(plan, talkers)


def test_other_libraries_are_told(talkers):
    plan = planned(talkers)
    assert plans.changed_libraries(plan) == []
    other = replace(plan, libraries={**plan.libraries, "numpy": "1.0", "gone": "2"})
    [gone, numpy] = plans.changed_libraries(other)
    assert gone == "gone 2 then, missing now"
    assert numpy == f"numpy 1.0 then, {np.__version__} now"


@pytest.mark.parametrize("name", ["index.parquet", "dataset.json", "nothing.parquet"])
def test_what_is_no_plan_is_refused(corpora, talkers, name):
    with pytest.raises(RealEarError, match=r"expected a plan|cannot be read"):
        plans.read(f"{talkers['set'].folder}/{name}")


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        ("name", "../../up", "String should match pattern"),
        ("datasets", {"../set": "0"}, "String should match pattern"),
        ("name", "other", "'made-000000' is no shard of other"),
        ("schema_version", 99, "schema_version 99, not 2"),
        ("kind", "scene", "did you mean 'scenes'"),
        ("config", {"domain": "synthetic"}, "expected one of corpus, recipe, path"),
    ],
)
def test_a_plan_from_elsewhere_leads_nowhere_else(talkers, place, value, text):
    table = plans.to_table(planned(talkers), "digest")
    stated = json.loads(table.schema.metadata[b"realear"]) | {place: value}
    changed = table.replace_schema_metadata({b"realear": json.dumps(stated).encode()})
    with pytest.raises(RealEarError, match=re.escape(text)):
        plans.from_table(changed, "x")


def test_a_row_that_was_changed_by_hand_is_made_as_it_says(corpora, talkers):
    """One parameter changed: the plan is edited and replayed, and only that shard is made anew."""
    first = made(corpora, talkers)
    where = Path(first.folder, "plan.parquet")
    table = pq.read_table(where)
    before = json.loads(table["noise"][0].as_py())
    noise = [json.dumps(before | {"snr_db": 20.0}), *table["noise"].to_pylist()[1:]]
    column = table.column_names.index("noise")
    pq.write_table(table.set_column(column, "noise", [noise]), where)
    stamps = {path.name: path.stat().st_mtime_ns for path in Path(first.folder).glob("*.tar")}
    again = replayed(where, corpora.workspace, talkers)
    now = {path.name: path.stat().st_mtime_ns for path in Path(first.folder).glob("*.tar")}
    assert {name for name in now if now[name] != stamps[name]} == {f"{table['shard'][0]}.tar"}
    rows = {row.key: row for row in datasets.read_rows(f"{again.folder}/index.parquet")}
    assert before["snr_db"] != 20
    assert float(rows[table["key"][0].as_py()].labels["snr_db"]) == 20


# For people


def test_a_summary_counts_clips_hours_speakers_and_figures(talkers):
    plan = planned(talkers)
    lines = [" ".join(line.split()) for line in said(plan).splitlines()]
    seconds = sum(row.seconds for row in plan.rows)
    assert lines[0] == "made"
    assert lines[1] == f"12 clips, {seconds:.0f} s of audio, 4 speakers, 3 shards"
    assert lines[2] == "made of 8 clips of set"
    assert "Talkers: 2 12" in lines
    for title in ("SNR, dB", "T60, s", "Duration, s"):
        start = next(n for n, line in enumerate(lines) if line.startswith(f"{title} (median"))
        end = lines.index("", start) if "" in lines[start:] else len(lines)
        bars = [line.split() for line in lines[start + 1 : end]]
        assert sum(int(bar[-1]) for bar in bars if bar[-1].isdigit() and len(bar) > 3) == 12


def test_a_plan_of_nothing_says_so(talkers):
    plan = replace(planned(talkers), shards={}, contents={})
    assert "0 clips, 0 s of audio, 0 speakers, 0 shards" in " ".join(said(plan).split())


# The command


def recipe_file(folder: Path, corpus: Path) -> Path:
    found = {
        "datasets": {
            "set": {
                "domain": "real",
                "corpus": {"folder": str(corpus), "audio": "{speaker}_{take}.wav"},
            },
            "pairs": {"domain": "simulated", "recipe": SCENES, "shards": 3},
        }
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(found))
    return path


def test_the_command_plans_makes_and_makes_again(corpora, talkers, realear, tmp_path, tree):
    recipe = recipe_file(tmp_path, corpora.folder)
    first, second = tmp_path / "first", tmp_path / "second"
    early = realear("generate", recipe, "--plan-only", "--out", first)
    assert early.code == 2
    assert "expected dataset 'set', which it is made of, found none" in early.text
    assert "realear generate RECIPE.yaml set" in early.text
    assert realear("generate", recipe, "set", "--out", first).code == 0
    shown = realear("generate", recipe, "--plan-only", "--out", first)
    assert shown.code == 0
    assert "12 clips" in shown.text
    assert [path.name for path in (first / "datasets/pairs").iterdir()] == ["plan.parquet"]
    made = realear("generate", recipe, "--out", first, "--workers", 1)
    assert (made.code, "pairs: 12 clips" in made.text) == (0, True)
    plan = first / "datasets/pairs/plan.parquet"
    again = realear("generate", recipe, "--replay", plan, "--out", second, "--workers", 2)
    assert again.code == 0, again.text
    assert tree(second) == tree(first)
    without = realear("generate", "--replay", plan, "--out", first)
    assert "Generate pairs: all 3 shards up to date" in without.text


def test_the_command_wants_a_recipe_or_a_plan(realear, tmp_path):
    ended = realear("generate", "--out", tmp_path)
    assert ended.code == 2
    assert "expected RECIPE.yaml, or --replay PLAN.parquet" in ended.text


def test_rooms_that_miss_their_reverberation_are_counted_on_the_card():
    from pipelines.mixture_kinds import Scenes
    from pipelines.recipes.rooms import Room

    point = (1.0, 1.0, 1.0)
    rooms = [
        Room(size_m=(4.0, 3.0, 2.5), source=point, microphone=(2.0, 2.0, 1.5), absorption=0.3,
             asked_t60_s=0.4, t60_s=found)
        for found in (0.41, 0.5)
    ]  # fmt: skip
    scenes = [SimpleNamespace(talkers=[SimpleNamespace(room=room)]) for room in [*rooms, None]]
    [note] = Scenes().notes(None, scenes)
    assert note.startswith("1 of 3 clips are in rooms whose measured T60 is more than 15%")
    assert Scenes().notes(None, [scenes[0], scenes[2]]) == ()
