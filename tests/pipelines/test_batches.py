"""Batches: what is asked together, and what one clip's failure costs the others."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import batches, tasks
from pipelines.batches import PADDED, WINDOW, packed, windows
from pipelines.records import Failure, Part
from pipelines.shards import datasets, packing
from pipelines.shards.packing import Sample

RATE = 8_000
SIZES = (8_000, 7_900, 400, 8_000, 390, 1, 5_000)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("set"))
    rng = np.random.default_rng(0)
    noise = [(rng.normal(0, 3_000, size) + 1).astype(np.int16) for size in SIZES]
    samples = [Sample(f"clip{n}", {"audio": pcm}, RATE, "a/b") for n, pcm in enumerate(noise)]
    packing.pack(Part(folder, "set-000000", "", len(samples), 1.0, None), samples)
    with datasets.opened(folder, "set-000000") as found:
        yield found


class Recogniser:
    """Says how long every clip is, and keeps what it was asked at once."""

    array, role, sample_rate, padded_to = False, "model", None, 0.0

    def __init__(self, padding="exact", seconds=2.0, fails=lambda sizes: None):
        self.padding, self.batch_seconds, self.fails = padding, seconds, fails
        self.asked: list[list[int]] = []

    def transcribe(self, signals):
        sizes = [len(signal) for signal in signals]
        self.asked.append(sizes)
        self.fails(sizes)
        return [str(size) for size in sizes]


def said(model, clips) -> list[str | Failure]:
    answers = batches.ask(tasks.get("recognition"), model, clips)
    return [a if isinstance(a, Failure) else a["txt"].decode() for a in answers]


@given(st.lists(st.integers(1, 10_000), max_size=60), st.integers(1, 20_000))
def test_every_clip_is_in_one_batch_that_is_neither_too_large_nor_mostly_padding(sizes, most):
    found = packed(sizes, most)
    assert sorted(index for batch in found for index in batch) == list(range(len(sizes)))
    for batch in found:
        longest = max(sizes[index] for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= most
        filled = sum(sizes[index] for index in batch)
        assert filled >= (1 - PADDED) * longest * len(batch)
    firsts = [sizes[batch[0]] for batch in found]
    assert firsts == sorted(firsts, reverse=True)


def test_answers_come_in_the_order_of_the_clips(clips):
    assert said(Recogniser(), clips) == [str(size) for size in SIZES]


def test_where_padding_is_exact_clips_of_about_a_length_go_together(clips):
    model = Recogniser(seconds=2.0)
    said(model, clips)
    assert model.asked == [[8_000, 8_000], [7_900], [5_000], [400, 390], [1]]


def test_what_the_model_fills_up_itself_counts_as_that_long(clips):
    """Nothing is gained by keeping such clips apart, and a batch is as many of them as it holds."""
    model = Recogniser(seconds=2.0)
    model.padded_to = 0.25  # 2,000 samples
    assert said(model, clips) == [str(size) for size in SIZES]
    assert model.asked == [[8_000, 8_000], [7_900], [5_000], [400, 390, 1]]
    model.asked, model.padded_to = [], 1.0
    said(model, clips)
    assert sorted(len(sizes) for sizes in model.asked) == [1, 2, 2, 2]


def test_where_it_is_not_only_equal_lengths_do(clips):
    model = Recogniser(padding="none", seconds=100.0)
    said(model, clips)
    assert sorted(model.asked) == [[1], [390], [400], [5_000], [7_900], [8_000, 8_000]]


def test_a_model_that_says_nothing_is_asked_clip_by_clip(clips):
    model = Recogniser(padding="none", seconds=0.0)
    said(model, clips)
    assert all(len(sizes) == 1 for sizes in model.asked)


def test_one_bad_clip_costs_itself_alone(clips):
    def fails(sizes):
        if 390 in sizes:
            raise RuntimeError("no such thing")

    found = said(Recogniser(seconds=100.0, fails=fails), clips)
    assert [f for f in found if isinstance(f, Failure)] == [
        Failure("clip4", "predict", "error", "RuntimeError: no such thing")
    ]
    assert [text for text in found if isinstance(text, str)] == [
        str(size) for size in SIZES if size != 390
    ]


def test_a_batch_too_large_for_memory_is_halved_and_a_clip_too_large_is_counted(clips):
    class OutOfMemoryError(RuntimeError):
        """As torch's, by name."""

    def fails(sizes):
        if len(sizes) * max(sizes) > 7_950:
            raise OutOfMemoryError("tried to allocate 8 GiB")

    model = Recogniser(seconds=100.0, fails=fails)
    found = said(model, clips)
    assert [f.key for f in found if isinstance(f, Failure)] == ["clip0", "clip3"]
    assert {f.reason for f in found if isinstance(f, Failure)} == {"out_of_memory"}
    assert [7_900] in model.asked


def test_what_a_failed_batch_held_is_free_before_its_halves_are_asked(clips):
    held: list[weakref.ref] = []

    def fails(sizes):
        assert all(each() is None for each in held)
        activations = np.zeros(sum(sizes))
        held.append(weakref.ref(activations))
        if len(sizes) > 1:
            raise MemoryError

    found = said(Recogniser(seconds=100.0, fails=fails), clips)
    assert found == [str(size) for size in SIZES]
    assert len(held) > len(SIZES)


def test_too_few_answers_are_a_failure_of_every_clip_that_does_not_get_its_own(clips):
    model = Recogniser(seconds=100.0)
    model.transcribe = lambda signals: ["only one"]
    assert said(model, clips) == ["only one"] * len(SIZES)  # alone, each has its answer
    model.transcribe = lambda signals: []
    found = said(model, clips)
    assert {f.reason for f in found if isinstance(f, Failure)} == {"wrong_count"}
    assert len(found) == len(SIZES)


@given(st.lists(st.floats(0.1, 2 * WINDOW), max_size=30))
def test_windows_hold_all_clips_in_order_and_no_more_than_they_may(seconds):
    clips = [SimpleNamespace(row=SimpleNamespace(seconds=each)) for each in seconds]
    found = list(windows(clips))
    assert [clip for window in found for clip in window] == clips
    for window in found:
        assert len(window) == 1 or sum(clip.row.seconds for clip in window) <= WINDOW
