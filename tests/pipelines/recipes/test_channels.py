"""Channels: each effect does what it says, nothing moves, everything is said."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pystoi import stoi

from pipelines.recipes import channels
from pipelines.recipes.base import generator
from pipelines.recipes.channels import Channel, ChannelRow, apply, draw, labels, passed
from pipelines.recipes.codecs import NAMES, CodecRow

RATE = 16_000  # Hz
EVERYTHING = {
    "colouring": {},
    "saturation": {},
    "clipping": {"share": [0.001, 0.01]},
    "rates": [8_000, 11_025],
    "band": {"low_hz": [50, 300], "high_hz": [3_000, 3_800]},
    "codecs": list(NAMES),
    "loss": {},
}


def channel(**options):
    return Channel.model_validate(options)


def tone(hz, level=0.5, rate=RATE):
    return level * np.sin(2 * np.pi * hz * np.arange(rate) / rate)


def spoken(seconds=1.0, rate=RATE):
    """Noise in bursts, at the level of speech."""
    size = round(seconds * rate)
    return 0.1 * generator("spoken").standard_normal(size) * np.sin(np.arange(size) / 400)


def level_db(signal):
    return 10 * np.log10(np.mean(signal[2_000:-2_000] ** 2))


options = st.fixed_dictionaries({}, optional={name: st.just(it) for name, it in EVERYTHING.items()})


@given(options=options, seed=st.integers(0, 2**40), samples=st.integers(0, 9_000))
@settings(deadline=None, max_examples=60)
def test_any_channel_keeps_length_and_full_scale_and_comes_again(options, seed, samples):
    row = draw(channel(**options), generator(seed))
    assert ChannelRow.model_validate_json(row.model_dump_json()) == row
    signal = generator("loud", samples).uniform(-0.99, 0.99, samples)
    before = signal.copy()
    through = passed(row, signal, RATE)
    assert through.signal.shape == signal.shape
    assert np.isfinite(through.signal).all()
    assert np.abs(through.signal).max(initial=0.0) <= 1.0 - 2.0**-15
    assert (through.gain_db < 0.0) == ("channel_gain_db" in through.labels)
    assert labels(row).items() <= through.labels.items()
    np.testing.assert_array_equal(signal, before)
    again = apply(ChannelRow.model_validate_json(row.model_dump_json()), signal, RATE)
    assert again.tobytes() == through.signal.tobytes()


@given(options=options, seed=st.integers(0, 2**40), left_out=st.sampled_from(sorted(EVERYTHING)))
@settings(deadline=None)
def test_an_effect_more_changes_no_other_draw(options, seed, left_out):
    fewer = draw(channel(**{k: v for k, v in options.items() if k != left_out}), generator(seed))
    full = draw(channel(**options), generator(seed))
    fields = {
        "saturation": "drive_db", "clipping": "clipped_share", "rates": "rate",
        "band": "band_hz", "codecs": "codec",
    }  # fmt: skip
    changed = {fields.get(left_out, left_out)}
    assert full.model_dump(exclude=changed) == fewer.model_dump(exclude=changed)


def test_a_draw_takes_one_number_whatever_the_options():
    one, other = generator("a"), generator("a")
    draw(channel(), one)
    draw(channel(**EVERYTHING), other)
    assert one.random() == other.random()


def test_what_is_drawn_lies_within_its_ranges():
    rows = [draw(channel(**EVERYTHING), generator(seed)) for seed in range(300)]
    assert {row.rate for row in rows} == {8_000, 11_025}
    assert {row.codec.name for row in rows} == set(NAMES)
    assert {row.loss.fill for row in rows} == {"zeros", "repeat"}
    for row in rows:
        assert 0.0 <= row.drive_db <= 12.0
        assert 0.001 <= row.clipped_share <= 0.01
        low, high = row.band_hz
        assert 50 <= low <= 300
        assert 3_000 <= high <= 3_800
        assert all(-6.0 <= gain_db <= 6.0 for _, gain_db in row.colouring.points)


def test_probabilities_are_shares_of_the_clips():
    recipe = channel(
        probability=0.5, colouring={"probability": 0.3}, loss={"probability": 0}, telephone=True
    )
    rows = [draw(recipe, generator(seed)) for seed in range(2_000)]
    assert np.mean([row.telephone for row in rows]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([row.colouring is not None for row in rows]) == pytest.approx(0.15, abs=0.03)
    assert all(row.loss is None for row in rows)
    assert {labels(row)["channel"] for row in rows} == {
        "none",
        "telephone",
        "colouring+telephone",
    }


def test_nothing_asked_is_nothing_done():
    row = draw(channel(), generator(0))
    assert row == ChannelRow()
    through = passed(row, spoken(), RATE)
    np.testing.assert_array_equal(through.signal, spoken())
    assert through.labels == {"channel": "none"}
    assert through.gain_db == 0.0


def test_labels_say_the_way_and_its_numbers():
    recipe = channel(
        telephone=True,
        codecs=["gsm"],
        loss={"share": [0.05, 0.05]},
        clipping={"share": [0.01, 0.01]},
    )
    assert labels(draw(recipe, generator(0))) == {
        "channel": "clipping+telephone+gsm",
        "clipped_share": "0.01",
        "loss": "0.05",
        "band_hz": "300-3400",
        "channel_rate_hz": "8000",
    }
    assert labels(draw(channel(loss={"share": [0.1, 0.1]}), generator(0))) == {
        "channel": "loss",
        "loss": "0.1",
    }
    row = ChannelRow(band_hz=(None, 4_000.0), codec=CodecRow(name="opus", kbps=12.5))
    assert labels(row) == {"channel": "band+opus", "band_hz": "-4000", "kbps": "12.5"}
    assert labels(ChannelRow(codec=CodecRow(name="pcm"))) == {"channel": "none"}


def test_a_telephone_passes_its_band_only():
    row = draw(channel(telephone=True), generator(0))
    passing = [level_db(apply(row, tone(hz), RATE)) - level_db(tone(hz)) for hz in (500, 2_500)]
    np.testing.assert_allclose(passing, 0.0, atol=0.1)
    for hz in (100, 3_900, 6_000):
        assert level_db(apply(row, tone(hz), RATE)) - level_db(tone(hz)) < -20.0


def test_a_lower_rate_loses_what_is_above_half_of_it():
    row = ChannelRow(rate=8_000)
    assert level_db(apply(row, tone(5_000), RATE)) < -60.0
    np.testing.assert_allclose(
        apply(row, tone(1_000), RATE)[500:-500], tone(1_000)[500:-500], atol=1e-3
    )
    np.testing.assert_array_equal(
        apply(row, tone(3_000, rate=8_000), 8_000), tone(3_000, rate=8_000)
    )


def test_a_measured_response_is_taken_as_it_is():
    curve = [[100.0, -6.0], [1_000.0, 0.0], [4_000.0, -12.0]]
    row = draw(channel(colouring={"curves": {"old radio": curve}}), generator(0))
    assert labels(row) == {"channel": "colouring", "device": "old radio"}
    for hz, gain_db in curve:
        heard = apply(row, tone(hz), RATE)
        assert level_db(heard) - level_db(tone(hz)) == pytest.approx(gain_db, abs=0.1)


@given(share=st.floats(0.0, 0.3), silence=st.integers(0, 2_000))
@settings(deadline=None)
def test_that_share_of_the_sounding_samples_is_clipped(share, silence):
    signal = np.concatenate([spoken(), np.zeros(silence)])
    heard = channels.clipped(signal, share=share)
    changed = np.count_nonzero(heard != signal) / np.count_nonzero(signal)
    assert changed == pytest.approx(share, abs=1e-3)
    level = np.abs(heard).max()
    np.testing.assert_array_equal(heard, np.clip(signal, -level, level))
    assert not channels.clipped(np.zeros(9), share=share).any()


def test_clipping_at_a_level_cuts_there():
    row = draw(channel(clipping={"level_db": [-12.0, -12.0]}), generator(0))
    heard = apply(row, tone(200), RATE)
    assert heard.max() == pytest.approx(10 ** (-12 / 20))
    assert labels(row) == {"channel": "clipping", "clip_db": "-12"}


def test_saturation_bends_peaks_spares_what_is_quiet_and_folds_nothing_back():
    loud = channels.saturated(tone(3_000, level=0.8), RATE, 12.0)
    level = 0.8 / 10 ** (12 / 20)
    assert np.abs(loud[500:-500]).max() < 1.3 * level
    spectrum = np.abs(np.fft.rfft(loud[1_000:9_000] * np.hanning(8_000)))
    # The third harmonic, 9 kHz, would fold back to 7 kHz.
    assert 20 * np.log10(spectrum[3_500] / spectrum[1_500]) < -60.0
    quiet = np.concatenate([tone(300, level=0.8), tone(300, level=0.001)])
    heard = channels.saturated(quiet, RATE, 12.0)
    np.testing.assert_allclose(heard[17_000:-500], quiet[17_000:-500], atol=2e-6)
    assert not channels.saturated(np.zeros(9), RATE, 12.0).any()


def test_what_would_pass_full_scale_is_turned_down_and_said():
    row = ChannelRow(colouring=channels.ColouringRow(device="x", points=((1_000.0, 12.0),)))
    through = passed(row, tone(1_000), RATE)
    assert np.abs(through.signal).max() == pytest.approx(0.95)
    assert through.gain_db == pytest.approx(20 * np.log10(0.95 / 2.0), abs=0.05)
    assert through.labels["channel_gain_db"] == f"{through.gain_db:.2f}"


@pytest.mark.parametrize("signal", [np.array([0.0, np.nan]), np.array([np.inf]), np.zeros((2, 9))])
def test_what_is_no_signal_is_refused(signal):
    with pytest.raises(ValueError, match=r"finite samples of shape \(time,\)"):
        apply(ChannelRow(), signal, RATE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"telephone": True, "rates": [8_000]}, "telephone, or rates and band"),
        ({"telephone": True, "band": {"low_hz": [100, 200]}}, "telephone, or rates and band"),
        ({"clipping": {}}, "one of share, level_db"),
        ({"clipping": {"share": [0, 1]}}, r"share within \[0, 1\)"),
        ({"band": {}}, "low_hz, high_hz or both"),
        ({"band": {"low_hz": [0, 100]}}, "edges above 0 Hz"),
        ({"band": {"low_hz": [100, 900], "high_hz": [800, 4_000]}}, "low_hz below high_hz"),
        ({"colouring": {"curves": {"x": [[200, 0], [100, 0]]}}}, "rise in Hz"),
        ({"colouring": {"curves": {"x": []}}}, "rise in Hz"),
        ({"codecs": []}, "at least 1 item"),
        ({"codecs": ["speex"]}, "Input should be"),
        ({"rates": [100]}, "greater than or equal to 4000"),
        ({"probability": 1.5}, "less than or equal to 1"),
        ({"reverb": {}}, "Extra inputs"),
    ],
)
def test_channels_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        channel(**options)


@pytest.mark.parametrize("codec", NAMES)
def test_real_speech_stays_in_its_place_and_can_be_understood(recordings, codec):
    recipe = channel(telephone=True, codecs=[codec], colouring={}, saturation={"drive_db": [0, 6]})
    for name in ("spk1_snt1", "spk2_snt2"):
        speech, rate = soundfile.read(recordings / "read-sentences" / f"{name}.wav")
        heard = apply(draw(recipe, generator(name)), speech, rate)
        likeness = scipy.signal.correlate(heard, speech)
        assert abs(int(np.argmax(likeness)) - (speech.size - 1)) <= 1
        assert stoi(speech, heard, rate) > 0.75


def test_lost_packets_cost_real_speech_its_intelligibility(recordings):
    speech, rate = soundfile.read(recordings / "read-sentences" / "spk1_snt1.wav")
    found = []
    for share in (0.0, 0.1, 0.4):
        loss = {"share": [share, share], "burst_packets": [2, 2], "fills": ["zeros"]}
        heard = apply(draw(channel(loss=loss), generator(1)), speech, rate)
        found.append(stoi(speech, heard, rate))
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1.0)
    assert found[2] < 0.8


def bits():
    """What every codec and all effects make of one signal, as one digest."""
    total = hashlib.sha256()
    for name in NAMES:
        row = draw(channel(**EVERYTHING | {"codecs": [name]}), generator(name))
        total.update(row.model_dump_json().encode() + apply(row, spoken(), RATE).tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_another_process_makes_the_same_bits(threads):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(channels.__file__).parents[2]),
        "PYTHONHASHSEED": threads,
        "OMP_NUM_THREADS": threads,
    }
    code = f"import runpy; print(runpy.run_path({__file__!r})['bits']())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == bits()
