"""What every registered metric must pass, whichever it is.

A metric that is registered needs a line in INDEPENDENT (another implementation of it), in BOUNDS,
and a golden value in golden.json; without one the battery fails and names it. `python -m
tests.metrics.test_golden` writes the golden values.
"""

import json
from collections.abc import Callable
from functools import cache
from math import inf
from pathlib import Path

import fast_bss_eval
import numpy as np
import pesq
import pystoi
import pytest
import torch
import torchmetrics.functional.audio as peers
from scipy.signal import get_window
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import average_precision_score, top_k_accuracy_score
from threadpoolctl import threadpool_limits
from torchaudio.functional import melscale_fbanks

from metrics import (
    METRICS,
    BlindItem,
    ClassItem,
    EstimateItem,
    ExplanationItem,
    FailedPrediction,
    LogitsItem,
    Parts,
    RankItem,
    SignalItem,
    Tally,
    TextItem,
    UndefinedMetric,
    compare,
    spec,
)

GOLDEN = Path(__file__).with_name("golden.json")
RATE = 16_000  # Hz

# Fixed clips, a list a kind: answers to one input, the first of them perfect.


def _signals() -> list[SignalItem]:
    """Two sources of 2 s that come and go, and estimates with less and more of everything else."""
    rng = np.random.RandomState(0)  # its stream is frozen
    time = np.arange(2 * RATE) / RATE
    swell = np.clip(np.sin(2 * np.pi * np.array([[2.0], [2.5]]) * time), 0.02, 1)
    references = 0.3 * swell * np.cumsum(rng.randn(2, time.size), axis=1)
    references -= references.mean(axis=1, keepdims=True)
    references /= np.abs(references).max(axis=1, keepdims=True)
    references += 0.05 * swell * rng.randn(2, time.size)
    mixture = references.sum(axis=0) + 0.02 * rng.randn(time.size)
    noise = rng.randn(2, time.size)
    answers = [references]
    for leak, level in ((0.1, 0.01), (0.4, 0.05), (0.8, 0.3)):
        answers.append(references + leak * references[::-1] + level * noise)
    return [SignalItem(references, answer, mixture, RATE, (0, 1)) for answer in answers]


def _texts() -> list[TextItem]:
    said = "i um the phone is i left the portable phone upstairs last night"
    heard = "i got it to the fullest i love to portable form of stores last night"
    return [
        TextItem(said, said),
        TextItem(said, heard),
        TextItem(said, "phone"),
        TextItem(said, ""),
    ]


def _classes() -> list[ClassItem]:
    scores = np.linspace(1.0, 0.0, 8)
    return [ClassItem(3, np.roll(scores, 3 - place)) for place in (0, 1, 3, 6)]


def _logits() -> list[LogitsItem]:
    full = np.array([2.0, 0.5, -1.0, 0.0])
    kept = [[40.0, 0, 0, 0], [2.5, 0.5, -1, 0], [1.0, 1.5, 0, 0], [-2.0, 3.0, 0, 1]]
    removed = [[-40.0, 9, 9, 9], [0.0, 1, 0, 0], [1.0, 0.5, 0, 0], [3.0, 0, -1, 0]]
    return [
        LogitsItem(full, np.array(a, float), np.array(b, float))
        for a, b in zip(kept, removed, strict=True)
    ]


GUESSED = ("stoi", "pesq", "si_sdr")


def _estimates() -> list[EstimateItem]:
    """One noisy clip, its quality told by the metrics themselves and guessed ever worse."""
    signals = _signals()[2]
    clean, heard = signals.references[0], signals.estimates[0]
    alone = SignalItem(clean[None], heard[None], heard, RATE)
    perfect = {name: spec(name).score(alone).value for name in GUESSED}
    guesses = [{name: value + by for name, value in perfect.items()} for by in (0, 0.1, -0.4, 3)]
    return [EstimateItem(clean, heard, RATE, guess) for guess in guesses]


def _ranks() -> list[RankItem]:
    return [RankItem(place, place + place // 2, 40, 60) for place in (1, 3, 8, 30)]


def _blinds() -> list[BlindItem]:
    """Guesses of ever worse quality, two estimates a clip; the last says how sure it is."""
    pairs = {"si_snr": (30.0, 20.5), "si_sdr": (29.0, 21.0), "stoi": (1, 0.9), "pesq": (4.5, 4.1)}
    lower = [{n: tuple(v - by for v in of) for n, of in pairs.items()} for by in (0, 0.25, 0.5, 9)]
    return [*map(BlindItem, lower[:-1]), BlindItem({**lower[-1], "outside": (0.25, 0.75)})]


def _explanations() -> list[ExplanationItem]:
    """Masks ever wider and ever less on the source: a tone in the lower half, the rest noise."""
    noise = np.random.default_rng(3).standard_normal(8_000)
    source = np.sin(0.3 * np.arange(8_000))
    logits = np.array([2.0, 0.5, -1.0])
    items = []
    for share, leak in ((0.999, 0.0), (0.9, 0.3), (0.6, 0.8), (0.2, 1.0)):
        mask = np.zeros((20, 30))
        mask.flat[: round(600 * (1 - share))] = 1.0
        mask.flat[0] = 0.5
        kept = (1 - leak / 2) * source, leak * noise
        parts = Parts(source, source + noise, kept[0] + kept[1], *kept)
        items.append(ExplanationItem(logits, logits, -logits, mask, parts))
    return items


CLIPS: dict[str, list] = {
    "text": _texts(),
    "signal": _signals(),
    "class": _classes(),
    "logits": _logits(),
    "explanation": _explanations(),
    "estimate": _estimates(),
    "blind": _blinds(),
    "ranks": _ranks(),
}


def _unscorable() -> dict[str, list]:
    """Clips without a score, a list a kind, each with the end that it must come to."""
    good, full = _signals()[1], np.array([1.0, 0.0])
    nothing = np.zeros_like(good.references)
    return {
        "text": [(TextItem("", ""), None), (TextItem("", "a b"), None)],
        "signal": [
            (SignalItem(nothing, good.estimates, good.mixture, RATE), UndefinedMetric),
            (SignalItem(nothing, nothing, good.mixture, RATE), UndefinedMetric),
            (SignalItem(good.references, nothing, good.mixture, RATE), FailedPrediction),
            (SignalItem(good.references, good.estimates[:, :-1], good.mixture, RATE),
             FailedPrediction),
            (SignalItem(good.references, good.estimates[:1], good.mixture, RATE), FailedPrediction),
            (SignalItem(good.references, good.estimates * np.nan, good.mixture, RATE),
             FailedPrediction),
        ],
        "class": [(ClassItem(0, np.full(8, np.nan)), FailedPrediction)],
        "logits": [
            (LogitsItem(full * np.nan, full, full), FailedPrediction),
            (LogitsItem(full, full * np.nan, full * np.nan), FailedPrediction),
        ],
        "explanation": [
            (ExplanationItem(full, full, full, np.zeros((0, 5))), UndefinedMetric),
        ],
        "estimate": [
            (EstimateItem(nothing[0], good.mixture, RATE, dict.fromkeys(GUESSED, 0.0)),
             UndefinedMetric),
            (EstimateItem(good.references[0], nothing[0], RATE, {}), UndefinedMetric),
            (EstimateItem(good.references[0], good.mixture, RATE, {}), FailedPrediction),
            (EstimateItem(good.references[0], good.mixture, RATE, dict.fromkeys(GUESSED, np.nan)),
             FailedPrediction),
        ],
        "ranks": [
            (RankItem(1, 1, 1, 1), UndefinedMetric),
            (RankItem(0, 0, 40, 60), FailedPrediction),
            (RankItem(41, 61, 40, 60), FailedPrediction),
        ],
        "blind": [
            (BlindItem({}, "silent_mixture"), UndefinedMetric),
            (BlindItem({"lower": (1.0,)}), FailedPrediction),
            (BlindItem(dict.fromkeys(("si_snr", "si_sdr", "stoi", "pesq"), (1.0, np.nan))),
             FailedPrediction),
            (BlindItem(dict.fromkeys(("si_snr", "si_sdr", "stoi", "pesq"), ())), FailedPrediction),
        ],
    }  # fmt: skip


# Lowest and highest value that a clip can have, in the metric's own scale.

DECIBELS = (-100.0, 100.0)
GAIN = (-200.0, 200.0)
BOUNDS: dict[str, tuple[float, float]] = {
    "wer": (0, inf), "cer": (0, inf),
    "si_snr": DECIBELS, "si_sdr": DECIBELS, "snr": DECIBELS,
    "si_snri": GAIN, "si_sdri": GAIN, "snri": GAIN,
    "sdr": DECIBELS, "sir": DECIBELS, "sar": DECIBELS, "sdri": GAIN, "siri": GAIN, "sari": GAIN,
    "pesq": (1.0, 4.65), "stoi": (-1, 1), "estoi": (-1, 1),
    "lsd": (0, inf), "mcd": (0, inf),
    "top_1": (0, 1), "top_5": (0, 1),
    "faithfulness": (-1, 1), "faithfulness_logit": (-inf, inf), "input_fidelity": (0, 1),
    "average_increase": (0, 100), "average_drop": (0, 100), "average_gain": (0, 100),
    "sparseness": (0, 1), "complexity": (0, inf), "mask_area": (0, 1),
    "source_share": (0, 1), "source_si_snr": DECIBELS, "source_si_snri": GAIN,
    "blind_si_snr": (-inf, inf), "blind_si_sdr": (-inf, inf),
    **{f"{way}_{name}": (0, 1) for way in ("t2a", "a2t") for name in ("r1", "r5", "r10", "map10")},
    "blind_stoi": (-inf, inf), "blind_pesq": (-inf, inf),
    "stoi_error": (0, inf), "pesq_error": (0, inf), "si_sdr_error": (0, inf),
}  # fmt: skip


# Another implementation of each metric: a library, or the definition written down plainly.


def levenshtein(reference, hypothesis) -> int:
    row = list(range(len(hypothesis) + 1))
    for i, wanted in enumerate(reference, 1):
        last, row[0] = row[0], i
        for j, found in enumerate(hypothesis, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (wanted != found))
    return row[-1]


def over_words(item: TextItem) -> float:
    return levenshtein(item.reference.split(), item.hypothesis.split()) / len(
        item.reference.split()
    )


def over_letters(item: TextItem) -> float:
    return levenshtein(item.reference, item.hypothesis) / len(item.reference)


def by_source(function: Callable) -> Callable[[SignalItem], float]:
    """The mean over sources of `function(reference, estimate)`, within ±100."""
    return lambda item: float(
        np.mean([capped(function(*p)) for p in zip(item.references, item.estimates, strict=True)])
    )


def gained(function: Callable) -> Callable[[SignalItem], float]:
    """`by_source` less that of the mixture as every estimate."""

    def gain(item: SignalItem) -> float:
        before = np.broadcast_to(item.mixture, item.references.shape)
        mixed = SignalItem(item.references, before, item.mixture, item.sample_rate, (0, 1))
        return by_source(function)(item) - by_source(function)(mixed)

    return gain


def capped(decibels: float) -> float:
    return float(np.clip(decibels, -100, 100))


def peer(function: Callable, **options) -> Callable:
    def ratio(reference, estimate) -> float:
        with np.errstate(all="ignore"):
            return float(function(torch.tensor(estimate), torch.tensor(reference), **options))

    return ratio


SI_SNR = peer(peers.scale_invariant_signal_noise_ratio)
SI_SDR = peer(peers.scale_invariant_signal_distortion_ratio)
SNR = peer(peers.signal_noise_ratio)


def bss(place: int, *, gain: bool = False) -> Callable[[SignalItem], float]:
    """SDR, SIR or SAR by fast_bss_eval: exact solver (its default), float64, the item's order."""

    def values(item: SignalItem, estimates: np.ndarray) -> float:
        signals = (torch.tensor(signal.copy()) for signal in (item.references, estimates))
        found = fast_bss_eval.bss_eval_sources(*signals, compute_permutation=False)
        return float(np.mean([capped(float(value)) for value in found[place]]))

    def ratio(item: SignalItem) -> float:
        mixed = np.stack([item.mixture] * len(item.references))
        return values(item, item.estimates) - (values(item, mixed) if gain else 0.0)

    return ratio


def direct_estoi(reference, estimate) -> float:
    state = np.random.get_state()
    np.random.seed(0)
    try:
        return pystoi.stoi(reference, estimate, RATE, extended=True)
    finally:
        np.random.set_state(state)


def frames(signal: np.ndarray, length: int, step: int) -> np.ndarray:
    """Power spectra `(frames, bins)`, twice as many points as samples, frame by frame."""
    window = get_window("hann", length)
    starts = range(0, len(signal) - length + 1, step)
    return np.array([np.abs(np.fft.rfft(signal[s : s + length] * window, 2 * length)) ** 2
                     for s in starts])  # fmt: skip


def plain_lsd(reference, estimate) -> float:
    wanted, found = (frames(signal, 512, 128) for signal in (reference, estimate))
    floor = wanted.max() / 1e8
    apart = 10 * np.log10(np.maximum(wanted, floor) / np.maximum(found, floor))
    return float(np.mean([np.linalg.norm(row) / len(row) ** 0.5 for row in apart]))


def plain_mcd(reference, estimate) -> float:
    triangles = melscale_fbanks(401, 0.0, RATE / 2, 40, RATE, mel_scale="htk").double().numpy()
    waves = np.cos(np.pi * np.outer(np.arange(1, 14), np.arange(40) + 0.5) / 40) / 40

    def cepstra(signal):
        bands = frames(signal, 400, 80) @ triangles
        return np.log(np.maximum(bands, bands.max() / 1e8)) @ waves.T

    apart = ((cepstra(reference) - cepstra(estimate)) ** 2).sum(axis=1)
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * apart)))


def best(k: int) -> Callable[[ClassItem], float]:
    return lambda item: top_k_accuracy_score(
        [item.label], [item.scores], k=k, labels=range(len(item.scores))
    )


def probabilities(item: LogitsItem) -> tuple[float, float, float]:
    said = int(np.argmax(item.logits))
    every = (item.logits, item.logits_in, item.logits_out)
    return tuple(float(softmax(logits)[said]) for logits in every)


def logit_lost(item: LogitsItem) -> float:
    said = list(item.logits).index(max(item.logits))
    return float(item.logits[said] - item.logits_out[said])


def drop(item: LogitsItem) -> float:
    before, after, _ = probabilities(item)
    return 100 * max(0.0, before - after) / before


def gain(item: LogitsItem) -> float:
    before, after, _ = probabilities(item)
    return 100 * max(0.0, after - before) / (1 - before)


def gini(item: ExplanationItem) -> float:
    """Half the mean absolute difference over the mean (Gini 1912)."""
    cells = item.mask.ravel()
    return float(np.abs(cells[:, None] - cells).mean() / 2 / cells.mean())


def entropy_of_map(item: ExplanationItem) -> float:
    return float(entropy(item.mask.ravel()))


def of_source(item: ExplanationItem) -> float:
    energies = [np.linalg.norm(p) ** 2 for p in (item.parts.kept_source, item.parts.kept_rest)]
    return float(energies[0] / np.sum(energies))


def off(name: str, truth: Callable) -> Callable[[EstimateItem], float]:
    """How far a guess is from `truth(reference, heard)`."""
    return lambda item: abs(item.estimates[name] - float(truth(item.reference, item.heard)))


def told(name: str) -> Callable[[BlindItem], float]:
    return lambda item: float(np.mean(item.guesses[name]))


def searched(way: str) -> Callable[[RankItem], tuple[int, np.ndarray]]:
    """The scores that a place comes from: each thing lower than the one before."""
    if way == "a2t":
        return lambda item: (item.audio_to_text - 1, -np.arange(item.texts, dtype=float))
    return lambda item: (item.text_to_audio - 1, -np.arange(item.audios, dtype=float))


def recall(way: str, k: int) -> Callable[[RankItem], float]:
    def found(item: RankItem) -> float:
        at, scores_ = searched(way)(item)
        return top_k_accuracy_score([at], scores_[None], k=k, labels=range(len(scores_)))

    return found


def precision(way: str) -> Callable[[RankItem], float]:
    """scikit-learn's, of the ten best alone."""

    def found(item: RankItem) -> float:
        at, scores_ = searched(way)(item)
        relevant = np.arange(len(scores_)) == at
        return average_precision_score(relevant[:10], scores_[:10]) if at < 10 else 0.0

    return found


INDEPENDENT: dict[str, Callable] = {
    "wer": over_words,
    "cer": over_letters,
    "si_snr": by_source(SI_SNR),
    "si_sdr": by_source(SI_SDR),
    "snr": by_source(SNR),
    "si_snri": gained(SI_SNR),
    "si_sdri": gained(SI_SDR),
    "snri": gained(SNR),
    "sdr": bss(0),
    "sir": bss(1),
    "sar": bss(2),
    "sdri": bss(0, gain=True),
    "siri": bss(1, gain=True),
    "sari": bss(2, gain=True),
    # There is one PESQ and one STOI in Python: these show that nothing is lost around them.
    "pesq": by_source(lambda reference, estimate: pesq.pesq(RATE, reference, estimate, "wb")),
    "stoi": by_source(lambda reference, estimate: pystoi.stoi(reference, estimate, RATE)),
    "estoi": by_source(direct_estoi),
    "lsd": by_source(plain_lsd),
    "mcd": by_source(plain_mcd),
    "top_1": best(1),
    "top_5": best(5),
    "faithfulness": lambda item: probabilities(item)[0] - probabilities(item)[2],
    "faithfulness_logit": logit_lost,
    "input_fidelity": lambda item: float(np.argmax(item.logits) == np.argmax(item.logits_in)),
    "average_increase": lambda item: 100.0 * (probabilities(item)[1] > probabilities(item)[0]),
    "average_drop": drop,
    "average_gain": gain,
    "sparseness": gini,
    "complexity": entropy_of_map,
    "mask_area": lambda item: float(np.sum(item.mask) / item.mask.size),
    "source_share": of_source,
    "source_si_snr": lambda item: capped(SI_SNR(item.parts.source, item.parts.kept)),
    "source_si_snri": lambda item: (
        capped(SI_SNR(item.parts.source, item.parts.kept))
        - SI_SNR(item.parts.source, item.parts.mixture)
    ),
    "stoi_error": off("stoi", lambda clean, heard: pystoi.stoi(clean, heard, RATE)),
    "pesq_error": off("pesq", lambda clean, heard: pesq.pesq(RATE, clean, heard, "wb")),
    "si_sdr_error": off("si_sdr", SI_SDR),
    **{f"{way}_r{k}": recall(way, k) for way in ("t2a", "a2t") for k in (1, 5, 10)},
    **{f"{way}_map10": precision(way) for way in ("t2a", "a2t")},
    **{f"blind_{name}": told(name) for name in ("si_snr", "si_sdr", "stoi", "pesq")},
}
TOLERANCE = {  # dB; torchaudio's mel bands are float32
    **dict.fromkeys(("sdr", "sir", "sar", "sdri", "siri", "sari"), 1e-2), "mcd": 1e-4,
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small systems of equations are slower, not quicker, on several threads that others want."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@cache
def scores(name: str) -> list[float]:
    """The metric's value of each answer, the perfect one first."""
    found = [spec(name).score(item).value for item in CLIPS[METRICS[name].item]]
    assert None not in found
    return found


@pytest.fixture(params=METRICS)
def name(request) -> str:
    return request.param


def test_everything_registered_is_in_the_tables():
    golden = json.loads(GOLDEN.read_text())["battery"]
    for table in (INDEPENDENT, BOUNDS, golden):
        missing = {*METRICS} - {*table}
        assert not missing, f"add these metrics: {', '.join(sorted(missing))}"


def test_golden_value(name):
    golden = json.loads(GOLDEN.read_text())["battery"][name]
    assert scores(name) == pytest.approx(golden, rel=1e-5, abs=1e-6)


def test_independent_implementation(name):
    wanted = [INDEPENDENT[name](item) for item in CLIPS[METRICS[name].item][1:]]
    assert scores(name)[1:] == pytest.approx(wanted, abs=TOLERANCE.get(name, 1e-6))


def test_perfect_is_best_and_the_answers_differ(name):
    found = scores(name)
    sign = 1 if METRICS[name].higher_is_better else -1
    assert max(sign * value for value in found) == sign * found[0]
    assert sign * found[0] > sign * found[-1]


def test_bounds(name):
    low, high = BOUNDS[name]
    assert all(low <= value <= high for value in scores(name))


def test_no_score_is_none_or_an_end_that_is_counted(name):
    assert Tally.zero().value is None
    assert spec(name).metric.failure_policy
    for item, end in _unscorable()[METRICS[name].item]:
        if end is None:
            assert spec(name).score(item).value is None
            continue
        with np.errstate(invalid="ignore"), pytest.raises(end) as caught:
            spec(name).score(item)
        tally = Tally.of([("speaker", caught.value)])
        assert tally.value is None
        assert (tally.scored, tally.total) == (0, 1)
        assert caught.value.reason in {**tally.undefined, **tally.failed}


def test_merged_parts_are_the_whole(name):
    made, items = spec(name), CLIPS[METRICS[name].item]
    ends = [(f"speaker{i % 2}", made.score(item)) for i, item in enumerate(items)]
    ends.append(("speaker0", UndefinedMetric("too_short")))
    whole = Tally.of(ends)
    for parts in (ends[::-1], ends[1::2] + ends[::2]):
        merged = sum((Tally.of([end]) for end in parts), Tally.zero())
        assert merged == whole
        assert merged.value == whole.value
    clips = [score for _, score in ends[:-1]]
    expected = sum(c.numerator for c in clips) / sum(c.denominator for c in clips)
    assert whole.value == pytest.approx(expected, abs=2**-24)
    if not METRICS[name].pooled:
        assert whole.value == pytest.approx(np.mean(scores(name)), abs=2**-24)


def test_the_same_twice_and_nothing_is_changed(name):
    items = CLIPS[METRICS[name].item]
    before = [{k: np.copy(v) for k, v in vars(item).items()} for item in items]
    assert scores.__wrapped__(name) == scores(name)
    for item, copies in zip(items, before, strict=True):
        assert all(np.array_equal(getattr(item, key), value) for key, value in copies.items())


def test_a_better_model_is_found_better(name):
    """Through tallies and the paired comparison: eight speakers, answers two apart."""
    made, items = spec(name), CLIPS[METRICS[name].item]
    good, poor = made.score(items[0]), made.score(items[-1])
    sides = [Tally.of((f"speaker{i}", score) for i in range(8)) for score in (good, poor)]
    found = compare([sides[0]], [sides[1]])
    assert (found.value > 0) == METRICS[name].higher_is_better
    assert found.above_zero == (1.0 if METRICS[name].higher_is_better else 0.0)


def battery_values() -> dict[str, list[float]]:
    """What golden.json holds under "battery"."""
    return {name: scores(name) for name in METRICS}
