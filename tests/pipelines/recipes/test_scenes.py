"""Scenes: who is heard with whom, and that everything adds up."""

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

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


def recipe(**options):
    return Scenes.model_validate({"sample_rate": RATE, **options})


def planned(noises=NOISES, **options):
    return plan(recipe(**options), SOURCES, noises)


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


# Plans


@given(
    talkers=st.integers(1, 4),
    clips=st.one_of(st.none(), st.integers(1, 60)),
    seed=st.integers(0, 2**40),
    noisy=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_plans_hold_what_they_promise(talkers, clips, seed, noisy, order):
    options = recipe(talkers=talkers, clips=clips, seed=seed, noise=NOISE if noisy else None)
    rows = plan(options, SOURCES)
    assert plan(options, order.sample(SOURCES, len(SOURCES))) == rows
    assert len(rows) == (clips or len(SOURCES))
    assert len({row.key for row in rows}) == len(rows)
    leads = Counter(row.talkers[0].key for row in rows)
    assert max(leads.values()) - min(leads[clip.key] for clip in SOURCES) <= 1
    speakers = {clip.key: clip.speaker for clip in SOURCES}
    for row in rows:
        assert len(row.talkers) == talkers
        heard = [speakers[key] for key in row.source_keys]
        assert len(set(heard)) == len(heard)
        assert [talker.speaker for talker in row.talkers] == heard[:talkers]


def test_rows_are_json_and_say_what_single_talkers_say():
    texts = {clip.key: clip.text for clip in SOURCES}
    for options in ({"noise": NOISE}, EVERYTHING):
        for row in planned(**options):
            assert Scene.model_validate_json(row.model_dump_json()) == row
            assert row.text == (texts[row.talkers[0].key] if len(row.talkers) == 1 else None)


def test_a_clip_that_is_cut_does_not_say_its_text():
    rows = planned(length=1.5, perturb={"speeds": [0.9, 1.1]})
    assert {bool(row.text) for row in rows} == {True, False}
    for row in rows:
        [talker] = row.talkers
        whole = SECONDS[talker.key] / talker.perturbation.speed <= 1.5
        assert bool(row.text) == whole


@pytest.mark.parametrize("option", [name for name in EVERYTHING if name != "talkers"])
def test_one_option_more_changes_no_other_draw(option):
    plain, full = planned(talkers=2), planned(talkers=2, **{option: EVERYTHING[option]})
    free = {"room", "perturbation", "start_seconds", "seconds", "offset_seconds"}
    for one, other in zip(plain, full, strict=True):
        assert one.key == other.key
        for first, second in zip(one.talkers, other.talkers, strict=True):
            assert first.model_dump(exclude=free) == second.model_dump(exclude=free)
    rest = {name: value for name, value in EVERYTHING.items() if name != option}
    for one, other in zip(planned(**EVERYTHING), planned(**rest), strict=True):
        if option not in ("length", "perturb"):
            assert one.seconds == other.seconds
        if option not in ("length", "perturb", "noise"):
            assert one.noise == other.noise
        if option != "channel":
            assert one.channel == other.channel


def test_another_seed_makes_other_scenes():
    first, second = planned(talkers=2), planned(talkers=2, seed=1)
    assert not {row.key for row in first} & {row.key for row in second}


@pytest.mark.parametrize(
    ("options", "sources", "message"),
    [
        ({}, [], "found none: prepare some"),
        ({}, [SOURCES[0]] * 2, "every source clip once, found 1 repeated: 'clip-00'"),
        ({}, [SourceClip("a", "s", 0.0)], r"found 0 s: \['a'\]"),
        ({"talkers": 2}, [SOURCES[0], SOURCES[6]], r"clips of 2 speakers or more .* found 1: add"),
        ({"talkers": 2, "noise": {}}, SOURCES, r"7 speakers or more \(2 talkers and 5 of babble"),
        ({"noise": {"of": "x"}}, SOURCES, "expected recorded noises, found none: name their"),
        (
            {"splits": {"a": 0.999, "b": 0.001}, "split": "b"},
            SOURCES,
            r"1 speakers or more in split b .* found 0",
        ),
        (
            {"talkers": 2, "gender": "same"},
            [SourceClip("a", "s", 1.0), *SOURCES],
            r"gender of every speaker for gender: same, found 1 of 7 without: \['s'\]",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(options, sources, message):
    with pytest.raises(ValueError, match=message):
        plan(recipe(**options), sources)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"talkers": 0}, "greater than or equal to 1"),
        ({"clips": 0}, "greater than or equal to 1"),
        ({"length": "mean"}, "expected min, max or a number of seconds above 0"),
        ({"length": 0}, "expected min, max or a number of seconds above 0"),
        ({"length": True}, "expected min, max or a number of seconds above 0"),
        ({"talkers": 2, "overlap": [0.5, 1.5]}, "an overlap within 0 and 1"),
        ({"overlap": 0.5}, "2 talkers or more for overlap and gender"),
        ({"gender": "same"}, "2 talkers or more for overlap and gender"),
        ({"talkers": 2, "gender": "male"}, "'any', 'same' or 'different'"),
        (
            {"loudness_lufs": [-33, -25], "level_db": [0, 5]},
            "level_db or loudness_lufs, found both",
        ),
        ({"loudness_lufs": [-33, -25], "split_levels": True}, "found both"),
        ({"splits": {"train": 0.8, "test": 0.1}, "split": "test"}, "add up to 1"),
        ({"splits": {"train": 1.5, "test": -0.5}, "split": "test"}, "shares above 0"),
        ({"splits": {"train": 1.0}}, "split to be one of splits, found None of"),
        ({"split": "train"}, "found 'train' of no splits"),
        ({"splits": {"train": 1.0}, "split": "tests"}, r"found 'tests' of \['train'\]"),
        ({"room": {}, "recorded_rooms": {}}, "room or recorded_rooms, found both"),
        ({"noise": {"kinds": ["brown"]}}, "'white', 'pink', 'babble' or 'recorded'"),
        ({"noise": {"kinds": ["white", "white"]}}, "every kind of noise once"),
        ({"reverb": True}, "Extra inputs"),
    ],
)
def test_recipes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        recipe(**options)


# Splits and genders


SPLITS = {"train": 0.5, "dev": 0.25, "test": 0.25}
MANY = [SourceClip(f"c{n}-{take}", f"s{n}", 1.0) for n in range(60) for take in range(2)]
HUMS = [NoiseClip(f"hum-{n}-{part}", "hum", 1.0, f"hum-{n}") for n in range(20) for part in "ab"]


def heard(split, sources=MANY, **noise):
    """Speakers, babblers among them, and recordings of noise that a split's scenes use."""
    noise = {"kinds": ["babble", "recorded"], "babble_talkers": 2, **noise}
    options = {"talkers": 2, "splits": SPLITS, "split": split, "noise": noise, "clips": 300}
    rows = plan(recipe(**options), sources, HUMS)
    assert {row.split for row in rows} == {split}
    speakers = {clip.key: clip.speaker for clip in sources}
    recordings = {clip.key: clip.recording for clip in HUMS}
    keys = {key for row in rows for key in row.source_keys}
    return {speakers[key] for key in keys & speakers.keys()}, {
        recordings[key] for key in keys & recordings.keys()
    }


def test_nobody_and_no_noise_is_in_two_splits():
    found = {split: heard(split) for split in SPLITS}
    for kind in range(2):
        everything = [name for split in SPLITS for name in found[split][kind]]
        assert len(everything) == len(set(everything)) == (60, 20)[kind]
    shared = [heard(split, shared=True)[1] for split in SPLITS]
    assert shared[0] == shared[1] == shared[2]


def test_new_speakers_move_nobody_to_another_side():
    more = [SourceClip(f"new-{n}", f"new-{n}", 1.0) for n in range(40)]
    for split in SPLITS:
        assert heard(split)[0] <= heard(split, [*more, *MANY])[0]


def test_noise_that_no_recording_of_the_split_can_make_is_refused():
    options = recipe(noise={"of": "x"}, splits={"a": 0.999, "b": 0.001}, split="a")
    assert plan(options, MANY, HUMS)
    lone = recipe(noise={"of": "x"}, splits=SPLITS, split="dev")
    with pytest.raises(ValueError, match=r"recorded noises in split dev, found none of 1: add"):
        plan(lone, MANY, [NoiseClip("hum", "hum", 1.0)])
    with pytest.raises(ValueError, match=r"noise.types among \['hum'\], found \['rain'\]"):
        plan(recipe(noise={"of": "x", "types": ["rain"]}), MANY, HUMS)


@pytest.mark.parametrize(
    ("gender", "labels"),
    [
        ("same", {"F+F", "M+M"}),
        ("different", {"F+M"}),
        ("any", {"F+F", "F+M", "M+M"}),
    ],
)
def test_pairs_are_of_the_gender_asked_for_and_labelled(gender, labels):
    rows = planned(talkers=2, gender=gender, clips=40)
    assert {"+".join(sorted(talker.gender for talker in row.talkers)) for row in rows} == labels
    assert render(rows[0], read).labels["gender"] in labels


# Rendering


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


def test_the_second_talker_is_quieter_by_the_difference_or_both_share_it():
    for row in planned(talkers=3):
        assert row.talkers[0].level_dbfs == SPEECH_DB
        assert all(-5 <= talker.level_dbfs - SPEECH_DB <= 0 for talker in row.talkers)
    for row, same in zip(planned(talkers=2, split_levels=True), planned(talkers=2), strict=True):
        first, second = (talker.level_dbfs - SPEECH_DB for talker in row.talkers)
        assert first == pytest.approx(-second, abs=1e-6)
        assert 0 <= first <= 2.5
        quieter = same.talkers[0].level_dbfs - same.talkers[1].level_dbfs
        assert first - second == pytest.approx(quieter, abs=1e-5)


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


def test_types_of_noise_can_be_chosen():
    rows = planned(noise={"of": "x", "types": ["rain"]})
    assert {row.noise.keys for row in rows} == {("rain",)}


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
    options = recipe(talkers=2, recorded_rooms={"of": "halls"}, clips=6)
    rows = plan(options, SOURCES, responses=halls)
    assert {row.source_keys[2:] for row in rows} <= {
        ("hall-0", "hall-2"), ("hall-2", "hall-0"), ("hall-1", "hall-3"), ("hall-3", "hall-1")
    }  # fmt: skip
    assert Scene.model_validate_json(rows[0].model_dump_json()) == rows[0]
    clip = render(rows[0], recorded)
    assert {"s1_dry", "s1_early", "s2_dry", "s2_early"} < set(clip.sounds)
    assert float(clip.labels["t60_s"]) == pytest.approx(0.4, abs=0.05)
    assert "distance" not in clip.labels
    with pytest.raises(ValueError, match=r"a room with 2 recorded responses .* found 0 rooms"):
        plan(options, SOURCES)


def test_splits_share_no_room():
    def rooms(split):
        options = recipe(splits=SPLITS, split=split, room={**ROOM, "rooms": 3}, clips=30)
        return {row.talkers[0].room.size_m for row in plan(options, MANY)}

    assert len(rooms("train")) == 3
    assert not rooms("train") & rooms("test")


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
