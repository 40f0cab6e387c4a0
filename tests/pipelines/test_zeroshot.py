"""Zero-shot: embeddings are made once, words and probes are rows, and no clip is lost."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from leaderboards import terminal
from leaderboards.records import Board
from pipelines import gates, prompts
from pipelines.cleaning import clean
from pipelines.config import parse_suite
from pipelines.corpora import dcase_scenes, free_spoken_digits
from pipelines.engines import Engine
from pipelines.evaluate import evaluate
from pipelines.records import RealEarError
from pipelines.score import Answers
from pipelines.shards.datasets import read_rows
from pipelines.tasks import arrays
from pipelines.workspace import Workspace

pytestmark = pytest.mark.usefixtures("doubles")

HERTZ = {"low": (300, 420, 520, 640), "high": (2_900, 3_100, 3_300, 3_500)}
FOLDS = 4


def tone(hertz: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(4_000) / 8_000)


def suite(folder: Path, **comparison) -> dict:
    corpus = {"folder": str(folder), "audio": "{class}_{fold}.wav", "speaker": "{fold}"}
    return {
        "name": "tones",
        "datasets": {"tones": {"domain": "real", "corpus": corpus, "shards": 3}},
        "comparisons": {
            "classes": {
                "task": "zero-shot",
                "models": ["doubles:Centroid"],
                "metrics": {"top_1": {}},
                "real": ["tones"],
                **comparison,
            }
        },
    }


@pytest.fixture
def tones(corpora) -> Path:
    for name, pitches in HERTZ.items():
        for fold, hertz in enumerate(pitches):
            corpora.wav(f"{name}_{fold}.wav", tone(hertz))
    return corpora.folder


@pytest.fixture
def run(corpora):
    """Evaluate a suite; its one section."""

    def evaluated(value: dict):
        outcome = evaluate(parse_suite(value, "here"), corpora.workspace, corpora.engine)
        [section] = outcome.board.sections
        return section

    return evaluated


@pytest.fixture
def answers(corpora) -> Path:
    return Path(corpora.workspace.root, "predictions")


def test_two_prompt_sets_and_a_probe_are_rows_on_embeddings_that_are_made_once(
    tones, run, answers, tmp_path
):
    own = tmp_path / "upside.yaml"
    own.write_text(json.dumps({"templates": ["{label}", "not {label}"]}))
    value = suite(tones, prompts=["sound-of", str(own)], probe=True)
    section = run(value)
    sets = [prompts.load("sound-of"), prompts.load(str(own))]
    rows = {row.model: row for row in section.rows}
    assert set(rows) == {
        *(f"doubles:Centroid+{each.name}@{each.hash}" for each in sets),
        "doubles:Centroid+linear-probe",
    }
    assert len({row.fingerprint for row in rows.values()}) == 3
    assert all(row.real.value == 1.0 for row in rows.values())
    [heard] = answers.glob("doubles:Centroid-????????")
    stamps = {path: path.stat().st_mtime_ns for path in heard.rglob("*.tar")}
    assert len(stamps) == 3
    value["comparisons"]["classes"]["prompts"] = ["bare"]
    run(value)
    assert stamps == {path: path.stat().st_mtime_ns for path in heard.rglob("*.tar")}


def test_an_answer_holds_the_cosines_of_all_classes_and_what_each_template_says(
    tones, run, corpora, answers, tmp_path
):
    own = tmp_path / "both.yaml"
    own.write_text(json.dumps({"templates": ["this is {label}", "the opposite of {label}"]}))
    run(suite(tones, prompts=[str(own)]))
    found = prompts.load(str(own))
    [folder] = answers.glob(f"*+both-{found.hash}/tones")
    texts = pq.read_table(folder / "texts.parquet").to_pylist()
    assert [row["text"] for row in texts] == [
        "this is high", "this is low", "the opposite of high", "the opposite of low",
    ]  # fmt: skip
    for rows in sorted(Path(corpora.workspace.dataset("tones")).glob("tones-*.parquet")):
        stored = Answers(str(folder), rows.stem)
        for row in read_rows(str(rows)):
            said = arrays.read_json(stored.of(row.key), "json")
            assert said["labels"] == ["high", "low"]
            assert said["templates"] == 2 * [said["labels"].index(row.labels["class"])]
            cosines = arrays.read_npy(stored.of(row.key), "npy")
            assert np.linalg.norm(cosines) == pytest.approx(1, abs=1e-6)  # two right angles
        stored.close()


def test_a_closed_set_classifier_stands_on_the_same_board(tones, run, tmp_path):
    value = suite(tones, prompts=["bare"], models=["doubles:Centroid", "listeners:Register"])
    value["comparisons"]["classes"]["vocabularies"] = {"tones": str(tmp_path / "said.yaml")}
    (tmp_path / "said.yaml").write_text(json.dumps({"classes": {"low": "so low", "high": "high"}}))
    counts = {row.model: row.real.counts for row in run(value).rows}
    assert counts["listeners:Register"].undefined == {"unknown_label": 8}
    assert sum(each.scored for each in counts.values()) == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "expected prompts, or probe: true, found neither"),
        ({"prompts": ["sound-off"]}, "none called 'sound-off': did you mean 'sound-of'"),
        ({"prompts": ["bare", "bare"]}, "expected sets that differ"),
        ({"prompts": ["bare"], "vocabularies": {"tone": "esc50"}}, "unknown dataset 'tone'"),
        ({"prompts": ["bare"], "vocabularies": {"tones": "esc"}}, "did you mean 'esc50'"),
        ({"prompts": ["bare"], "models": ["listeners:Spectrum"]}, "embeds texts, too"),
        ({"task": "classification", "prompts": ["bare"]}, "prompts is for the task zero-shot"),
    ],
)
def test_what_cannot_be_asked_is_told_before_any_work(tones, run, answers, change, said):
    with pytest.raises(RealEarError) as caught:
        run(suite(tones, **change))
    assert said in " ".join(str(caught.value).split())
    assert not answers.exists()


def test_the_table_has_prompts_hash_folds_and_what_each_template_does_alone(
    tones, run, corpora, answers, tmp_path
):
    own = tmp_path / "both.yaml"
    own.write_text(json.dumps({"templates": ["this is {label}", "{label} is not low"]}))
    section = run(suite(tones, prompts=[str(own)], probe=True))
    first, by_class = section.tables
    assert first.title == "Prompts, folds and classes on tones, %"
    hash_ = prompts.load(str(own)).hash
    lines = {row[0]: dict(zip(first.columns, row, strict=True)) for row in first.rows}
    asked = lines[f"doubles:Centroid+both@{hash_}"]
    assert asked["Clips"] == "8"
    assert asked["By template"] == "0.0 to 100.0\n(2)"  # the second says the same of both
    assert asked["By fold"].endswith("(4)")
    assert lines["doubles:Centroid+linear-probe"]["By template"] == "–"
    assert [row[0] for row in by_class.rows] == ["high", "low"]
    [figures] = answers.glob(f"*+both-{hash_}/tones/summary-figures.json")
    found = json.loads(figures.read_text())
    assert sum(count for _, _, count in found["confusion"]) == found["scored"] == 8
    assert set(found["folds"]) == set(map(str, range(FOLDS)))
    terminal.show(Board("x", (section,)), file=(shown := io.StringIO()), width=140)
    assert f"both@{hash_}" in shown.getvalue()
    assert "Class by class" not in shown.getvalue()


def test_a_probe_needs_no_words_and_never_hears_its_own_fold(tones, run, answers):
    section = run(suite(tones, models=["listeners:Spectrum"], probe=True))
    [folder] = answers.glob("listeners:Spectrum-*+linear-probe-*/tones")
    fitted = pq.read_table(folder / "probe.parquet").to_pylist()
    assert {row["fold"] for row in fitted} == set(map(str, range(FOLDS)))
    assert section.rows[0].real.value >= 0.75


@pytest.mark.parametrize("name", prompts.names())
def test_prompt_sets_that_come_with_realear_are_in_order(name):
    found = prompts.load(name)
    assert found.templates
    assert found.texts({"dog": "a dog"})[0][0].count("a dog") == 1


def test_vocabularies_are_those_of_the_datasets():
    sizes = {"esc50": 50, "urbansound8k": 10, "tut-scenes-2017": 15, "digits": 10}
    folder = prompts.SHIPPED / "vocabularies"
    assert {name: len(prompts.vocabulary(name)) for name in prompts.names(folder)} == sizes
    assert set(prompts.vocabulary("digits")) == set(free_spoken_digits.WORDS)
    assert set(prompts.vocabulary("tut-scenes-2017")) == set(dcase_scenes.SCENES_2016)


def test_a_sets_hash_is_of_what_it_says(tmp_path):
    for name, text in (("a", "{label}"), ("b", "{label}"), ("c", "x {label}")):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"templates": [text]}))
    a, b, c = (prompts.load(str(tmp_path / f"{name}.yaml")) for name in "abc")
    assert a.hash == b.hash != c.hash
    assert prompts.load("bare", {"set": "digits"}).hash != prompts.load("bare").hash
    (tmp_path / "d.yaml").write_text(json.dumps({"templates": ["no place"]}))
    with pytest.raises(RealEarError, match="once in every template"):
        prompts.load(str(tmp_path / "d.yaml"))


def test_gc_keeps_what_a_zero_shot_comparison_refers_to(tones, run, corpora, answers):
    value = suite(tones, prompts=["bare"], probe=True)
    run(value)
    assert clean([parse_suite(value, "here")], corpora.workspace, remove=False) == []
    value["comparisons"]["classes"] |= {"prompts": ["sound-of"], "probe": False}
    clean([parse_suite(value, "here")], corpora.workspace, remove=True)
    [left] = answers.iterdir()
    assert "+" not in left.name


def test_gates_are_called_as_the_rows(tones):
    suite_ = parse_suite(suite(tones, prompts=["bare"], probe=True), "here")
    hash_ = prompts.load("bare").hash
    [known] = gates.of_suite(suite_)
    names = (f"doubles:Centroid+bare@{hash_}", "doubles:Centroid+linear-probe")
    assert known.models == names
    assert gates.parse(f"classes.{names[0]}.real.top_1 < 0.5", [known]).of == f"classes.{names[0]}"
    with pytest.raises(RealEarError, match="unknown comparison or model"):
        gates.parse("doubles:Centroid.real.top_1 < 0.5", [known])


@pytest.mark.slow
def test_one_worker_or_two_give_the_same_bytes(tones, tree, tmp_path):
    value = suite(tones, prompts=["bare", "sound-of"], probe=True)
    for workers in (1, 2):
        workspace = Workspace(str(tmp_path / f"by-{workers}"))
        evaluate(parse_suite(value, "here"), workspace, Engine(workers=workers))
    one, two = (tree(tmp_path / f"by-{workers}") for workers in (1, 2))
    assert one == two
    assert any("texts.parquet" in name for name in one)
    assert any("probe.parquet" in name for name in one)
