"""Decoding, resampling and storing of signals."""

import contextlib
import io
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import audio
from pipelines.audio import BadAudio

RATE = 16_000  # Hz
LOSSLESS = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "PCM_16"), ("FLAC", "PCM_16"),
            ("FLAC", "PCM_24"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
            ("W64", "PCM_16"), ("RF64", "PCM_16"), ("NIST", "PCM_16")]  # fmt: skip
LOSSY = [("WAV", "ULAW"), ("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("OGG", "VORBIS"),
         ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]  # fmt: skip


def noise(samples: int = RATE) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.4, 0.4, samples)


def encoded(signal: np.ndarray, form: str, subtype: str, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format=form, subtype=subtype)
    return file.getvalue()


def wav(promised: int | None = None, *, rate: int = RATE, samples: int = 1000) -> bytes:
    """A 16-bit WAV whose header may promise another length."""
    data = bytearray(encoded(noise(samples), "WAV", "PCM_16", rate))
    at = data.index(b"data") + 4
    if promised is not None:
        data[at : at + 4] = struct.pack("<I", promised)
    return bytes(data)


def reason(data: bytes) -> str:
    with pytest.raises(BadAudio) as caught:
        audio.decode(data)
    return caught.value.reason


def outcome(data, *stretch: float | None) -> tuple:
    """What comes of decoding: rate, bits, suffix and samples, or the reason why not."""
    try:
        found = audio.decode(data, *stretch)
    except BadAudio as error:
        return (error.reason,)
    return found.sample_rate, found.bits, found.suffix, found.pcm.dtype, found.pcm.tolist()


# Decoding


@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_lossless_formats_decode_to_the_very_samples(form, subtype):
    bits = 24 if subtype.endswith("24") else 16
    pcm = np.rint(noise() * 2 ** (bits - 1)) / 2 ** (bits - 1)
    found = audio.decode(encoded(pcm, form, subtype))
    assert (found.sample_rate, found.bits) == (RATE, bits)
    np.testing.assert_array_equal(found.samples, pcm[:, None])


@settings(deadline=None, max_examples=60)
@given(
    channels=st.integers(1, 9),
    frames=st.integers(0, 50),
    rate=st.sampled_from([999, 1_000, 8_000, 44_100, 70_001, 96_000, 384_000, 400_000]),
    start=st.none() | st.floats(0, 0.01),
    end=st.none() | st.floats(0, 0.01),
)
def test_plain_wav_is_what_libsndfile_makes_of_it(channels, frames, rate, start, end):
    pcm = np.random.default_rng(frames).integers(-(1 << 15), 1 << 15, (frames, channels), np.int16)
    data = encoded(pcm, "WAV", "PCM_16", rate)
    # Only bytes are looked at as plain: a stream goes to libsndfile.
    assert outcome(data, start, end) == outcome(io.BytesIO(data), start, end)
    if len(found := outcome(data)) > 1:
        assert found[-1] == pcm.tolist()
        assert audio.header(data) == audio.header(io.BytesIO(data))


@pytest.mark.parametrize("place", range(44))
def test_a_header_that_is_not_quite_plain_is_libsndfiles(place):
    for value in (0, 1, 2, 3, 16, 32, 255):
        data = bytearray(wav(samples=60))
        data[place] = value
        assert outcome(bytes(data)) == outcome(io.BytesIO(data))


@pytest.mark.parametrize("behind", [b"\0", b"LIST\4\0\0\0INFO", b"\1\2"])
def test_what_lies_behind_the_samples_is_no_sound(behind):
    data = wav(samples=60) + behind
    assert outcome(data) == outcome(io.BytesIO(data)) == outcome(wav(samples=60))


@pytest.mark.parametrize(("form", "subtype"), LOSSY)
def test_lossy_formats_decode_whole(form, subtype):
    found = audio.decode(encoded(noise(), form, subtype))
    assert RATE <= len(found.samples) < RATE + 1024  # ADPCM and GSM come in blocks
    assert found.sample_rate == RATE


@pytest.mark.parametrize("share", [0.4, 0.7, 0.99])
@pytest.mark.parametrize(("form", "subtype"), [*LOSSLESS, *LOSSY])
def test_a_file_cut_short_is_refused(form, subtype, share):
    data = encoded(noise(), form, subtype)
    assert reason(data[: int(len(data) * share)]) in {"truncated", "undecodable"}


@pytest.mark.parametrize("name", ["WAV", "AIFF", "AU", "W64", "RF64", "NIST"])
def test_even_one_missing_sample_is_told(name):
    assert reason(encoded(noise(), name, "PCM_16")[:-2]) == "truncated"


@pytest.mark.parametrize(
    "promised",
    [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFF000 - 24, 0x7FFFFF00, 0x80000000],
    ids=["ffmpeg", "riff-filled", "signed", "sox", "sox-blocks", "arecord", "arecord-raw"],
)
def test_lengths_that_a_streaming_writer_leaves_are_accepted(promised):
    np.testing.assert_array_equal(audio.decode(wav(promised)).samples, audio.decode(wav()).samples)


@pytest.mark.parametrize("promised", [2_001, 2_002, 1_000_000, 0x7FFE0000, 0x80000002, 0xFFFE0000])
def test_other_lengths_beyond_the_file_are_not(promised):
    assert reason(wav(promised)) == "truncated"


@pytest.mark.parametrize("rate", [0, 1, 999, 384_001, 96_001, 65_537, 2**31 - 1])
def test_a_lying_sample_rate_is_refused(rate):
    data = bytearray(wav())
    data[24:28] = struct.pack("<I", rate)
    assert reason(bytes(data)) in {"bad_sample_rate", "undecodable"}


@pytest.mark.parametrize("total", [20_000, 2**31, 2**33, 2**36 - 1])
def test_a_flac_header_that_promises_more_than_memory_costs_one_clip(total):
    data = bytearray(encoded(noise(), "FLAC", "PCM_16"))
    block = int.from_bytes(data[18:26], "big") >> 36 << 36 | total  # STREAMINFO, last 36 bits
    data[18:26] = block.to_bytes(8, "big")
    assert reason(bytes(data)) in {"undecodable", "truncated"}


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\0" * 4096, b"ftypM4A " * 100, b"<html></html>"])
def test_what_is_no_sound_is_undecodable(data):
    assert reason(data) == "undecodable"


def test_a_file_without_samples_is_empty():
    assert reason(encoded(np.zeros(0), "WAV", "PCM_16")) == "empty"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["WAV", "FLAC", "OGG"]), st.integers(0, 400), st.integers(1, 255))
def test_a_flipped_byte_in_the_head_is_decoded_or_refused_never_thrown(form, place, flip):
    data = bytearray(encoded(noise(2000), form, {"OGG": "VORBIS"}.get(form, "PCM_16")))
    data[place] ^= flip
    with contextlib.suppress(BadAudio):
        found = audio.decode(bytes(data))
        assert found.samples.ndim == 2
        assert len(found.samples)


# Channels and rates


def test_mono_is_the_mean_of_the_channels_or_one_of_them():
    stereo = audio.Recording(np.array([[0.5, 0.0], [0.25, -0.25]]), RATE, 16)
    np.testing.assert_array_equal(audio.pick(stereo, "mono"), [0.25, 0.0])
    np.testing.assert_array_equal(audio.pick(stereo, 1), [0.0, -0.25])
    with pytest.raises(BadAudio, match="expected channel 2, found 2 channels"):
        audio.pick(stereo, 2)


@pytest.mark.parametrize(("rate", "new"), [(8_000, 16_000), (44_100, 16_000), (16_000, 8_000)])
def test_resampling_is_soxr_at_hq(rate, new):
    signal = noise(rate)
    np.testing.assert_array_equal(
        audio.resample(signal, rate, new), soxr.resample(signal, rate, new, quality="HQ")
    )


def test_resampling_to_the_same_rate_is_the_same_array():
    signal = noise(10)
    assert audio.resample(signal, RATE, RATE) is signal
    assert audio.resample(noise(0), RATE, 8_000).size == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resampling_keeps_the_dtype(dtype):
    assert audio.resample(noise().astype(dtype), RATE, 8_000).dtype == dtype


def test_resampling_takes_away_what_the_lower_rate_cannot_hold():
    time = np.arange(RATE) / RATE
    low = audio.resample(np.sin(2 * np.pi * 1_000 * time), RATE, 8_000)[800:-800]
    high = audio.resample(np.sin(2 * np.pi * 6_000 * time), RATE, 8_000)[800:-800]
    assert np.sqrt(np.mean(low**2)) == pytest.approx(np.sqrt(0.5), rel=1e-3)
    assert np.abs(high).max() < 1e-4


# Storing


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([16, 24]),
    st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=300),
    st.sampled_from([1_000, 8_000, 11_025, 44_099, 65_535, 65_540, 96_000, 176_400, 384_000]),
)
def test_flac_gives_back_the_very_integers(bits, values, rate):
    pcm = np.array(values) // (1 if bits == 24 else 256)
    stored = audio.encode_flac(pcm / 2.0 ** (bits - 1), rate, bits)
    signal, found = audio.read_signal(stored.data)
    assert (found, stored.frames, stored.clipped) == (rate, len(pcm), 0)
    np.testing.assert_array_equal(np.rint(signal * 2.0 ** (bits - 1)), pcm)


@settings(max_examples=60, deadline=None)
@given(st.integers(*audio.RATES))
def test_every_storable_rate_is_read_back(rate):
    if audio.storable(rate):
        assert audio.read_signal(audio.encode_flac(noise(64), rate).data)[1] == rate


def test_content_is_of_rate_and_samples_not_of_bytes():
    content = audio.encode_flac(noise(), RATE).content
    assert content == audio.encode_flac(noise(), RATE).content
    louder = noise() + np.eye(1, RATE, 500)[0] / 32_768
    others = {audio.encode_flac(noise(), 8_000).content, audio.encode_flac(louder, RATE).content,
              audio.encode_flac(noise(), RATE, 24).content}  # fmt: skip
    assert len({content, *others}) == 4


def test_what_nobody_asks_for_is_not_measured():
    measured, plain = (audio.encode_flac(noise(), RATE, measured=asked) for asked in (True, False))
    assert (measured.data, measured.content) == (plain.data, plain.content)
    assert measured.measured is not None
    assert plain.measured is None
    assert plain.heard


def test_what_goes_beyond_full_scale_is_cut_and_counted():
    stored = audio.encode_flac(np.array([0.5, 1.0, 1.5, -1.0, -1.5]), RATE)
    assert stored.clipped == 3  # +1.0 is one step beyond what 16 bits hold, -1.0 is not
    signal, _ = audio.read_signal(stored.data)
    np.testing.assert_array_equal(signal, [0.5, 32_767 / 32_768, 32_767 / 32_768, -1.0, -1.0])


def test_levels_are_those_of_the_stored_samples():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    stored = audio.encode_flac(tone, RATE)
    assert stored.measured.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert stored.measured.rms_dbfs == pytest.approx(-9.03, abs=0.01)
    assert stored.heard
    assert not audio.encode_flac(np.full(800, 1e-6), RATE).heard


def test_predicted_signals_are_float32_to_the_bit_and_timeless():
    signal = (3 * noise()).astype(np.float32)  # beyond full scale, too
    data = audio.encode_wav(signal, RATE)
    found, rate = audio.read_signal(data)
    assert rate == RATE
    np.testing.assert_array_equal(found, signal)
    assert b"PEAK" not in data  # libsndfile's chunk with the time of day
    assert data == audio.encode_wav(signal.astype(np.float64), RATE)


def test_recordings_that_broke_other_decoders(recordings):
    damaged = sorted((recordings / "damaged").glob("*.wav"))
    assert {path.stem: reason(path.read_bytes()) for path in damaged} == {
        "awful": "bad_sample_rate",
        "bad": "undecodable",
        "evil": "undecodable",
        "null": "empty",
    }


def test_flac_is_the_same_in_threads_in_a_fork_and_as_soundfile_writes_it():
    signals = [np.rint(32_768 * noise(400 * (n + 1))).astype(np.int16) for n in range(24)]
    alone = [encoded(signal, "FLAC", "PCM_16") for signal in signals]
    assert [audio.encode_flac(signal, RATE).data for signal in signals] == alone
    with ThreadPoolExecutor(4) as pool:
        assert [found.data for found in pool.map(partial(encode, RATE), signals)] == alone
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:  # it inherits what its parent has encoded with
        os.write(writing, encode(RATE, signals[3]).data)
        os._exit(0)
    os.close(writing)
    assert encode(RATE, signals[20]).data == alone[20]
    with os.fdopen(reading, "rb") as file:
        assert file.read() == alone[3]
    assert os.waitpid(child, 0)[1] == 0


def encode(rate: int, signal: np.ndarray) -> audio.Encoded:
    return audio.encode_flac(signal, rate)
