"""One test for each way in which tools of this field got a number wrong.

Every test holds the faulty way beside ours, on data where it shows: so it fails if ours turns into
it, and it fails if the data no longer show the fault.
"""

import warnings
from itertools import permutations

import jiwer
import numpy as np
import pesq as pesq_library
import pystoi
import pytest

import metrics
from metrics import FailedPrediction, Tally, TextItem, UndefinedMetric, spec
from metrics.base import SignalItem

RATE = 16_000  # Hz


def speech_like(seed: int, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    """Noise that comes and goes four times a second, with pauses."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    return rng.normal(size=time.size) * np.clip(np.sin(2 * np.pi * 2 * time), 0, 1)


def greedy(values: np.ndarray) -> tuple[int, ...]:
    """Each reference takes the best estimate that is left: the faulty assignment."""
    left, order = list(range(len(values))), []
    for row in values:
        order.append(max(left, key=lambda column: row[column]))
        left.remove(order[-1])
    return tuple(order)


@pytest.mark.parametrize(("sources", "share"), [(2, 0.15), (3, 0.3)])
def test_greedy_assignment(sources, share):
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        references = rng.normal(size=(sources, 500))
        level = rng.uniform(0.3, 3.0, (sources, 1))  # each estimate is noisy in its own way
        estimates = rng.normal(size=(sources, sources)) @ references
        estimates += level * rng.normal(size=estimates.shape)
        values = metrics.si_snr(references[:, None], estimates[None])
        best = max(
            np.mean([values[i, order[i]] for i in range(sources)])
            for order in permutations(range(sources))
        )
        found, order = metrics.pit_si_snr(references, estimates)
        assert found == pytest.approx(best, abs=1e-9)
        lazy = np.mean([values[i, j] for i, j in enumerate(greedy(values))])
        wrong += lazy < found - 1e-6
        assert np.mean([values[i, j] for i, j in enumerate(order)]) == pytest.approx(found)
    assert wrong / 200 > share


def test_silent_clip_as_minus_eighty_decibels():
    def padded(reference, estimate, tiny=1e-8):
        gain = (reference @ estimate + tiny) / (reference @ reference + tiny)
        target = gain * reference
        noise = estimate - target
        return 10 * np.log10((target @ target + tiny) / (noise @ noise + tiny) + tiny)

    speech, silence = speech_like(0), np.zeros(2 * RATE)
    noisy = speech + 0.1 * speech_like(1)
    assert padded(silence, noisy) == pytest.approx(-80, abs=1)  # a number, ready to be averaged
    assert abs(padded(speech, silence)) < 1  # and another

    def end(reference, estimate):
        try:
            item = SignalItem(reference[None], estimate[None], noisy, RATE)
            return spec("si_snr").score(item)
        except (UndefinedMetric, FailedPrediction) as error:
            return error

    ends = [end(speech, noisy), end(silence, noisy), end(speech, silence)]
    tally = Tally.of(("s", one) for one in ends)
    assert tally.value == pytest.approx(metrics.si_snr(speech, noisy), abs=1e-6)
    assert (tally.undefined, tally.failed) == ({"silent_reference": 1}, {"silent_estimate": 1})
    assert np.mean([padded(speech, noisy), padded(silence, noisy)]) < tally.value - 30


def test_unseeded_estoi():
    speech = speech_like(2, 3.0)
    estimate = speech + 0.3 * speech_like(3, 3.0)
    estimate[: 2 * RATE] = 0.0  # exact zeros: what pystoi's own noise decides about
    np.random.seed(1)
    first = pystoi.stoi(speech, estimate, RATE, extended=True)
    np.random.seed(2)
    assert pystoi.stoi(speech, estimate, RATE, extended=True) != first
    state = np.random.get_state()[1].copy()
    again = {metrics.estoi(speech, estimate, RATE) for _ in range(3)}
    assert len(again) == 1
    assert np.array_equal(np.random.get_state()[1], state)


def test_pesq_without_utterances():
    reference = np.zeros(RATE // 2)  # 0.1 s of noise: under PESQ's shortest utterance of 0.2 s
    reference[3200:4800] = np.random.default_rng(0).normal(size=1600)
    estimate = reference + 0.001 * np.random.default_rng(1).normal(size=reference.size)
    answer = pesq_library.pesq(
        RATE, reference, estimate, "wb", on_error=pesq_library.PesqError.RETURN_VALUES
    )
    assert answer < 0  # no opinion score is: they start at 1
    with pytest.raises(UndefinedMetric, match="no_utterances"):
        metrics.pesq(reference, estimate, RATE)


def test_pesq_of_unequal_lengths():
    reference, estimate = speech_like(6), speech_like(6) + 0.1 * speech_like(7)
    assert pesq_library.pesq(RATE, reference, estimate[:-4000], "wb") > 1  # and no complaint
    with pytest.raises(FailedPrediction, match="wrong_length"):
        metrics.pesq(reference, estimate[:-4000], RATE)


def test_stoi_under_thirty_frames():
    reference, estimate = (np.random.default_rng(s).normal(size=int(0.4 * RATE)) for s in (8, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pystoi.stoi(reference, estimate, RATE) == 1e-5
    with pytest.raises(UndefinedMetric, match="too_short: expected at least 30 frames"):
        metrics.stoi(reference, estimate, RATE)
    mostly_pause = np.concatenate([reference[: RATE // 4], np.zeros(RATE)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pystoi.stoi(mostly_pause, mostly_pause, RATE) == 1e-5
    with pytest.raises(UndefinedMetric, match="too_short"):
        metrics.stoi(mostly_pause, mostly_pause, RATE)


def test_stoi_of_silence():
    speech, silence = speech_like(10), np.zeros(2 * RATE)
    assert pystoi.stoi(speech, silence, RATE) == pytest.approx(0.0, abs=1e-6)  # a number
    with pytest.raises(FailedPrediction, match="silent_estimate"):
        metrics.stoi(speech, silence, RATE)
    with pytest.raises(UndefinedMetric, match="silent_reference"):
        metrics.estoi(silence, speech, RATE)


def test_mean_of_means():
    pairs = [("a b c d e f g h i j", "a b c d e f g h i j"), ("k", "l"), ("m", "n")]
    references, hypotheses = map(list, zip(*pairs, strict=True))
    of_means = np.mean([metrics.wer(*pair) for pair in pairs])
    assert of_means == pytest.approx(2 / 3)
    assert metrics.wer(references, hypotheses) == 2 / 12
    clips = [spec("wer").score(TextItem(*pair)) for pair in pairs]
    parts = [Tally.of([("s", clip)]) for clip in clips]
    assert sum(parts, Tally.zero()).value == 2 / 12
    shards = parts[0] + parts[1], parts[2]
    assert np.mean([shard.value for shard in shards]) != sum(shards, Tally.zero()).value


def test_empty_reference():
    assert jiwer.wer("", "a b") == 2  # a count where a rate belongs
    clip = spec("wer").score(TextItem("", "a b"))
    assert (clip.numerator, clip.denominator, clip.value) == (2, 0, None)
    assert metrics.wer(["", "c d"], ["a b", "c d"]) == 2 / 2
    dropped = metrics.wer(["c d"], ["c d"])
    assert dropped == 0.0 != metrics.wer(["", "c d"], ["a b", "c d"])


def test_float32_energies_of_good_estimates():
    """Energies that cancel: in float32 the noise of a good estimate comes out as nonsense."""
    speech = speech_like(11).astype(np.float32)
    estimate = speech + np.float32(1e-4) * speech_like(12).astype(np.float32)
    reference, cross, own = speech @ speech, speech @ estimate, estimate @ estimate
    with np.errstate(all="ignore"):
        hasty = 10 * np.log10(cross**2 / reference / (own - cross**2 / reference))
    exact = metrics.si_sdr(speech.astype(float), estimate.astype(float))
    assert not abs(hasty - exact) < 0.1
    assert metrics.si_sdr(speech, estimate) == pytest.approx(exact, abs=1e-6)


def test_infinity_in_a_mean():
    speech = speech_like(13)
    perfect = spec("si_snr").score(SignalItem(speech[None], speech[None], speech, RATE))
    tally = Tally.of([("s", perfect)])
    assert (tally.value, tally.capped) == (100.0, 1)


def test_nothing_scored_as_zero():
    assert np.nansum([]) == 0.0  # what "no clips" becomes where sums are trusted
    assert Tally.zero().value is None
    assert Tally.of([("s", FailedPrediction("not_finite"))]).value is None


def test_scores_summed_in_another_order():
    values = np.random.default_rng(14).normal(size=10_000) * 10
    turned = values[::-1]
    assert float(np.cumsum(values)[-1]) != float(np.cumsum(turned)[-1])
    tallies = [Tally.from_arrays(["s"] * 10_000, v, np.ones(10_000)) for v in (values, turned)]
    assert tallies[0].value == tallies[1].value


def test_clips_taken_for_independent():
    """30 clips of each of 20 speakers are not 600 independent ones: half the width, and wrong."""
    rng = np.random.default_rng(15)
    values = 0.3**0.5 * rng.normal(size=(20, 1)) + 0.7**0.5 * rng.normal(size=(20, 30))
    speakers = np.repeat([f"s{i}" for i in range(20)], 30).tolist()
    clips = [f"{speaker}/{i}" for i, speaker in enumerate(speakers)]
    narrow, honest = (
        metrics.interval(Tally.from_arrays(ids, values.ravel(), np.ones(600)))
        for ids in (clips, speakers)
    )
    assert honest.high - honest.low > 2 * (narrow.high - narrow.low)
