"""The figures of a recording: loudness against BS.1770's own table, the rest by construction."""

import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from metrics.recording import Measured, measure, measure_pcm
from tests.metrics.conftest import recordings_folder

RATE = 16_000
RATES = (1_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000)
SHARED = (
    "read-sentences", "card-commands", "voicebank-demand", "conversations", "esc50", "noise",
    "free-spoken-digits",
)  # fmt: skip
# ITU-R BS.1770-4, tables 1 and 2, for 48 kHz.
SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (-1.69065929318241, 0.73248077421585),
)
HIGH_PASS = (1, -2, 1), (-1.99004745483398, 0.99007225036621)
TABLE = np.array([[*above, 1, *below] for above, below in (SHELF, HIGH_PASS)])


def at_48_khz(signal: np.ndarray, rate: int) -> np.ndarray:
    """Band-limited resampling by one long transform, with silence around against its wrap."""
    ahead = rate // 2
    whole = -(-(len(signal) + 2 * ahead) // rate) * rate
    padded = np.pad(signal, (ahead, whole - ahead - len(signal)))
    new = scipy.signal.resample(padded, whole // rate * 48_000)
    return new[24_000 : 24_000 + round(len(signal) * 48_000 / rate)]


def exact_loudness(signal: np.ndarray, rate: int) -> float | None:
    """BS.1770-4 word for word, sample by sample with the table's filters, at 48 kHz."""
    channels = signal.reshape(len(signal), -1).T
    weighted = [scipy.signal.sosfilt(TABLE, at_48_khz(channel, rate)) for channel in channels]
    energy = np.square(weighted).sum(axis=0)
    starts = range(0, len(energy) - 19_200 + 1, 4_800)
    powers = np.array([energy[start : start + 19_200].mean() for start in starts])
    levels = -0.691 + 10 * np.log10(np.maximum(powers, 1e-30))
    if not (levels > -70).any():
        return None
    gate = -0.691 + 10 * math.log10(powers[levels > -70].mean()) - 10
    return -0.691 + 10 * math.log10(powers[(levels > -70) & (levels > gate)].mean())


def white(seconds: float, rate: int = RATE, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).normal(size=round(seconds * rate))


def sine(hertz: float, peak: float, seconds: float = 4, rate: int = RATE) -> np.ndarray:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def speechlike(seconds: float = 4, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise in syllables, falling by 6 dB an octave as speech does."""
    time = np.arange(round(seconds * rate)) / rate
    falling = scipy.signal.lfilter([1], [1, -0.9], white(seconds, rate, 0.05, seed))
    return falling * np.maximum(np.sin(2 * np.pi * 1.5 * time), 0.001)


def sixteen_bits(signal: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(signal * 32_768), -32_768, 32_767) / 32_768


def recorded(*folders: str) -> Iterator[tuple[Path, np.ndarray, int]]:
    for folder in folders:
        for path in sorted((recordings_folder() / folder).rglob("*.wav")):
            yield path, *soundfile.read(path)


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate <= 48_000])
@pytest.mark.parametrize("make", [white, speechlike])
def test_loudness_is_that_of_the_standard_at_every_rate(make, rate):
    signal = make(7, rate)  # several chunks from 11 kHz
    allowed = 0.1 if rate < 8_000 else 0.03
    assert measure(signal, rate).loudness_lufs == pytest.approx(
        exact_loudness(signal, rate), abs=allowed
    )


@pytest.mark.parametrize("rate", [96_000, 192_000, 384_000])
def test_a_clip_is_as_loud_and_as_wide_at_a_higher_rate(rate):
    signal = speechlike(3, 44_100)
    found, higher = measure(signal, 44_100), measure(soxr.resample(signal, 44_100, rate), rate)
    assert higher.loudness_lufs == pytest.approx(found.loudness_lufs, abs=0.03)
    assert higher.bandwidth_hz == pytest.approx(22_050, abs=400)


def test_the_reference_tone_reads_its_level():
    # -20 dBFS peak is -23.01 dB of mean square; K-weighting lifts 997 Hz by 0.69, the formula
    # takes 0.69 off.
    for rate in (8_000, 16_000, 44_100, 48_000):
        assert measure(sine(997, 0.1, rate=rate), rate).loudness_lufs == pytest.approx(
            -23.01, abs=0.02
        )


@given(st.integers(0, 50), st.floats(-6, 12))
def test_gain_moves_levels_and_nothing_else(seed, decibels):
    signal, gain = speechlike(2, seed=seed), 10 ** (decibels / 20)
    before, after = measure(signal, RATE), measure(gain * signal, RATE)
    for name in ("peak_dbfs", "rms_dbfs", "loudness_lufs"):
        moved = getattr(after, name) - getattr(before, name)
        assert moved == pytest.approx(decibels, abs=0.0101), name
    assert (after.silence, after.clipping) == (before.silence, before.clipping)
    assert after.bandwidth_hz == before.bandwidth_hz == 8_000


def test_pauses_and_faint_ends_are_gated():
    tone = sine(997, 0.1, 3)
    expected = measure(tone, RATE).loudness_lufs
    for after in (np.zeros(5 * RATE), sine(997, 0.01, 5)):
        clip = np.concatenate([tone, after])
        found = measure(clip, RATE).loudness_lufs
        assert found == pytest.approx(exact_loudness(clip, RATE), abs=0.02)
        assert found > expected - 1  # ungated it would be 4.3 lower


def test_loudness_needs_400_ms_above_the_absolute_gate():
    tone = sine(997, 0.1, 0.4)
    assert measure(tone, RATE).loudness_lufs == pytest.approx(-23.01, abs=0.1)
    assert measure(tone[:-1], RATE).loudness_lufs is None
    assert measure(sine(997, 10 ** (-67.5 / 20)), RATE).loudness_lufs is None
    assert measure(sine(997, 10 ** (-66.5 / 20)), RATE).loudness_lufs == pytest.approx(
        -69.5, abs=0.02
    )


@pytest.mark.parametrize("hertz", [3, 7, 15, 25, 50])
def test_rumble_far_above_the_speech_does_not_leak_into_loudness(hertz):
    signal = speechlike(8) / 2 + sine(hertz, 0.3, 8)
    assert measure(signal, RATE).loudness_lufs == pytest.approx(
        exact_loudness(signal, RATE), abs=0.1
    )


def test_an_offset_is_reported_and_not_heard():
    signal = speechlike(8)
    plain, moved = measure(signal, RATE), measure(signal + 0.25, RATE)
    assert moved.dc == pytest.approx(plain.dc + 0.25, abs=2e-6)
    assert moved.loudness_lufs == pytest.approx(plain.loudness_lufs, abs=0.05)
    assert (moved.bandwidth_hz, moved.clipping) == (plain.bandwidth_hz, plain.clipping)


def test_levels_of_a_full_scale_sine():
    found = measure(sine(1000, 1.0), RATE)
    assert (found.peak_dbfs, found.rms_dbfs) == (0.0, -3.01)
    assert measure(-0.5 * np.abs(sine(1000, 1.0)), RATE).peak_dbfs == -6.02


def lying_flat(signal: np.ndarray, least: int = 3) -> float:
    """The share in runs within a 16-bit step of either extreme, sample by sample."""
    total = 0
    for mask in (signal >= signal.max() - 2**-15, signal <= signal.min() + 2**-15):
        run = 0
        for value in [*mask.tolist(), False]:
            if value:
                run += 1
                continue
            total += run if run >= least else 0
            run = 0
    return total / len(signal)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.15])
@pytest.mark.parametrize("over", [1.5, 3.0])
def test_hard_clipping_is_found_at_any_later_level(level, over):
    clean = speechlike(5)
    peak = np.abs(clean).max()
    clipped = sixteen_bits(np.clip(clean * over / peak, -1, 1) * level)
    share = measure(clipped, RATE).clipping
    assert share == pytest.approx(lying_flat(clipped), abs=1e-6)
    assert share > 1e-4
    assert measure(sixteen_bits(clean / peak * level), RATE).clipping == 0


def test_tops_and_channels_have_their_own_ceilings():
    clean = sine(440, 1.5)
    one_sided = np.minimum(clean, 0.8)
    assert measure(one_sided, RATE).clipping == pytest.approx(np.mean(clean >= 0.8), abs=1e-4)
    both = np.stack([one_sided, 0.5 * np.minimum(clean, 0.9)], axis=1)
    apart = [measure(channel, RATE).clipping for channel in both.T]
    assert measure(both, RATE).clipping == pytest.approx(np.mean(apart), abs=1e-6)
    assert min(apart) > 0


def test_a_run_across_chunks_is_one():
    signal = white(10)
    signal[63_998:64_002] = 1.0  # chunks of 64,000 samples at this rate
    assert measure(signal, RATE).clipping == round(4 / len(signal), 6)


@pytest.mark.parametrize(
    ("signal", "share"),
    [
        (np.zeros(RATE), 0),
        (np.full(RATE, 0.5), 0),  # nothing moves
        (np.sign(sine(100.3, 1)), 1),  # everything is flat
        (0.05 * np.sign(sine(100.3, 1)), 0),  # too low for a ceiling
        (sixteen_bits(sine(40, 0.002)), 0),  # rests at its extreme, for want of steps
        (sixteen_bits(np.clip(sine(100.3, 0.2), -0.05, 0.05)), 0),
        (np.concatenate([sine(440, 0.4), np.full(5, 0.6)]), 0),  # one run is chance
        (np.concatenate([sine(440, 0.4), np.full(2, 1.0)]), 0),
        (np.concatenate([sine(440, 0.4, 1), np.full(4, 1.0)]), round(4 / (RATE + 4), 6)),
    ],
)
def test_what_is_a_plausible_clip(signal, share):
    assert measure(signal, RATE).clipping == pytest.approx(share, abs=1e-3 if share == 1 else 1e-6)


def test_silence_is_deep_under_the_loudest_or_under_the_gate():
    tone = sine(500, 0.5, 1)
    for under, share in ((10 ** (-39 / 20), 0), (10 ** (-41 / 20), 0.5), (0, 0.5)):
        clip = np.concatenate([tone, under * tone])
        assert measure(clip, RATE).silence == share
        assert measure(0.1 * clip, RATE).silence == share  # still above the gate
    assert measure(sine(500, 10 ** (-66 / 20)), RATE).silence == 0
    assert measure(sine(500, 10 ** (-68 / 20)), RATE).silence == 1
    assert measure(tone[:100], RATE).silence == 0  # shorter than a frame


@pytest.mark.parametrize("rate", RATES)
def test_white_noise_reaches_half_the_rate(rate):
    assert measure(white(2, rate), rate).bandwidth_hz == pytest.approx(rate / 2, abs=100)


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("level", [1.0, 0.01])
@pytest.mark.parametrize("bits", [16, None])
def test_telephone_speech_is_narrow_at_any_rate(rate, level, bits):
    signal = level * soxr.resample(speechlike(4, 8_000), 8_000, rate)
    found = measure(sixteen_bits(signal) if bits else signal, rate)
    assert found.bandwidth_hz == pytest.approx(3_950, abs=150)


def test_an_mp3_encoders_low_pass_shows():
    before, file = white(4, 44_100, 0.05), io.BytesIO()
    soundfile.write(file, before, 44_100, format="MP3")
    after, _ = soundfile.read(io.BytesIO(file.getvalue()))
    assert measure(before, 44_100).bandwidth_hz == 22_000
    assert measure(after, 44_100).bandwidth_hz < 20_500
    low_pass = scipy.signal.firwin(801, 16_000, fs=44_100, window=("kaiser", 10))
    filtered = sixteen_bits(scipy.signal.lfilter(low_pass, 1, before))
    assert measure(filtered, 44_100).bandwidth_hz == pytest.approx(16_000, abs=300)


@pytest.mark.parametrize("hertz", [50, 440, 3_000, 7_500])
def test_a_tone_is_as_wide_as_it_is_high(hertz):
    assert measure(sixteen_bits(sine(hertz, 0.5)), RATE).bandwidth_hz == pytest.approx(
        hertz + 50, abs=100
    )


def test_channels_add_up():
    left, right = speechlike(3), speechlike(3, seed=1)
    mono, twice = measure(left, RATE), measure(np.stack([left, left], axis=1), RATE)
    assert twice.loudness_lufs == pytest.approx(mono.loudness_lufs + 3.01, abs=0.0101)
    assert (twice.rms_dbfs, twice.silence, twice.bandwidth_hz) == (
        mono.rms_dbfs, mono.silence, mono.bandwidth_hz,
    )  # fmt: skip
    stereo = np.stack([left, right], axis=1)
    assert measure(stereo, RATE).loudness_lufs == pytest.approx(
        exact_loudness(stereo, RATE), abs=0.02
    )
    half = measure(np.stack([left, np.zeros_like(left)], axis=1), RATE)
    assert half.loudness_lufs == mono.loudness_lufs
    assert half.rms_dbfs == pytest.approx(mono.rms_dbfs - 3.01, abs=0.0101)


NOTHING = Measured(-200.0, -200.0, None, 0.0, 1.0, None, 0.0)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (1,), (1, 3), (RATE,), (5 * RATE, 2)])
def test_no_samples_and_zeros_are_silence(shape):
    assert measure(np.zeros(shape), RATE) == NOTHING
    assert measure(np.zeros(shape, np.float32), RATE) == NOTHING


def test_one_sample():
    assert measure(np.array([-0.5]), RATE) == Measured(-6.02, -6.02, None, 0.0, 0.0, None, -0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e7, -1e300])
@pytest.mark.parametrize("place", [0, 5_000, 159_999])
def test_samples_that_are_none_are_refused(bad, place):
    signal = white(10)
    signal[place] = bad
    with pytest.raises(ValueError, match="expected samples within ±1"):
        measure(signal, RATE)


@pytest.mark.parametrize(
    ("samples", "rate", "error", "words"),
    [
        (np.zeros(10, np.int16), RATE, TypeError, "float32 or float64, found int16"),
        (np.zeros(10), 999, ValueError, "found 999"),
        (np.zeros(10), 400_000, ValueError, "found 400000"),
        (np.zeros((2, 3, 4)), RATE, ValueError, r"\(time, channels\)"),
        (np.zeros((10, 0)), RATE, ValueError, r"\(time, channels\)"),
        (np.float64(1.0), RATE, ValueError, r"\(time, channels\)"),
    ],
)
def test_what_is_no_recording_is_refused(samples, rate, error, words):
    with pytest.raises(error, match=words):
        measure(samples, rate)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("peak", [0.0, 0.05, 0.3, 0.99, 3.0])
@pytest.mark.parametrize(("seconds", "channels"), [(0.05, 1), (0.7, 2), (9.3, 1)])
def test_integers_are_measured_as_the_samples_that_they_stand_for(bits, peak, seconds, channels):
    size = round(seconds * RATE)
    sound = np.stack([speechlike(size / RATE, seed=n) for n in range(channels)], axis=1)
    top = 2 ** (bits - 1)
    scaled = np.rint(sound * (peak / np.abs(sound).max()) * top)
    ceiling = 0.4 * top if peak == 0.99 else top - 1  # once clipped and then turned down
    values = np.clip(scaled, -top, ceiling).astype(np.int32)
    pcm = values.astype(np.int16) if bits == 16 else values << 8
    expected = measure((values / top).astype(np.float32), RATE)
    assert measure_pcm(pcm, RATE) == expected
    assert measure_pcm(np.asfortranarray(pcm), RATE) == expected
    assert (expected.clipping > 0) == (peak in (0.99, 3.0))


def test_integers_without_samples_and_of_other_sizes():
    assert measure_pcm(np.zeros(0, np.int16), RATE) == NOTHING
    assert measure_pcm(np.full(1, -(1 << 14), np.int16), RATE).peak_dbfs == -6.02
    with pytest.raises(TypeError, match="int16 or int32, found int64"):
        measure_pcm(np.zeros(10, np.int64), RATE)


def test_precision_and_layout_of_memory_do_not_matter():
    stereo = np.stack([speechlike(3), speechlike(3, seed=1)], axis=1).astype(np.float32)
    before, expected = stereo.copy(), measure(stereo, RATE)
    assert measure(stereo.astype(np.float64), RATE) == expected
    assert measure(np.asfortranarray(stereo), RATE) == expected
    assert measure(np.repeat(stereo, 2, axis=0)[::2], RATE) == expected
    assert np.array_equal(stereo, before)


@given(
    st.integers(0, 100),
    st.integers(0, 6_000),
    st.sampled_from([1_000, 1_499, 8_000, 11_025, 44_056]),
    st.integers(1, 3),
    st.floats(-210, 10),
)
def test_figures_are_always_finite_and_in_range(seed, length, rate, channels, decibels):
    rng = np.random.default_rng(seed)
    found = measure(10 ** (decibels / 20) * rng.normal(size=(length, channels)), rate)
    assert all(isinstance(value, float | None) for value in vars(found).values())
    assert all(math.isfinite(value) for value in vars(found).values() if value is not None)
    assert -200 <= found.rms_dbfs <= found.peak_dbfs
    assert 0 <= found.clipping <= 1
    assert 0 <= found.silence <= 1
    assert found.bandwidth_hz is None or 0 < found.bandwidth_hz <= rate / 2 + 1
    assert length >= 0.4 * rate or found.loudness_lufs is None


def test_loudness_of_real_recordings():
    for path, signal, rate in recorded(*SHARED):
        if rate == 8_000 and not path.stem.endswith("7"):
            continue  # a tenth of the many digits
        found = measure(signal, rate).loudness_lufs
        if len(signal) < 0.4 * rate:
            assert found is None
        else:
            assert found == pytest.approx(exact_loudness(signal, rate), abs=0.05), path


def test_only_the_two_clipped_recordings_are():
    clipped = {
        path.name: share
        for path, signal, rate in recorded(*SHARED)
        if (share := measure(signal, rate).clipping)
    }
    assert sorted(clipped) == ["2-100648-A-43.wav", "5-156999-C-19.wav"]
    assert min(clipped.values()) > 0.03


def test_real_speech_keeps_its_bandwidth_and_loses_it_by_telephone():
    for path, signal, rate in recorded("read-sentences", "voicebank-demand"):
        narrow = soxr.resample(soxr.resample(signal, rate, 8_000), 8_000, rate)
        assert measure(signal, rate).bandwidth_hz >= 7_500, path
        assert measure(sixteen_bits(narrow), rate).bandwidth_hz == pytest.approx(4_000, abs=150)
