"""Covered clips: both parts are there, at the stated level, and labels stay the clip's own."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.recipes.base import generator
from pipelines.recipes.covered import Covered, SourceClip, plan, render
from pipelines.recipes.levels import power

RATE = 8_000
CLIPS = [
    SourceClip(f"{name}-{number}", 0.5 + 0.1 * number, name, {"class": name, "take": str(number)})
    for name in ("bell", "dog", "rain")
    for number in range(3)
]
SPEECH = [SourceClip("talk", 0.3, None)]


def read(key: str) -> np.ndarray:
    clip = next(clip for clip in (*CLIPS, *SPEECH) if clip.key == key)
    return 0.1 * generator("source", key).standard_normal(round(clip.seconds * RATE))


def recipe(**over) -> Covered:
    return Covered.model_validate({"sample_rate": RATE, "over": over})


@pytest.mark.parametrize(
    "over",
    [{"kind": "white"}, {"kind": "class"}, {"kind": "recorded", "of": "talks"}],
    ids=lambda over: over["kind"],
)
@pytest.mark.parametrize("snr_db", [-6, 0, 12])
def test_both_parts_add_up_at_the_stated_level(over, snr_db):
    rows = plan(recipe(snr_db=snr_db, **over), CLIPS, SPEECH)
    assert len(rows) == len({row.key for row in rows}) == len(CLIPS)
    for row in rows:
        sounds = render(row, read).sounds
        np.testing.assert_array_equal(
            sounds["audio"].astype(int), sounds["clean"].astype(int) + sounds["noise"]
        )
        found = 10 * np.log10(power(sounds["clean"]) / power(sounds["noise"]))
        assert found == pytest.approx(snr_db, abs=0.02)
        clean = sounds["clean"] / 32_768
        gain = clean @ read(row.clip) / (read(row.clip) @ read(row.clip))
        np.testing.assert_allclose(clean, gain * read(row.clip), atol=2e-5)


def test_another_class_covers_and_the_labels_are_the_clips_own():
    rows = plan(recipe(kind="class"), CLIPS)
    for row in rows:
        assert row.labels["class"] == row.clip.partition("-")[0]
        assert row.labels["over"] != row.labels["class"]
        assert row.labels["over"] == row.over.partition("-")[0]
        assert row.labels["take"] == row.clip.rpartition("-")[2]
    assert {row.labels["over"] for row in rows} == {"bell", "dog", "rain"}


def test_loud_clips_are_turned_down_together():
    [row, *_] = plan(recipe(kind="white"), CLIPS)
    sounds = render(row, lambda key: 30 * read(key)).sounds
    assert np.abs(sounds["audio"].astype(int)).max() < 32_768
    assert power(sounds["clean"]) / power(sounds["noise"]) == pytest.approx(1, abs=0.01)


def test_the_same_plan_and_samples_again_and_others_by_another_seed():
    one, again = (plan(recipe(kind="class"), clips) for clips in (CLIPS, CLIPS[::-1]))
    assert one == again
    other = plan(recipe(kind="class").model_copy(update={"seed": 1}), CLIPS)
    assert [row.over for row in one] != [row.over for row in other]
    first, second = (render(one[0], read).sounds["audio"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"kind": "recorded"}, "expected `of` with kind: recorded"),
        ({"kind": "white", "of": ["talks"]}, "expected `of` with kind: recorded"),
        ({"kind": "pink"}, "Input should be"),
    ],
)
def test_what_a_recipe_cannot_be(over, said):
    with pytest.raises(ValidationError, match=said):
        recipe(**over)


def test_what_cannot_be_covered_is_told():
    with pytest.raises(ValueError, match="expected clips to cover, found none"):
        plan(recipe(), [])
    with pytest.raises(ValueError, match="clips of two classes or more, found 'dog' alone"):
        plan(recipe(kind="class"), CLIPS[3:6])
    with pytest.raises(ValueError, match="to cover with, found none"):
        plan(recipe(kind="recorded", of="talks"), CLIPS)
    [row, *_] = plan(recipe(kind="white"), CLIPS)
    with pytest.raises(ValueError, match="leave the clip out"):
        render(row, lambda key: 0 * read(key))
