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
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes import noise, scenes
from pipelines.recipes.base import generator
from pipelines.recipes.levels import PEAK, SPEECH_DB, power
from pipelines.recipes.scenes import (
    NoiseRanges,
    RoomRanges,
    Scene,
    Scenes,
    SourceClip,
    plan,
    render,
)

RATE = 8_000  # Hz
ROOM = RoomRanges(t60_s=(0.25, 0.3))
NOISE = NoiseRanges(babble_talkers=2)
SOURCES = [
    SourceClip(f"clip-{number:02d}", f"speaker-{number % 6}", 0.5 + 0.05 * number, f"text {number}")
    for number in range(18)
]


def read(key):
    """The signal of a source clip: noise of its length, in bursts."""
    seconds = next(clip.seconds for clip in SOURCES if clip.key == key)
    size = round(seconds * RATE)
    return generator("source", key).standard_normal(size) * np.sin(np.arange(size) / 400)


def recipe(**options):
    return Scenes(**{"sample_rate": RATE, **options})


EVERYTHING = recipe(talkers=2, length="max", room=ROOM, noise=NOISE)


@given(
    talkers=st.integers(1, 3),
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
    for options in (recipe(noise=NOISE), EVERYTHING):
        for row in plan(options, SOURCES):
            assert Scene.model_validate_json(row.model_dump_json()) == row
            assert row.text == (texts[row.talkers[0].key] if len(row.talkers) == 1 else None)


def test_a_room_or_noise_more_changes_no_pair():
    plain, full = plan(recipe(talkers=2), SOURCES), plan(EVERYTHING, SOURCES)
    for one, other in zip(plain, full, strict=True):
        assert one.key == other.key
        assert [t.key for t in one.talkers] == [t.key for t in other.talkers]
        assert [t.gain_db for t in one.talkers] == [t.gain_db for t in other.talkers]


def test_another_seed_makes_other_scenes():
    first, second = plan(recipe(talkers=2), SOURCES), plan(recipe(talkers=2, seed=1), SOURCES)
    assert not {row.key for row in first} & {row.key for row in second}


@pytest.mark.parametrize(
    ("options", "sources", "message"),
    [
        ({}, [], "found none: prepare some"),
        ({}, [SOURCES[0]] * 2, "every source clip once, found 1 repeated: 'clip-00'"),
        ({}, [SourceClip("a", "s", 0.0)], r"found 0 s: \['a'\]"),
        ({"talkers": 2}, [SOURCES[0], SOURCES[6]], r"clips of 2 speakers or more .* found 1: add"),
        ({"talkers": 2, "noise": {}}, SOURCES, r"7 speakers or more \(2 talkers and 5 of babble"),
    ],
)
def test_plans_that_cannot_be_are_refused(options, sources, message):
    with pytest.raises(ValueError, match=message):
        plan(recipe(**options), sources)


@pytest.mark.parametrize(
    "options",
    [
        {"talkers": 4},
        {"clips": 0},
        {"length": "mean"},
        {"noise": {"kinds": ["brown"]}},
        {"noise": {"kinds": ["white", "white"]}},
        {"noise": {"kinds": []}},
        {"reverb": True},
    ],
)
def test_recipes_that_cannot_be_are_refused(options):
    with pytest.raises(ValidationError):
        recipe(**options)


@pytest.mark.parametrize("length", ["min", "max"])
@pytest.mark.parametrize("talkers", [1, 2, 3])
@pytest.mark.parametrize("room", [None, ROOM])
def test_references_and_noise_add_up_to_the_audio(length, talkers, room):
    options = recipe(talkers=talkers, clips=3, length=length, room=room, noise=NOISE)
    for row in plan(options, SOURCES):
        clip = render(row, read)
        seconds = [
            power_clip.seconds
            for power_clip in SOURCES
            if power_clip.key in {talker.key for talker in row.talkers}
        ]
        assert clip.audio.size == round({"min": min, "max": max}[length](seconds) * RATE)
        assert row.seconds == pytest.approx(clip.audio.size / RATE, abs=1e-3)
        images = clip.clean[None] if talkers == 1 else clip.sources
        assert (clip.sources is None) == (talkers == 1)
        assert (clip.clean is None) == (talkers > 1)
        assert images.shape == (talkers, clip.audio.size)
        speech, rest = images.sum(axis=0), clip.audio - images.sum(axis=0)
        assert 10 * np.log10(power(speech) / power(rest)) == pytest.approx(
            row.noise.snr_db, abs=0.01
        )
        signal = noise.make(
            row.noise.kind,
            rest.size,
            seed=row.noise.seed,
            babble_keys=row.noise.babble_keys,
            read=read,
        )
        np.testing.assert_allclose(
            rest, noise.scale_to_snr(speech, signal, row.noise.snr_db), atol=1e-12
        )


def test_talkers_have_their_levels_in_a_room_or_not():
    for room in (None, ROOM):
        for row in plan(recipe(talkers=3, clips=4, room=room), SOURCES):
            levels = [10 * np.log10(power(image)) for image in render(row, read).sources]
            wanted = [SPEECH_DB + talker.gain_db for talker in row.talkers]
            np.testing.assert_allclose(levels, wanted, atol=1e-6)
            assert row.talkers[0].gain_db == 0.0
            assert all(-5.0 <= talker.gain_db <= 0.0 for talker in row.talkers)


def test_the_level_of_a_short_talker_is_its_speechs_not_its_dying_aways():
    row = next(
        row
        for row in plan(recipe(talkers=2, length="max", room=ROOM), SOURCES)
        if min(talker.offset_seconds for talker in row.talkers) == 0.0
    )
    for image, talker in zip(render(row, read).sources, row.talkers, strict=True):
        start = round(talker.offset_seconds * RATE)
        spoken = image[start : start + read(talker.key).size]
        assert 10 * np.log10(power(spoken)) == pytest.approx(SPEECH_DB + talker.gain_db, abs=1e-6)


def test_a_lone_talker_without_room_or_noise_is_its_clip_at_the_level():
    row = plan(recipe(clips=1), SOURCES)[0]
    clip, signal = render(row, read), read(row.talkers[0].key)
    np.testing.assert_allclose(clip.audio / clip.audio[1], signal / signal[1], rtol=1e-9)
    np.testing.assert_array_equal(clip.audio, clip.clean)


def test_longest_scenes_start_their_shorter_talkers_late_but_whole():
    rows = plan(recipe(talkers=2, length="max"), SOURCES)
    assert any(talker.offset_seconds > 0.05 for row in rows for talker in row.talkers)
    for row in rows:
        for image, talker in zip(render(row, read).sources, row.talkers, strict=True):
            start = round(talker.offset_seconds * RATE)
            assert not image[:start].any()
            assert not image[start + read(talker.key).size :].any()
            assert image[start + 1 : start + 100].any()


def test_one_common_gain_keeps_the_peak_and_the_sums():
    row = plan(recipe(talkers=2, noise=NoiseRanges(kinds=("white",), snr_db=(-20, -20))), SOURCES)[
        0
    ]
    clip = render(row, read)
    assert np.abs(clip.audio).max() == pytest.approx(PEAK)
    rest = clip.audio - clip.sources.sum(axis=0)
    assert 10 * np.log10(power(clip.sources.sum(axis=0)) / power(rest)) == pytest.approx(
        -20, abs=0.01
    )
    first, second = (10 * np.log10(power(image)) for image in clip.sources)
    assert second - first == pytest.approx(row.talkers[1].gain_db)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros(800), "sound in source clip 'clip-.*found 800 samples of silence"),
        (np.zeros(0), "found 0 samples of silence"),
        (np.full(800, np.nan), "finite samples of source clip"),
        (np.ones((2, 800)), r"one channel, shape \(time,\), .* found \(2, 800\)"),
    ],
)
@pytest.mark.parametrize("room", [None, ROOM])
def test_sources_that_cannot_be_heard_are_refused(signal, message, room):
    row = plan(recipe(clips=1, room=room), SOURCES)[0]
    with pytest.raises(ValueError, match=message):
        render(row, lambda key: signal)


def test_a_source_is_never_changed_and_asked_for_once():
    row = plan(EVERYTHING, SOURCES)[0]
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
    total = hashlib.sha256()
    for row in plan(EVERYTHING.model_copy(update={"clips": 3}), SOURCES):
        clip = render(Scene.model_validate_json(row.model_dump_json()), read)
        total.update(row.model_dump_json().encode() + clip.audio.tobytes() + clip.sources.tobytes())
    return total.hexdigest()


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
