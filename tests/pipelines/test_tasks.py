"""Tasks: what a model hears, what is stored of its answer, and what a metric gets to see."""

from types import SimpleNamespace

import numpy as np
import pytest

from metrics import FailedPrediction, UndefinedMetric
from pipelines import audio, batches, tasks
from pipelines.records import Failure, Part, RealEarError
from pipelines.shards import packing
from pipelines.shards.datasets import Clip, RandomReader
from pipelines.shards.packing import Sample

RATE, LENGTH = 8_000, 800  # Hz, samples


def noise(seed: int, samples: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9_000, 9_000, samples) / 32_768


S1, S2 = noise(1), noise(2)
SAMPLES = [
    Sample("words", {"audio": noise(0)}, RATE, "x/a", text="one two", labels={"class": "a"}),
    Sample("pair", {"audio": S1 + S2, "s1": S1, "s2": S2}, RATE, "x/a"),
    Sample("noisy", {"audio": S1 + S2, "clean": S1}, RATE, "x/a"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    from pipelines.shards import datasets

    folder = str(tmp_path_factory.mktemp("set"))
    packing.pack(Part(folder, "x-000000", "", len(SAMPLES), 1.0, None), SAMPLES)
    datasets.finish(folder, datasets.About("x", "real", {}), ["x-000000"], "")
    reader = RandomReader(folder)
    yield {key: reader[key] for key in reader.rows}
    reader.close()


class Fake:
    """A model that notes what it was asked and gives a fixed answer."""

    padding, padded_to, batch_seconds, array = "none", 0.0, 0.0, False

    def __init__(self, answer, *, sample_rate: int | None = None, role: str = "model") -> None:
        self.answer, self.sample_rate, self.role = answer, sample_rate, role
        self.asked: list[SimpleNamespace] = []

    def _ask(self, signals, **options):
        self.asked.append(SimpleNamespace(signals=signals, **options))
        return [self.answer(signals[0]) if callable(self.answer) else self.answer]

    transcribe = separate = enhance = classify = embed_audio = estimate = explain = _ask
    labels = ("a", "b")


def ask(task: str, model: Fake, clip: Clip) -> dict[str, bytes] | Failure:
    [found] = batches.ask(tasks.get(task), model, [clip])
    return found


def reason(result) -> str:
    assert isinstance(result, Failure)
    assert result.stage == "predict"
    return result.reason


def wav(*signals: np.ndarray, rate: int = RATE) -> dict[str, bytes]:
    """Stored sources."""
    return {f"s{n}.wav": audio.encode_wav(signal, rate) for n, signal in enumerate(signals, 1)}


def test_every_task_is_whole():
    import metrics

    for name in tasks.TASKS:
        task = tasks.get(name)
        assert task.name == name
        assert task.metrics or name == "embedding"
        assert set(task.metrics) <= set(metrics.METRICS)


def test_an_unknown_task_is_told_with_the_nearest():
    with pytest.raises(RealEarError, match=r"unknown task 'separate': did you mean 'separation'"):
        tasks.get("separate")


def test_tasks_apply_to_clips_with_their_truth(clips):
    applies = {
        name: [key for key, clip in clips.items() if tasks.get(name).applies(clip.row)]
        for name in tasks.TASKS
    }
    assert applies == {
        "classification": ["words"],
        "embedding": [],
        "enhancement": ["noisy"],
        "explanation": ["words", "pair", "noisy"],
        "quality": ["noisy"],
        "recognition": ["words"],
        "retrieval": [],
        "separation": ["pair"],
        "zero-shot": ["words"],
    }


# What is heard


@pytest.mark.parametrize("task", sorted(tasks.TASKS.keys() - {"retrieval"}))
def test_a_model_hears_float32_at_its_own_rate(task, clips):
    for rate, expected in ((None, RATE), (16_000, 16_000)):
        model = Fake(None, sample_rate=rate)
        ask(task, model, clips["pair"])
        [signal] = model.asked[0].signals
        assert signal.dtype == np.float32
        assert signal.shape == (LENGTH * expected // RATE,)
        if task != "recognition":
            assert model.asked[0].sample_rate == expected


@pytest.mark.parametrize(("task", "key"), [("separation", "pair"), ("enhancement", "noisy")])
def test_only_an_oracle_is_shown_the_truth(task, key, clips):
    for role in ("model", "baseline"):
        model = Fake(None, role=role)
        ask(task, model, clips[key])
        assert not hasattr(model.asked[0], "references")
    oracle = Fake(None, role="oracle", sample_rate=16_000)
    ask(task, oracle, clips[key])
    [references] = oracle.asked[0].references
    assert references.shape == (2 if task == "separation" else 1, 2 * LENGTH)


@pytest.mark.parametrize(("task", "key"), [("separation", "words"), ("enhancement", "words")])
def test_an_oracle_without_a_truth_fails_on_the_clip_alone(task, key, clips):
    assert reason(ask(task, Fake(None, role="oracle"), clips[key])) in {"no_reference", "error"}


# What is stored


def test_words_are_stored_as_they_come(clips):
    assert ask("recognition", Fake("Eins, Zwei é"), clips["words"]) == {
        "txt": "Eins, Zwei é".encode()
    }
    assert ask("recognition", Fake(""), clips["words"]) == {"txt": b""}


def test_signals_are_stored_as_float32_at_the_models_rate(clips):
    answer = np.stack([S1, 2 * S2])
    stored = ask("separation", Fake(answer), clips["pair"])
    assert stored == wav(S1, 2 * S2)
    stored = ask("enhancement", Fake(lambda heard: heard, sample_rate=16_000), clips["noisy"])
    signal, rate = audio.read_signal(stored["enhanced.wav"])
    assert (signal.shape, rate) == ((2 * LENGTH,), 16_000)


def test_a_real_mixture_without_sources_is_asked_for_two(clips):
    model = Fake(lambda heard: np.stack([heard, heard]))
    assert sorted(ask("separation", model, clips["words"])) == ["s1.wav", "s2.wav"]
    assert model.asked[0].sources == 2


BROKEN = {
    "recognition": {"not_text": 3, "error": lambda _: 1 / 0},
    "separation": {
        "wrong_sources": np.zeros((3, LENGTH)),
        "wrong_length": np.zeros((2, LENGTH - 1)),
        "not_finite": np.full((2, LENGTH), np.nan),
        "error": "words",
    },
    "enhancement": {
        "wrong_length": np.zeros(LENGTH + 1),
        "not_finite": np.full(LENGTH, np.inf),
        "error": None,
    },
}


@pytest.mark.parametrize(
    ("task", "expected"), [(task, key) for task, answers in BROKEN.items() for key in answers]
)
def test_an_answer_that_is_none_costs_one_clip(task, expected, clips):
    key = {"recognition": "words", "separation": "pair", "enhancement": "noisy"}[task]
    model = Fake(BROKEN[task][expected])
    found = reason(ask(task, model, clips[key]))
    assert found in {expected, "not_finite", "wrong_length"} if expected == "error" else [expected]


@pytest.mark.parametrize("shape", [(LENGTH,), (LENGTH, 2), (1, LENGTH), (2, 1, LENGTH)])
def test_other_shapes_are_other_sources(shape, clips):
    assert reason(ask("separation", Fake(np.zeros(shape)), clips["pair"])) in {
        "wrong_sources", "wrong_length",
    }  # fmt: skip


# What a metric sees


def test_recognition_compares_raw_words(clips):
    task = tasks.get("recognition")
    item = task.item(clips["words"], {"txt": "One two é".encode()}, None)
    assert (item.reference, item.hypothesis) == ("one two", "One two é")
    with pytest.raises(FailedPrediction, match="no member 'txt'"):
        task.item(clips["words"], {}, None)
    with pytest.raises(FailedPrediction) as caught:
        task.item(clips["words"], {"txt": b"\xff"}, None)
    assert caught.value.reason == "not_utf8"
    with pytest.raises(UndefinedMetric, match="the clip has no transcript"):
        task.item(clips["pair"], {"txt": b""}, None)


def test_separation_finds_which_estimate_is_whose(clips):
    item = tasks.get("separation").item(clips["pair"], wav(S2 + 0.1 * S1, S1), None)
    assert item.permutation == (1, 0)
    assert item.sample_rate == RATE
    np.testing.assert_array_equal(item.references, [S1, S2])
    np.testing.assert_allclose(item.estimates, [S1, S2 + 0.1 * S1], atol=1e-7)
    np.testing.assert_allclose(item.mixture, S1 + S2, atol=1e-9)


def test_enhancement_compares_with_the_clean_signal(clips):
    answer = {"enhanced.wav": audio.encode_wav(S1, RATE)}
    item = tasks.get("enhancement").item(clips["noisy"], answer, None)
    np.testing.assert_allclose(item.references, item.estimates, atol=1e-7)
    np.testing.assert_allclose(item.mixture, S1 + S2, atol=1e-9)


@pytest.mark.parametrize("rate", [4_000, 8_000, 16_000])
def test_signals_are_compared_at_the_evaluation_rate(rate, clips):
    answer = wav(audio.resample(S1, RATE, 16_000), audio.resample(S2, RATE, 16_000), rate=16_000)
    item = tasks.get("separation").item(clips["pair"], answer, rate)
    assert item.sample_rate == rate
    length = LENGTH * rate // RATE
    assert item.references.shape == item.estimates.shape == (2, length)
    assert item.mixture.shape == (length,)


CHANGES = {
    "missing": lambda answer: {"s1.wav": answer["s1.wav"]},
    "undecodable": lambda answer: {**answer, "s2.wav": b"?"},
    "wrong_length": lambda answer: {**answer, "s2.wav": audio.encode_wav(S2[:-3], RATE)},
    "wrong_channels": lambda answer: {
        **answer, "s2.wav": audio.encode_wav(np.stack([S2, S2], axis=1), RATE),
    },
}  # fmt: skip


@pytest.mark.parametrize("expected", CHANGES)
def test_a_stored_answer_that_cannot_be_compared_failed(expected, clips):
    with pytest.raises(FailedPrediction) as caught:
        tasks.get("separation").item(clips["pair"], CHANGES[expected](wav(S1, S2)), None)
    assert caught.value.reason == expected


def test_two_samples_that_resampling_costs_are_forgiven(clips):
    item = tasks.get("separation").item(clips["pair"], wav(S1[:-2], S2[:-2]), None)
    assert item.references.shape == (2, LENGTH - 2)


def test_three_are_not(clips):
    with pytest.raises(FailedPrediction, match="reference, estimate, mixture"):
        tasks.get("separation").item(clips["pair"], wav(S1[:-3], S2[:-3]), None)


@pytest.mark.parametrize(("task", "key"), [("separation", "noisy"), ("enhancement", "pair")])
def test_without_a_truth_a_score_is_undefined(task, key, clips):
    answer = {**wav(S1, S2), "enhanced.wav": wav(S1)["s1.wav"]}
    with pytest.raises(UndefinedMetric) as caught:
        tasks.get(task).item(clips[key], answer, None)
    assert caught.value.reason == "no_reference"
