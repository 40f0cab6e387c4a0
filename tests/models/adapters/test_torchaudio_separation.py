"""torchaudio's separators, on tiny networks that the library itself makes and saves here."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import models
from metrics import FailedPrediction
from pipelines.batches import packed

TASNET = {
    "enc_num_feats": 16,
    "msk_num_feats": 8,
    "msk_num_hidden_feats": 16,
    "msk_num_layers": 3,
    "msk_num_stacks": 2,
    "msk_activate": "relu",
}
STEMS = ["drums", "bass", "other", "vocals"]
DEMUCS = {"sources": STEMS, "channels": 4, "growth": 1, "nfft": 1024, "depth": 5, "norm_groups": 2}
DEMUCS |= {"dconv_attn": 5, "dconv_lstm": 5}
NAMES = {"ConvTasNet": "torchaudio-conv-tasnet", "HDemucs": "torchaudio-hdemucs"}


def save(folder: Path, architecture: str, parameters: dict, **settings) -> str:
    import torch
    import torchaudio
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    network = getattr(torchaudio.models, architecture)(**parameters)
    save_file(network.state_dict(), folder / "weights.safetensors")
    config = {"architecture": architecture, "parameters": parameters, "sample_rate": 8_000}
    (folder / "config.json").write_text(json.dumps(config | settings))
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("separators")
    return {
        "ConvTasNet": save(root / "two", "ConvTasNet", TASNET | {"num_sources": 2}),
        "three": save(root / "three", "ConvTasNet", TASNET | {"num_sources": 3}),
        "HDemucs": save(root / "stems", "HDemucs", DEMUCS),
    }


def made(folders, architecture: str, folder: str | None = None, **parameters):
    checkpoint = folders[folder or architecture]
    return models.create(NAMES[architecture], checkpoint=checkpoint, device="cpu", **parameters)


def signals(*sizes: int, channels: int | None = None) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = [(size,) if channels is None else (channels, size) for size in sizes]
    return [rng.normal(0.01, 0.1, shape).astype(np.float32) for shape in shapes]


SIZES = (8_000, 1, 0, 4_001, 15, 17, 8_000)


@pytest.mark.parametrize("sources", [2, 3])
def test_conv_tasnet_answers_every_length_as_if_alone(folders, sources):
    model = made(folders, "ConvTasNet", "three" if sources == 3 else None)
    clips = [*signals(*SIZES), np.zeros(3_000, np.float32)]
    found = model.separate(clips, sample_rate=8_000, sources=sources)
    for clip, estimates in zip(clips, found, strict=True):
        assert estimates.shape == (sources, len(clip))
        assert estimates.dtype == np.float32
        [alone] = model.separate([clip], sample_rate=8_000, sources=sources)
        np.testing.assert_allclose(estimates, alone, atol=1e-6)
    assert not found[-1].any()
    assert np.ptp(found[0], axis=1).all()
    assert not np.allclose(found[0][0], found[0][1], rtol=0.1)


def test_conv_tasnet_is_the_librarys_own(folders):
    import torch
    import torchaudio
    from safetensors.torch import load_file

    network = torchaudio.models.ConvTasNet(num_sources=2, **TASNET)
    network.load_state_dict(load_file(f"{folders['ConvTasNet']}/weights.safetensors"))
    [clip] = signals(5_000)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(clip)[None, None])[0].numpy()
    [found] = made(folders, "ConvTasNet").separate([clip], sample_rate=8_000, sources=2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("architecture", NAMES)
def test_in_sixteen_bits_it_is_another_model_with_about_the_same_answers(folders, architecture):
    exact, coarse = (
        made(folders, architecture, precision=each) for each in ("float32", "bfloat16")
    )
    shape = {"ConvTasNet": (4_000,), "HDemucs": (2, 4_000)}[architecture]
    sources = {"ConvTasNet": 2, "HDemucs": 4}[architecture]
    clips = list(np.random.default_rng(0).normal(0, 0.1, (3, *shape)).astype(np.float32))
    wanted, found = (
        model.separate(clips, sample_rate=8_000, sources=sources) for model in (exact, coarse)
    )
    for clip, one, other in zip(clips, wanted, found, strict=True):
        [alone] = coarse.separate([clip], sample_rate=8_000, sources=sources)
        size = np.abs(one).max()
        assert 1e-4 * size < np.abs(one - other).max() < 0.05 * size
        assert np.abs(other - alone).max() < 0.05 * size
        assert other.dtype == np.float32
    assert models.fingerprint(exact, "x") != models.fingerprint(coarse, "x")


def test_padding_would_change_it_and_the_runner_does_not_pad(folders):
    """Why padding is "none": zeros behind a clip move the norm over its whole length."""
    model = made(folders, "ConvTasNet")
    short, long = signals(4_000, 8_000)
    [alone] = model.separate([short], sample_rate=8_000, sources=2)
    padded = np.pad(short, (0, 4_000))
    [moved] = model.separate([padded], sample_rate=8_000, sources=2)
    assert np.abs(moved[:, :4_000] - alone).max() > 0.05 * np.abs(alone).max()
    together = model.separate([short, long], sample_rate=8_000, sources=2)
    np.testing.assert_allclose(together[0], alone, atol=1e-6)
    assert model.padding == "none"
    assert len(packed([4_000, 8_000], 100_000)) == 2


@pytest.mark.parametrize(("channels", "heard"), [(2, 2), (1, 2), (3, 2)])
def test_demucs_parts_clips_of_any_length_and_channels(folders, channels, heard):
    model = made(folders, "HDemucs", segment_seconds=0.5)
    clips = [*signals(9_000, 1, 0, 4_000, 700, channels=channels), np.zeros((channels, 3_000))]
    found = model.separate(clips, sample_rate=8_000, sources=4)
    for clip, estimates in zip(clips, found, strict=True):
        assert estimates.shape == (4, clip.shape[-1])
        assert estimates.dtype == np.float32
        [alone] = model.separate([clip], sample_rate=8_000, sources=4)
        assert estimates.tobytes() == alone.tobytes()
    assert not found[-1].any()
    assert np.ptp(found[0], axis=1).all()
    if channels != heard:
        mono = np.tile(clips[0].astype(float).mean(axis=0), (2, 1)).astype(np.float32)
        [down] = model.separate([mono], sample_rate=8_000, sources=4)
        np.testing.assert_allclose(found[0], down, atol=1e-6)


def test_demucs_within_one_segment_is_the_librarys_own(folders):
    import torch
    import torchaudio
    from safetensors.torch import load_file

    network = torchaudio.models.HDemucs(**DEMUCS)
    network.load_state_dict(load_file(f"{folders['HDemucs']}/weights.safetensors"))
    [clip] = signals(6_000, channels=2)
    mono = clip.astype(float).mean(axis=0)
    heard = ((clip - mono.mean()) / mono.std()).astype(np.float32)
    with torch.inference_mode():
        stems = network.eval()(torch.from_numpy(heard)[None])[0].mean(dim=1).numpy()
    model = made(folders, "HDemucs", segment_seconds=0.75)  # 6,000 samples
    [found] = model.separate([clip], sample_rate=8_000, sources=4)
    np.testing.assert_allclose(found, stems * mono.std() + mono.mean(), atol=1e-5)


def test_long_clips_are_put_together_without_a_seam(folders, monkeypatch):
    """With a network that only weighs its input, segments must add up to the whole."""
    import torch

    class Weighing(torch.nn.Module):
        nfft, audio_channels, sources = 1024, 2, STEMS

        def forward(self, batch):
            weights = torch.arange(1.0, 5.0)[None, :, None, None]
            return weights * batch[:, None]

    model = made(folders, "HDemucs", segment_seconds=0.5, overlap=0.25)
    model.load()
    model._network = Weighing()
    [clip] = signals(10_001, channels=2)
    [found] = model.separate([clip], sample_rate=8_000, sources=4)
    mono = clip.mean(axis=0)
    expected = np.arange(1, 5)[:, None] * (mono - mono.mean()) + mono.mean()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("architecture", NAMES)
def test_another_number_of_sources_is_a_failure(folders, architecture):
    channels = 2 if architecture == "HDemucs" else None
    with pytest.raises(FailedPrediction, match=r"parts . sources, the clip has 5") as caught:
        made(folders, architecture).separate(
            signals(900, channels=channels), sample_rate=8_000, sources=5
        )
    assert caught.value.reason == "wrong_sources"


@pytest.mark.parametrize("architecture", NAMES)
def test_another_rate_is_refused(folders, architecture):
    with pytest.raises(ValueError, match="expected 8000 Hz, got 16000; resample first"):
        made(folders, architecture).separate([], sample_rate=16_000, sources=2)


def test_wrong_parameters_fail_at_once(folders):
    with pytest.raises(ValueError, match=r"overlap to be a number from 0 to 0\.5, got 1"):
        made(folders, "HDemucs", overlap=1)
    with pytest.raises(ValueError, match=r"segment_seconds to be a number from 0\.5 to 600, got 0"):
        made(folders, "HDemucs", segment_seconds=0)


def test_the_bundles_are_the_librarys(tmp_path, monkeypatch):
    """The published architecture, from the place where torchaudio keeps its files."""
    import torch
    import torchaudio

    bundle = torchaudio.pipelines.CONVTASNET_BASE_LIBRI2MIX
    monkeypatch.setattr(
        bundle, "_model_factory_func", lambda: torchaudio.models.ConvTasNet(2, **TASNET)
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    where = tmp_path / "hub/torchaudio/models/conv_tasnet_base_libri2mix.pt"
    where.parent.mkdir(parents=True)
    torch.save(bundle._model_factory_func().state_dict(), where)
    [clip] = signals(2_000)
    with torch.inference_mode():
        expected = bundle.get_model()(torch.from_numpy(clip)[None, None])[0].numpy()
    model = models.create("torchaudio-conv-tasnet-libri2mix", device="cpu")
    [found] = model.separate([clip], sample_rate=8_000, sources=2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("architecture", NAMES)
def test_they_run_to_a_score(realear, tmp_path, folders, architecture):
    sources = 4 if architecture == "HDemucs" else 2
    options = []
    for number in range(sources):
        (tmp_path / f"s{number + 1}").mkdir()
        options += ["--source", f"s{number + 1}/{{stem}}.wav"]
    (tmp_path / "mix").mkdir()
    for name, samples in (("a", 4_000), ("b", 6_000), ("c", 4_000)):
        parts = signals(*[samples] * sources)
        for number, part in enumerate(parts):
            soundfile.write(tmp_path / f"s{number + 1}/{name}.wav", part, 8_000)
        soundfile.write(tmp_path / f"mix/{name}.wav", sum(parts), 8_000)
    work = ["--out", tmp_path / "work", "--workers", 1]
    ended = realear("prepare", tmp_path, "--name", "mixed", "--audio", "mix/*.wav", *options,
                    *work[:2])  # fmt: skip
    assert ended.code == 0, ended.text
    name, checkpoint = NAMES[architecture], f"checkpoint={folders[architecture]}"
    ended = realear("score", "--dataset", "mixed", "--model", name, "--set", checkpoint,
                    "--metric", "si_snri", *work)  # fmt: skip
    assert ended.code == 0, ended.text
    assert name in ended.text
