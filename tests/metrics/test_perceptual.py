import warnings

import numpy as np
import pesq as pesq_library
import pystoi
import pytest
import soxr

from metrics import FailedPrediction, SignalItem, UndefinedMetric, estoi, pesq, spec, stoi

ROUNDING = {"pesq": 0, "stoi": 1e-14, "estoi": 0}  # STOI takes pystoi's steps by itself


def speechlike(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise in bursts of a syllable's length: enough for every library to find an utterance."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    return rng.normal(size=len(time)) * (0.02 + np.maximum(0, np.sin(2 * np.pi * 1.5 * time)) ** 2)


def pair(seconds: float = 3.0, rate: int = 16_000, noise: float = 0.2):
    reference = speechlike(seconds, rate)
    return reference, reference + noise * np.random.default_rng(1).normal(size=len(reference))


def one_source(reference, estimate, rate) -> SignalItem:
    return SignalItem(reference[None], estimate[None], reference, rate, (0,))


def seeded_estoi(reference, estimate, rate) -> float:
    np.random.seed(0)
    return float(pystoi.stoi(reference, estimate, rate, extended=True))


def test_golden_pesq_on_real_recordings(noisy_speech):
    # Generator: pesq 0.0.4, pesq.pesq(16000, clean, noisy, "wb") on float64 samples.
    clip = noisy_speech[0]
    assert pesq(clip.references[0], clip.mixture, 16_000) == pytest.approx(1.7623, abs=1e-4)
    assert pesq(clip.references[0], clip.mixture, 16_000, "nb") == pytest.approx(2.4711, abs=1e-4)


def test_equals_the_libraries_on_noisy_speech(noisy_speech):
    for clip in noisy_speech:
        pairs = clip.references[0], clip.mixture
        item = one_source(*pairs, 16_000)
        direct = {
            "pesq": pesq_library.pesq(16_000, *pairs, "wb"),
            "stoi": pystoi.stoi(*pairs, 16_000),
            "estoi": seeded_estoi(*pairs, 16_000),
        }
        ours = {"pesq": pesq, "stoi": stoi, "estoi": estoi}
        for name, value in direct.items():
            scored = spec(name, sample_rate=16_000).score(item).value
            assert scored == ours[name](*pairs, 16_000)
            assert scored == pytest.approx(value, abs=ROUNDING[name])
        narrow = pesq_library.pesq(16_000, *pairs, "nb")
        assert spec("pesq", mode="nb").score(item).value == narrow


def test_equals_the_libraries_on_mixtures_of_two(mixtures):
    for clip in mixtures[:2]:
        estimates = clip.references + 0.2 * clip.mixture
        item = SignalItem(clip.references, estimates, clip.mixture, 8000, (0, 1))
        pairs = list(zip(clip.references, estimates, strict=True))
        direct = {
            "pesq": [pesq_library.pesq(8000, *both, "nb") for both in pairs],
            "stoi": [pystoi.stoi(*both, 8000) for both in pairs],
            "estoi": [seeded_estoi(*both, 8000) for both in pairs],
        }
        for name, parts in direct.items():
            score = spec(name).score(item)
            assert score.detail["sources"] == pytest.approx(parts, abs=ROUNDING[name])
            assert score.value == sum(score.detail["sources"]) / 2


@pytest.mark.parametrize(("rate", "inside", "mode"), [(11_025, 8000, "nb"), (44_100, 16_000, "wb")])
def test_pesq_brings_other_rates_down(rate, inside, mode):
    signals = pair(rate=rate)
    lower = [soxr.resample(signal, rate, inside, quality="HQ") for signal in signals]
    assert pesq(*signals, rate) == pesq_library.pesq(inside, *lower, mode)


def test_pesq_rate_and_mode_rules():
    signals = pair(rate=8000)
    assert pesq(*signals, 8000) == pesq_library.pesq(8000, *signals, "nb")
    with pytest.raises(ValueError, match="'wb' needs 16000 Hz or more, found 8000"):
        pesq(*signals, 8000, "wb")
    with pytest.raises(ValueError, match="expected 8000 Hz or more, found 6000"):
        pesq(*signals, 6000)
    with pytest.raises(ValueError, match="'nb', 'wb' or None"):
        pesq(*signals, 16_000, "swb")


def test_pesq_does_not_mind_scale_or_precision():
    reference, estimate = pair()
    value = pesq(reference, estimate, 16_000)
    for gain in (0.25, 32_768.0):
        assert pesq(gain * reference, gain * estimate, 16_000) == value
    single = reference.astype(np.float32), estimate.astype(np.float32)
    assert pesq(*single, 16_000) == pesq_library.pesq(16_000, *single, "wb")


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_perfect_is_best(rate):
    reference, estimate = pair(rate=rate)
    for function, best in ((pesq, 4.5), (stoi, 0.9999), (estoi, 0.9999)):
        assert function(reference, reference, rate) > best
        assert function(reference, estimate, rate) < function(reference, reference, rate) <= 4.65


def test_more_noise_is_worse_and_within_bounds():
    for function, low, high in ((pesq, 1.0, 4.65), (stoi, -1.0, 1.0), (estoi, -1.0, 1.0)):
        values = [function(*pair(noise=noise), 16_000) for noise in (0.02, 0.2, 2.0)]
        assert values == sorted(values, reverse=True)
        assert low <= values[-1] <= values[0] <= high


@pytest.mark.parametrize("function", [pesq, stoi, estoi])
def test_faults_are_told_apart_before_the_library_guesses(function):
    reference, estimate = pair()
    cases = [
        (np.zeros(48_000), estimate, UndefinedMetric, "silent_reference"),
        (reference * np.nan, estimate, UndefinedMetric, "not_finite_reference"),
        (reference[:0], estimate, UndefinedMetric, "empty_reference"),
        (reference[:50], estimate[:50], UndefinedMetric, "too_short"),
        (reference, np.zeros(48_000), FailedPrediction, "silent_estimate"),
        (reference, estimate * np.inf, FailedPrediction, "not_finite"),
        (reference, estimate[:-1], FailedPrediction, "wrong_length"),
    ]
    for wanted, found, kind, reason in cases:
        with np.errstate(invalid="ignore"), pytest.raises(kind) as caught:
            function(wanted, found, 16_000)
        assert caught.value.reason == reason
    with pytest.raises(ValueError, match=r"one signal \(time,\), found shape \(1, 48000\)"):
        function(reference[None], estimate[None], 16_000)


def test_pesq_limits_of_length():
    burst = np.zeros(8000)  # 0.1 s of noise: under PESQ's shortest utterance of 0.2 s
    burst[3200:4800] = np.random.default_rng(0).normal(size=1600)
    with pytest.raises(UndefinedMetric) as nothing:
        pesq(burst, burst + 0.001 * np.random.default_rng(1).normal(size=8000), 16_000)
    assert nothing.value.reason == "no_utterances"
    with pytest.raises(UndefinedMetric) as short:
        pesq(*pair(seconds=0.249), 16_000)
    assert short.value.reason == "too_short"
    # pesq 0.0.4 writes past its 50 utterances: 60 bursts of 0.2 s in 24 s end the process.
    with pytest.raises(UndefinedMetric) as long:
        pesq(*pair(seconds=19.1, rate=8000), 8000)
    assert long.value.reason == "too_long"


def test_pesq_at_the_longest_and_densest_it_accepts():
    rate, frame = 8000, 32
    burst = np.r_[np.ones(47 * frame), np.zeros(53 * frame)]  # at 24 s these end the process
    reference = np.resize(burst, 19 * rate) * np.random.default_rng(0).normal(size=19 * rate)
    assert 1 < pesq(reference, reference + 1e-4, rate) < 4.65


@pytest.mark.parametrize("rate", [8000, 10_000, 11_025, 16_000, 44_100])
def test_stoi_needs_thirty_frames(rate):
    shortest = 4096 * rate // 10_000 + 1  # samples: pystoi's 30th frame
    reference, estimate = pair(rate=rate)
    noise = np.random.default_rng(2).normal(size=len(reference))
    assert 0 < stoi(noise[:shortest], noise[:shortest] + estimate[:shortest], rate) <= 1
    for function in (stoi, estoi):
        with pytest.raises(UndefinedMetric) as caught:
            function(noise[: shortest - 1], estimate[: shortest - 1], rate)
        assert caught.value.reason == "too_short"


@pytest.mark.parametrize("function", [stoi, estoi])
def test_a_click_in_long_silence_is_too_short(function):
    click, estimate = np.zeros(48_000), pair()[1]
    click[20_000:20_100] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UndefinedMetric) as caught:
            function(click, estimate, 16_000)
    assert caught.value.reason == "too_short"


def test_estoi_repeats_itself_and_leaves_numpys_generator_alone():
    reference, estimate = pair()
    estimate[10_000:40_000] = 0.0  # exact zeros: what pystoi fills with noise
    np.random.seed(7)
    expected = np.random.random(3)
    np.random.seed(7)
    values = [estoi(reference, estimate, 16_000)]
    assert np.array_equal(np.random.random(3), expected)
    values += [estoi(reference, estimate, 16_000) for _ in range(2)]
    assert values == [seeded_estoi(reference, estimate, 16_000)] * 3


def test_what_is_not_a_number_is_no_score(monkeypatch):
    monkeypatch.setattr(pystoi, "stoi", lambda *signals, **options: float("nan"))
    with pytest.raises(UndefinedMetric, match="not_a_number"):
        estoi(*pair(), 16_000)


def test_stoi_needs_a_positive_rate():
    with pytest.raises(ValueError, match="positive sample rate in Hz, found 0"):
        stoi(*pair(), 0)


def test_unseeded_estoi_would_not_repeat_itself():
    reference, estimate = pair()
    estimate[10_000:40_000] = 0.0
    bare = {pystoi.stoi(reference, estimate, 16_000, extended=True) for _ in range(3)}
    assert len(bare) == 3
    assert len({estoi(reference, estimate, 16_000) for _ in range(3)}) == 1


def test_return_values_of_the_library_are_no_scores():
    burst = np.zeros(8000)
    burst[3200:4800] = np.random.default_rng(0).normal(size=1600)
    noisy = burst + 0.001 * np.random.default_rng(1).normal(size=8000)
    codes = pesq_library.PesqError.RETURN_VALUES
    assert pesq_library.pesq(16_000, burst, noisy, "wb", on_error=codes) == -7
    assert pesq_library.pesq(16_000, burst[:3900], noisy[:3900], "wb", on_error=codes) == -6
    for time in (8000, 3900):
        with pytest.raises(UndefinedMetric):
            pesq(burst[:time], noisy[:time], 16_000)


def test_unequal_lengths_would_pass_in_silence():
    reference, estimate = pair()
    assert pesq_library.pesq(16_000, reference, estimate[:-800], "wb") > 1
    with pytest.raises(FailedPrediction, match="wrong_length"):
        pesq(reference, estimate[:-800], 16_000)


def test_stoi_of_too_little_speech_would_be_a_number():
    reference, estimate = pair(seconds=0.4)
    with pytest.warns(RuntimeWarning, match="Not enough STFT frames"):
        assert pystoi.stoi(reference, estimate, 16_000) == 1e-5
    with pytest.raises(UndefinedMetric, match="too_short"):
        stoi(reference, estimate, 16_000)


def test_impossible_pesq_parameters_are_refused_when_the_spec_is_made():
    assert spec("pesq", mode="nb", sample_rate=16_000).parameters["mode"] == "nb"
    with pytest.raises(ValueError, match="'wb' needs 16000 Hz or more, found 8000"):
        spec("pesq", mode="wb", sample_rate=8000)
    with pytest.raises(ValueError, match="'nb', 'wb' or None"):
        spec("pesq", mode="swb")


def test_values_that_others_published():
    """The examples in torchmetrics 1.9's documentation (PESQ and STOI pages), noise drawn with its
    documentation's seed, 42, the prediction first.
    """
    import torch

    prediction, reference = torch.randn(
        2, 8000, generator=torch.Generator().manual_seed(42)
    ).numpy()
    assert pesq(reference, prediction, 8000) == pytest.approx(2.2885, abs=5e-5)
    assert pesq(reference, prediction, 16_000) == pytest.approx(1.6805, abs=5e-5)
    assert stoi(reference, prediction, 8000) == pytest.approx(-0.084, abs=5e-4)
