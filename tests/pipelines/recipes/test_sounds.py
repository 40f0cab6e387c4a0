"""Made sounds: each class is heard, is itself again from its row, and is told in its caption."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.recipes import sounds
from pipelines.recipes.synthesis import CLASSES, Drawn, times


def recipe(**given) -> sounds.Sounds:
    return sounds.Sounds(**{"each": 1, "seconds": (0.8, 0.8), **given})


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_heard_and_is_the_same_from_its_row(name):
    [row] = sounds.plan(recipe(classes=(name,), seconds=(2.0, 2.0)))
    assert type(row).model_validate_json(row.model_dump_json()) == row
    made = sounds.render(row)
    signal = made.sounds["audio"]
    assert (signal.shape, signal.dtype) == ((32_000,), np.int16)
    assert np.abs(signal).max() < 32_767
    assert np.std(signal / 32_768) > 0.005
    np.testing.assert_array_equal(signal, sounds.render(row).sounds["audio"])
    assert made.labels["class"] == name
    assert any(words in made.labels["caption"] for words in CLASSES[name].words)


def test_no_two_classes_are_said_alike():
    said = [words for entry in CLASSES.values() for words in entry.words]
    assert len(set(said)) == len(said)


def test_another_sound_of_a_class_changes_nothing_about_the_first():
    one, two = (sounds.plan(recipe(classes=("siren", "rain"), each=n)) for n in (1, 2))
    assert [one[0], one[1]] == [two[0], two[2]]
    assert sounds.plan(recipe(seed=1))[0].drawn != sounds.plan(recipe())[0].drawn


def test_pitch_is_what_was_drawn_and_is_told():
    rows = sounds.plan(recipe(classes=("tone",), each=60, snr_db=None))
    for row in rows[:5]:
        signal = sounds.render(row).sounds["audio"].astype(float)
        peak = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))).argmax() / 0.8
        assert peak == pytest.approx(row.drawn["hertz"], abs=2)
    low, high = (
        [r.drawn["hertz"] for r in rows if w in r.caption.split()] for w in ("low", "high")
    )
    assert low
    assert high
    assert max(low) < min(high)


def test_captions_can_be_plain():
    [row] = sounds.plan(recipe(classes=("hum",), captions="plain"))
    assert row.caption == "electric hum"


def test_events_come_as_often_as_they_should():
    drawn = Drawn({}, 160_000, 16_000, np.random.default_rng(0))
    assert len(times(drawn, 3.0)) == pytest.approx(30, abs=1)
    assert len(times(drawn, 50.0, jitter=1)) == pytest.approx(500, rel=0.15)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"classes": ("rain", "rian")}, "found \\['rian'\\]"), ({"classes": ("rain",) * 2}, "once"),
     ({"classes": ()}, "at least 1")],
)  # fmt: skip
def test_unknown_classes_are_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        sounds.Sounds(**given)
