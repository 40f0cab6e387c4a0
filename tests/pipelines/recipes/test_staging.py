"""Scenes rendered: that every part is what the row says, and that all of them add up."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.recipes import channels, perturb, scenes
from pipelines.recipes.base import generator
from pipelines.recipes.levels import SPEECH_DB, loudness, power
from pipelines.recipes.placing import overlapped
from pipelines.recipes.rooms import responses
from pipelines.recipes.scenes import (
    NoiseClip,
    ResponseClip,
    Scene,
    Scenes,
    SourceClip,
    plan,
    render,
)

RATE = 8_000  # Hz
ROOM = {"t60_s": [0.25, 0.3]}
NOISE = {"babble_talkers": 2}
CHANNEL = {"telephone": True, "codecs": ["mulaw"]}
SOURCES = [
    SourceClip(
        f"clip-{number:02d}",
        f"speaker-{number % 6}",
        1.0 + 0.05 * number,
        f"text {number}",
        "FM"[number % 6 % 2],
    )
    for number in range(18)
]
NOISES = [
    NoiseClip("hum-0", "hum", 0.8),
    NoiseClip("hum-1", "hum", 9.0),
    NoiseClip("rain", "rain", 6.0),
]
SECONDS = {clip.key: clip.seconds for clip in [*SOURCES, *NOISES]}


def read(key):
    """The signal of a source clip: noise of its length, in bursts."""
    size = round(SECONDS[key] * RATE)
    return generator("source", key).standard_normal(size) * np.sin(np.arange(size) / 400)


def planned(**options):
    return plan(Scenes.model_validate({"sample_rate": RATE, **options}), SOURCES, NOISES)


EVERYTHING = {
    "talkers": 2,
    "length": "max",
    "room": ROOM,
    "noise": {"kinds": ["white", "pink", "babble", "recorded"], **NOISE},
    "channel": CHANNEL,
    "perturb": {"speeds": [0.9, 1.1]},
}


def parts(row, clip):
    """The talkers' sounds and the noise (None without): what adds up."""
    roles = ["clean"] if len(row.talkers) == 1 else [f"s{n + 1}" for n in range(len(row.talkers))]
    return [clip.sounds[role] for role in roles], clip.sounds.get("noise")


def total(sounds):
    return np.sum([sound.astype(np.int64) for sound in sounds], axis=0)


def stretch(row, talker):
    """Where in the scene the talker speaks."""
    start = round(talker.offset_seconds * RATE)
    return slice(start, start + round(talker.seconds * RATE))


def level(signal):
    return 10 * np.log10(power(signal))


def snr(row, clip):
    images, noise = parts(row, clip)
    spoken = [power(image) for image in images]
    speech = max(spoken) if row.noise.against == "loudest" else power(total(images) / 32_768)
    return 10 * np.log10(speech / power(noise))


@st.composite
def recipes(draw):
    """Any recipe that the sources can make scenes for."""
    talkers = draw(st.integers(1, 3))
    options = {"talkers": talkers, "clips": 2, "seed": draw(st.integers(0, 999))}
    options["length"] = draw(st.sampled_from(["min", "max", 2.0, 3.5]))
    if talkers > 1:
        options["overlap"] = draw(st.none() | st.sampled_from([0.0, 0.3, 1.0, (0, 1)]))
        options["gender"] = draw(st.sampled_from(["any", "same", "different"]))
    levels = [{}, {"split_levels": True}, {"level_db": (-3, 3)}, {"loudness_lufs": (-33, -25)}]
    options |= draw(st.sampled_from(levels))
    options["room"] = draw(st.sampled_from([None, ROOM]))
    options["channel"] = draw(st.sampled_from([None, CHANNEL, {"clipping": {"share": [0, 0.1]}}]))
    options["perturb"] = draw(st.sampled_from([None, {"speeds": [0.9, 1.1]}]))
    noise = {"kinds": [draw(st.sampled_from(["white", "pink", "babble", "recorded"]))], **NOISE}
    noise |= draw(
        st.sampled_from(
            [
                {"snr_db": {"grid": [-15, 0, 15]}},
                {"snr_db": (-5, 20), "against": "loudest"},
                {"snr_db": 40},
                {"loudness_lufs": (-38, -30)},
            ]
        )
    )
    options["noise"] = draw(st.sampled_from([None, noise]))
    return options


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_every_recipe_makes_scenes_that_are_what_their_rows_say(options):
    rows = planned(**options)
    clips = [render(row, read) for row in rows]
    for row, clip in zip(rows, clips, strict=True):
        images, noise = parts(row, clip)
        every = [sound for sound in (*images, noise) if sound is not None]
        np.testing.assert_array_equal(total(every), clip.sounds.get("pre", clip.sounds["audio"]))
        for sound in clip.sounds.values():
            assert (sound.dtype, sound.shape) == (np.int16, (round(row.seconds * RATE),))
        assert clip.sample_rate == RATE
        assert clip.labels["talkers"] == str(len(row.talkers))
        assert clip.labels["gender"] == "+".join(sorted(talker.gender for talker in row.talkers))
        assert ("pre" in clip.sounds) == (row.channel is not None)
        assert ("s1_dry" in clip.sounds) == (options["room"] is not None)
        turned = float(clip.labels.get("turned_down_db", 0.0))
        for talker, image in zip(row.talkers, images, strict=True):
            spoken = image[stretch(row, talker)]
            assert not image[: stretch(row, talker).start].any()
            if talker.loudness_lufs is not None:
                assert loudness(spoken, RATE) + turned == pytest.approx(
                    talker.loudness_lufs, abs=0.1
                )
            else:
                assert level(spoken) + turned == pytest.approx(talker.level_dbfs, abs=0.01)
        if row.noise is not None:
            if row.noise.snr_db is not None:
                assert snr(row, clip) == pytest.approx(row.noise.snr_db, abs=0.01)
            else:
                assert loudness(noise, RATE) + turned == pytest.approx(
                    row.noise.loudness_lufs, abs=0.1
                )
            assert float(clip.labels["snr_db"]) == pytest.approx(snr(row, clip), abs=0.06)
    again = render(rows[-1], read)
    assert again.labels == clips[-1].labels
    assert again.sounds.keys() == clips[-1].sounds.keys()
    for role, sound in again.sounds.items():
        np.testing.assert_array_equal(sound, clips[-1].sounds[role])


@pytest.mark.parametrize("length", ["min", "max"])
@pytest.mark.parametrize("talkers", [1, 2, 3])
def test_scenes_are_as_long_as_their_shortest_or_longest_talker(length, talkers):
    for row in planned(talkers=talkers, clips=3, length=length):
        seconds = [SECONDS[talker.key] for talker in row.talkers]
        wanted = {"min": min, "max": max}[length](seconds)
        assert render(row, read).sounds["audio"].size == round(wanted * RATE)
        assert row.seconds == pytest.approx(wanted)


def test_loudness_stays_below_nine_tenths_of_full_scale():
    rows = planned(talkers=2, loudness_lufs=(-6, -6), clips=3)
    for clip in (render(row, read) for row in rows):
        assert np.abs(clip.sounds["audio"] / 32_768).max() == pytest.approx(0.9, abs=1e-4)
        assert float(clip.labels["turned_down_db"]) > 0.5


def test_a_lone_talker_without_room_or_noise_is_its_clip_at_the_level():
    row = planned(clips=1)[0]
    clip, signal = render(row, read), read(row.talkers[0].key)
    gain = 10 ** (SPEECH_DB / 20) / np.sqrt(power(signal))
    np.testing.assert_allclose(clip.sounds["audio"] / 32_768, signal * gain, atol=2**-16)
    np.testing.assert_array_equal(clip.sounds["audio"], clip.sounds["clean"])
    assert clip.labels == {"talkers": "1", "gender": row.talkers[0].gender}


def test_longest_scenes_start_their_shorter_talkers_late_but_whole():
    rows = planned(talkers=2, length="max")
    assert any(talker.offset_seconds > 0.05 for row in rows for talker in row.talkers)
    for row in rows:
        for image, talker in zip(parts(row, render(row, read))[0], row.talkers, strict=True):
            spoken = stretch(row, talker)
            assert not image[: spoken.start].any()
            assert not image[spoken.stop :].any()
            assert image[spoken.start + 1 : spoken.start + 100].any()


def test_one_common_gain_keeps_every_ratio():
    row = planned(talkers=2, noise={"kinds": ["white"], "snr_db": -20}, clips=1)[0]
    clip = render(row, read)
    peaks = [np.abs(sound / 32_768).max() for sound in clip.sounds.values()]
    assert max(peaks) == pytest.approx(0.95, abs=1e-3)
    assert snr(row, clip) == pytest.approx(-20, abs=0.01)
    first, second = (level(image) for image in parts(row, clip)[0])
    wanted = row.talkers[1].level_dbfs - row.talkers[0].level_dbfs
    assert second - first == pytest.approx(wanted, abs=0.01)


@given(st.integers(2, 4), st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_overlap_is_as_asked_and_labelled(talkers, overlap, seed):
    row = planned(talkers=talkers, overlap=overlap, clips=1, seed=seed)[0]
    clip = render(row, read)
    spans = [(stretch(row, talker).start, stretch(row, talker).stop) for talker in row.talkers]
    assert overlapped(spans) == pytest.approx(overlap, abs=1e-3)
    assert float(clip.labels["overlap"]) == overlap
    speaking = sum((image != 0).astype(int) for image in parts(row, clip)[0])
    assert (speaking >= 2).sum() / (speaking >= 1).sum() == pytest.approx(overlap, abs=0.02)


def test_an_overlap_that_clips_cannot_have_is_labelled_as_it_is():
    row = planned(talkers=2, overlap=1.0, length="max", clips=1)[0]
    first, second = sorted(talker.seconds for talker in row.talkers)
    assert render(row, read).labels["overlap"] == f"{round(first / second, 2):g}"


def test_scenes_of_fixed_seconds_take_parts_and_leave_gaps():
    rows = planned(length=1.4)
    assert {row.seconds for row in rows} == {1.4}
    for row in rows[:6]:
        [talker], clip = row.talkers, render(row, read)
        signal = read(talker.key)[round(talker.start_seconds * RATE) :][: round(1.4 * RATE)]
        image = clip.sounds["clean"][stretch(row, talker)].astype(float)
        assert np.corrcoef(image[: signal.size], signal[: image.size])[0, 1] > 0.9999
        assert talker.seconds == pytest.approx(min(1.4, SECONDS[talker.key]))
    assert any(row.talkers[0].start_seconds > 0 for row in rows)
    assert any(row.talkers[0].offset_seconds > 0 for row in rows)


def test_recorded_noises_begin_anywhere_and_say_their_type():
    rows = planned(noise={"of": "x", "snr_db": {"grid": [-10, 0, 10]}}, clips=60)
    assert {row.noise.type for row in rows} == {"hum", "rain"}
    assert {row.noise.snr_db for row in rows} == {-10, 0, 10}
    assert len({row.noise.start_seconds for row in rows}) > 40
    for row in rows[:12]:
        clip, [key] = render(row, read), row.noise.keys
        signal, start = read(key), round(row.noise.start_seconds * RATE)
        there = np.take(signal, np.arange(start, start + clip.sounds["noise"].size), mode="wrap")
        assert np.corrcoef(clip.sounds["noise"], there)[0, 1] > 0.9999
        assert clip.labels["noise"] == row.noise.type
        assert clip.labels["snr_db"] == f"{row.noise.snr_db:g}"
        assert ("noise_looped" in clip.labels) == (key == "hum-0")
        if key != "hum-0":
            assert start + clip.sounds["noise"].size <= signal.size


def test_in_a_room_a_talker_is_kept_dry_and_with_its_first_reflections():
    for row in planned(talkers=2, room=ROOM, clips=4):
        clip = render(row, read)
        for number, talker in enumerate(row.talkers, 1):
            full, early, dry = (
                clip.sounds[f"s{number}{kind}"] / 32_768 for kind in ("", "_early", "_dry")
            )
            late = np.argmax(np.correlate(full, dry, mode="full")) - (dry.size - 1)
            assert late == 0  # aligned with the direct sound
            arrival = stretch(row, talker).start + responses(talker.room, RATE).direct
            fifty = arrival + round(0.05 * RATE)  # until then all that is heard is early
            np.testing.assert_allclose(early[:fifty], full[:fifty], atol=2**-14)
            assert np.abs(full - early)[fifty:].max() > 0.001
            assert power(early - dry) < power(early)
            source = read(talker.key)[: dry.size - arrival]
            assert np.corrcoef(dry[arrival:][: source.size], source)[0, 1] > 0.6  # up to ½ sample
        t60s = [responses(talker.room, RATE).t60_s for talker in row.talkers]
        assert float(clip.labels["t60_s"]) == pytest.approx(np.mean(t60s), abs=0.0051)
        distances = [talker.room.distance_m for talker in row.talkers]
        assert float(clip.labels["distance"]) == pytest.approx(np.mean(distances), abs=0.051)


def test_scenes_in_recorded_rooms():
    def recorded(key):
        if not key.startswith("hall"):
            return read(key)
        time = np.arange(4_000) / RATE
        decay = generator("hall", key).standard_normal(4_000) * 10 ** (-3 * time / 0.4) * 0.1
        decay[0] = 1.0
        return decay

    halls = [ResponseClip(f"hall-{n}", f"hall-{n % 2}") for n in range(4)]
    options = {"sample_rate": RATE, "talkers": 2, "recorded_rooms": {"of": "halls"}, "clips": 6}
    rows = plan(Scenes.model_validate(options), SOURCES, responses=halls)
    assert {row.source_keys[2:] for row in rows} <= {
        ("hall-0", "hall-2"), ("hall-2", "hall-0"), ("hall-1", "hall-3"), ("hall-3", "hall-1")
    }  # fmt: skip
    assert Scene.model_validate_json(rows[0].model_dump_json()) == rows[0]
    clip = render(rows[0], recorded)
    assert {"s1_dry", "s1_early", "s2_dry", "s2_early"} < set(clip.sounds)
    assert float(clip.labels["t60_s"]) == pytest.approx(0.4, abs=0.05)
    assert "distance" not in clip.labels
    with pytest.raises(ValueError, match=r"a room with 2 recorded responses .* found 0 rooms"):
        planned(**options)


def test_a_channel_comes_after_the_sum():
    row = planned(channel=CHANNEL, noise={"kinds": ["pink"]}, clips=1)[0]
    clip = render(row, read)
    np.testing.assert_array_equal(
        clip.sounds["pre"], total([clip.sounds["clean"], clip.sounds["noise"]])
    )
    passed = channels.passed(row.channel, clip.sounds["pre"] / 32_768, RATE)
    np.testing.assert_allclose(clip.sounds["audio"] / 32_768, passed.signal, atol=2**-15)
    assert clip.labels["channel"] == "telephone+mulaw"


def test_a_channel_that_does_nothing_leaves_the_sum_as_it_is():
    row = planned(channel={"telephone": True, "probability": 0.0}, clips=1)[0]
    clip = render(row, read)
    assert list(clip.sounds) == ["audio", "clean"]
    assert clip.labels["channel"] == "none"


def test_perturbed_talkers_are_as_much_shorter_as_they_are_faster():
    rows = planned(talkers=2, perturb={"speeds": [0.9, 1.1]}, length="max")
    speeds = {talker.perturbation.speed for row in rows for talker in row.talkers}
    assert speeds == {0.9, 1.1}
    for row in rows[:4]:
        for talker in row.talkers:
            wanted = perturb.seconds(talker.perturbation, SECONDS[talker.key])
            assert talker.seconds == pytest.approx(wanted, abs=1e-5)
        first, second = (talker.perturbation.speed for talker in row.talkers)
        assert render(row, read).labels["speed"] == f"{first:g}+{second:g}"


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros(30_000), "sound in source clip 'clip-.*samples of silence"),
        (np.zeros(0), r"s of source clip 'clip-.*', found 0\.000 s"),
        (np.ones(800), r"s of source clip 'clip-.*', found 0\.100 s"),
        (np.full(30_000, np.nan), "finite samples of source clip"),
        (np.ones((2, 30_000)), r"one channel, shape \(time,\), .* found \(2, 30000\)"),
    ],
)
@pytest.mark.parametrize("room", [None, ROOM])
def test_sources_that_cannot_be_heard_are_refused(signal, message, room):
    row = planned(clips=1, room=room)[0]
    with pytest.raises(ValueError, match=message):
        render(row, lambda key: signal)


def test_what_cannot_be_rendered_is_refused_with_its_figures():
    row = planned(noise={"kinds": ["white"], "snr_db": 80}, clips=1)[0]
    with pytest.raises(ValueError, match=r"-90 dBFS or more of noise at an SNR of 80 dB, found -1"):
        render(row, read)
    row = planned(length=0.3, loudness_lufs=(-30, -30), clips=1)[0]
    with pytest.raises(ValueError, match=r"0\.4 s of sound or more .* found 0\.300 s"):
        render(row, read)


def test_a_source_is_never_changed_and_asked_for_once():
    row = planned(**EVERYTHING)[0]
    asked = []

    def guarded(key):
        asked.append(key)
        signal = read(key)
        signal.flags.writeable = False
        return signal

    render(row, guarded)
    assert tuple(asked) == row.source_keys


def bits():
    """What rendering makes of three full scenes, as one digest."""
    digest = hashlib.sha256()
    for row in planned(**EVERYTHING, clips=3):
        clip = render(Scene.model_validate_json(row.model_dump_json()), read)
        digest.update(row.model_dump_json().encode())
        for role in sorted(clip.sounds):
            digest.update(role.encode() + clip.sounds[role].tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_another_process_makes_the_same_bits(threads):
    root = Path(scenes.__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "PYTHONHASHSEED": threads,
        "OMP_NUM_THREADS": threads,
        "PRA_NUM_THREADS": threads,
    }
    code = f"import runpy; print(runpy.run_path({__file__!r})['bits']())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == bits()


def test_the_global_generators_are_left_alone():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    bits()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_read_sentences_in_recorded_noise_and_rooms(recordings):
    def listed(folder):
        return sorted((recordings / folder).glob("*.wav"))

    signals = {path.stem: soundfile.read(path)[0] for path in listed("read-sentences")}
    speech = [SourceClip(key, key[:4], signals[key].size / 16_000) for key in signals]
    noises, halls = [], []
    for path in [*listed("noise"), *listed("room-responses")]:
        signals[path.stem] = soundfile.read(path, always_2d=True)[0][:, 0]
        if path.parent.name == "noise":
            noises.append(NoiseClip(path.stem, path.stem, signals[path.stem].size / 16_000))
        else:
            halls.append(ResponseClip(path.stem, "hall"))
    options = {"talkers": 2, "length": "max", "loudness_lufs": [-33, -25], "clips": 6}
    options |= {"noise": {"of": "noise"}, "recorded_rooms": {"of": "halls"}}
    for row in plan(Scenes.model_validate(options), speech, noises, halls):
        clip = render(row, signals.__getitem__)
        images, noise = parts(row, clip)
        np.testing.assert_array_equal(total([*images, noise]), clip.sounds["audio"])
        assert snr(row, clip) == pytest.approx(row.noise.snr_db, abs=0.01)
        turned = float(clip.labels.get("turned_down_db", 0.0))
        for talker, image in zip(row.talkers, images, strict=True):
            start = round(talker.offset_seconds * 16_000)
            spoken = image[start : start + round(talker.seconds * 16_000)]
            found = loudness(spoken, 16_000) + turned
            assert found == pytest.approx(talker.loudness_lufs, abs=0.1)
