"""SQUIM, on a tiny network that torchaudio itself makes and saves here."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import models

SMALL = {
    "feat_dim": 8,
    "win_len": 64,
    "d_model": 8,
    "nhead": 2,
    "hidden_dim": 8,
    "num_blocks": 1,
    "rnn_type": "LSTM",
    "chunk_size": 11,
}
NAMES = {"stoi", "pesq", "si_sdr"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    import torch
    import torchaudio

    folder = tmp_path_factory.mktemp("squim")
    torch.manual_seed(0)
    torch.save(torchaudio.models.squim_objective_model(**SMALL).state_dict(), folder / "squim.pt")
    config = {"architecture": "squim_objective_model", "parameters": SMALL, "sample_rate": 16_000}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def made(folder: Path):
    return models.create("torchaudio-squim", checkpoint=str(folder), device="cpu")


def signals(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def test_clips_of_any_length_are_answered_as_if_alone(checkpoint):
    model = made(checkpoint)
    clips = signals(16_000, 1, 4_001, 63, 16_000)
    found = model.estimate(clips, sample_rate=16_000)
    for clip, values in zip(clips, found, strict=True):
        assert values.keys() == NAMES
        [alone] = model.estimate([clip], sample_rate=16_000)
        assert values == pytest.approx(alone, abs=1e-5)
        assert 0 <= values["stoi"] <= 1
        assert 1 <= values["pesq"] <= 4.65
    assert found[0] != found[2]


def test_values_are_the_librarys_own(checkpoint):
    import torch
    import torchaudio

    network = torchaudio.models.squim_objective_model(**SMALL)
    network.load_state_dict(torch.load(checkpoint / "squim.pt", weights_only=True))
    [clip] = signals(9_000)
    with torch.inference_mode():
        stoi, pesq, si_sdr = network.eval()(torch.from_numpy(clip)[None])
    [found] = made(checkpoint).estimate([clip], sample_rate=16_000)
    expected = {"stoi": stoi.item(), "pesq": pesq.item(), "si_sdr": si_sdr.item()}
    assert found == pytest.approx(expected, abs=1e-6)


def test_padding_would_change_it(checkpoint):
    """Why padding is "none": level and normalisation take the whole length."""
    model = made(checkpoint)
    [clip] = signals(4_000)
    alone, padded = model.estimate([clip, np.pad(clip, (0, 12_000))], sample_rate=16_000)
    assert model.padding == "none"
    assert abs(alone["si_sdr"] - padded["si_sdr"]) > 1e-3


def test_of_silence_and_of_nothing_it_knows_nothing(checkpoint):
    silent, empty = made(checkpoint).estimate(
        [np.zeros(4_000, np.float32), np.zeros(0, np.float32)], sample_rate=16_000
    )
    for values in (silent, empty):
        assert values.keys() == NAMES
        assert all(np.isnan(value) for value in values.values())


def test_another_rate_is_refused(checkpoint):
    with pytest.raises(ValueError, match="expected 16000 Hz, got 8000; resample first"):
        made(checkpoint).estimate(signals(900), sample_rate=8_000)


def test_it_runs_to_a_score(realear, tmp_path, checkpoint, speech_like):
    clean = speech_like(1.5, sample_rate=16_000, seed=1)
    (tmp_path / "noisy").mkdir()
    (tmp_path / "clean").mkdir()
    for name, level in {"a": 0.2, "b": 0.5}.items():
        [noise] = signals(len(clean))
        soundfile.write(tmp_path / f"clean/{name}.wav", clean, 16_000)
        soundfile.write(tmp_path / f"noisy/{name}.wav", clean + level * noise, 16_000)
    work = ["--out", tmp_path / "work", "--workers", 1]
    ended = realear("prepare", tmp_path, "--name", "noisy", "--audio", "noisy/*.wav", "--clean",
                    "clean/{stem}.wav", *work[:2])  # fmt: skip
    assert ended.code == 0, ended.text
    ended = realear("score", "--dataset", "noisy", "--model", "torchaudio-squim", "--set",
                    f"checkpoint={checkpoint}", "--metric", "stoi_error", *work)  # fmt: skip
    assert ended.code == 0, ended.text
    assert "torchaudio-squim" in ended.text


def test_an_enhancer_is_scored_by_it_without_a_clean_signal(realear, tmp_path, checkpoint):
    [noise] = signals(24_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    work = ["--out", tmp_path / "work", "--workers", 1]
    assert realear("prepare", tmp_path, "--name", "street", *work[:2]).code == 0
    given = json.dumps({"checkpoint": str(checkpoint), "device": "cpu"})
    wanted = [
        word
        for name in ("stoi", "pesq", "si_sdr")
        for word in ("--metric", f"blind_{name}:estimator=torchaudio-squim:parameters={given}")
    ]
    ended = realear("score", "--dataset", "street", "--model", "noisy", *wanted, *work)
    assert ended.code == 0, ended.text
    stored = np.round(noise.astype(np.float64) * 32_768) / 32_768
    [expected] = made(checkpoint).estimate([stored.astype(np.float32)], sample_rate=16_000)
    for name, value in expected.items():
        places = (tmp_path / "work/scores").glob(
            f"noisy-*+torchaudio-squim-*/street/blind_{name}-*"
        )
        [row] = [row for place in places for path in place.glob("*.parquet")
                 for row in pq.read_table(path).to_pylist()]  # fmt: skip
        assert row["value"] == pytest.approx(value, abs=1e-3)
