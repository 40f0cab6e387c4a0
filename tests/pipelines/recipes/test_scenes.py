"""Scenes planned: who is heard with whom, when, how loud and in what; nobody in two splits."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipelines.recipes import scenes
from pipelines.recipes.levels import SPEECH_DB
from pipelines.recipes.scenes import NoiseClip, Scene, Scenes, SourceClip, plan

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
def test_pairs_are_of_the_gender_asked_for(gender, labels):
    rows = planned(talkers=2, gender=gender, clips=40)
    assert {"+".join(sorted(talker.gender for talker in row.talkers)) for row in rows} == labels


def test_splits_share_no_room():
    def rooms(split):
        options = recipe(splits=SPLITS, split=split, room={**ROOM, "rooms": 3}, clips=30)
        return {row.talkers[0].room.size_m for row in plan(options, MANY)}

    assert len(rooms("train")) == 3
    assert not rooms("train") & rooms("test")


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


def test_types_of_noise_can_be_chosen():
    rows = planned(noise={"of": "x", "types": ["rain"]})
    assert {row.noise.keys for row in rows} == {("rain",)}


def test_the_recipes_of_the_modules_text_are_recipes():
    texts = re.findall(r"`(\{.*?\})`", scenes.__doc__, re.DOTALL)
    found = [Scenes.model_validate(YAML(typ="safe").load(text)) for text in texts]
    assert len(found) == 6
    voices = [SourceClip(f"{n}", f"s{n}", 3.0) for n in range(10)]
    for each in found:
        assert plan(each, voices, NOISES)
