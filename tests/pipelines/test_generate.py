"""Generate: same recipe, same plan, same bytes; a scene is the sum of its parts."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import generate
from pipelines.config import DatasetConfig
from pipelines.make import Made, make
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.shards.datasets import RandomReader

RATE = 8_000  # Hz
TEXTS = ["one two three", "four five", "six", "seven eight"]
READINGS = {"kind": "readings", "texts": TEXTS, "voices": ["en-us+f2", "en-us+m6"]}


def config(recipe: dict, **options) -> DatasetConfig:
    return DatasetConfig(**{"domain": "synthetic", "recipe": recipe} | options)


def generated(corpora, recipe: dict, others=None, *, dataset: str = "made", **options) -> Made:
    return make(dataset, config(recipe, **options), corpora.workspace, corpora.engine, others or {})


def planned(recipe: dict, others=None, **options):
    plan = generate.plan("made", config(recipe, **options), others or {})
    return generate.parts(plan, "folder", others or {})


def wrong(recipe: dict, others=None) -> str:
    with pytest.raises(RealEarError) as caught:
        planned(recipe, others)
    assert str(caught.value).startswith("datasets.made.recipe: ") or "\n" in str(caught.value)
    return str(caught.value)


def rows(made: Made) -> dict[str, datasets.Row]:
    return {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}


def files(made: Made) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(made.folder).iterdir())}


@pytest.fixture
def talkers(corpora) -> dict[str, Made]:
    """A prepared dataset `set`: four speakers, two clips each, 0.2 s and 0.3 s."""
    for number in range(8):
        samples = 1_600 if number % 2 else 2_400
        corpora.wav(f"p{number // 2}_{number}.wav", corpora.noise(samples, seed=number))
        corpora.file(f"p{number // 2}_{number}.txt", f"text {number}")
    return {"set": corpora.prepare(audio="{speaker}_{take}.wav", text={"beside": ".txt"})}


def scenes(**options) -> dict:
    return {"kind": "scenes", "of": ["set"], "sample_rate": RATE, **options}


# Readings


def test_transcripts_without_a_word_are_left_out_and_said(corpora):
    for number, text in enumerate(["one two", "...", "one two", "?"]):
        corpora.wav(f"{number}.wav", seed=number)
        corpora.file(f"{number}.txt", text)
    others = {"set": corpora.prepare(audio="*", text={"beside": ".txt"})}
    recipe = {"kind": "readings", "of": ["set"], "voices": ["en-us+f2"]}
    plan = generate.plan("made", config(recipe), others)
    assert [row.text for row in plan.rows] == ["one two"]
    assert plan.notes == ("2 transcripts without a word to say were left out",)


def test_a_transcript_that_joins_later_renames_none_of_the_others(corpora):
    def keys(count: int) -> set[str]:
        for number in range(count):
            corpora.wav(f"{number}.wav", seed=number)
            corpora.file(f"{number}.txt", f"number {number}")
        others = {"set": corpora.prepare(audio="*", text={"beside": ".txt"})}
        recipe = {"kind": "readings", "of": ["set"], "voices": ["en-us+f2"]}
        return {row.key for part in planned(recipe, others) for row in part.payload.rows}

    assert keys(3) < keys(4)


def test_readings_carry_their_text_voice_and_pair(corpora):
    made = generated(corpora, {**READINGS, "readings_per_text": 2})
    assert made.card.clips == 8
    assert not made.card.failed
    for row in rows(made).values():
        assert row.text in TEXTS
        assert row.speaker in READINGS["voices"]
        assert row.cluster == f"made/{row.speaker}"
        assert row.labels["voice"] == row.speaker
        assert row.seconds > 0.4
        assert row.rms_dbfs > -45  # speech, not silence
    reader = RandomReader(made.folder)
    for key, row in rows(made).items():
        assert reader[key].read("txt").decode() == row.text
    reader.close()


def test_readings_made_twice_are_the_same_bytes(corpora):
    made = generated(corpora, READINGS, shards=2)
    before = files(made)
    for path in Path(made.folder).iterdir():
        path.unlink()
    generated(corpora, READINGS, shards=2)
    assert files(made) == before
    assert {name.rpartition(".")[2] for name in before} == {"tar", "json", "parquet"}


def test_readings_are_the_same_however_they_are_cut(corpora):
    one = generated(corpora, READINGS, shards=1)
    signals = {key: row.content for key, row in rows(one).items()}
    other = generated(corpora, READINGS, shards=4)
    assert {key: row.content for key, row in rows(other).items()} == signals
    assert one.card.content == other.card.content


def test_transcripts_of_a_dataset_are_read_once_each(corpora, talkers):
    made = generated(corpora, {"kind": "readings", "of": ["set"], "sample_rate": RATE}, talkers)
    assert sorted(row.text for row in rows(made).values()) == [f"text {n}" for n in range(8)]


def test_our_own_sentences(corpora):
    parts = planned({"kind": "readings", "sentences": 3})
    assert sum(part.clips for part in parts) == 3


# Plans


RECIPES = {
    "readings": READINGS,
    "pairs": scenes(talkers=2, length="max", clips=12),
    "noisy": scenes(noise={"kinds": ["white", "babble"], "babble_talkers": 2}),
    "rooms": scenes(talkers=2, room={}),
    "views": {
        "kind": "augment",
        "of": "set",
        "sample_rate": RATE,
        "views": 2,
        "mixing": {"probability": 0.5},
        "gain_db": [-6, 6],
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_plan_is_the_same_every_time(name, talkers):
    first, second = (planned(RECIPES[name], talkers, shards=3) for _ in range(2))
    assert first == second
    assert len({part.inputs for part in first}) == 3


@pytest.mark.parametrize("name", RECIPES)
def test_another_seed_is_another_plan(name, talkers):
    others = planned({**RECIPES[name], "seed": 1}, talkers)
    assert {part.inputs for part in others}.isdisjoint(
        part.inputs for part in planned(RECIPES[name], talkers)
    )


def test_a_limit_takes_some_of_the_same_rows(talkers):
    whole = {
        row.key: row for part in planned(RECIPES["pairs"], talkers) for row in part.payload.rows
    }
    few = [row for part in planned(RECIPES["pairs"], talkers, limit=5) for row in part.payload.rows]
    assert len(few) == 5
    assert all(whole[row.key] == row for row in few)


def test_a_source_that_changed_changes_the_scenes_that_it_is_in(corpora, talkers):
    before = planned(RECIPES["pairs"], talkers, shards=12)
    corpora.wav("p0_0.wav", corpora.noise(2_400, seed=99))
    again = {"set": corpora.prepare(audio="{speaker}_{take}.wav", text={"beside": ".txt"})}
    after = planned(RECIPES["pairs"], again, shards=12)
    for old, new in zip(before, after, strict=True):
        uses = any("p0_0" in row.source_keys for row in new.payload.rows)
        assert (old.inputs != new.inputs) == uses
        assert old.payload == new.payload


# Scenes


@pytest.mark.parametrize("name", ["pairs", "noisy", "rooms", "views"])
def test_scenes_made_twice_are_the_same_bytes(corpora, talkers, name):
    made = generated(corpora, RECIPES[name], talkers, shards=2)
    before = files(made)
    for path in Path(made.folder).iterdir():
        path.unlink()
    generated(corpora, RECIPES[name], talkers, shards=2)
    assert files(made) == before
    assert not made.card.failed


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("length", ["min", "max"])
def test_talkers_add_up_to_the_mixture(corpora, talkers, number, length):
    made = generated(corpora, scenes(talkers=number, length=length), talkers)
    reader = RandomReader(made.folder)
    for key, row in rows(made).items():
        sources = reader[key].sources()
        assert sources.shape == (number, round(row.seconds * RATE))
        np.testing.assert_array_equal(sources.sum(axis=0), reader[key].signal())
        assert row.clipped == 0
        assert (row.sources, row.labels["talkers"]) == (number, str(number))
        assert row.text is None
        assert len(set(row.speaker.split("+"))) == number
        assert row.cluster == "+".join(sorted(f"corpus/{name}" for name in row.speaker.split("+")))
    reader.close()


@pytest.mark.parametrize("number", [1, 2])
def test_references_and_noise_add_up_at_the_stated_snr(corpora, talkers, number):
    noise = {"kinds": ["white"], "snr_db": [3, 9]}
    made = generated(corpora, scenes(talkers=number, noise=noise), talkers)
    reader = RandomReader(made.folder)
    for key, row in rows(made).items():
        clip = reader[key]
        speech = clip.signal("clean") if number == 1 else clip.sources().sum(axis=0)
        rest = clip.signal("noise")
        np.testing.assert_array_equal(speech + rest, clip.signal())
        snr_db = 10 * np.log10(np.mean(speech**2) / np.mean(rest**2))
        assert snr_db == pytest.approx(float(row.labels["snr_db"]), abs=0.01)
        assert 3 <= float(row.labels["snr_db"]) <= 9
        assert row.labels["noise"] == "white"
    reader.close()


def test_a_scene_of_one_talker_is_that_talkers_clip(corpora, talkers):
    made = generated(corpora, scenes(noise={"kinds": ["white"]}), talkers)
    sources = rows(talkers["set"])
    assert made.card.clips == len(sources)
    assert sorted(row.pair for row in rows(made).values()) == sorted(sources)
    for row in rows(made).values():
        source = sources[row.pair]
        assert (row.text, row.speaker, row.cluster) == (source.text, source.speaker, source.cluster)
        assert row.has("clean")
        assert not row.sources


@pytest.fixture
def recorded(corpora, talkers) -> dict[str, Made]:
    """The talkers, with datasets of noises (two types) and of impulse responses (one room)."""
    for name, samples in [("hum_1", 800), ("hum_2", 9_000), ("rain_1", 9_000)]:
        corpora.wav(f"noises/{name}.wav", corpora.noise(samples, seed=samples))
    for number in range(3):
        decay = 10 ** (-np.arange(1_600) / 500) * corpora.noise(1_600, seed=50 + number)
        corpora.wav(f"halls/hall_{number}.wav", np.concatenate([[0.9], decay]))
    return talkers | {
        "noises": corpora.prepare("noises", audio="noises/{class}_{take}.wav"),
        "halls": corpora.prepare("halls", audio="halls/{room}_{take}.wav"),
    }


def test_noises_and_rooms_may_be_recorded_ones_of_other_datasets(corpora, recorded):
    noise = {"of": "noises", "snr_db": {"grid": [-5, 0, 5]}}
    recipe = scenes(talkers=2, noise=noise, recorded_rooms={"of": "halls"}, clips=12)
    made = generated(corpora, recipe, recorded)
    assert not made.card.failed
    reader = RandomReader(made.folder)
    for key, row in rows(made).items():
        clip = reader[key]
        parts = [*clip.sources(), clip.signal("noise")]
        np.testing.assert_array_equal(np.sum(parts, axis=0), clip.signal())
        assert row.labels["noise"] in {"hum", "rain"}
        assert row.labels["snr_db"] in {"-5", "0", "5"}
        assert all(row.has(f"s{n}_{part}") for n in (1, 2) for part in ("dry", "early"))
        assert row.sources == 2
    reader.close()
    assert len({row.labels["noise"] for row in rows(made).values()}) == 2
    looped = [row.labels.get("noise_looped") for row in rows(made).values()]
    assert {"true", None} == set(looped)


def test_a_channel_keeps_the_sum_before_it(corpora, talkers):
    recipe = scenes(channel={"telephone": True, "codecs": ["gsm"]}, noise={"kinds": ["pink"]})
    made = generated(corpora, recipe, talkers)
    reader = RandomReader(made.folder)
    for key, row in rows(made).items():
        clip = reader[key]
        parts = clip.signal("clean") + clip.signal("noise")
        np.testing.assert_array_equal(parts, clip.signal("pre"))
        assert not np.array_equal(clip.signal("pre"), clip.signal())
        assert row.labels["channel"] == "telephone+gsm"
    reader.close()


def test_splits_of_one_dataset_share_no_speaker(corpora, talkers):
    # By the hash of their names p1 and p2 are on one side, p0 and p3 on the other.
    splits = {"train": 0.5, "test": 0.5}
    heard = {}
    for split in splits:
        made = generated(
            corpora, scenes(talkers=2, splits=splits, split=split), talkers, dataset=split
        )
        heard[split] = {name for row in rows(made).values() for name in row.speaker.split("+")}
        assert {row.labels["split"] for row in rows(made).values()} == {split}
    assert heard["train"] | heard["test"] == {"p0", "p1", "p2", "p3"}
    assert not heard["train"] & heard["test"]


def test_scenes_of_readings_keep_the_text_and_the_voice(corpora):
    others = {"set": generated(corpora, READINGS, dataset="set")}
    made = generated(corpora, scenes(noise={"kinds": ["pink"]}), others)
    assert sorted(row.text for row in rows(made).values()) == sorted(TEXTS)
    assert {row.cluster for row in rows(made).values()} == {f"set/{v}" for v in READINGS["voices"]}


def test_scenes_may_be_made_of_two_datasets_whose_keys_differ(corpora, talkers):
    both = scenes(of=["set", "more"], talkers=2)
    with pytest.raises(
        RealEarError, match="expected each clip in one dataset of `of`, found 'p0_0'"
    ):
        planned(both, {**talkers, "more": talkers["set"]})
    more = generated(corpora, READINGS, dataset="more")
    made = generated(corpora, both, {**talkers, "more": more})
    assert made.card.clips == 12
    heard = " ".join(row.speaker for row in rows(made).values())
    assert all(name in heard for name in ("p0", "p1", "p2", "p3", *READINGS["voices"]))


def test_sources_are_brought_to_the_scenes_rate(corpora, talkers):
    made = generated(corpora, scenes(sample_rate=16_000), talkers)
    assert made.card.sample_rate == 16_000
    assert {round(row.seconds, 3) for row in rows(made).values()} == {0.2, 0.3}


def test_a_source_that_cannot_be_used_costs_its_scenes(corpora, talkers):
    # Silent in the part that the shorter partner leaves of it.
    late = np.concatenate([np.zeros(2_000), corpora.noise(400)])
    corpora.wav("p0_0.wav", late)
    others = {"set": corpora.prepare(audio="{speaker}_{take}.wav")}
    made = generated(corpora, scenes(talkers=2, clips=40), others, tolerate=1)
    assert made.card.clips + made.card.failed == 40
    assert set(made.card.refused) == {"unusable_source"}
    failed = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    assert len(failed) == made.card.failed > 0
    assert all("p0_0" in row["detail"] for row in failed)


# Views


def test_views_of_a_clip_are_a_pair_and_keep_what_stays_true(corpora, talkers):
    made = generated(corpora, RECIPES["views"], talkers)
    sources = rows(talkers["set"])
    assert made.card.clips == 2 * len(sources)
    mixed = [row for row in rows(made).values() if "mix1_key" in row.labels]
    alone = [row for row in rows(made).values() if "mix1_key" not in row.labels]
    assert mixed
    assert alone
    for row in alone:
        source = sources[row.pair]
        assert (row.text, row.speaker, row.cluster) == (source.text, source.speaker, source.cluster)
    for row in mixed:
        first, other = (sources[row.labels[f"mix{n}_key"]] for n in (1, 2))
        assert row.cluster == "+".join(sorted([first.cluster, other.cluster]))
        assert (row.pair, row.text, row.speaker) == (row.key, None, None)


# Mistakes


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({"kind": "reading"}, "unknown kind 'reading': did you mean 'readings'?"),
        ({}, "unknown kind ''"),
        ({"kind": "readings"}, "expected texts in the recipe or given to plan, found neither"),
        ({**READINGS, "voice": ["x"]}, "unknown key 'voice': did you mean 'voices'?"),
        ({**READINGS, "texts": ["..."]}, "expected words in text"),
        ({**READINGS, "sentences": 3}, "expected one of texts, sentences"),
        ({"kind": "readings", "sentences": "many"}, "sentences"),
        ({"kind": "readings", "sentences": -1}, "sentences: expected 1 to"),
        ({"kind": "readings", "sentences": 10_000}, "sentences: expected 1 to"),
        ({"kind": "scenes"}, "expected `of`, the datasets whose clips to use, found none"),
        (scenes(talkers=5), "expected source clips of 5 speakers or more"),
        (scenes(talkers=0), "talkers: Input should be greater than or equal to 1"),
        (scenes(length="mean"), "length: Value error, expected min, max or a number of seconds"),
        (scenes(noise={"snr_db": [9, 3]}), "noise.snr_db.range: Value error, expected [low, high]"),
        (scenes(noise={"kinds": ["recorded"]}), "name their datasets in noise.of"),
        (scenes(talkers=2, gender="same"), "found 4 of 4 without"),
        (scenes(noise={"kind": "white"}), "unknown key 'noise.kind': did you mean 'kinds'?"),
        (scenes(noise={"kinds": ["babble"]}), "expected source clips of 6 speakers or more"),
    ],
)
def test_a_wrong_recipe_is_told_with_its_remedy(recipe, text, talkers):
    assert text in wrong(recipe, talkers)
