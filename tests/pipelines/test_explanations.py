"""Explanations: an explainer of a classifier is a row, and what it found is judged as stored."""

from pathlib import Path

import numpy as np
import pytest

from models import explaining
from pipelines import gates
from pipelines.config import parse_suite
from pipelines.evaluate import evaluate
from pipelines.records import RealEarError
from pipelines.score import Answers
from pipelines.shards.datasets import read_rows
from pipelines.tasks import arrays, explanation

pytestmark = pytest.mark.usefixtures("doubles")

RATE = 8_000
HERTZ = {"low": 600.0, "middle": 2_000.0, "high": 3_500.0}
METRICS = ("faithfulness", "input_fidelity", "average_drop", "sparseness", "complexity")


def tone(name: str, samples: int = 4_000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * HERTZ[name] * np.arange(samples) / RATE)


@pytest.fixture
def tones(corpora) -> Path:
    """Each class under a fainter other one; how long says the number."""
    names = list(HERTZ)
    for number, name in enumerate(names * 2):
        other = names[(number + 1) % 3]
        samples = 3_000 + 500 * number
        noise = np.random.default_rng(number).normal(0, 1e-3, samples)
        signal = tone(name, samples) + 0.2 * tone(other, samples) + noise
        corpora.wav(f"{name}_{number}.wav", signal)
    return corpora.folder


def suite(folder: Path, **comparison) -> dict:
    corpus = {"folder": str(folder), "audio": "{class}_{take}.wav", "speaker": "{take}"}
    return {
        "name": "tones",
        "datasets": {"tones": {"domain": "real", "corpus": corpus, "shards": 2}},
        "comparisons": {
            "why": {
                "task": "explanation",
                "classifiers": ["explained:Bands"],
                "models": ["integrated-gradients", "random-mask"],
                "metrics": {name: {} for name in METRICS},
                "real": ["tones"],
                **comparison,
            }
        },
    }


@pytest.fixture
def run(corpora):
    """Evaluate a suite; its sections."""

    def evaluated(value: dict):
        outcome = evaluate(parse_suite(value, "here"), corpora.workspace, corpora.engine)
        return outcome.board.sections

    return evaluated


def test_every_explainer_of_every_classifier_is_a_row(tones, run, corpora):
    sections = run(
        suite(
            tones,
            classifiers=["explained:Bands", "explained:Closed"],
            models=["occlusion", "random-mask"],
        )
    )
    assert [section.measure.name for section in sections] == list(METRICS)
    rows = {row.model: row for row in sections[0].rows}
    assert set(rows) == {
        f"explained:{of}+{by}" for of in ("Bands", "Closed") for by in ("occlusion", "random-mask")
    }
    assert rows["explained:Bands+occlusion"].real.value > 0.5
    assert rows["explained:Bands+random-mask"].real.value < 0.1
    assert rows["explained:Bands+random-mask"].role == "baseline"
    assert len({row.fingerprint for row in rows.values()}) == 4
    folders = Path(corpora.workspace.root, "predictions").iterdir()
    assert all(len(folder.name.split("+")) == 2 for folder in folders)


def test_what_is_stored_of_a_clip_is_what_was_judged(tones, run, corpora):
    run(suite(tones, models=["integrated-gradients"]))
    [folder] = Path(corpora.workspace.root, "predictions").glob("*/tones")
    from explained import Bands

    made = Path(corpora.workspace.dataset("tones"))
    for rows in sorted(made.glob("tones-*.parquet")):
        stored = Answers(str(folder), rows.stem)
        for row in read_rows(str(rows)):
            answer = stored.of(row.key)
            assert explanation.said_of(answer) == row.labels["class"]
            logits = explanation.logits_of(answer)
            from pipelines import audio

            kept, removed = (audio.read_signal(answer[name])[0] for name in ("in.wav", "out.wav"))
            wanted = Bands().classify([kept + removed, kept, removed], sample_rate=RATE)
            np.testing.assert_allclose(logits, np.stack(wanted), atol=1e-3)
            mask = arrays.read_bytes(answer, "mask.npy")
            whole = (kept + removed).astype(np.float32)
            np.testing.assert_allclose(explaining.kept(whole, mask, RATE), kept, atol=1e-6)
            assert arrays.read_array(answer, "embeddings.npy", 2).shape == (2, 3)
        stored.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classifiers": []}, "classifiers: found none: name whose classes to explain"),
        ({"task": "classification"}, "it is for the task explanation"),
        ({"classifiers": ["wiener"]}, "expected one for the task 'classification'"),
        ({"models": ["wiener"]}, "expected one for the task 'explanation'"),
        ({"classifiers": ["explained:Closed"]}, "explain it by occlusion or lime"),
    ],
)
def test_what_does_not_fit_is_told_before_any_work(tones, run, corpora, change, said):
    with pytest.raises(RealEarError) as caught:
        run(suite(tones, **change))
    assert said in " ".join(str(caught.value).split())
    assert not Path(corpora.workspace.root, "predictions").exists()


def test_gates_know_the_rows(tones):
    known = gates.of_suite(parse_suite(suite(tones), "here"))
    assert known[0].models == (
        "explained:Bands+integrated-gradients",
        "explained:Bands+random-mask",
    )
