"""The small CLAP that comes with RealEar, and the suites that show it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import models
from models.own import SHIPPED
from pipelines import arguments, config, evaluate, kinds, prompts
from pipelines.engines import Engine
from pipelines.recipes import sounds
from pipelines.recipes.synthesis import CLASSES
from pipelines.workspace import Workspace

ROOT = Path(__file__).parents[2]
WEIGHTS = SHIPPED / "sounds-and-digits"
MOST = 4_000_000  # bytes
LIMIT = 40  # clips


def test_the_weights_are_small_and_made_by_the_command_that_is_told():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= MOST
    text = (ROOT / "examples/training/clap.yaml").read_text(encoding="utf-8")
    said = arguments.words(re.findall(r"--set (\S+)", text), "--set")
    card = json.loads((WEIGHTS / "card.json").read_text())
    assert said.items() <= card["settings"].items()
    assert said["steps"] == card["steps"]
    assert card["data"]["learnt"]["name"] in text


def test_it_is_far_above_chance_on_sounds_that_it_never_heard():
    rows = sounds.plan(sounds.Sounds(each=2, seconds=(2.0, 2.0), seed=99))
    signals = [sounds.render(row).sounds["audio"].astype(np.float32) / 32_768 for row in rows]
    model = models.create("small-clap", device="cpu")
    heard = np.stack(model.embed_audio(signals, sample_rate=16_000))
    [texts] = prompts.load("sound-of").texts(prompts.spoken(CLASSES))
    said = np.array(list(CLASSES))[(heard @ np.stack(model.embed_text(texts)).T).argmax(axis=1)]
    right = np.mean(said == [row.name for row in rows])
    assert right >= 5 / len(CLASSES)
    assert right > 0.75


def test_the_files_to_learn_from_and_to_go_on_with_are_in_order():
    for name in ("training/clap.yaml", "bootstrapping.yaml"):
        found = config.load_datasets(str(ROOT / "examples" / name))
        evaluate.check_datasets(found)
        used = {(each.recipe or {})["kind"] for each in found.datasets.values()}
        assert used <= kinds.KINDS.keys()
        assert "captioned" in used


@pytest.mark.slow
def test_the_example_gives_the_table_of_models_and_datasets(recordings, tmp_path):
    value = config.load_suite(str(ROOT / "examples/zero-shot.yaml")).model_dump(exclude_unset=True)
    for name, dataset in value["datasets"].items():
        if name != "esc50":  # five clips
            dataset["limit"] = LIMIT
    suite = config.parse_suite(value, "here")
    outcome = evaluate.evaluate(suite, Workspace(str(tmp_path)), Engine(workers=1))
    sections = {each.comparison.name: each for each in outcome.board.sections}
    rows = {row.model for row in sections["sounds"].rows}
    sets = {name: prompts.load(name, {"esc50": "esc50"}).hash for name in ("sound-of", "sounds")}
    assert {f"small-clap+{name}@{hash_}" for name, hash_ in sets.items()} <= rows
    told = [table for table in sections["sounds"].tables if table.title.startswith("Prompts")]
    tables = {table.title.split(" on ")[1]: table for table in told}
    real = {row[0]: row for row in tables["esc50, %"].rows}
    asked = real[f"small-clap+sounds@{sets['sounds']}"]
    assert asked[1] == "5"
    assert asked[6].endswith("(5)")  # folds
    assert "~" in asked[2]  # five recordings: a rough interval
    digits = {row.model: row for row in sections["digits"].rows}
    best = max(row.synthetic.value for row in digits.values())
    assert best > 0.9  # voices that it did not learn from; people are another matter
    assert all(row.real.counts.scored > 0 for row in digits.values())
