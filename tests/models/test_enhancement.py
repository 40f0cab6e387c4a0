"""Enhancers: noise goes, speech stays."""

import numpy as np
import pytest
import soundfile

from models import create
from models.enhancement import track_noise


def snr_db(clean, found) -> float:
    clean, found = np.float64(clean), np.float64(found)
    return float(10 * np.log10((clean @ clean) / ((found - clean) @ (found - clean))))


def noisy_speech(speech_like, *, sample_rate, level=0.05):
    clean = speech_like(3.0, sample_rate=sample_rate, seed=2)
    noise = np.random.default_rng(5).standard_normal(clean.size)
    return clean, (clean + level * noise).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [8000, 16000])
@pytest.mark.parametrize("name", ["wiener", "spectral-gating"])
def test_noise_around_speech_goes_down(name, sample_rate, speech_like):
    clean, noisy = noisy_speech(speech_like, sample_rate=sample_rate)
    (found,) = create(name).enhance([noisy], sample_rate=sample_rate)
    pauses = np.convolve(np.abs(clean), np.ones(400), "same") < 1e-3
    assert pauses.mean() > 0.2
    assert (found[pauses] ** 2).mean() < 0.3 * (noisy[pauses] ** 2).mean()


@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_the_wiener_filter_raises_the_snr(sample_rate, speech_like):
    clean, noisy = noisy_speech(speech_like, sample_rate=sample_rate)
    (found,) = create("wiener").enhance([noisy], sample_rate=sample_rate)
    assert snr_db(clean, found) > snr_db(clean, noisy) + 4


def test_a_tone_in_noise_comes_out(speech_like):
    time = np.arange(32000) / 16000
    tone = 0.1 * np.sin(2 * np.pi * 1000 * time) * (time % 1 > 0.5)
    noisy = (tone + 0.05 * np.random.default_rng(1).standard_normal(time.size)).astype(np.float32)
    (found,) = create("wiener").enhance([noisy], sample_rate=16000)
    assert snr_db(tone, found) > snr_db(tone, noisy) + 8


def test_a_higher_floor_leaves_more_noise():
    noise = np.random.default_rng(2).standard_normal(32000).astype(np.float32)
    power = [
        float(
            (create("wiener", snr_floor_db=db).enhance([noise], sample_rate=16000)[0] ** 2).mean()
        )
        for db in (-40.0, -15.0, -5.0, 0.0)
    ]
    assert power == sorted(power)
    assert power[0] < 0.02 < 0.25 <= power[-1] < 1


def test_level_changes_nothing_but_the_level(speech_like):
    _, noisy = noisy_speech(speech_like, sample_rate=16000)
    for name in ("wiener", "spectral-gating"):
        loud, quiet = create(name).enhance([noisy, noisy / 1024], sample_rate=16000)
        np.testing.assert_allclose(quiet * 1024, loud, atol=1e-5)


def test_the_noise_floor_finds_steady_noise_and_a_step():
    rng = np.random.default_rng(3)
    power = rng.exponential(1.0, (400, 200))
    power[200:] *= 4  # 6 dB more, half way
    noise = track_noise(power, first=1, lead_frames=6)
    assert noise.shape == power.shape
    # In noise of power 1 the published rule settles at 0.81: its own fixed point, jitter apart.
    assert noise[100:200].mean() == pytest.approx(0.81, rel=0.1)
    assert noise[350:].mean() == pytest.approx(4 * 0.81, rel=0.1)


def test_the_noise_floor_stands_still_under_speech_and_starts_from_digital_silence():
    rng = np.random.default_rng(4)
    power = rng.exponential(1.0, (120, 50))
    power[60:80] += 1000
    assert track_noise(power, first=1, lead_frames=6)[60:80].mean() < 3
    power = np.concatenate([np.zeros((20, 50)), rng.exponential(1.0, (200, 50))])
    noise = track_noise(power, first=1, lead_frames=6)
    assert (noise > 0).all()
    assert noise[-50:].mean() == pytest.approx(0.81, rel=0.25)


def test_gating_by_one_threshold_and_by_no_reduction(speech_like):
    _, noisy = noisy_speech(speech_like, sample_rate=16000)
    running, still, nothing = (
        create("spectral-gating", **options).enhance([noisy], sample_rate=16000)[0]
        for options in ({}, {"stationary": True}, {"reduction": 0.0})
    )
    assert not np.allclose(running, still)
    np.testing.assert_allclose(nothing, noisy, atol=1e-6)


def test_gating_a_clip_longer_than_the_library_takes_at_once():
    size = 620_000  # noisereduce works in chunks of 600,000
    noisy = np.random.default_rng(6).standard_normal(size).astype(np.float32)
    noisy[300_000:320_000] += 20 * np.sin(0.2 * np.arange(20_000), dtype=np.float32)
    (found,) = create("spectral-gating").enhance([noisy], sample_rate=16000)
    assert found.shape == noisy.shape
    assert type(found) is np.ndarray
    assert found[600_000:].any()


def test_real_noise_goes_down(recordings):
    folder = recordings / "voicebank-demand"
    for path in sorted((folder / "noisy").iterdir())[:2]:
        noisy, rate = soundfile.read(path, dtype="float32")
        for name in ("wiener", "spectral-gating"):
            (found,) = create(name).enhance([noisy], sample_rate=rate)
            assert found.shape == noisy.shape
            assert 0.1 < (found**2).sum() / (noisy**2).sum() < 1
