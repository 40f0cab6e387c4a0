"""Perturbations: faster and slower, higher and lower, each without the other."""

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes.base import generator
from pipelines.recipes.perturb import (
    Perturbation,
    PerturbationRow,
    apply,
    draw,
    labels,
    samples,
    seconds,
    stretched,
)

RATE = 16_000  # Hz
rows = st.builds(
    PerturbationRow,
    speed=st.sampled_from([0.9, 1.0, 1.1]) | st.floats(0.5, 2.0),
    tempo=st.just(1.0) | st.floats(0.5, 2.0),
    semitones=st.just(0.0) | st.floats(-12.0, 12.0),
)


def voiced(hz, size=RATE):
    """Ten harmonics of a voice."""
    time = np.arange(size) / RATE
    return 0.05 * sum(np.sin(2 * np.pi * hz * n * time + n) for n in range(1, 11))


def pitch_hz(signal):
    """The first strong period between 60 and 600 Hz of the middle of a signal."""
    inside = signal[signal.size // 4 : -signal.size // 4]
    likeness = scipy.signal.correlate(inside, inside, method="fft")[inside.size - 1 :]
    lags = np.arange(RATE // 600, RATE // 60)
    first = lags[likeness[lags] > 0.8 * likeness[lags].max()][0]
    found = first + int(np.argmax(likeness[first : first + 10]))
    low, here, high = likeness[found - 1 : found + 2]
    return RATE / (found + 0.5 * (low - high) / (low - 2 * here + high))


@given(row=rows, size=st.integers(0, 5_000), rate=st.sampled_from([8_000, 16_000, 48_000]))
@settings(deadline=None)
def test_lengths_are_as_said_and_bits_come_again(row, size, rate):
    signal = generator("signal", size).uniform(-0.9, 0.9, size)
    before = signal.copy()
    heard = apply(row, signal, rate)
    assert heard.shape == (samples(row, size),)
    assert heard.size == pytest.approx(rate * seconds(row, size / rate), abs=1)
    assert np.isfinite(heard).all()
    assert apply(row, signal, rate).tobytes() == heard.tobytes()
    np.testing.assert_array_equal(signal, before)


@pytest.mark.parametrize("hz", [90.0, 210.0])
@pytest.mark.parametrize(
    ("row", "higher"),
    [
        (PerturbationRow(speed=0.9), 0.9),
        (PerturbationRow(speed=1.1), 1.1),
        (PerturbationRow(tempo=0.7), 1.0),
        (PerturbationRow(tempo=1.5), 1.0),
        (PerturbationRow(semitones=4.0), 2 ** (4 / 12)),
        (PerturbationRow(semitones=-5.0), 2 ** (-5 / 12)),
        (PerturbationRow(speed=1.1, tempo=0.8, semitones=2.0), 1.1 * 2 ** (2 / 12)),
    ],
)
def test_pitch_goes_with_speed_and_semitones_and_not_with_tempo(hz, row, higher):
    heard = apply(row, voiced(hz, 3 * RATE), RATE)
    assert pitch_hz(heard) == pytest.approx(hz * higher, rel=0.01)
    inside = heard[RATE // 2 : -RATE // 2]
    assert inside.std() == pytest.approx(voiced(hz).std(), rel=0.05)  # the level stays


def test_speed_is_resampling():
    fine = voiced(100.0, 11_000)
    expected = scipy.signal.resample(fine, 10_000)
    heard = apply(PerturbationRow(speed=1.1), fine, RATE)
    np.testing.assert_allclose(heard[500:-500], expected[500:-500], atol=2e-3)


def test_nothing_to_do_changes_nothing():
    signal = voiced(100.0)
    np.testing.assert_array_equal(apply(PerturbationRow(), signal, RATE), signal)
    assert labels(PerturbationRow()) == {}
    assert not apply(PerturbationRow(tempo=1.3), np.zeros(3_000), RATE).any()


@pytest.mark.parametrize("tempo", [0.7, 0.9, 1.1, 1.4])
def test_real_speech_keeps_its_sound_and_its_order_at_another_tempo(recordings, tempo):
    for name in ("spk1_snt1", "spk2_snt2"):
        speech, rate = soundfile.read(recordings / "read-sentences" / f"{name}.wav")
        heard = stretched(speech, tempo, rate)
        assert heard.std() == pytest.approx(speech.std(), rel=0.05)
        assert np.corrcoef(spectrum_db(speech), spectrum_db(heard))[0, 1] > 0.98
        # What happens, happens at its time divided by the tempo: compared in 80 equal parts.
        assert np.corrcoef(loudness(speech), loudness(heard))[0, 1] > 0.95


def spectrum_db(signal):
    return 10 * np.log10(scipy.signal.welch(signal, RATE, nperseg=1_024)[1][2:400])


def loudness(signal, parts=80):
    return np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(signal, parts)])


def test_a_higher_voice_says_the_same_at_the_same_time(recordings):
    speech, rate = soundfile.read(recordings / "read-sentences" / "spk1_snt1.wav")
    heard = apply(PerturbationRow(semitones=3.0), speech, rate)
    assert heard.size == speech.size
    assert np.corrcoef(loudness(speech), loudness(heard))[0, 1] > 0.95


def test_only_another_tempo_keeps_the_voice():
    assert PerturbationRow(tempo=0.8).keeps_voice
    assert not PerturbationRow(speed=0.9).keeps_voice
    assert not PerturbationRow(semitones=0.5).keeps_voice


@given(seed=st.integers(0, 2**40))
def test_draws_lie_within_their_ranges_and_leave_each_other_alone(seed):
    recipe = Perturbation(speeds=(0.9, 1.1), tempo=(0.8, 1.25), semitones=(-2.0, 3.0))
    row = draw(recipe, generator(seed))
    assert row.speed in (0.9, 1.1)
    assert 0.8 <= row.tempo <= 1.25
    assert -2.0 <= row.semitones <= 3.0
    assert PerturbationRow.model_validate_json(row.model_dump_json()) == row
    fewer = draw(Perturbation(speeds=(0.9, 1.1), semitones=(-2.0, 3.0)), generator(seed))
    assert (fewer.speed, fewer.tempo, fewer.semitones) == (row.speed, 1.0, row.semitones)
    assert set(labels(row)) <= {"speed", "tempo", "semitones"}


def test_kaldis_three_speeds_are_drawn_by_default():
    drawn = [draw(Perturbation(), generator(seed)) for seed in range(300)]
    assert {row.speed for row in drawn} == {0.9, 1.0, 1.1}
    assert labels(PerturbationRow(speed=0.9, semitones=-1.5)) == {
        "speed": "0.9",
        "semitones": "-1.5",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speeds": []}, "at least 1 item"),
        ({"speeds": [0.0]}, "speeds within"),
        ({"tempo": [0.1, 1.0]}, "tempo within"),
        ({"semitones": [0, 36]}, r"semitones within \[-24.0, 24.0\]"),
    ],
)
def test_perturbations_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Perturbation.model_validate(options)


@pytest.mark.parametrize("signal", [np.array([0.0, np.nan]), np.zeros((2, 9))])
def test_what_is_no_signal_is_refused(signal):
    with pytest.raises(ValueError, match=r"finite samples of shape \(time,\)"):
        apply(PerturbationRow(speed=0.9), signal, RATE)
