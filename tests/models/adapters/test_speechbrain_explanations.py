"""PIQ and L2I by speechbrain: tiny checkpoints of the library's own classes, its own answers."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml

import models
from metrics import FailedPrediction
from models import explaining
from models.adapters.speechbrain_explanations import _lerp

RATE = 16_000  # Hz

COMMON = """
sample_rate: 16000
spec_mag_power: 0.5
embedding_model: !new:speechbrain.lobes.models.PIQ.Conv2dEncoder_v2 {dim: 4}
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier {input_size: 4, out_neurons: 3}
compute_stft: !new:speechbrain.processing.features.STFT
  {n_fft: 1024, hop_length: 11.6099, win_length: 23.2199, sample_rate: 16000}
compute_istft: !new:speechbrain.processing.features.ISTFT
  {n_fft: 1024, hop_length: 11.6099, win_length: 23.2199, sample_rate: 16000}
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
"""
PIQ = """
use_vq: true
use_mask_output: SOFT
mask_th: 0.9
psi: !new:speechbrain.lobes.models.PIQ.VectorQuantizedPSI_Audio {dim: 4, K: 9, numclasses: 3}
"""
L2I = """
relevance_th: 0.2
psi: !new:speechbrain.lobes.models.L2I.PsiOptimized
  {dim: 4, K: 6, numclasses: 3, use_adapter: true, adapter_reduce_dim: true}
theta: !new:speechbrain.lobes.models.L2I.Theta {n_comp: 6, T: 140, num_classes: 3}
nmf_decoder: !new:speechbrain.lobes.models.L2I.NMFDecoderAudio
  {n_comp: 6, n_freq: 513, device: cpu}
"""
KINDS = {
    "piq-soft": PIQ.replace("SOFT", "true"),
    "piq-hard": PIQ.replace("SOFT", "false"),
    "l2i": L2I,
}


def parts_of(kind: str) -> list[str]:
    more = ["theta", "nmf_decoder"] if kind == "l2i" else []
    return ["embedding_model", "classifier", "psi", *more]


def saved(folder: Path, kind: str) -> Path:
    """A checkpoint of random weights, by the library's own classes."""
    folder.mkdir(parents=True)
    parts = parts_of(kind)
    modules = ", ".join(f"{name}: !ref <{name}>" for name in [*parts, "compute_stft"])
    kept = ", ".join(f"{name}: !ref <{name}>" for name in [*parts, "label_encoder"])
    text = f"""{COMMON}{KINDS[kind]}
modules: {{{modules}, compute_istft: !ref <compute_istft>}}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {{{kept}}}
"""
    (folder / "hyperparams.yaml").write_text(text)
    torch.manual_seed(7)
    made = load_hyperpyyaml(text)
    for name in parts:
        torch.save(made[name].state_dict(), folder / f"{name}.ckpt")
    (folder / "label_encoder.ckpt").write_text(
        "'dog' => 0\n'rain' => 1\n'siren' => 2\n================\n'starting_index' => 0\n"
    )
    return folder


@pytest.fixture(scope="module", params=list(KINDS))
def pair(request, tmp_path_factory):
    folder = saved(tmp_path_factory.mktemp("sounds") / "checkpoint", request.param)
    name = "speechbrain-l2i" if request.param == "l2i" else "speechbrain-piq"
    classifier = models.create("speechbrain-sound-classifier", checkpoint=str(folder), device="cpu")
    classifier.load()
    return classifier, models.create(name, checkpoint=str(folder), device="cpu")


def noise(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def test_the_classifier_says_what_the_library_says(pair):
    classifier, _ = pair
    assert classifier.labels == ("dog", "rain", "siren")
    clips = noise(16_000, 9_000, 16_000)
    found = classifier.classify(clips, sample_rate=RATE)
    network = classifier._network
    for clip, logits in zip(clips, found, strict=True):
        with torch.inference_mode():
            spectra, _, _ = network.preprocess(torch.from_numpy(clip[None]))
            wanted = network.classifier_forward(spectra)[2]
        np.testing.assert_allclose(logits, wanted[0], atol=1e-5)
    sounds = torch.from_numpy(clips[0][None]).requires_grad_()
    classifier.listen(sounds, torch.tensor([16_000])).logits[0, 0].backward()
    assert sounds.grad.abs().sum() > 0


def test_the_classifier_scores_a_folder_of_sounds(realear, tmp_path):
    """The command's own path."""
    folder = saved(tmp_path / "checkpoint", "piq-soft")
    (tmp_path / "sounds").mkdir()
    for name, clip in zip(("dog-1", "rain-2"), noise(16_000, 9_000), strict=True):
        soundfile.write(tmp_path / f"sounds/{name}.wav", clip, RATE, subtype="PCM_16")
    ended = realear("prepare", tmp_path / "sounds", "--name", "sounds", "--audio",
                    "{class}-{n}.wav", "--out", tmp_path, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    ended = realear("score", "--model", "speechbrain-sound-classifier", "--dataset", "sounds",
                    "--metric", "top_1", "--set", f"checkpoint={folder}", "--set", "device=cpu",
                    "--out", tmp_path, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    [table] = tmp_path.glob("scores/speechbrain-sound-classifier-*/sounds/top_1-*/*.parquet")
    assert {row["end"] for row in pq.read_table(table).to_pylist()} == {"scored"}


def test_masks_are_of_the_clip_and_its_class_alone(pair):
    classifier, explainer = pair
    clips, classes = noise(16_000, 9_000, 16_000, 50), [0, 1, 2, 0]
    together = explainer.explain(clips, classifier, classes, sample_rate=RATE)
    backwards = explainer.explain(clips[::-1], classifier, classes[::-1], sample_rate=RATE)[::-1]
    for clip, chosen, mask, again in zip(clips, classes, together, backwards, strict=True):
        [alone] = explainer.explain([clip], classifier, [chosen], sample_rate=RATE)
        assert mask.shape == explaining.shape(len(clip), RATE)
        explaining.rounded(mask)
        np.testing.assert_allclose(mask, alone, atol=2e-4)
        np.testing.assert_allclose(again, alone, atol=2e-4)


@pytest.mark.parametrize("kind", ["piq-soft", "piq-hard"])
def test_gains_of_piq_are_what_the_library_makes_heard(kind, tmp_path):
    folder = saved(tmp_path / kind, kind)
    explainer = models.create("speechbrain-piq", checkpoint=str(folder), device="cpu")
    explainer.load()
    network = explainer._network
    [clip] = noise(16_000)
    batch = torch.from_numpy(clip[None])
    with torch.inference_mode():
        spectra, stft, _ = network.preprocess(batch)
        hidden, _, _, said = network.classifier_forward(spectra)
        gains = explainer._gains(hidden, said, spectra)
        sound, _ = network.interpret_batch(batch)
        masked = stft[:, : gains.shape[1]] * gains[..., None]
        ours = network.mods.compute_istft(masked)
    assert 0 <= gains.min() <= gains.max() <= 1 + 1e-6
    size = min(sound.shape[-1], ours.shape[-1])
    np.testing.assert_allclose(ours[0, :size], sound[0, :size], atol=1e-4)


def test_only_its_own_classifier_is_explained(pair, tmp_path):
    _, explainer = pair
    other = models.create(
        "speechbrain-sound-classifier", checkpoint=str(saved(tmp_path / "o", "piq-soft"))
    )
    if other.weights != explainer.weights:
        with pytest.raises(ValueError, match="expected the classifier of this very checkpoint"):
            explainer.check(other)
    with pytest.raises(ValueError, match="expected the classifier of this very checkpoint"):
        explainer.check(models.create("sound-cnn"))


def test_l2i_keeps_the_components_that_speak_for_the_class(tmp_path):
    explainer = models.create(
        "speechbrain-l2i", checkpoint=str(saved(tmp_path / "l2i", "l2i")), device="cpu"
    )
    explainer.load()
    mods = explainer._network.mods
    [clip] = noise(16_000)
    with torch.inference_mode():
        spectra, _, _ = explainer._network.preprocess(torch.from_numpy(clip[None]))
        hidden = explainer._network.classifier_forward(spectra)[0]
        found = explainer._gains(hidden, torch.tensor([1]), spectra)[0].numpy()
        strengths = mods.psi(hidden)[0][0, 0].numpy().T  # (components, frames)
    attention = mods.theta.hard_att.weight[0].detach().numpy()
    added = [
        float((row * attention[: len(row)]).sum() * weight)
        for row, weight in zip(
            strengths, mods.theta.classifier[0].weight[1].detach().numpy(), strict=True
        )
    ]
    chosen = [n for n, each in enumerate(added) if each > 0.2 * np.abs(added).max()]
    atoms = mods.nmf_decoder.return_W().detach().numpy()
    whole = atoms @ strengths
    kept = sum((np.outer(atoms[:, n], strengths[n]) for n in chosen), np.zeros_like(whole))
    np.testing.assert_allclose(found.T, kept / np.maximum(whole, 1e-8), atol=1e-4)
    with pytest.raises(FailedPrediction, match="too_long"):
        explainer.explain(noise(48_000), _own(explainer), [0], sample_rate=RATE)


def _own(explainer):
    return models.create("speechbrain-sound-classifier", checkpoint=explainer.checkpoint)


def test_between_two_places_lies_their_weighted_mean():
    values = np.array([[0.0, 10.0], [4.0, 20.0]])
    found = _lerp(values, np.array([0.25, 1.0, 9.0]), axis=0)
    np.testing.assert_allclose(found, [[1.0, 12.5], [4.0, 20.0], [4.0, 20.0]])
    np.testing.assert_allclose(_lerp(values, np.array([-1.0, 0.5]), axis=1), [[0, 5], [4, 12]])
