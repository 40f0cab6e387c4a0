"""Augment: views of clips, what is done to them, and what of them stays true."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes import augment, channels, perturb
from pipelines.recipes.augment import Augment, SourceClip, View, plan, render
from pipelines.recipes.base import generator
from pipelines.recipes.levels import power
from pipelines.recipes.masks import hertz, masked

RATE = 8_000  # Hz
SOURCES = [
    SourceClip(
        f"clip-{number}",
        0.5 + 0.125 * number,
        speaker=f"speaker-{number % 3}",
        text=f"text {number}",
        labels={"class": f"class {number}", "class_index": str(number)},
    )
    for number in range(6)
]
EVERYTHING = {
    "perturbation": {"speeds": [0.9, 1.1], "semitones": [-2, 2]},
    "crop_seconds": [0.2, 0.9],
    "mixing": {},
    "frequency_shift_hz": [-40, 40],
    "gain_db": [-6, 20],
    "channel": {"telephone": True, "codecs": ["gsm", "opus"], "loss": {}},
    "time_masks": {"seconds": [0.05, 0.2]},
    "frequency_masks": {"mel_channels": [5, 27]},
}


def read(key):
    """The signal of a source clip: noise in bursts, whole 16-bit samples."""
    seconds = next(clip.seconds for clip in SOURCES if clip.key == key)
    size = round(seconds * RATE)
    signal = 0.1 * generator("source", key).standard_normal(size) * np.sin(np.arange(size) / 400)
    return np.rint(signal * 32_768) / 32_768


def recipe(**options):
    return Augment.model_validate({"sample_rate": RATE, **options})


def audio(row, read=read):
    return render(row, read).sounds["audio"] / 32_768.0


options = st.fixed_dictionaries({}, optional={name: st.just(it) for name, it in EVERYTHING.items()})


@given(
    options=options,
    views=st.integers(1, 3),
    seed=st.integers(0, 2**40),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=40)
def test_any_plan_is_made_as_it_says_in_any_order(options, views, seed, order):
    asked = recipe(views=views, seed=seed, **options)
    rows = plan(asked, SOURCES)
    assert plan(asked, order.sample(SOURCES, len(SOURCES))) == rows
    assert len({row.key for row in rows}) == len(rows) == views * len(SOURCES)
    row = order.choice(rows)
    assert View.model_validate_json(row.model_dump_json()) == row
    made = render(row, read)
    assert set(made.sounds) == {"audio"}
    assert made.sounds["audio"].dtype == np.int16
    assert made.sounds["audio"].size == pytest.approx(RATE * row.seconds, abs=1)
    assert all(isinstance(label, str) for label in made.labels.values())
    again = render(View.model_validate_json(row.model_dump_json()), read)
    np.testing.assert_array_equal(again.sounds["audio"], made.sounds["audio"])
    assert again.labels == made.labels


@given(options=options, left_out=st.sampled_from(sorted(EVERYTHING)), seed=st.integers(0, 2**40))
@settings(deadline=None)
def test_a_step_more_changes_no_other_decision(options, left_out, seed):
    fewer = {name: value for name, value in options.items() if name != left_out}
    fields = {"crop_seconds": "cropped", "mixing": "mix"}
    changed = {fields.get(left_out, left_out), "seconds"}
    if left_out in ("perturbation", "crop_seconds"):  # the clip has another length
        changed |= {"cropped", "time_masks", "mix"}
    for full, plain in zip(
        plan(recipe(seed=seed, **options), SOURCES),
        plan(recipe(seed=seed, **fewer), SOURCES),
        strict=True,
    ):
        assert full.model_dump(exclude=changed) == plain.model_dump(exclude=changed)
        if full.mix and plain.mix:
            assert full.mix.weight == plain.mix.weight
            assert full.mix.part == plain.mix.part


def test_every_step_comes_and_every_view_is_another():
    rows = plan(recipe(views=3, **EVERYTHING), SOURCES)
    for row in rows:
        assert row.perturbation.speed in (0.9, 1.1)
        assert row.mix.part.key != row.source.key
        assert 0.5 <= row.mix.weight <= 1.0
        assert len(row.time_masks) == len(row.frequency_masks) == 2
        for start, length in row.time_masks:
            assert 0.0 <= start <= start + length <= row.seconds + 1e-6
            assert length <= 0.2 * row.seconds + 1e-6
        assert all(0 <= low < high <= RATE / 2 for low, high in row.frequency_masks)
        if row.cropped:
            assert sum(row.cropped) <= perturb.seconds(row.perturbation, clip(row).seconds) + 1e-6
    assert [row.view for row in rows] == [1, 2, 3] * len(SOURCES)
    assert len({row.gain_db for row in rows}) > len(rows) / 2
    other = plan(recipe(views=3, seed=1, **EVERYTHING), SOURCES)
    assert not {row.key for row in rows} & {row.key for row in other}


def clip(row):
    return next(clip for clip in SOURCES if clip.key == row.source.key)


def test_a_recipe_without_steps_gives_the_clip_itself():
    row = plan(recipe(), SOURCES)[0]
    np.testing.assert_array_equal(audio(row), read("clip-0"))
    assert render(row, read).labels == {"view": "1", "class": "class 0", "class_index": "0"}
    assert (row.text, row.speaker) == ("text 0", "speaker-0")


@pytest.mark.parametrize(
    ("options", "text", "speaker", "own_class"),
    [
        ({"gain_db": [1, 2], "channel": {"telephone": True}}, True, True, True),
        ({"time_masks": {}, "frequency_masks": {}}, True, True, True),
        ({"perturbation": {"speeds": [1.0], "tempo": [0.8, 0.9]}}, True, True, True),
        ({"perturbation": {"speeds": [1.1]}}, True, False, True),
        ({"perturbation": {"speeds": [1.0], "semitones": [1, 2]}}, True, False, True),
        ({"frequency_shift_hz": [20, 30]}, True, False, True),
        ({"crop_seconds": [0.1, 0.2]}, False, True, True),
        ({"crop_seconds": [9.0, 9.0]}, True, True, True),  # longer than any: nothing is cut off
        ({"mixing": {}}, False, False, False),
    ],
)
def test_what_is_said_of_a_clip_goes_on_where_it_stays_true(options, text, speaker, own_class):
    for row in plan(recipe(**options), SOURCES):
        source = clip(row)
        assert row.text == (source.text if text else None)
        assert row.speaker == (source.speaker if speaker else None)
        found = augment.labels(row)
        assert (source.labels.items() <= found.items()) == own_class
        assert ("class" in found) == own_class


def test_a_mixed_view_says_everything_of_both():
    row = plan(recipe(mixing={"weight": [0.7, 0.7]}), SOURCES)[2]
    other = next(clip for clip in SOURCES if clip.key == row.mix.part.key)
    assert augment.labels(row) == {
        "view": "1",
        "mix1_weight": "0.700",
        "mix1_key": "clip-2",
        "mix1_speaker": "speaker-2",
        "mix1_text": "text 2",
        "mix1_class": "class 2",
        "mix1_class_index": "2",
        "mix2_weight": "0.300",
        "mix2_key": other.key,
        "mix2_speaker": other.speaker,
        "mix2_text": other.text,
        "mix2_class": other.labels["class"],
        "mix2_class_index": other.labels["class_index"],
    }


def test_a_mix_is_both_clips_at_one_power_by_their_weights():
    for row in plan(recipe(mixing={"weight": [0.6, 0.9]}, views=3), SOURCES):
        first, second = read(row.source.key), read(row.mix.part.key)
        second *= np.sqrt(power(first) / power(second))
        start = round(row.mix.start_seconds * RATE)
        expected = row.mix.weight * first
        for place in range(first.size):
            if 0 <= place - start < second.size:
                expected[place] += (1 - row.mix.weight) * second[place - start]
        np.testing.assert_allclose(audio(row), expected, atol=2**-15)


def test_time_masks_are_zeros_and_leave_the_rest():
    for row in plan(recipe(time_masks={"seconds": [0.05, 0.1], "count": 3}), SOURCES):
        heard, kept = audio(row), np.ones(read(row.source.key).size, dtype=bool)
        for start, length in row.time_masks:
            kept[round(start * RATE) : round((start + length) * RATE)] = False
        assert not heard[~kept].any()
        assert (~kept).sum() >= 0.05 * RATE - 1
        np.testing.assert_array_equal(heard[kept], read(row.source.key)[kept])


def test_frequency_masks_empty_their_bands_and_leave_the_rest():
    for row in plan(recipe(frequency_masks={"mel_channels": [10, 20], "count": 1}), SOURCES):
        (low, high) = row.frequency_masks[0]
        before, after = (
            np.abs(np.fft.rfft(signal)) ** 2 for signal in (read(row.source.key), audio(row))
        )
        hz = np.fft.rfftfreq(read(row.source.key).size, 1 / RATE)
        inside = (hz > low + 70) & (hz < high - 70)
        outside = (hz < low - 70) | (hz > high + 70)
        if inside.any():
            assert after[inside].sum() < 1e-3 * before[inside].sum()
        assert after[outside].sum() == pytest.approx(before[outside].sum(), rel=0.02)


def test_mel_channels_are_the_mel_scales():
    assert hertz(0, 16_000) == 0.0
    assert hertz(80, 16_000) == 8_000.0
    # 2595 log10(1 + f / 700): 1,000 mel are 1,000 Hz, 2,840 mel are 8,000 Hz
    assert hertz(80 * 1_000 / 2_840.02, 16_000) == pytest.approx(1_000, abs=0.5)
    assert masked(np.zeros(0), 16_000, times=((0.0, 1.0),), bands=((0.0, 100.0),)).size == 0


def test_a_crop_is_a_stretch_of_the_clip():
    for row in plan(recipe(crop_seconds=[0.25, 0.25], views=3), SOURCES):
        start = round(row.cropped[0] * RATE)
        np.testing.assert_array_equal(audio(row), read(row.source.key)[start : start + 2_000])


def test_a_source_shorter_than_stated_still_gives_a_whole_crop():
    row = plan(recipe(crop_seconds=[0.25, 0.25]), [SourceClip("clip-0", 9.0)])[0]
    np.testing.assert_array_equal(audio(row), read("clip-0")[-2_000:])


def test_steps_come_in_their_order():
    row = plan(
        recipe(perturbation={"speeds": [1.1]}, gain_db=[3, 3], channel={"telephone": True}), SOURCES
    )[0]
    faster = perturb.apply(row.perturbation, read("clip-0"), RATE)
    expected = channels.apply(row.channel, faster * 10 ** (3 / 20), RATE)
    np.testing.assert_allclose(audio(row), expected, atol=2**-15)
    found = render(row, read).labels
    assert (found["speed"], found["gain_db"], found["channel"]) == ("1.1", "3", "telephone")


def test_what_would_pass_full_scale_is_turned_down_and_said():
    row = plan(recipe(gain_db=[40, 40]), SOURCES)[0]
    made = render(row, read)
    assert np.abs(made.sounds["audio"]).max() == round(0.95 * 32_768)
    peak = np.abs(read("clip-0")).max() * 100
    assert float(made.labels["turned_down_db"]) == pytest.approx(
        20 * np.log10(peak / 0.95), abs=0.01
    )


def test_a_source_is_asked_for_once_and_never_changed():
    for row in plan(recipe(**EVERYTHING), SOURCES):
        asked = []

        def guarded(key, asked=asked):
            asked.append(key)
            signal = read(key)
            signal.flags.writeable = False
            return signal

        render(row, guarded)
        assert tuple(asked) == row.source_keys


@pytest.mark.parametrize(
    ("options", "sources", "message"),
    [
        ({}, [], "found none: prepare some"),
        ({}, [SOURCES[0]] * 2, "every source clip once, found 1 repeated: 'clip-0'"),
        ({}, [SourceClip("a", 0.0)], r"found 0 s: \['a'\]"),
        ({"mixing": {}}, SOURCES[:1], "two source clips or more to mix, found 1"),
    ],
)
def test_plans_that_cannot_be_are_refused(options, sources, message):
    with pytest.raises(ValueError, match=message):
        plan(recipe(**options), sources)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros(0), "found shape \\(0,\\): mend"),
        (np.full(800, np.nan), "finite samples of one channel"),
        (np.ones((2, 800)), r"source clip 'clip-0', found shape \(2, 800\)"),
        (np.zeros(800), "sound in source clip 'clip-0' to mix, found silence"),
    ],
)
def test_sources_that_cannot_be_heard_are_refused(signal, message):
    row = plan(recipe(mixing={}), SOURCES)[0]
    with pytest.raises(ValueError, match=message):
        render(row, lambda key: signal)


def test_silence_may_be_masked_and_sent():
    options = {name: value for name, value in EVERYTHING.items() if name != "mixing"}
    for row in plan(recipe(**options), SOURCES):
        heard = audio(row, lambda key: np.zeros(8_000))
        assert np.abs(heard).max() < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 0}, "greater than or equal to 1"),
        ({"crop_seconds": [0, 1]}, "crop_seconds above 0"),
        ({"frequency_shift_hz": [0, 2_000]}, "within ±1000"),
        ({"mixing": {"weight": [0.5, 1.5]}}, r"weight within \[0, 1\]"),
        ({"time_masks": {"seconds": [-1, 1]}}, "range from 0 or more"),
        ({"time_masks": {"most": 0}}, "greater than 0"),
        ({"frequency_masks": {"mel_channels": [0, 81]}}, "up to 80 mel_channels"),
        ({"reverb": {}}, "Extra inputs"),
    ],
)
def test_recipes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        recipe(**options)


def test_real_speech_in_two_views(recordings):
    folder = recordings / "read-sentences"
    names = ("spk1_snt1", "spk1_snt3", "spk2_snt2")
    speech = {name: soundfile.read(folder / f"{name}.wav")[0] for name in names}
    sources = [
        SourceClip(name, signal.size / 16_000, speaker=name[:4]) for name, signal in speech.items()
    ]
    rows = plan(recipe(sample_rate=16_000, views=2, **EVERYTHING), sources)
    made = [render(row, speech.__getitem__).sounds["audio"] for row in rows]
    for row, heard in zip(rows, made, strict=True):
        assert heard.size == pytest.approx(16_000 * row.seconds, abs=1)
        assert heard.any()
    alone = render(rows[-1], speech.__getitem__).sounds["audio"]
    np.testing.assert_array_equal(alone, made[-1])
