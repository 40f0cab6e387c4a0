"""What a page lets one hear and see: excerpts, pictures, budgets, and who allows it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from leaderboards import details
from pipelines import evaluate, media, pictures, publish
from pipelines.config import parse_suite
from pipelines.engines import Engine

RATE = 8_000  # Hz


@pytest.fixture(scope="module")
def result(tmp_path_factory, module_corpora):
    """Two enhancers on five noisy recordings, one of them 20 s long."""
    made = module_corpora
    rng = np.random.default_rng(0)
    for n, seconds in enumerate((1.0, 1.2, 1.4, 1.6, 20.0)):
        time = np.arange(round(seconds * RATE)) / RATE
        clean = 0.3 * np.sin(2 * np.pi * 440 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2
        made.wav(f"clean/s{n}_0.wav", clean)
        made.wav(f"noisy/s{n}_0.wav", clean + 0.05 * (n + 1) * rng.standard_normal(len(time)) / 3)
    corpus = {"reader": "files", "folder": str(made.folder), "audio": "noisy/{speaker}_{take}.wav",
              "clean": "clean/{file}"}  # fmt: skip
    suite = parse_suite({
        "name": "street",
        "datasets": {"street": {"domain": "real", "corpus": corpus, "redistribute": True}},
        "comparisons": {"noise": {"task": "enhancement", "models": ["noisy", "wiener"],
                                  "metrics": {"si_snr": {}, "stoi": {}}, "real": ["street"]}},
    }, "test")  # fmt: skip
    return suite, made.workspace, evaluate.evaluate(suite, made.workspace, Engine(workers=1))


@pytest.fixture(scope="module")
def module_corpora(tmp_path_factory):
    from tests.pipelines.conftest import Corpora

    return Corpora(tmp_path_factory.mktemp("media"))


def collect(result, folder: Path, **options):
    _, workspace, outcome = result
    found = details.read(outcome.board, outcome.tables)
    return media.collect(found, outcome.cells, workspace, folder, **{"with_audio": False} | options)


def test_excerpts_are_short_playable_and_of_what_was_heard(result, tmp_path) -> None:
    heard = collect(result, tmp_path)
    own = [e for e in heard.examples if e.comparison == "noise"]
    assert {len(e.sounds) for e in own} == {3}
    assert {s.label for e in own for s in e.sounds} == {
        "What the model heard", "Reference clean", "Estimate enhanced"
    }  # fmt: skip
    notes = {s.note for e in own for s in e.sounds}
    assert "first 15 s of 20 s" in notes
    for sound in (s for e in own for s in e.sounds):
        file = soundfile.info(tmp_path / sound.file)
        assert (file.format, file.subtype) == ("FLAC", "PCM_16")
        assert file.duration <= 15.0
        with Image.open(tmp_path / sound.picture) as picture:
            assert picture.size == (640, 160)


def test_models_share_what_they_all_heard(result, tmp_path) -> None:
    heard = collect(result, tmp_path)
    files = {s.file for e in heard.examples for s in e.sounds if s.label == "What the model heard"}
    assert len(files) == len({e.key for e in heard.examples if e.sounds})


def test_a_second_run_writes_nothing(result, tmp_path, monkeypatch) -> None:
    first = collect(result, tmp_path)
    monkeypatch.setattr(media.stores, "write_bytes", lambda *_: pytest.fail("written again"))
    assert collect(result, tmp_path) == first


def test_two_folders_hold_the_same_bytes(result, tmp_path) -> None:
    for name in ("one", "two"):
        collect(result, tmp_path / name)
    files = sorted((tmp_path / "one/media").iterdir())
    assert files
    for path in files:
        assert path.read_bytes() == (tmp_path / "two/media" / path.name).read_bytes()


def test_sound_needs_leave(result, tmp_path) -> None:
    suite, workspace, outcome = result
    closed = [
        replace(cell, made=replace(cell.made, card=replace(cell.made.card, redistribute=False)))
        for cell in outcome.cells
    ]
    kept = (suite, workspace, replace(outcome, cells=tuple(closed)))
    silent = collect(kept, tmp_path)
    assert silent.examples == ()
    assert set(silent.silence.values()) == {media.FORBIDDEN}
    assert not (tmp_path / "media").exists()
    assert collect(kept, tmp_path, with_audio=True).examples


@pytest.mark.parametrize("limit", [{"most_clips": 3}, {"most_bytes": 600_000}])
def test_a_budget_keeps_the_worst_of_all_first_and_says_so(result, tmp_path, limit) -> None:
    heard = collect(result, tmp_path, **limit)
    own = [e for e in heard.examples if e.comparison == "noise"]
    assert 1 <= len(own) <= limit.get("most_clips", 5)
    named = {name for e in own for s in e.sounds for name in (s.file, s.picture)}
    spent = sum((tmp_path / name).stat().st_size for name in named)
    assert spent <= limit.get("most_bytes", spent)
    assert f"{len(own)} of 6 clips are here" in heard.note
    _, _, outcome = result
    found = details.read(outcome.board, outcome.tables)
    leader = outcome.board.sections[0].rows[0].fingerprint
    assert own[0].key == found["noise", leader, "street"].picks[0].key


def test_a_cell_beyond_the_budget_says_that_it_was_left_out(result, tmp_path) -> None:
    heard = collect(result, tmp_path, most_clips=1)
    assert media.LEFT_OUT in heard.silence.values()


def test_further_metrics_hear_the_clips_of_the_first(result, tmp_path) -> None:
    heard = collect(result, tmp_path)
    further = [e for e in heard.examples if e.comparison == "noise-stoi"]
    assert further
    assert {s.file for e in further for s in e.sounds} <= {
        s.file for e in heard.examples if e.comparison == "noise" for s in e.sounds
    }


def test_the_page_names_the_commands_that_make_a_cell_again(result) -> None:
    suite, workspace, outcome = result
    page = Path(publish.write_site(outcome, workspace, suite, with_audio=False))
    assert page.name == "index.html"
    data = (page.parent / "data/cells-0-0.js").read_text(encoding="utf-8")
    assert "realear predict wiener street" in data
    assert "realear score --dataset street --model wiener" in data
    named = {path.name for path in (page.parent / "media").iterdir()}
    assert named
    assert all(name in data for name in named)


def test_a_loud_estimate_is_made_to_fit() -> None:
    loud = np.array([0.5, -2.0])
    fitted, note = media._fitted(loud)
    assert fitted.tolist() == [0.25, -1.0]
    assert note == "6.0 dB quieter, to fit"


def picture(signal: np.ndarray, rate: int = RATE) -> np.ndarray:
    with Image.open(io.BytesIO(pictures.picture(signal, rate))) as image:
        assert image.mode == "P"
        return np.asarray(image)


def test_a_tone_is_a_line_at_its_frequency() -> None:
    time = np.arange(2 * RATE) / RATE
    drawn = picture(np.sin(2 * np.pi * 1_000 * time))[pictures.WAVE :]
    brightest = drawn[:, pictures.WIDTH // 2].argmax()
    height = 1 - (brightest + 0.5) / pictures.SPECTRUM
    assert height * pictures.highest(RATE) == pytest.approx(1_000, abs=60)


def test_a_click_is_a_line_at_its_time() -> None:
    signal = np.zeros(RATE)
    signal[RATE // 4] = 1.0
    drawn = picture(signal)
    wave = (drawn[: pictures.WAVE] == pictures.LINE).sum(axis=0)
    assert wave.argmax() == pytest.approx(pictures.WIDTH / 4, abs=1)
    columns = drawn[pictures.WAVE :].astype(int).sum(axis=0)
    assert columns.argmax() == pytest.approx(pictures.WIDTH / 4, abs=12)


@pytest.mark.parametrize("signal", [np.zeros(0), np.zeros(1), np.zeros(5000), np.full(3, np.nan)])
def test_silence_is_black_under_a_flat_line(signal) -> None:
    drawn = picture(signal)
    assert set(np.unique(drawn[pictures.WAVE :])) == {pictures.LINE + 1}
    assert ((drawn[: pictures.WAVE] == pictures.LINE).sum(axis=0) == 1).all()
