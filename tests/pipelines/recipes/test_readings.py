"""Readings: balanced voices, stable rows, clips at one level."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes.espeak import Speaker, full_name
from pipelines.recipes.levels import SPEECH_DB, power
from pipelines.recipes.readings import (
    EDGE_SECONDS,
    VOICES,
    Reading,
    Readings,
    numbered,
    plan,
    render,
)
from pipelines.recipes.sentences import SENTENCES

TEXTS = numbered(SENTENCES)


@pytest.fixture(scope="module")
def speaker():
    with Speaker() as speaker:
        yield speaker


@given(
    texts=st.integers(0, 40), voices=st.integers(1, 16), data=st.data(), seed=st.integers(0, 2**40)
)
def test_every_text_has_its_readers_and_every_voice_its_share(texts, voices, data, seed):
    times = data.draw(st.integers(1, voices))
    recipe = Readings(voices=VOICES[:voices], readings_per_text=times, seed=seed)
    rows = plan(recipe, TEXTS[:texts])
    assert len(rows) == texts * times
    assert all(count == 1 for count in Counter((row.text, row.voice) for row in rows).values())
    shares = Counter(row.voice for row in rows)
    assert max(shares.values(), default=0) - min(shares[v] for v in recipe.voices) <= 1


def test_a_row_is_json_within_its_ranges_and_keyed_by_text_and_voice():
    for row in plan(Readings(), TEXTS):
        assert Reading.model_validate_json(row.model_dump_json()) == row
        assert row.key == f"{row.text_id}-{row.voice.replace('+', '-')}"
        assert 130 <= row.words_per_minute <= 170
        assert 40 <= row.pitch <= 60


def test_more_texts_leave_the_first_rows_alone_and_another_seed_changes_them():
    assert plan(Readings(), TEXTS)[:10] == plan(Readings(), TEXTS[:10])
    assert plan(Readings(seed=1), TEXTS) != plan(Readings(), TEXTS)


def test_the_recipe_may_bring_its_own_texts():
    rows = plan(Readings(texts=SENTENCES[:3]))
    assert [row.text for row in rows] == list(SENTENCES[:3])
    assert rows == plan(Readings(), TEXTS[:3])


def test_unusual_ids_get_legal_and_different_keys():
    rows = plan(Readings(), [("a/b.c", "one"), ("a b c", "two"), ("é" * 300, "three")])
    assert len({row.key for row in rows}) == 3
    assert all(len(row.key) <= 100 and "." not in row.key for row in rows)


@pytest.mark.parametrize(
    ("recipe", "texts", "message"),
    [
        (Readings(), None, "found neither"),
        (Readings(texts=("one",)), [("a", "two")], "found both"),
        (Readings(), [("a", "one"), ("a", "two")], "every text id once, found 1 repeated: 'a'"),
        (Readings(), [("a", " ?! ")], r"expected words in text 'a', found ' \?! '"),
        (Readings(), [("a", "x\0y")], "expected words in text 'a'"),
        (
            Readings(voices=("en", "fr"), readings_per_text=3),
            [("a", "b")],
            "at most 2 readings_per",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(recipe, texts, message):
    with pytest.raises(ValueError, match=message):
        plan(recipe, texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voices": ["en-us", "EN-US"]}, "every voice once"),
        ({"voices": ["en-usa"]}, "found 'en-usa'; the nearest are en-us"),
        ({"voices": []}, "at least 1"),
        ({"pitch": [0, 120]}, r"within \[0, 99\]"),
        ({"words_per_minute": [10, 120]}, r"within \[80, 450\]"),
        ({"voice": "en-us"}, "Extra inputs"),
    ],
)
def test_recipes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Readings.model_validate(options)


def test_the_default_voices_exist_and_pair_eight_accents():
    assert tuple(full_name(voice) for voice in VOICES) == VOICES
    assert set(Counter(voice.split("+")[0] for voice in VOICES).values()) == {2}
    assert len(VOICES) == 16


@pytest.mark.parametrize("sample_rate", [8_000, 16_000])
def test_a_clip_has_its_rate_level_and_quiet_ends(speaker, sample_rate):
    row = plan(Readings(sample_rate=sample_rate), TEXTS[:1])[0]
    clip = render(row, speaker)
    assert clip.sample_rate == sample_rate
    assert list(clip.sounds) == ["audio"]
    audio = clip.sounds["audio"] / 32_768
    assert 0.1 < np.abs(audio).max() <= 0.95
    edge = round(EDGE_SECONDS * sample_rate)
    middle = audio[edge:-edge]
    assert 10 * np.log10(power(middle)) == pytest.approx(SPEECH_DB, abs=0.02)
    for end in (audio[:edge], audio[-edge:]):
        assert 10 * np.log10(power(end)) == pytest.approx(-65, abs=0.6)


def test_a_reading_is_the_same_again_and_without_floor_its_ends_are_zero(speaker):
    row = plan(Readings(floor_db=None), TEXTS[:1])[0]
    audio = render(row, speaker).sounds["audio"]
    with Speaker() as other:
        np.testing.assert_array_equal(audio, render(row, other).sounds["audio"])
    assert not audio[:2_400].any()
    assert audio[2_400:-2_400].any()


def test_a_text_that_espeak_cannot_say_is_an_error(speaker):
    row = plan(Readings(), TEXTS[:1])[0].model_copy(update={"text": "?"})
    with pytest.raises(ValueError, match="samples of silence"):
        render(row, speaker)
