"""Judging: what an estimator hears of a model's answer, and what is kept of what it says."""

import json

import numpy as np
import pytest

from metrics import FailedPrediction, UndefinedMetric, spec
from pipelines import audio, batches, tasks
from pipelines.records import Failure, Part
from pipelines.score import score_clip
from pipelines.shards import datasets, packing
from pipelines.shards.datasets import RandomReader
from pipelines.shards.packing import Sample
from pipelines.tasks import judging
from pipelines.tasks.judging import Judging

pytestmark = pytest.mark.usefixtures("doubles")
RATE, LENGTH = 16_000, 24_000  # Hz, samples
EAR = spec("blind_si_snr", estimator="judges:Ear")


def noise(seed: int, samples: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9_000, 9_000, samples) / 32_768


S1, S2 = noise(1), noise(2)
SAMPLES = [
    Sample("pair", {"audio": S1 + S2, "s1": S1, "s2": S2}, RATE, "x/a"),
    Sample("street", {"audio": noise(3)}, RATE, "x/b"),
    Sample("short", {"audio": noise(4, 800)}, RATE, "x/b"),
    Sample("silent", {"audio": np.zeros(LENGTH)}, RATE, "x/b"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("set"))
    packing.pack(Part(folder, "x-000000", "", len(SAMPLES), 1.0, None), SAMPLES)
    datasets.finish(folder, datasets.About("x", "real", {}), ["x-000000"], "")
    reader = RandomReader(folder)
    yield {key: reader[key] for key in reader.rows}
    reader.close()


@pytest.fixture(scope="module")
def judges(doubles):
    import judges

    return judges


def answer(*signals: np.ndarray, rate: int = RATE, task: str = "separation") -> dict[str, bytes]:
    names = ["enhanced.wav"] if task == "enhancement" else [f"s{n}.wav" for n in (1, 2, 3)]
    found = zip(names, signals, strict=False)
    return {name: audio.encode_wav(signal, rate) for name, signal in found}


def ask(model, clip, given, task="separation"):
    [found] = batches.ask(
        Judging(tasks.get(task), {clip.row.key: given}.__getitem__), model, [clip]
    )
    return found


def said(found) -> dict:
    assert not isinstance(found, Failure), found
    assert [*found] == ["json"]
    return json.loads(found["json"])


def test_mixture_and_estimates_are_heard_as_they_are_stored(clips, judges):
    given = answer(S1, 0.5 * S2)
    found = said(ask(judges.Ear(), clips["pair"], given))
    mixture = clips["pair"].signal().astype(np.float32)
    estimates = np.stack([S1, 0.5 * S2]).astype(np.float32)
    [expected] = judges.Ear().judge([mixture], [estimates], sample_rate=RATE)
    assert found == expected
    assert found["si_snr"][0] == pytest.approx(found["si_snr"][1], abs=0.5)


def test_no_reference_is_needed_and_every_clip_of_a_batch_keeps_its_own(clips, judges):
    given = {"pair": answer(S1, S2), "street": answer(noise(3), noise(9))}
    task = Judging(tasks.get("separation"), given.__getitem__)
    both = batches.ask(task, judges.Ear(), [clips["street"], clips["pair"]])
    alone = [ask(judges.Ear(), clips[key], given[key]) for key in ("street", "pair")]
    assert both == alone
    assert said(both[0])["si_snr"][0] == 20.0  # the mixture itself
    assert said(both[0])["si_snr"][1] < -10.0


def test_both_are_brought_down_to_the_estimators_rate_and_never_up(clips, judges):
    seen = []

    class Noting(judges.Telephone):
        def judge(self, mixtures, estimates, *, sample_rate):
            seen.append((sample_rate, mixtures[0].shape, estimates[0].shape, mixtures[0].dtype))
            return super().judge(mixtures, estimates, sample_rate=sample_rate)

    ask(Noting(), clips["pair"], answer(S1, S2))
    half = audio.resample(np.stack([S1, S2]).T, RATE, 8_000).T
    ask(Noting(), clips["pair"], answer(*half, rate=8_000))
    shape = (LENGTH // 2,)
    assert seen == [(8_000, shape, (2, *shape), np.dtype(np.float32))] * 2
    failed = ask(judges.Studio(), clips["pair"], answer(*half, rate=8_000))
    assert (failed.reason, failed.detail) == (
        "low_rate", "answered at 8000 Hz, to be judged at 16000 Hz"
    )  # fmt: skip


def test_an_estimator_of_any_rate_hears_the_lower_of_mixture_and_answer(clips, judges):
    half = audio.resample(np.stack([S1, S2]).T, RATE, 8_000).T
    found = said(ask(judges.Ear(), clips["pair"], answer(*half, rate=8_000)))
    mixture = clips["pair"].signal(sample_rate=8_000).astype(np.float32)
    [expected] = judges.Ear().judge([mixture], [half.astype(np.float32)], sample_rate=8_000)
    assert found == expected


def test_an_enhanced_signal_is_judged_too_and_a_listener_hears_it_alone(clips, judges):
    given = answer(0.5 * S1, task="enhancement")
    found = said(ask(judges.Ear(), clips["pair"], given, "enhancement"))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(found, 1)
    heard = said(ask(judges.Listener(), clips["pair"], given, "enhancement"))
    [expected] = judges.Listener().estimate([0.5 * S1.astype(np.float32)], sample_rate=RATE)
    assert heard == {name: [value] for name, value in expected.items()}


def test_a_listener_hears_each_of_several_estimates(clips, judges):
    heard = said(ask(judges.Listener(), clips["pair"], answer(S1, 2 * S2)))
    estimates = [S1.astype(np.float32), 2 * S2.astype(np.float32)]
    expected = judges.Listener().estimate(estimates, sample_rate=RATE)
    assert heard == {
        name: [value[name] for value in expected] for name in ("stoi", "pesq", "si_sdr")
    }


@pytest.mark.parametrize(
    ("key", "given", "says", "end"),
    [
        ("silent", answer(S1, S2), "nan", UndefinedMetric("silent_mixture")),
        ("silent", answer(S1, 0 * S2), "nan", UndefinedMetric("silent_mixture")),
        ("short", answer(noise(5, 800), noise(6, 800)), "nan", UndefinedMetric("too_short")),
        ("pair", answer(S1, 0 * S2), "nan", FailedPrediction("silent_estimate")),
        ("pair", answer(S1, 0 * S2 + 0.25), "nan", FailedPrediction("silent_estimate")),
        ("pair", answer(1e-9 * S1, S2), "half", FailedPrediction("silent_estimate")),
        ("pair", answer(S1, S2), "nan", FailedPrediction("not_finite")),
        ("pair", answer(S1, S2), "half", FailedPrediction("not_finite")),
        ("short", answer(noise(5, 800), noise(6, 800)), "half", FailedPrediction("not_finite")),
        ("pair", answer(S1, np.nan * S2), "nan", FailedPrediction("not_finite")),
        ("pair", answer(S1, S2), "few", FailedPrediction("wrong_shape")),
        ("pair", answer(S1, S2), "nothing", FailedPrediction("wrong_shape")),
        ("pair", answer(S1, S2), "other", FailedPrediction("not_estimated")),
        ("pair", answer(S1), "nan", FailedPrediction("missing")),
        ("pair", answer(S1, S2[:-9]), "nan", FailedPrediction("wrong_length")),
        ("pair", answer(S1[:-9], S2[:-9]), "nan", FailedPrediction("wrong_length")),
        ("pair", {"s1.wav": b"noise", "s2.wav": b"noise"}, "nan", FailedPrediction("undecodable")),
        ("pair", Failure("pair", "predict", "error", "odd"), "nan", FailedPrediction("error")),
    ],
)
def test_every_clip_without_a_guess_has_its_reason(clips, judges, key, given, says, end):
    found = ask(judges.Odd(says=says), clips[key], given)
    [row] = score_clip(clips[key], found, tasks.get("separation"), [EAR])
    kind = "undefined" if isinstance(end, UndefinedMetric) else "failed"
    assert (row["end"], row["reason"]) == (kind, end.reason), row
    assert row.get("value") is None


def test_a_models_failure_keeps_its_detail(clips, judges):
    found = ask(judges.Ear(), clips["pair"], Failure("pair", "predict", "error", "odd"))
    assert (found.key, found.reason, found.detail) == ("pair", "error", "odd")


def test_a_score_is_the_mean_of_what_is_stored(clips, judges):
    found = ask(judges.Ear(shift=1.5), clips["street"], answer(S1, noise(3)))
    [row] = score_clip(clips["street"], found, tasks.get("separation"), [EAR])
    values = said(found)
    assert row["end"] == "scored"
    assert row["value"] == pytest.approx(np.mean(values["si_snr"]))
    detail = json.loads(row["detail"])
    assert detail.pop("sources") == values.pop("si_snr")
    assert detail == values


@pytest.mark.parametrize("data", [b"?", b"[]", b'{"si_snr":3}', b'{"si_snr":["a"]}'])
def test_a_stored_judgement_that_cannot_be_read_failed(data):
    with pytest.raises(FailedPrediction, match="undecodable"):
        judging.item({"json": data})
