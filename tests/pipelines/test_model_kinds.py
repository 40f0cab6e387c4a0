"""Models as generators: estimates with their true SI-SNR, pseudo-transcripts, pseudo-labels."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import models
from metrics import pit_si_snr, si_snr
from pipelines import generate, plans
from pipelines.config import DatasetConfig
from pipelines.engines import Engine
from pipelines.make import Made, make, replay
from pipelines.predict import Handling
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.shards.datasets import RandomReader
from pipelines.workspace import Workspace

RATE = 8_000  # Hz
READINGS = {
    "kind": "readings",
    "texts": ["one two three", "four five", "six", "seven eight"],
    "voices": ["en-us+f2", "en-us+m6"],
}
PAIRS = {"kind": "scenes", "of": ["said"], "talkers": 2, "clips": 4, "sample_rate": RATE}
SEPARATED = {"kind": "separated", "of": ["pairs"], "model": "nmf", "parameters": {"iterations": 5}}
TRANSCRIBED = {"kind": "transcribed", "of": ["said"], "model": "pocketsphinx-narrow"}
LABELLED = {
    "kind": "labelled",
    "of": ["tones"],
    "model": "doubles:Centroid",
    "classes": ["low", "high"],
    "temperature": 0.5,
}

pytestmark = pytest.mark.usefixtures("doubles")


def config(recipe: dict, **options) -> DatasetConfig:
    return DatasetConfig(**{"domain": "synthetic", "recipe": recipe, "shards": 2} | options)


def generated(corpora, recipe: dict, others, *, dataset: str = "made", workers: int = 1, **options):
    engine = Engine(workers=workers)
    return make(dataset, config(recipe, **options), corpora.workspace, engine, others)


def rows(made: Made) -> dict[str, datasets.Row]:
    return {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}


def failures(folder: str) -> dict[str, dict]:
    table = datasets.read_table(f"{folder}/failures.parquet")
    return {row["key"]: row for row in table.to_pylist()}


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def inputs(recipe: dict, others) -> set[str]:
    plan = generate.plan("made", config(recipe), others)
    return {part.inputs for part in generate.parts(plan, "folder", others)}


@pytest.fixture
def reader() -> Iterator[Callable[[Made], RandomReader]]:
    """Readers of datasets, closed in the end."""
    with ExitStack() as opened:

        def read(made: Made) -> RandomReader:
            found = RandomReader(made.folder)
            opened.callback(found.close)
            return found

        yield read


@pytest.fixture
def said(corpora) -> dict[str, Made]:
    """Four short texts, read by two voices."""
    return {"said": generated(corpora, READINGS, {}, dataset="said")}


@pytest.fixture
def pairs(corpora, said) -> dict[str, Made]:
    """Four mixtures of two of them."""
    return {"pairs": generated(corpora, PAIRS, said, dataset="pairs")}


@pytest.fixture
def tones(corpora) -> dict[str, Made]:
    """A low, a high and a middling tone, the low one in a class of its own."""
    time = np.arange(RATE) / RATE
    for name, hertz in {"low": 400, "high": 3_600, "middle": 2_010}.items():
        corpora.wav(f"{name}.wav", 0.5 * np.sin(2 * np.pi * hertz * time))
    return {"tones": corpora.prepare("tones", audio="*")}


@pytest.fixture
def others(request, corpora) -> dict[str, Made]:
    return request.getfixturevalue(request.param)


ALL = pytest.mark.parametrize(
    ("recipe", "others"),
    [(SEPARATED, "pairs"), (TRANSCRIBED, "said"), (LABELLED, "tones")],
    ids=["separated", "transcribed", "labelled"],
    indirect=["others"],
)


# All of them


@ALL
def test_two_workers_make_of_a_plan_what_one_made_byte_for_byte(corpora, tmp_path, recipe, others):
    first = generated(corpora, recipe, others)
    assert first.card.clips
    plan = plans.read(f"{first.folder}/{plans.PLAN}")
    again = replay(plan, Workspace(str(tmp_path / "elsewhere")), Engine(workers=2), others)
    assert files(again.folder) == files(first.folder)


@ALL
def test_planning_asks_no_model_and_names_it_in_every_row(monkeypatch, recipe, others):
    monkeypatch.setattr(Handling, "load", lambda _: pytest.fail("loaded"))
    plan = generate.plan("made", config(recipe), others)
    model = models.create(recipe["model"], **recipe.get("parameters", {}))
    assert {(row.model, row.fingerprint) for row in plan.rows} == {
        (recipe["model"], models.fingerprint(model, recipe["model"]))
    }
    assert plans.from_table(plans.to_table(plan, "digest"), "x") == plan


def test_what_is_made_hangs_on_the_models_fingerprint_and_on_the_clips(corpora, tones, monkeypatch):
    before = inputs(LABELLED, tones)
    assert inputs(LABELLED, tones) == before
    monkeypatch.setattr(models.create("doubles:Centroid").__class__, "version", "2")
    assert inputs(LABELLED, tones).isdisjoint(before)
    monkeypatch.undo()
    for name in ("low", "high", "middle"):
        corpora.wav(f"{name}.wav", seed=1)
    assert inputs(LABELLED, {"tones": corpora.prepare("tones", audio="*")}).isdisjoint(before)


def test_a_worker_with_another_model_refuses_to_answer_for_it(corpora, tones, monkeypatch):
    first = generated(corpora, LABELLED, tones)
    plan = plans.read(f"{first.folder}/{plans.PLAN}")
    monkeypatch.setattr(models.create("doubles:Centroid").__class__, "version", "2")
    shutil.rmtree(first.folder)
    with pytest.raises(RealEarError, match="expected fingerprint"):
        replay(plan, corpora.workspace, corpora.engine, tones)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({**SEPARATED, "model": "nfm"}, "unknown model: 'nfm'; did you mean nmf?"),
        (
            {**SEPARATED, "model": "wiener", "parameters": {}},
            "expected one for the task 'separation', found one for",
        ),
        ({**SEPARATED, "parameters": {"turns": 5}}, "unknown parameter of model 'nmf': 'turns'"),
        ({**TRANSCRIBED, "model": "nmf"}, "expected one for the task 'recognition'"),
        ({**TRANSCRIBED, "keep": 1}, "unknown key 'keep': did you mean 'keep_text'?"),
        ({**LABELLED, "model": "nmf"}, "expected one with embed_audio and embed_text"),
        ({**LABELLED, "classes": ["low"]}, "at least 2 items"),
        ({**LABELLED, "classes": ["low", "low"]}, "expected different names"),
        ({**LABELLED, "template": "a sound"}, "expected {} where the class goes"),
        ({**LABELLED, "temperature": 0}, "greater than 0"),
        ({**SEPARATED, "of": []}, "expected `of`"),
    ],
)
def test_a_wrong_recipe_is_told_before_anything_is_made(recipe, message):
    with pytest.raises(RealEarError) as caught:
        generate.check("made", config(recipe))
    assert message in str(caught.value)


# Separated


@pytest.mark.parametrize("model", ["nmf", "oracle-irm", "mixture"])
def test_estimates_carry_their_true_si_snr(corpora, pairs, reader, model):
    made = generated(corpora, {"kind": "separated", "of": "pairs", "model": model}, pairs)
    assert made.card.clips == 2 * pairs["pairs"].card.clips
    mixtures, estimated = reader(pairs["pairs"]), reader(made)
    for key, source in rows(pairs["pairs"]).items():
        mixture = mixtures[key]
        found = [clip for clip in map(estimated.__getitem__, rows(made)) if clip.row.pair == key]
        found.sort(key=lambda clip: clip.row.labels["source"])
        assert [clip.row.labels["source"] for clip in found] == ["s1", "s2"]
        for clip in found:
            assert clip.read() == mixture.read()
            assert clip.row.labels["separator"] == model
            assert (clip.row.cluster, clip.row.sources) == (source.cluster, 0)
        estimates = np.stack([clip.signal("estimate") for clip in found])
        said = [float(clip.row.labels["si_snr_db"]) for clip in found]
        best, order = pit_si_snr(mixture.sources(), estimates)
        assert order == (0, 1)
        assert np.mean(said) == pytest.approx(best, abs=1e-4)
        assert said == pytest.approx(list(si_snr(mixture.sources(), estimates)), abs=1e-4)


def test_sixteen_bits_change_an_si_snr_by_less_than_a_hundredth(corpora, pairs, reader):
    made = generated(corpora, SEPARATED | {"model": "oracle-irm", "parameters": {}}, pairs)
    oracle = models.create("oracle-irm")
    mixtures, said = reader(pairs["pairs"]), rows(made)
    for key in rows(pairs["pairs"]):
        mixture, truth = mixtures[key].signal(), mixtures[key].sources()
        heard = mixture.astype(np.float32)
        [exact] = oracle.separate([heard], sample_rate=RATE, sources=2, references=[truth])
        stored = [
            float(said[f"{key}-oracle-irm-s{source}"].labels["si_snr_db"]) for source in (1, 2)
        ]
        assert stored == pytest.approx(list(si_snr(truth, exact)), abs=0.01)


def test_a_crash_of_the_model_costs_the_estimates_of_one_mixture(corpora, pairs):
    moody = {"kind": "separated", "of": "pairs", "model": "doubles:MoodySeparator"}
    made = generated(corpora, moody, pairs, tolerate=1)
    odd = {key for key, row in rows(pairs["pairs"]).items() if round(row.seconds * RATE) % 2}
    assert 0 < len(odd) < 4
    failed = failures(made.folder)
    assert made.card.refused == {"error": 2 * len(odd)}
    assert {row["detail"] for row in failed.values()} == {"RuntimeError: odd"}
    assert {row.pair for row in rows(made).values()} == rows(pairs["pairs"]).keys() - odd


@pytest.mark.parametrize("gain", [50.0, 1e-4])
def test_an_estimate_of_any_level_is_stored_whole(corpora, pairs, gain):
    moody = {"kind": "separated", "of": "pairs", "model": "doubles:MoodySeparator"}
    plain = rows(generated(corpora, moody, pairs, tolerate=1))
    moved = rows(
        generated(corpora, moody | {"parameters": {"gain": gain}}, pairs, tolerate=1, dataset="b")
    )
    assert moved.keys() == plain.keys()
    for key, row in moved.items():
        value = float(plain[key].labels["si_snr_db"])
        assert float(row.labels["si_snr_db"]) == pytest.approx(value, abs=0.01)
        assert float(row.labels["estimate_gain_db"]) * np.log10(gain) < 0
        assert row.clipped == 0


def test_clips_without_sources_are_said_and_left_out(corpora, pairs, said):
    both = {**SEPARATED, "of": ["pairs", "said"]}
    plan = generate.plan("made", config(both), {**pairs, **said})
    assert plan.clips == 8
    assert plan.notes == ("4 clips without separate sources were left out",)
    with pytest.raises(RealEarError, match=r"expected mixtures with their sources in said"):
        generate.plan("made", config({**SEPARATED, "of": "said"}), said)


# Transcribed


def test_transcripts_are_what_the_model_says(corpora, said, reader):
    made = generated(corpora, {**TRANSCRIBED, "keep_text": True}, said)
    model, transcribed = models.create(TRANSCRIBED["model"]), reader(made)
    sources = reader(said["said"])
    assert rows(made).keys() == rows(said["said"]).keys()
    for key, row in rows(made).items():
        heard = sources[key].signal(sample_rate=16_000).astype(np.float32)
        assert [row.text] == model.transcribe([heard])
        [(_, confidence)] = model.transcribe_with_confidence([heard])
        assert 0 < confidence <= 1
        assert float(row.labels["confidence"]) == pytest.approx(confidence, rel=1e-3)
        assert row.labels["original_text"] == sources[key].row.text
        assert row.labels["recogniser"] == TRANSCRIBED["model"]
        assert transcribed[key].read() == sources[key].read()
    assert all("original_text" not in row.labels for row in rows(generated(
        corpora, TRANSCRIBED, said, dataset="plain")).values())  # fmt: skip


def test_unsure_transcripts_are_refused_and_counted(corpora, said):
    sure = {key: float(row.labels["confidence"]) for key, row in
            rows(generated(corpora, TRANSCRIBED, said)).items()}  # fmt: skip
    least = sorted(sure.values())[2] * 0.999
    recipe = {**TRANSCRIBED, "least_confidence": least}
    made = generated(corpora, recipe, said, tolerate=1, dataset="sure")
    assert rows(made).keys() == {key for key, value in sure.items() if value >= least}
    assert made.card.refused == {"unsure": 2}
    assert (
        f"expected a confidence of {least:g} or more"
        in next(iter(failures(made.folder).values()))["detail"]
    )


def test_confidence_is_asked_only_of_those_who_offer_it(corpora, said):
    recipe = {**TRANSCRIBED, "model": "doubles:Parrot"}
    made = generated(corpora, recipe, said)
    assert {row.text for row in rows(made).values()} == {"polly"}
    assert all("confidence" not in row.labels for row in rows(made).values())
    with pytest.raises(RealEarError, match="expected a model with transcribe_with_confidence"):
        generate.check("made", config({**recipe, "least_confidence": 0.5}))


@pytest.mark.parametrize(
    ("boast", "reason"),
    [
        ("over", "wrong_confidence"),
        ("nan", "wrong_confidence"),
        ("bytes", "not_text"),
        ("half", "error"),
        ("bare", "error"),
        ("two", "error"),
        ("crash", "error"),
    ],
)
def test_an_answer_that_is_none_costs_its_clip(corpora, tones, boast, reason):
    recipe = {"kind": "transcribed", "of": "tones", "model": "doubles:Boaster"}
    with pytest.raises(RealEarError, match=rf"3 of 3 clips failed \(3 {reason}\)"):
        generated(corpora, recipe | {"parameters": {"boast": boast}}, tones)
    assert {row["reason"] for row in failures(corpora.workspace.dataset("made")).values()} == {
        reason
    }


# Labelled


def test_a_class_is_the_nearest_prompt_and_its_confidence_a_softmax(corpora, tones, reader):
    made = generated(corpora, LABELLED, tones)
    labels = {key: row.labels for key, row in rows(made).items()}
    assert {key: found["class"] for key, found in labels.items()} == {
        "low": "low", "high": "high", "middle": "high"}  # fmt: skip
    # A tone's place between low and high is its frequency over 4 kHz, and an angle.
    for key, hertz in {"low": 400, "high": 3_600, "middle": 2_010}.items():
        angle = hertz / 4_000 * np.pi / 2
        powers = np.exp(np.array([np.cos(angle), np.sin(angle)]) / 0.5)
        expected = (powers / powers.sum()).max()
        assert float(labels[key]["confidence"]) == pytest.approx(expected, abs=2e-3)
    labelled, sources = reader(made), reader(tones["tones"])
    assert labelled["high"].read("cls") == b"1"
    assert labelled["high"].read() == sources["high"].read()


def test_unsure_classes_are_refused_and_a_crash_counted(corpora, tones):
    recipe = {**LABELLED, "least_confidence": 0.6}
    made = generated(corpora, recipe, tones, tolerate=1)
    assert rows(made).keys() == {"low", "high"}
    assert failures(made.folder)["middle"]["reason"] == "unsure"
    unknown = {**LABELLED, "classes": ["low", "loud"]}
    plan = generate.plan("made", config(unknown), tones)
    with pytest.raises(RealEarError, match="3 error"):
        replay(plan, corpora.workspace, corpora.engine, tones)


# The command


def test_the_command_generates_from_readings_to_estimates(realear, tmp_path):
    synthetic = {"domain": "synthetic", "shards": 1}
    recipe = tmp_path / "recipe.yaml"
    named = {"said": READINGS, "pairs": PAIRS, "estimates": SEPARATED}
    written = {name: {**synthetic, "recipe": one} for name, one in named.items()}
    recipe.write_text(json.dumps({"datasets": written}))
    ended = realear("generate", recipe, "--out", tmp_path / "work", "--workers", 1)
    assert ended.code == 0, ended.text
    card = datasets.read_card(str(tmp_path / "work/datasets/estimates"))
    assert (card.clips, card.failed) == (8, 0)
    written["estimates"]["recipe"] = {**SEPARATED, "model": "pocketsphinx", "parameters": {}}
    recipe.write_text(json.dumps({"datasets": written}))
    ended = realear("generate", recipe, "--out", tmp_path / "other", "--workers", 1)
    assert ended.code == 2
    assert "expected one for the task 'separation'" in ended.text
    assert not (tmp_path / "other/datasets").exists()


def test_labels_by_a_model_leave_real_recordings_real_and_nothing_else_is(corpora, said, tones):
    with pytest.raises(RealEarError, match="expected real recordings, 'said' is not real"):
        generate.plan("made", config(TRANSCRIBED, domain="real"), said)
    assert generated(corpora, LABELLED, tones, domain="real").card.domain == "real"
    with pytest.raises(RealEarError, match="synthetic or simulated, never real"):
        generate.check("made", config({**PAIRS, "of": ["tones"]}, domain="real"))
