"""Explanations: an explainer of a classifier is a row, and what it found is judged as stored."""

import io
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leaderboards import details
from models import explaining
from pipelines import audio, gates, media, pictures
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
            kept, removed = (audio.read_signal(answer[name])[0] for name in ("in.wav", "out.wav"))
            wanted = Bands().classify([kept + removed, kept, removed], sample_rate=RATE)
            np.testing.assert_allclose(logits, np.stack(wanted), atol=1e-3)
            mask = arrays.read_bytes(answer, "mask.npy")
            whole = (kept + removed).astype(np.float32)
            np.testing.assert_allclose(explaining.kept(whole, mask, RATE), kept, atol=1e-6)
            assert arrays.read_array(answer, "embeddings.npy", 2).shape == (2, 3)
        stored.close()


@pytest.fixture
def covered(tones):
    """The tones under another class, as loud."""
    value = suite(
        tones,
        models=["oracle-mask", "integrated-gradients", "random-mask"],
        metrics={"source_share": {}, "source_si_snri": {}, "mask_area": {}},
        real=[],
        simulated=["covered"],
    )
    recipe = {"kind": "covered", "of": "tones", "sample_rate": RATE, "over": {"snr_db": 6}}
    value["datasets"]["covered"] = {"domain": "simulated", "recipe": recipe, "shards": 2}
    return value


def test_of_covered_clips_it_is_asked_whether_the_mask_is_on_the_source(covered, run):
    sections = {section.measure.name: section for section in run(covered)}
    share, gain = (
        {row.model.partition("+")[2]: row.simulated.value for row in sections[name].rows}
        for name in ("source_share", "source_si_snri")
    )
    assert share["oracle-mask"] > share["integrated-gradients"] > share["random-mask"]
    assert share["random-mask"] == pytest.approx(10**0.6 / (1 + 10**0.6), abs=0.05)  # 6 dB
    assert share["oracle-mask"] > 0.95
    assert gain["oracle-mask"] > 5  # dB
    rows = {row.model.partition("+")[2]: row.role for row in sections["source_share"].rows}
    assert rows["oracle-mask"] == "oracle"


def test_clips_taken_for_another_class_have_no_source_and_no_explainer_is_to_blame(covered, run):
    covered["datasets"]["covered"]["recipe"]["over"]["snr_db"] = -12
    [section] = run({**covered, "comparisons": {"why": {
        **covered["comparisons"]["why"], "metrics": {"source_share": {}}}}})  # fmt: skip
    for row in section.rows:
        assert row.simulated.counts.undefined == {"other_class": 6}
        assert not row.simulated.counts.failed


def test_a_board_tells_the_distance_from_clean_sounds_and_class_by_class(tones, run):
    section = run(suite(tones, models=["integrated-gradients"]))[0]
    distances, classes = section.tables
    assert distances.title == "Distance from clean sounds on tones"
    [row] = distances.rows
    assert row[1:] == ("6", row[2], "0.00", "100.0")
    assert float(row[2]) > 0
    assert [row[:2] for row in classes.rows] == [("high", "2"), ("low", "2"), ("middle", "2")]
    assert all(row[2].startswith("100\n+0.") for row in classes.rows)


def test_the_page_shows_the_mask_and_plays_both_parts(tones, corpora):
    parsed = parse_suite(suite(tones, models=["integrated-gradients"]), "here")
    outcome = evaluate(parsed, corpora.workspace, corpora.engine)
    with tempfile.TemporaryDirectory() as folder:
        found = details.read(outcome.board, outcome.tables)
        made = media.collect(found, outcome.cells, corpora.workspace, Path(folder), with_audio=True)
        first = made.examples[0]
        assert [sound.label for sound in first.sounds] == [
            "What the classifier heard; in colour what the explanation keeps",
            "What it keeps (x_in)",
            "What it removes (x_out)",
        ]
        shown = [Image.open(Path(folder, sound.picture)).convert("RGB") for sound in first.sounds]
    kept = np.asarray(shown[0], int)[pictures.WAVE :]
    grey = (np.ptp(kept, axis=2) <= 1) & (kept.max(axis=2) > 20)
    coloured = np.ptp(kept, axis=2) > 60
    assert 0.02 < coloured.mean() < 0.6
    assert grey.mean() > 0.02
    assert re.fullmatch(
        r"Explained: (low|middle|high)\. Probability [\d.]+ %, kept part [\d.]+ %, removed part "
        r"[\d.]+ %\. The clip is of the class \1\.",
        first.told,
    )


def test_a_mask_lies_where_its_cells_are():
    """A tone of 1 kHz in the first half, kept; the second half's tone of 3 kHz removed."""
    time = np.arange(RATE) / RATE
    hertz = np.where(time < 0.5, 1_000, 3_000)
    signal = np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    transform = explaining.stft(RATE)
    frames, bins = explaining.shape(RATE, RATE)
    hop = transform.hop_samples / RATE
    first = hop - transform.window_samples / RATE / 2
    values = np.zeros((frames, bins))
    values[first + np.arange(frames) * hop < 0.5] = 1.0
    drawn = pictures.picture(signal, RATE, pictures.Mask(values, RATE, first, hop))
    pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"), int)[pictures.WAVE :]
    left, right = pixels[:, : pictures.WIDTH // 2 - 4], pixels[:, pictures.WIDTH // 2 + 4 :]
    assert np.ptp(left, axis=2).max() > 60
    assert np.ptp(right, axis=2).max() <= 1


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
