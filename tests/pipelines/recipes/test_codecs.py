"""Codecs: what they do to real speech, that nothing moves, that bits come again."""

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pystoi import stoi

from pipelines.recipes.base import generator
from pipelines.recipes.codecs import (
    MP3_KBPS,
    NAMES,
    Codec,
    CodecRow,
    coded,
    fitted,
    rate_of,
    resampled,
)
from pipelines.recipes.spectra import lag_seconds

RATE = 16_000  # Hz
OPTIONS = {"mp3": {"kbps": 32}, "opus": {"kbps": 16}, "vorbis": {"quality": 0.3}}


def codec(name, **options):
    return CodecRow(name=name, **(options or OPTIONS.get(name, {})))


@pytest.fixture(scope="module")
def speech(recordings):
    """Two sentences, one of each reader, 16 kHz."""
    folder = recordings / "read-sentences"
    return [soundfile.read(folder / f"{name}.wav")[0] for name in ("spk1_snt1", "spk2_snt2")]


def snr_db(reference, heard):
    return 10 * np.log10(np.sum(reference**2) / np.sum((heard - reference) ** 2))


def lag(reference, heard):
    """Samples by which `heard` comes late, by cross-correlation."""
    return int(np.argmax(scipy.signal.correlate(heard, reference))) - (reference.size - 1)


def as_heard_at(signal, rate, codec_rate):
    """What a codec has to work with: the signal at its rate, and back."""
    narrow = resampled(resampled(signal, rate, codec_rate), codec_rate, rate)
    return fitted(narrow, signal.size)


# SNR in dB against the signal at the codec's rate, and STOI against the signal, at least.
FOUND = [
    (codec("mulaw"), 36.0, 0.98),
    (codec("alaw"), 34.0, 0.98),
    (codec("g721"), 15.0, 0.96),
    (codec("gsm"), 10.5, 0.93),
    (codec("ima_adpcm"), 14.0, 0.96),
    (codec("mp3", kbps=32), 12.0, 0.98),
    (codec("mp3", kbps=128), 13.0, 0.99),
    (codec("opus", kbps=6), 4.0, 0.85),
    (codec("opus", kbps=24), 13.5, 0.98),
    (codec("opus", kbps=64), 24.0, 0.99),
    (codec("vorbis", quality=0.0), 10.0, 0.97),
    (codec("vorbis", quality=1.0), 26.0, 0.99),
]


@pytest.mark.parametrize(("row", "least_snr_db", "least_stoi"), FOUND, ids=str)
def test_real_speech_stays_itself(speech, row, least_snr_db, least_stoi):
    for signal in speech:
        heard = coded(row, signal, RATE)
        reference = as_heard_at(signal, RATE, min(RATE, rate_of(row.name, RATE)))
        assert snr_db(reference, heard) > least_snr_db
        assert stoi(signal, heard, RATE) > least_stoi


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_companding_is_as_exact_as_its_standard_says(speech, name):
    for signal in speech:
        found = snr_db(as_heard_at(signal, RATE, 8_000), coded(codec(name), signal, RATE))
        assert found == pytest.approx(37.0, abs=2.0)  # 38 dB of a full-scale sine (G.711)


def test_more_bits_are_nearer(speech):
    for name, option, values in (
        ("mp3", "kbps", (32, 40, 64)),
        ("opus", "kbps", (6, 12, 64)),
        ("vorbis", "quality", (0.0, 0.5, 1.0)),
    ):
        heard = [coded(codec(name, **{option: value}), speech[0], RATE) for value in values]
        errors = [snr_db(speech[0], signal) for signal in heard]
        assert errors == sorted(errors)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(
    "row", [*map(codec, NAMES), codec("opus", kbps=6), codec("mp3", kbps=64)], ids=str
)
def test_no_codec_delays_speech_at_any_rate(speech, row, rate):
    signal = resampled(speech[0], RATE, rate)
    heard = coded(row, signal, rate)
    assert abs(lag(signal, heard)) / rate < 2.5e-5
    assert abs(lag_seconds(signal, heard, rate, 1e-4)) < 2.5e-5


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("kbps", MP3_KBPS)
def test_no_bitrate_of_mp3_is_late(rate, kbps):
    """Small frames hold no tag, and libsndfile then leaves 1,105 samples of delay."""
    chirp = 0.5 * scipy.signal.chirp(np.arange(rate) / rate, 200, 1, 3_000)
    heard = coded(codec("mp3", kbps=kbps), chirp, rate)
    assert lag(chirp, heard) == 0
    assert snr_db(chirp, heard) > 15.0


@given(
    row=st.sampled_from([*map(codec, NAMES), codec("opus", kbps=256), codec("mp3", kbps=160)]),
    samples=st.integers(0, 2_000),
    rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    peak=st.sampled_from([0.0, 1e-4, 0.1, 0.999]),
)
@settings(deadline=None, max_examples=60)
def test_every_length_comes_back(row, samples, rate, peak):
    signal = peak * generator("signal", samples).uniform(-1.0, 1.0, samples)
    before = signal.copy()
    heard = coded(row, signal, rate)
    assert heard.shape == signal.shape
    assert np.isfinite(heard).all()
    np.testing.assert_array_equal(signal, before)
    if peak == 0.0:
        assert np.abs(heard).max(initial=0.0) < 1e-3  # A-law has no zero


def test_the_same_bits_come_again_whatever_came_before():
    signals = [0.3 * generator("signal", n).standard_normal(5_000) for n in range(3)]
    rows = [codec(name) for name in NAMES]
    first = {row.name: [coded(row, signal, RATE).tobytes() for signal in signals] for row in rows}
    for row in reversed(rows):
        again = [coded(row, signal, RATE).tobytes() for signal in reversed(signals)]
        assert again[::-1] == first[row.name]


def test_clipping_in_a_codec_does_not_wrap_round():
    loud = 1.5 * np.sin(np.arange(4_000) / 40)
    heard = coded(codec("pcm"), loud, 8_000)
    np.testing.assert_allclose(heard, np.clip(loud, -1.0, 1.0), atol=2**-15)


@given(st.integers(0, 2**40), st.sampled_from(NAMES))
def test_options_are_drawn_from_their_ranges(seed, name):
    row = Codec(name=name).draw(seed)
    assert row == Codec(name=name).draw(seed)
    assert row == CodecRow.model_validate_json(row.model_dump_json())
    assert (row.kbps is not None) == (name in ("mp3", "opus"))
    assert (row.quality is not None) == (name == "vorbis")
    if name == "mp3":
        assert Codec(name="mp3", kbps=(50, 120)).draw(seed).kbps in (56, 64, 80, 96, 112)
    if name == "opus":
        assert 8.0 <= Codec(name="opus", kbps=(8, 8.4)).draw(seed).kbps <= 8.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "gsm", "kbps": [8, 13]}, "no kbps of gsm"),
        ({"name": "opus", "quality": [0, 1]}, "no quality of opus"),
        ({"name": "opus", "kbps": [2, 13]}, r"kbps of opus within \[6, 256\], found \[2, 13\]"),
        ({"name": "mp3", "kbps": [8, 320]}, r"within \[32, 160\]"),
        ({"name": "mp3", "kbps": [50, 51]}, "around one of"),
        ({"name": "vorbis", "quality": [-1, 0]}, r"within \[0, 1\]"),
        ({"name": "amr"}, "Input should be"),
    ],
)
def test_codecs_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Codec.model_validate(options)
