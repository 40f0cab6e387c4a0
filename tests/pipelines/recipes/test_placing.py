"""When talkers speak: lengths as asked, overlaps as asked, nothing outside the scene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipes.base import generator
from pipelines.recipes.placing import chain, overlapped, place

LENGTHS = st.lists(st.floats(0.1, 20.0), min_size=1, max_size=5)
SHARES = st.floats(0.0, 1.0)


def placed(lengths, length, overlap=None, *, seed=0):
    return place(
        lengths, length, overlap, cuts=generator(seed, "cuts"), starts=generator(seed, "starts")
    )


def by_counting(spans, steps=4_000):
    """The overlapped share by asking at many moments how many speak."""
    moments = np.linspace(0, max(end for _, end in spans), steps, endpoint=False)
    speaking = sum(((moments >= begin) & (moments < end)).astype(int) for begin, end in spans)
    return (speaking >= 2).sum() / (speaking >= 1).sum()


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ([], 0.0),
        ([(0, 3)], 0.0),
        ([(0, 3), (3, 5)], 0.0),
        ([(0, 3), (2, 5)], 1 / 5),
        ([(0, 4), (1, 2)], 1 / 4),
        ([(0, 2), (0, 2), (0, 2)], 1.0),
        ([(0, 4), (1, 3), (2, 6)], 3 / 6),  # where three speak counts once
        ([(0, 1), (5, 6), (5, 6)], 1 / 2),  # silence in between does not count
    ],
)
def test_what_overlap_means(spans, share):
    assert overlapped(spans) == pytest.approx(share)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.5, 5)), min_size=1, max_size=5))
def test_overlap_is_what_counting_finds(parts):
    spans = [(begin, begin + seconds) for begin, seconds in parts]
    assert overlapped(spans) == pytest.approx(by_counting(spans), abs=0.02)


@given(LENGTHS, SHARES)
def test_chains_have_the_share_or_begin_together(lengths, share):
    begins = chain(lengths, share)
    assert begins[0] == 0.0
    assert begins == sorted(begins)
    spans = [(begin, begin + length) for begin, length in zip(begins, lengths, strict=True)]
    found = overlapped(spans)
    assert found == pytest.approx(share, abs=1e-9) or (found < share and not any(begins))


def test_equal_clips_can_overlap_as_little_and_as_much_as_one_likes():
    assert chain([2.0, 2.0, 2.0], 0.0) == [0.0, 2.0, 4.0]
    assert chain([2.0, 2.0, 2.0], 1.0) == [0.0, 0.0, 0.0]
    assert chain([3.0, 3.0], 0.2) == pytest.approx([0.0, 2.0])  # 1 s of 5 s


@given(LENGTHS, st.sampled_from(["min", "max", 0.7, 4.0]), st.none() | SHARES, st.integers(0, 99))
def test_every_stretch_lies_in_its_clip_and_in_the_scene(lengths, length, overlap, seed):
    total, stretches = placed(lengths, length, overlap, seed=seed)
    for stretch, seconds in zip(stretches, lengths, strict=True):
        assert stretch.start >= 0.0
        assert stretch.start + stretch.seconds <= seconds + 1e-5
        assert stretch.offset >= 0.0
        assert stretch.offset + stretch.seconds <= total + 1e-5
    if not isinstance(length, str):
        assert total == pytest.approx(length)
    if length == "max":
        assert [stretch.seconds for stretch in stretches] == pytest.approx(lengths, abs=1e-5)


@given(LENGTHS, st.integers(0, 99))
def test_without_overlap_scenes_are_as_short_or_as_long_as_a_clip(lengths, seed):
    shortest, together = placed(lengths, "min", seed=seed)
    assert shortest == pytest.approx(min(lengths), abs=1e-5)
    assert {(stretch.start, stretch.offset) for stretch in together} == {(0.0, 0.0)}
    assert placed(lengths, "max", seed=seed)[0] == pytest.approx(max(lengths), abs=1e-5)


@given(st.integers(2, 4), SHARES, st.sampled_from(["min", 3.0]), st.integers(0, 99))
def test_clips_cut_to_one_length_overlap_exactly(talkers, overlap, length, seed):
    _, stretches = placed([5.0] * talkers, length, overlap, seed=seed)
    spans = [(stretch.offset, stretch.offset + stretch.seconds) for stretch in stretches]
    assert overlapped(spans) == pytest.approx(overlap, abs=1e-4)


def test_talkers_take_turns_in_a_random_order():
    firsts = {
        min(range(3), key=lambda n: placed([2.0, 3.0, 4.0], "max", 0.2, seed=seed)[1][n].offset)
        for seed in range(20)
    }
    assert firsts == {0, 1, 2}


def test_parts_of_long_clips_are_taken_anywhere():
    starts = [placed([10.0], 4.0, seed=seed)[1][0].start for seed in range(50)]
    assert min(starts) < 1.0 < 5.0 < max(starts) <= 6.0
