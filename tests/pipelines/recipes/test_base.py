"""Keys, keyed generators and the validated bases."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes.base import (
    KEY_LENGTH,
    Range,
    Recipe,
    Spread,
    generator,
    key_of,
    quantised,
    refuse_twins,
    seed_of,
    uniform,
)
from pipelines.recipes.sentences import SENTENCES


class Bounds(Recipe):
    values: Range = (0.0, 1.0)


def test_a_generator_depends_on_its_parts_alone():
    first = generator(7, "clip", "noise").standard_normal(5)
    np.testing.assert_array_equal(first, generator(7, "clip", "noise").standard_normal(5))
    for other in [(8, "clip", "noise"), (7, "clipn", "oise"), ("7", "clip", "noise"), (7, "clip")]:
        assert not np.array_equal(first, generator(*other).standard_normal(5))


def test_the_generators_stream_is_the_one_that_plans_were_made_with():
    raw = generator("RealEar", 1).bit_generator.random_raw(2).tolist()
    assert raw == [10384830370190075506, 5058021458180685113]


def test_seeds_survive_json():
    seed = seed_of("a", 1)
    assert 0 <= seed < 2**53
    assert json.loads(json.dumps(float(seed))) == seed


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_keys_are_always_legal(parts):
    key = key_of(*parts)
    assert 0 < len(key) <= KEY_LENGTH
    assert all(
        character.isascii() and (character.isalnum() or character in "-_") for character in key
    )


def test_keys_keep_plain_names_and_tell_changed_ones_apart():
    assert key_of("a_1", "en-us") == "a_1-en-us"
    assert len({key_of("a b"), key_of("a.b"), key_of("a-b"), key_of("é"), key_of("ü")}) == 5
    assert key_of("x" * 200) != key_of("x" * 201)


@given(st.floats(-100, 100), st.floats(0, 50))
def test_uniform_stays_in_its_range_though_rounded(low, width):
    value = uniform(generator("u"), (low, low + width), digits=0)
    assert low <= value <= low + width


def test_twins_are_refused_by_name():
    refuse_twins(["a", "b"], "key", "rename it")
    with pytest.raises(ValueError, match=r"every key once, found 1 repeated: 'a'; rename it"):
        refuse_twins(["a", "b", "a"], "key", "rename it")


def test_recipes_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError, match="value"):
        Bounds.model_validate({"value": [0, 1]})
    with pytest.raises(ValidationError, match="low <= high"):
        Bounds(values=(2.0, 1.0))
    with pytest.raises(ValidationError, match="frozen"):
        Bounds().values = (0.0, 2.0)


def test_the_sentences_are_forty_short_ones():
    assert len(set(SENTENCES)) == 40
    assert all(6 <= len(sentence.split()) <= 10 for sentence in SENTENCES)


@given(st.lists(st.integers(-32_768, 32_767)))
def test_sixteen_bits_come_back_as_they_were(steps):
    np.testing.assert_array_equal(quantised(np.array(steps) / 32_768), np.array(steps, np.int16))


@pytest.mark.parametrize("sample", [1.0, -1.0001, np.nan, np.inf])
def test_what_sixteen_bits_do_not_hold_is_refused(sample):
    with pytest.raises(ValueError, match=r"samples in \[-1, 1\)"):
        quantised(np.array([[0.0, sample]]))


class Levels(Recipe):
    snr_db: Spread = Spread(range=(0.0, 15.0))


def test_a_spread_is_a_range_a_grid_or_one_value():
    assert Levels(snr_db=[-5, 5]).snr_db.bounds == (-5, 5)
    assert Levels(snr_db=3).snr_db.draw(generator("s")) == 3.0
    grid = Levels(snr_db={"grid": [-5, 0, 10]}).snr_db
    assert grid.bounds == (-5, 10)
    assert {grid.draw(generator("s", seed)) for seed in range(40)} == {-5, 0, 10}
    drawn = [Levels().snr_db.draw(generator("s", seed)) for seed in range(200)]
    assert 0 <= min(drawn) < 1 < 14 < max(drawn) <= 15


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([5, 0], "low <= high"),
        ({"grid": []}, "write one of them"),
        ({"range": [0, 1], "grid": [1]}, "write one of them"),
        ({"grid": [float("nan")]}, "finite values"),
        ({"values": [1]}, "Extra inputs"),
        ("loud", "Spread"),
        (True, "Spread"),
    ],
)
def test_a_spread_that_says_nothing_clear_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        Levels(snr_db=given)
