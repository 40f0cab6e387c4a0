"""Oracles: masks by their definitions, on signals whose spectra are known, and their order."""

import numpy as np
import pytest
import soundfile

from metrics import si_snr
from models import create
from models.spectra import STFT

RATE = 8_000
SEPARATING = ["oracle-ibm", "oracle-irm", "oracle-wiener"]
ENHANCING = ["oracle-ibm-enhancement", "oracle-irm-enhancement", "oracle-wiener-enhancement"]


@pytest.fixture(scope="module")
def talkers(speech_like) -> np.ndarray:
    """Two voices, (2, time)."""
    return np.stack(
        [
            speech_like(2.0, sample_rate=RATE, seed=seed, pitch=pitch)
            for seed, pitch in ((1, 110), (2, 190))
        ]
    )


@pytest.fixture(scope="module")
def noise(talkers) -> np.ndarray:
    return 0.05 * np.random.default_rng(3).standard_normal(talkers.shape[1]).astype(np.float32)


def separated(name, mixture, references, **parameters):
    model = create(name, **parameters)
    return model.separate(
        [mixture], sample_rate=RATE, sources=len(references), references=[references]
    )[0]


def enhanced(name, noisy, clean):
    return create(name).enhance([noisy], sample_rate=RATE, references=[clean[None]])[0]


def magnitudes(signal):
    return np.abs(STFT.of_seconds(0.032, sample_rate=RATE, overlap=4).forward(signal))


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("oracle-ibm", lambda s, n: s >= n),
        ("oracle-irm", lambda s, n: s / (s + n)),
        ("oracle-wiener", lambda s, n: s**2 / (s**2 + n**2)),
        ("oracle-ibm-enhancement", lambda s, n: s >= n),
        ("oracle-irm-enhancement", lambda s, n: np.sqrt(s**2 / (s**2 + n**2))),
        ("oracle-wiener-enhancement", lambda s, n: s**2 / (s**2 + n**2)),
    ],
)
def test_the_mask_is_the_published_formula(name, mask, talkers, noise):
    clean, noisy = talkers[0].astype(float), (talkers[0] + noise).astype(np.float32)
    stft = STFT.of_seconds(0.032, sample_rate=RATE, overlap=4)
    weights = mask(magnitudes(clean) + 1e-300, magnitudes(noisy - clean))
    expected = stft.inverse(weights * stft.forward(noisy.astype(float)), noisy.size)
    found = (
        enhanced(name, noisy, talkers[0])
        if name in ENHANCING
        else separated(name, noisy, talkers[:1])[0]
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", SEPARATING)
def test_voices_come_in_the_references_order_and_noise_goes(name, talkers, noise):
    mixture = talkers.sum(axis=0) + noise
    found = separated(name, mixture, talkers)
    turned = separated(name, mixture, talkers[::-1])
    np.testing.assert_allclose(turned, found[::-1], atol=1e-6)
    for truth, estimate in zip(talkers, found, strict=True):
        assert si_snr(truth, estimate) > si_snr(truth, mixture) + 6


def test_binary_masks_part_the_mixture_without_rest(talkers):
    mixture = talkers.sum(axis=0)
    found = separated("oracle-ibm", mixture, talkers)
    np.testing.assert_allclose(found.sum(axis=0), mixture, atol=1e-5)


@pytest.mark.parametrize("name", ENHANCING)
def test_enhancing_helps_and_leaves_what_is_clean(name, talkers, noise):
    clean = talkers[0]
    found = enhanced(name, clean + noise, clean)
    assert si_snr(clean, found) > si_snr(clean, clean + noise) + 5
    np.testing.assert_allclose(enhanced(name, clean, clean), clean, atol=1e-5)


def test_a_longer_window_resolves_voices_better(talkers):
    mixture = talkers.sum(axis=0)
    scores = [
        si_snr(talkers[0], separated("oracle-irm", mixture, talkers, window_seconds=seconds)[0])
        for seconds in (0.032, 0.064)
    ]
    assert scores[1] > scores[0] + 1


@pytest.mark.parametrize("name", SEPARATING + ENHANCING)
def test_wrong_parameters_and_references_are_refused(name, talkers):
    with pytest.raises(ValueError, match=r"a number from 0\.004 to 0\.5, got 3"):
        create(name, window_seconds=3)
    mixture, options = talkers[0], {"sample_rate": RATE}
    model = create(name)
    ask = model.enhance if name in ENHANCING else model.separate
    options |= {} if name in ENHANCING else {"sources": 1}
    with pytest.raises(ValueError, match=r"each of the 1 mixtures, got 0; give one"):
        ask([mixture], references=[], **options)
    with pytest.raises(ValueError, match=r"shaped \(1, 16000\), got \(1, 5\); give one row"):
        ask([mixture], references=[mixture[None, :5]], **options)


def test_a_mask_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="'binary' or 'ratio' or 'wiener', got 'complex'"):
        create("oracle-irm-enhancement", mask="complex")


def test_they_lead_on_real_noise(recordings):
    folder = recordings / "voicebank-demand"
    name = sorted(path.name for path in (folder / "noisy").iterdir())[0]
    (clean, rate), (noisy, _) = (
        soundfile.read(folder / part / name, dtype="float32") for part in ("clean", "noisy")
    )
    (classical,) = create("wiener").enhance([noisy], sample_rate=rate)
    for oracle in ENHANCING:
        (found,) = create(oracle).enhance([noisy], sample_rate=rate, references=[clean[None]])
        assert si_snr(clean, found) > max(si_snr(clean, noisy), si_snr(clean, classical)) + 2


def test_both_tasks_run_to_a_score(realear, tmp_path, talkers, noise):
    for part, signal in {
        "mix": talkers.sum(axis=0) + noise,
        "s1": talkers[0],
        "s2": talkers[1],
        "noisy": talkers[0] + noise,
        "clean": talkers[0],
    }.items():
        (tmp_path / part).mkdir()
        soundfile.write(tmp_path / part / "one.wav", signal, RATE)
    source = ["--source", "s1/{stem}.wav", "--source", "s2/{stem}.wav"]
    for dataset, audio, truth, names, metric in (
        ("pairs", "mix", source, SEPARATING, "si_snri"),
        ("noisy", "noisy", ["--clean", "clean/{stem}.wav"], ENHANCING, "si_snr"),
    ):
        ended = realear("prepare", tmp_path, "--name", dataset, "--out", tmp_path / "work",
                        "--audio", f"{audio}/*.wav", *truth)  # fmt: skip
        assert ended.code == 0, ended.text
        for name in names:
            ended = realear("score", "--dataset", dataset, "--model", name, "--metric", metric,
                            "--out", tmp_path / "work", "--workers", 1)  # fmt: skip
            assert ended.code == 0, ended.text
            assert name in ended.text
