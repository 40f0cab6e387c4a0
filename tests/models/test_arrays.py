"""Array separators, on mixtures made here: instantaneous ones, and rooms by pyroomacoustics."""

from itertools import permutations

import numpy as np
import pyroomacoustics
import pytest
import soundfile

from metrics import FailedPrediction, si_snr
from models import create

RATE = 8_000
BOTH = ["auxiva", "fastica"]


def improvement(references, estimates, mixture) -> float:
    """SI-SNRi in dB over the first channel, best permutation."""
    found = max(
        np.mean([si_snr(r, estimates[n]) for r, n in zip(references, order, strict=True)])
        for order in permutations(range(len(estimates)), len(references))
    )
    return float(found - np.mean([si_snr(r, mixture) for r in references]))


@pytest.fixture(scope="module")
def talkers(speech_like) -> np.ndarray:
    """Three voices that pause on their own, (3, time)."""
    rng = np.random.default_rng(0)
    voices = []
    for seed, pitch in ((1, 97), (2, 151), (3, 233)):
        voice = np.roll(speech_like(8.0, sample_rate=RATE, seed=seed, pitch=pitch), 1_100 * seed)
        pauses = np.repeat(rng.uniform(0, 1, 32) > 0.4, voice.size // 32)
        breath = 0.02 * rng.standard_normal(voice.size)
        voices.append(((voice + breath) * pauses).astype(np.float32))
    return np.stack(voices)


@pytest.fixture(scope="module")
def room(talkers) -> np.ndarray:
    """(talkers, channels, time): what three microphones hear of two talkers in a living room."""
    made = pyroomacoustics.ShoeBox(
        [5, 4, 2.6], fs=RATE, materials=pyroomacoustics.Material(0.5), max_order=8
    )
    for place, talker in zip(([1.0, 3.0, 1.5], [4.0, 3.2, 1.6]), talkers[:2], strict=True):
        made.add_source(place, signal=talker)
    microphones = np.array([[2.4, 1.0, 1.2], [2.5, 1.0, 1.2], [2.6, 1.05, 1.2]])
    made.add_microphone_array(microphones.T)
    return made.simulate(return_premix=True).astype(np.float32)


def instantaneous(talkers, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """(channels, time), and what the first channel hears of each talker, (talkers, time)."""
    weights = np.array([[1, 0.7, 0.5], [0.4, 1, 0.8], [0.6, -0.3, 1], [0.2, 0.9, 0.3]])
    weights = weights[:channels, : len(talkers)].astype(np.float32)
    return weights @ talkers, weights[0][:, None] * talkers


@pytest.mark.parametrize(("sources", "channels"), [(2, 2), (3, 3), (2, 4)])
def test_fastica_undoes_an_instantaneous_mixture(talkers, sources, channels):
    mixture, heard = instantaneous(talkers[:sources], channels)
    (found,) = create("fastica").separate([mixture], sample_rate=RATE, sources=sources)
    assert improvement(heard, found, mixture[0]) > 40
    energies = (found.astype(float) ** 2).sum(axis=1)
    assert (np.diff(energies) <= 0).all()


def test_its_estimates_are_at_the_level_of_the_first_channel(talkers):
    mixture, heard = instantaneous(talkers[:2], 2)
    (found,) = create("fastica").separate([mixture], sample_rate=RATE, sources=2)
    np.testing.assert_allclose(found.sum(axis=0), mixture[0], atol=1e-5)
    loudest_first = heard[np.argsort(-(heard**2).sum(axis=1))]
    np.testing.assert_allclose(found, loudest_first, atol=0.03)


@pytest.mark.parametrize("channels", [2, 3])
def test_auxiva_parts_talkers_in_a_room_where_fastica_cannot(room, channels):
    mixture, heard = room.sum(axis=0)[:channels], room[:, 0]
    found = {
        name: create(name).separate([mixture], sample_rate=RATE, sources=2)[0] for name in BOTH
    }
    assert improvement(heard, found["auxiva"], mixture[0]) > 8
    assert improvement(heard, found["fastica"], mixture[0]) < 0


@pytest.mark.parametrize("name", BOTH)
def test_too_few_channels_are_a_failure(name, talkers):
    with pytest.raises(
        FailedPrediction, match="3 sources need as many channels, found 2"
    ) as caught:
        create(name).separate([talkers[:2]], sample_rate=RATE, sources=3)
    assert caught.value.reason == "too_few_channels"


@pytest.mark.parametrize("name", BOTH)
def test_channels_that_are_alike_are_shared_equally(name, talkers):
    twice = np.stack([talkers[0], 0.5 * talkers[0]])
    (found,) = create(name).separate([twice], sample_rate=RATE, sources=2)
    np.testing.assert_allclose(found, np.tile(talkers[0] / 2, (2, 1)), atol=1e-7)


@pytest.mark.parametrize("name", BOTH)
def test_a_band_without_sound_does_no_harm(name, talkers):
    spectrum = np.fft.rfft(instantaneous(talkers[:2], 2)[0].astype(float))
    spectrum[:, spectrum.shape[1] // 2 :] = 0  # as after resampling from half the rate
    mixture = np.fft.irfft(spectrum).astype(np.float32)
    (found,) = create(name).separate([mixture], sample_rate=RATE, sources=2)
    assert np.isfinite(found).all()
    assert not np.allclose(found[0], found[1], atol=0.01)


def test_what_grows_without_bounds_is_a_failure(talkers):
    mixture, _ = instantaneous(talkers[:2, :14_000], 3)
    with pytest.raises(FailedPrediction) as caught:
        create("auxiva", source="gauss", iterations=200).separate(
            [mixture], sample_rate=RATE, sources=2
        )
    assert caught.value.reason == "no_unmixing"


@pytest.mark.parametrize(
    ("name", "wrong", "text"),
    [
        ("fastica", {"contrast": "tanh"}, "'logcosh' or 'exp' or 'cube', got 'tanh'"),
        ("fastica", {"iterations": 0}, "a whole number from 1 to 100000, got 0"),
        ("auxiva", {"source": "student"}, "'laplace' or 'gauss', got 'student'"),
        ("auxiva", {"window_seconds": 64}, "a number from 0.004 to 2, got 64"),
    ],
)
def test_wrong_parameters_are_refused(name, wrong, text):
    with pytest.raises(ValueError, match=text):
        create(name, **wrong)


def test_real_arrays(recordings):
    """Two talkers of an array's test recordings: only their sum is heard."""
    files = sorted((recordings / "microphone-array").glob("speech_*.flac"))
    parts = np.stack([soundfile.read(path, dtype="float32")[0].T[:2] for path in files])
    mixture = parts.sum(axis=0)
    (found,) = create("auxiva").separate([mixture], sample_rate=16_000, sources=2)
    assert improvement(parts[:, 0], found, mixture[0]) > 7


def test_they_run_to_a_score_and_count_what_they_cannot(realear, tmp_path, talkers):
    mixture, heard = instantaneous(talkers[:2, :16_000], 2)
    for folder in ("mix", "s1", "s2"):
        (tmp_path / folder).mkdir()
    for name, sound in {"array": mixture, "mono": mixture[:1]}.items():
        soundfile.write(tmp_path / f"mix/{name}.wav", 0.5 * sound.T, RATE)
        for number, source in enumerate(heard):
            soundfile.write(tmp_path / f"s{number + 1}/{name}.wav", 0.5 * source, RATE)
    work = ["--out", tmp_path / "work"]
    ended = realear("prepare", tmp_path, "--name", "pairs", *work, "--audio", "mix/*.wav",
                    "--channels", "keep",
                    "--source", "s1/{stem}.wav", "--source", "s2/{stem}.wav")  # fmt: skip
    assert ended.code == 0, ended.text
    for name in BOTH:
        ended = realear("score", "--dataset", "pairs", "--model", name, "--metric", "si_snri",
                        "--tolerate", 0.5, *work, "--workers", 1)  # fmt: skip
        assert ended.code == 0, ended.text
        failures = list((tmp_path / "work/predictions").glob(f"{name}-*/pairs/*.json"))
        assert any('"too_few_channels"' in path.read_text() for path in failures)
