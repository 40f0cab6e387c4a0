"""torchaudio's CTC recognisers, on tiny networks that the library itself makes and saves here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import models
from models.adapters import torchaudio_bundles as bundles
from models.adapters.torchaudio_recognition import Wav2Vec2

LETTERS = ["-", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
RECEPTIVE = 40  # samples behind the first frame of the small wav2vec 2.0
SMALL = {
    "extractor_mode": "layer_norm",
    "extractor_conv_layer_config": [[16, 10, 5], [16, 3, 2], [16, 3, 2]],
    "extractor_conv_bias": True,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 2,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 32,
    "encoder_ff_interm_dropout": 0.1,
    "encoder_dropout": 0.1,
    "encoder_layer_norm_first": True,
    "encoder_layer_drop": 0.1,
    "aux_num_out": len(LETTERS),
}
BUCKETS = {"encoder_num_buckets": 8, "encoder_max_distance": 16}
WAVLM = SMALL | BUCKETS | {"encoder_layer_norm_first": False}
MEL = {
    "transform": "MelSpectrogram",
    "parameters": {"sample_rate": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": 20},
}
ROUTES = {
    "wav2vec2": ("wav2vec2_model", SMALL, {"normalize_waveform": True}),
    "wav2vec2-group": ("wav2vec2_model", SMALL | {"extractor_mode": "group_norm"}, {}),
    "wavlm": ("wavlm_model", WAVLM, {}),
    "deepspeech": (
        "DeepSpeech",
        {"n_feature": 20, "n_hidden": 32, "n_class": len(LETTERS)},
        {"features": MEL},
    ),
    "wav2letter": ("Wav2Letter", {"num_classes": len(LETTERS)}, {}),
    "wav2letter-mel": (
        "Wav2Letter",
        {"num_classes": len(LETTERS), "input_type": "power_spectrum", "num_features": 20},
        {"features": MEL},
    ),
}


def randomised(network, *, seed: int = 0):
    """Random weights, large enough for letters to change; a row repeated keeps big files small."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def drawn(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if "norm" in name and "parametrizations" not in name:
            return tensor
        few = tensor.shape if tensor.numel() < 200_000 else (1, 1, *tensor.shape[2:])
        scale = 0.3 if tensor.numel() < 200_000 else 0.01
        return (scale * torch.randn(few, generator=generator)).expand(tensor.shape)

    return {name: drawn(name, tensor) for name, tensor in network.state_dict().items()}


def save(folder: Path, route: str, **settings) -> Path:
    """A folder of `route`: its network with random weights, and its configuration."""
    import torch
    import torchaudio

    architecture, parameters, more = ROUTES[route]
    folder.mkdir(parents=True, exist_ok=True)
    network = getattr(torchaudio.models, architecture)(**parameters)
    torch.save(randomised(network), folder / "weights.pt")
    config = {"architecture": architecture, "parameters": parameters, "labels": LETTERS}
    config |= {"sample_rate": 16_000, **more, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """`checkpoint(route)`: a folder, made once."""
    root = tmp_path_factory.mktemp("checkpoints")
    return lambda route: str(root / route if (root / route).exists() else save(root / route, route))


def name_of(route: str) -> str:
    return f"torchaudio-{route.partition('-')[0].replace('wavlm', 'wav2vec2')}"


def made(folder: str, route: str = "wav2vec2", **parameters):
    return models.create(name_of(route), checkpoint=folder, device="cpu", **parameters)


def signals(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [
        (rng.normal(0.05, 0.1, size) * np.linspace(0.1, 1, size)).astype(np.float32)
        for size in sizes
    ]


SIZES = (16_000, 1, 0, 4_001, RECEPTIVE, 900, 16_000, 12_345)


@pytest.mark.parametrize("route", ROUTES)
def test_clips_of_any_length_are_answered_as_if_alone(route, checkpoint):
    model = made(checkpoint(route), route)
    clips = [*signals(*SIZES), np.zeros(5_000, np.float32)]
    found = model.transcribe(clips)
    assert found == [model.transcribe([clip])[0] for clip in clips]
    assert found == model.transcribe(clips[::-1])[::-1]
    assert found[2] == ""
    assert all(len(found[n]) > 3 for n in (0, 3, 6, 7))
    assert len(set(found)) > 3


@pytest.mark.parametrize(
    ("route", "padding"), [("wav2vec2", "exact"), ("wav2vec2-group", "none"), ("wavlm", "none")]
)
def test_padding_is_exact_where_a_norm_does_not_take_the_whole_clip(route, padding, checkpoint):
    import torch

    model = made(checkpoint(route), route)
    model.load()
    assert model.padding == padding
    short, long = signals(4_000, 16_000)
    batch = torch.zeros(2, len(long))
    batch[0, : len(short)], batch[1] = torch.from_numpy(short), torch.from_numpy(long)
    with torch.inference_mode():
        model._normalised = False
        alone, _ = model._scores(batch[:1, : len(short)], torch.tensor([len(short)]))
        padded, frames = model._scores(batch, torch.tensor([len(short), len(long)]))
    apart = (padded[0, : alone.shape[1]] - alone[0]).abs().max().item()
    if padding == "exact":
        assert frames[0] == alone.shape[1]
        assert apart < 1e-4
    else:
        assert apart > 1e-2


def test_scores_are_the_librarys_own(checkpoint):
    """The network of the configuration, asked by hand about a clip as it was trained to hear it."""
    import torch
    import torchaudio

    folder = Path(checkpoint("wav2vec2"))
    network = torchaudio.models.wav2vec2_model(**SMALL)
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    [clip] = signals(8_000)
    signal = torch.from_numpy(clip)[None]
    with torch.inference_mode():
        scores, _ = network.eval()(torch.nn.functional.layer_norm(signal, signal.shape))
    path = torch.unique_consecutive(scores[0].argmax(-1)).tolist()
    text = "".join(LETTERS[number] for number in path if number).replace("|", " ")
    model = made(str(folder))
    assert model.transcribe([clip]) == [" ".join(text.split())]
    assert model.transcribe([100 * clip]) == model.transcribe([clip])
    assert model.shortest == RECEPTIVE


def test_a_language_model_may_help_with_the_decoding(checkpoint, tmp_path):
    """What every CTC recogniser is given: a beam, and n-grams over it."""
    pytest.importorskip("flashlight.lib.text.decoder")
    pytest.importorskip("kenlm")
    arpa = tmp_path / "words.arpa"
    arpa.write_text(
        "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-1\t<s>\t0\n-1\t</s>\n-1\t<unk>\n"
        "-0.5\tAB\t0\n\n\\2-grams:\n-0.1\t<s> AB\n\n\\end\\\n"
    )
    model = made(checkpoint("wav2vec2"), decoder="beam", beam=5, language_model=str(arpa))
    [text] = model.transcribe(signals(8_000))
    assert set(text.split()) == {"AB"}
    assert model.weights != made(checkpoint("wav2vec2")).weights


# Bundles

BASE = "torchaudio-wav2vec2-base-960h"
FILE = "wav2vec2_fairseq_base_ls960_asr_ls960.pth"


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty cache of torch.hub, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


@pytest.fixture
def small_bundle(monkeypatch):
    """The bundle of the base model, with a small network in its place."""
    import torchaudio

    bundle = torchaudio.pipelines.WAV2VEC2_ASR_BASE_960H
    monkeypatch.setattr(bundle, "_params", SMALL | {"extractor_mode": "group_norm"})
    return bundle


def fairseq_weights(bundle):
    """Weights as they are published: with rows for three labels that nothing was trained for."""
    import torch
    import torchaudio

    state = randomised(torchaudio.models.wav2vec2_model(**bundle._params))
    for name in ("aux.weight", "aux.bias"):
        first, rest = state[name][:1], state[name][1:]
        state[name] = torch.cat([first, torch.full_like(state[name][:3], 99.0), rest])
    return state


def test_a_bundle_in_the_cache_answers_as_the_library_does(hub, small_bundle):
    import torch

    (hub / "checkpoints").mkdir(parents=True)
    torch.save(fairseq_weights(small_bundle), hub / "checkpoints" / FILE)
    clips = signals(9_000)
    network = small_bundle.get_model()
    with torch.inference_mode():
        scores, _ = network(torch.from_numpy(clips[0])[None])
    path = torch.unique_consecutive(scores[0].argmax(-1)).tolist()
    text = "".join(small_bundle.get_labels()[n] for n in path if n).replace("|", " ")
    model = models.create(BASE, device="cpu")
    assert model.sample_rate == 16_000
    assert model.transcribe(clips) == [" ".join(text.split())]
    file = hub.parent / "elsewhere.pth"
    shutil.copy(hub / "checkpoints" / FILE, file)
    other = models.create(BASE, device="cpu", checkpoint=str(file))
    assert other.transcribe(clips) == model.transcribe(clips)
    assert other.weights == model.weights


def test_every_bundle_is_one_of_the_librarys():
    import torchaudio

    from models.neural import Neural

    entries = {
        name: entry
        for name, entry in models.MODELS.items()
        if "bundle" in entry.parameters and ".torchaudio_" in entry.cls
    }
    assert len(entries) > 20
    for name, entry in entries.items():
        model = models.create(name, device="cpu")
        bundle = getattr(torchaudio.pipelines, entry.parameters["bundle"])
        assert isinstance(model, Neural)
        assert bundle.sample_rate == model.sample_rate
        assert all(key.startswith(("models/", "pipeline-assets/")) for key in model._keys(bundle))


def test_what_is_not_there_is_said_where_it_is_and_belongs(hub):
    model = models.create(BASE, device="cpu")
    where = f"https://download.pytorch.org/torchaudio/models/{FILE}"
    for ask in (model.load, lambda: model.weights):
        with pytest.raises(ValueError, match="told to stay offline") as caught:
            ask()
        said = str(caught.value)
        assert f"the file {hub / 'checkpoints' / FILE}, found none" in said
        assert where in said
        assert "checkpoint=FILE" in said
        assert "\n" not in said
    with pytest.raises(ValueError, match=f"the file {FILE} of WAV2VEC2_ASR_BASE_960H, found none"):
        models.create(BASE, device="cpu", checkpoint=str(hub / "nowhere")).load()


def test_files_are_downloaded_once(tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    source, target = tmp_path / "there" / "a.pth", tmp_path / "hub" / "a.pth"
    source.parent.mkdir()
    source.write_bytes(b"weights")
    assert bundles.fetched(source.as_uri(), target).read_bytes() == b"weights"
    source.unlink()
    assert bundles.fetched(source.as_uri(), target) == target
    with pytest.raises(ValueError, match=r"gave URLError: .*: download file:.* and put it"):
        bundles.fetched(source.as_uri(), tmp_path / "hub" / "b.pth")


# What is refused


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "expected a checkpoint, found none: say checkpoint=FOLDER"),
        ({"bundle": "WAVLM_BASE"}, "expected bundle to be 'WAV2VEC2_ASR_BASE_10M' or"),
        ({"checkpoint": "folder", "decoder": "viterbi"}, "'greedy' or 'beam', got 'viterbi'"),
    ],
)
def test_wrong_parameters_fail_at_once(parameters, text):
    with pytest.raises(ValueError, match=text):
        Wav2Vec2(**parameters)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"architecture": "Tacotron2"}, "architecture is one of wav2vec2_model, .* found"),
        ({"parameters": SMALL | {"layers": 3}}, "arguments of torchaudio.models.wav2vec2_model"),
        ({"parameters": SMALL | {"encoder_embed_dim": 32}}, "tensors of Wav2Vec2Model, found oth"),
        ({"labels": "ABC"}, "labels, a list of texts, blank first, found 'ABC'"),
        ({"labels": ["-", "|", "A"]}, "a label for each of 29 classes, found 3 labels"),
        ({"sample_rate": None}, "sample_rate in Hz, such as 16000, found None"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told(change, text, tmp_path):
    model = made(str(save(tmp_path / "folder", "wav2vec2", **change)))
    with pytest.raises(ValueError, match=text):
        model.sample_rate, model.transcribe(signals(1_000))


@pytest.mark.parametrize(
    ("route", "features", "text"),
    [
        ("deepspeech", None, "expected features, found none"),
        ("deepspeech", {"transform": "Vad"}, "a transform of MFCC, MelSpectrogram"),
        (
            "wav2letter",
            {"transform": "MFCC", "parameters": {"bins": 3}},
            "of torchaudio.transforms",
        ),
    ],
)
def test_features_that_do_not_fit_are_told(route, features, text, tmp_path):
    model = made(str(save(tmp_path / "folder", route, features=features)), route)
    with pytest.raises(ValueError, match=text):
        model.load()


def test_a_folder_without_its_files_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"a folder with config\.json and a file of tensor"):
        made(str(tmp_path / "none")).load()
    folder = save(tmp_path / "folder", "wav2vec2")
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"a JSON object with architecture .* FileNotFoundError"):
        made(str(folder)).load()
    folder = save(tmp_path / "folder", "wav2vec2")
    shutil.copy(folder / "weights.pt", folder / "more.pt")
    with pytest.raises(ValueError, match=r"one file of tensors .*, found more.pt, weights.pt"):
        made(str(folder)).load()


def test_the_fingerprint_follows_tensors_and_configuration(tmp_path):
    folder = save(tmp_path / "folder", "wav2vec2")
    before = made(str(folder)).weights
    assert before == made(str(folder)).weights
    save(folder, "wav2vec2", normalize_waveform=False)
    assert made(str(folder)).weights != before


def test_they_run_to_a_score(realear, tmp_path, checkpoint):
    for number, clip in enumerate(signals(9_000, 4_000, 12_000)):
        soundfile.write(tmp_path / f"{number}.wav", clip, 16_000)
    (tmp_path / "text.tsv").write_text("".join(f"{n}\tHELLO WORLD\n" for n in range(3)))
    work = ["--out", tmp_path / "work", "--workers", 1]
    ended = realear("prepare", tmp_path, "--name", "said", "--audio", "*.wav", "--text",
                    "text.tsv", *work[:2])  # fmt: skip
    assert ended.code == 0, ended.text
    for name, route in {
        "torchaudio-wav2vec2": "wav2vec2",
        "torchaudio-deepspeech": "deepspeech",
        "torchaudio-wav2letter": "wav2letter",
    }.items():
        folder = checkpoint(route)
        ended = realear("score", "--dataset", "said", "--model", name, "--set",
                        f"checkpoint={folder}", "--metric", "cer", *work)  # fmt: skip
        assert ended.code == 0, ended.text
        assert name in ended.text
        assert "cer" in ended.text.lower()
