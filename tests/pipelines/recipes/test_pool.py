"""Whom scenes are drawn from: sides of splits, genders, types of noise."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipes.base import generator
from pipelines.recipes.pool import (
    NoiseClip,
    NoisePool,
    Pool,
    ResponseClip,
    RoomPool,
    Side,
    SourceClip,
    check_clips,
    sex_of,
    side_of,
)

SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}


def clip(number, *, gender=None, speaker=None):
    return SourceClip(f"clip-{number}", speaker or f"speaker-{number}", 1.0, gender=gender)


@given(st.text(), st.permutations(sorted(SPLITS)))
def test_a_side_depends_on_the_name_and_the_shares_alone(name, order):
    assert side_of(name, {split: SPLITS[split] for split in order}) == side_of(name, SPLITS)


def test_sides_are_as_large_as_their_shares():
    sides = Counter(side_of(f"speaker-{number}", SPLITS) for number in range(5_000))
    for split, share in SPLITS.items():
        assert sides[split] / 5_000 == pytest.approx(share, abs=0.02)


def test_the_sides_of_speakers_are_kept():
    # A change of these would move speakers between the splits of existing data.
    known = {"1089": "train", "p225": "train", "p226": "test", "p229": "test", "p235": "dev"}
    assert {name: side_of(name, SPLITS) for name in known} == known


@given(st.sets(st.text(min_size=1), max_size=20), st.sets(st.text(min_size=1), max_size=20))
def test_whoever_is_added_moves_nobody(first, more):
    def sides(names):
        clips = [clip(0, speaker=name) for name in sorted(names)]
        found = {
            split: {c.speaker for c in Side(SPLITS, split).take(clips, lambda c: c.speaker)}
            for split in SPLITS
        }
        assert sum(map(len, found.values())) == len(names)  # each on one side
        return found

    before, after = sides(first), sides(first | more)
    assert all(before[split] <= after[split] for split in SPLITS)


def test_a_share_of_one_is_everybody():
    assert {side_of(str(number), {"all": 1.0}) for number in range(100)} == {"all"}


@pytest.mark.parametrize(
    ("word", "sex"),
    [("F", "F"), ("female", "F"), ("m", "M"), ("male_masculine", "M"), ("", None), (None, None),
     ("other", "other"), ("feminine?", "feminine?")],
)  # fmt: skip
def test_corpora_name_genders_in_many_ways(word, sex):
    assert sex_of(word) == sex


@pytest.mark.parametrize("pairing", ["any", "same", "different"])
def test_partners_are_others_and_of_the_gender_asked_for(pairing):
    pool = Pool([clip(number, gender="Fm"[number % 2]) for number in range(8)])
    heard = set()
    for seed in range(40):
        lead = clip(0, gender="F")
        scene = [lead, *pool.partners(generator(seed), lead, 2, pairing)]
        genders = {sex_of(found.gender) for found in scene}
        assert len({found.speaker for found in scene}) == 3
        assert pairing != "same" or genders == {"F"}
        assert pairing != "different" or genders == {"F", "M"}
        heard |= {found.speaker for found in scene[1:]}
    assert len(heard) == {"any": 7, "same": 3, "different": 7}[pairing]


@pytest.mark.parametrize(
    ("clips", "pairing", "message"),
    [
        ([clip(0, gender="F"), clip(1)], "same", r"1 of 2 without: \['speaker-1'\]; give"),
        (
            [clip(0, gender="F"), clip(1, gender="M")],
            "same",
            r"2 .* of each .* \{'F': 1, 'M': 1\}",
        ),
        ([clip(0, gender="F"), clip(1, gender="F")], "different", "two genders"),
        (
            [clip(0, gender="F"), clip(1, gender="M", speaker="speaker-0"), clip(2, gender="M")],
            "different",
            r"found several: \['speaker-0'\]",
        ),
    ],
)
def test_pairs_that_nobody_can_make_are_refused(clips, pairing, message):
    with pytest.raises(ValueError, match=message):
        Pool(clips).check_pairing(pairing, 2)
    Pool(clips).check_pairing("any", 2)


def test_every_type_of_noise_is_as_likely_however_many_recordings_it_has():
    clips = [NoiseClip(f"hum-{number}", "hum", 1.0) for number in range(9)]
    pool = NoisePool([*clips, NoiseClip("rain", "rain", 1.0)], (), side=Side())
    assert pool.types == ["hum", "rain"]
    picked = [pool.pick(generator(seed)) for seed in range(400)]
    assert Counter(found.type for found in picked)["rain"] == pytest.approx(200, abs=40)
    assert len({found.key for found in picked}) == 10


def test_clips_that_cannot_be_used_are_refused():
    with pytest.raises(ValueError, match="every noise clip once, found 1 repeated: 'a'"):
        check_clips([NoiseClip("a", "t", 1.0)] * 2, "noise")
    with pytest.raises(ValueError, match=r"source clips of some length, found 0 s: \['a'\]"):
        check_clips([SourceClip("a", "s", 0.0)], "source")


def test_talkers_of_a_scene_are_in_one_room():
    clips = [ResponseClip(f"{room}-{place}", room) for room in "abc" for place in range(3)]
    pool = RoomPool([*clips, ResponseClip("lone", "d")], talkers=2, side=Side())
    picked = [tuple(pool.pick(generator(seed))) for seed in range(60)]
    assert set(picked) == {tuple(f"{room}-{place}" for place in range(3)) for room in "abc"}
    with pytest.raises(ValueError, match=r"a room with 4 recorded responses .* 4 rooms of 10"):
        RoomPool([*clips, ResponseClip("lone", "d")], talkers=4, side=Side())
