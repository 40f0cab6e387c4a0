"""Open-Unmix, on tiny networks that the library itself makes, saved as its training saves them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

import models
from metrics import FailedPrediction

RATE = 8_000  # Hz
STEMS = ("bass", "drums", "other", "vocals")
SETTINGS = {"sample_rate": 8_000.0, "nfft": 256, "nhop": 64, "nb_channels": 2}


def save(folder: Path, targets: tuple[str, ...] = STEMS, channels: int = 2, **said) -> str:
    """A folder in the library's own layout, weights at random, statistics as if trained."""
    import torch
    from openunmix.model import OpenUnmix

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    args = {"nfft": 256, "nb_channels": channels, "hidden_size": 8, **said}
    for target in targets:
        network = OpenUnmix(
            nb_bins=129, nb_channels=channels, hidden_size=8, max_bin=100,
            unidirectional=said.get("unidirectional", False),
            input_mean=np.full(129, 0.3), input_scale=np.full(129, 0.5),
        )  # fmt: skip
        torch.save(network.state_dict(), folder / f"{target}.pth")
        (folder / f"{target}.json").write_text(json.dumps({"args": args, "best_loss": 1.0}))
    (folder / "separator.json").write_text(json.dumps(SETTINGS | {"nb_channels": channels}))
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("unmix")
    return {
        "music": save(root / "music"),
        "speech": save(root / "speech", ("noise", "speech"), channels=1),
        "alone": save(root / "alone", ("vocals",), unidirectional=True),
    }


def separator(folder: str, **parameters):
    return models.create("open-unmix", checkpoint=folder, device="cpu", **parameters)


def enhancer(folder: str, **parameters):
    return models.create("open-unmix-enhancer", checkpoint=folder, device="cpu", **parameters)


def signals(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0.01, 0.1, shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("iterations", [0, 2])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_clips_of_any_length_and_channels_are_parted_as_if_alone(folders, channels, iterations):
    model = separator(folders["music"], iterations=iterations)
    sizes = (9_000, 1, 0, 4_001, 128, 129, 9_000)
    clips = signals(*((channels, size) for size in sizes))
    clips.append(np.zeros((channels, 3_000), np.float32))
    found = model.separate(clips, sample_rate=RATE, sources=4)
    again = separator(folders["music"], iterations=iterations)
    for clip, estimates in zip(clips, found, strict=True):
        assert (estimates.shape, estimates.dtype) == ((4, clip.shape[-1]), np.float32)
        [alone] = again.separate([clip], sample_rate=RATE, sources=4)
        assert estimates.tobytes() == alone.tobytes()
    assert not found[-1].any()
    assert np.ptp(found[0], axis=1).all()
    assert not np.allclose(found[0][0], found[0][3], rtol=0.1)


def test_stems_are_the_librarys_own(folders):
    import torch
    from openunmix.utils import load_separator

    library = load_separator(folders["music"], targets=list(STEMS), niter=2).eval()
    [clip] = signals((2, 30_000))  # more than one stretch of 300 frames
    with torch.inference_mode():
        expected = library(torch.from_numpy(clip)[None])[0].mean(dim=1).numpy()
    [found] = separator(folders["music"], iterations=2).separate(
        [clip], sample_rate=RATE, sources=4
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_padding_would_change_it(folders):
    """Why padding is "none": the recurrent layers hear a clip from its end, too."""
    model = enhancer(folders["speech"])
    [clip] = signals((4_000,))
    [alone] = model.enhance([clip], sample_rate=RATE)
    [padded] = model.enhance([np.pad(clip, (0, 4_000))], sample_rate=RATE)
    assert np.abs(padded[:4_000] - alone).max() > 0.001 * np.abs(alone).max()
    assert model.padding == "none"


@pytest.mark.parametrize("target", ["speech", "noise"])
def test_an_enhancer_answers_one_target(folders, target):
    model = enhancer(folders["speech"], target=target)
    clips = [*signals((5_000,), (1,), (0,), (700,)), np.zeros(900, np.float32)]
    found = model.enhance(clips, sample_rate=RATE)
    number = ("noise", "speech").index(target)
    parts = separator(folders["speech"]).separate(
        [clip[None] for clip in clips], sample_rate=RATE, sources=2
    )
    for clip, answer, expected in zip(clips, found, parts, strict=True):
        assert answer.shape == clip.shape
        assert answer.tobytes() == expected[number].tobytes()
    assert not found[-1].any()


def test_what_the_targets_leave_is_one_more_signal(folders):
    """Of one target that only looks back, too."""
    [clip] = signals((2, 6_000))
    model = separator(folders["alone"], residual=True, iterations=0)
    [found] = model.separate([clip], sample_rate=RATE, sources=2)
    np.testing.assert_allclose(found.sum(axis=0), clip.mean(axis=0), atol=1e-5)
    assert np.ptp(found, axis=1).all()
    [refined] = separator(folders["alone"], residual=True).separate(
        [clip], sample_rate=RATE, sources=2
    )
    assert not np.allclose(refined, found, atol=1e-4)
    with pytest.raises(ValueError, match="vocals alone: say residual=true or iterations=0"):
        separator(folders["alone"]).load()


def test_the_bundles_are_the_librarys(tmp_path, monkeypatch):
    """The same files from the same addresses, read where torch's hub keeps them."""
    import openunmix
    import torch

    from models.adapters.open_unmix import BUNDLES

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked: list[str] = []
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda url, **_: asked.append(url) or {}
    )
    for name, published in BUNDLES.items():
        model = models.create(name, device="cpu")
        with pytest.raises(ValueError, match=f"download https.*/{published.record}/"):
            model.load()
        if name != "umxl":  # 100 MB of random numbers
            asked.clear()
            library = getattr(openunmix, name)()
            assert int(library.sample_rate) == model.sample_rate
            wanted = [
                f"https://zenodo.org/records/{published.record}/files/{file}"
                for file in published.files
            ]
            assert sorted(asked) == sorted(wanted)


def test_a_bundle_in_the_cache_answers_as_the_library_does(tmp_path, monkeypatch):
    import openunmix
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    library = openunmix.umxse(pretrained=False).eval()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    for target, name in (("speech", "speech_f5e0d9f9.pth"), ("noise", "noise_04a6fc2d.pth")):
        state = library.target_models[target].state_dict() | {"stft.window": torch.ones(3)}
        torch.save(state, tmp_path / "hub/checkpoints" / name)
    [clip] = signals((5_000,))
    with torch.inference_mode():
        expected = library(torch.from_numpy(clip)[None, None])[0, 0, 0].numpy()
    model = models.create("umxse", device="cpu")
    [found] = model.enhance([clip], sample_rate=16_000)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    local = models.create("umxse", checkpoint=str(tmp_path / "hub/checkpoints"), device="cpu")
    assert local.weights == model.weights


def test_another_number_of_sources_is_a_failure_and_another_rate_is_refused(folders):
    with pytest.raises(FailedPrediction, match="parts 4 sources, the clip has 2") as caught:
        separator(folders["music"]).separate(signals((2, 90)), sample_rate=RATE, sources=2)
    assert caught.value.reason == "wrong_sources"
    with pytest.raises(ValueError, match="expected 8000 Hz, got 16000; resample first"):
        separator(folders["music"]).separate([], sample_rate=16_000, sources=4)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"checkpoint": ""}, "expected a checkpoint, found none: say checkpoint=FOLDER"),
        ({"bundle": "umx3"}, "expected bundle to be 'umx' or 'umxhq' or 'umxl' or 'umxse'"),
        ({"iterations": -1}, "expected iterations to be a whole number from 0 to 100"),
        ({"residual": 1}, "expected residual to be False or True"),
    ],
)
def test_wrong_parameters_fail_at_once(parameters, text):
    with pytest.raises(ValueError, match=text):
        models.create("open-unmix", **{"checkpoint": "folder", **parameters})


class Bomb:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_folder_that_does_not_fit_is_told(tmp_path, monkeypatch, folders):
    import torch

    monkeypatch.chdir(tmp_path)
    changes = {
        "no such folder": (None, "expected a folder with separator.json"),
        "no targets": (lambda at: [path.unlink() for path in at.glob("*s.json")], "no target"),
        "no tensors": (lambda at: (at / "vocals.pth").unlink(), "one file vocals.pth, found none"),
        "words": (lambda at: (at / "separator.json").write_text("so"), "found JSONDecodeError"),
        "a number": (lambda at: (at / "separator.json").write_text("7"), "JSON object, found 7"),
        "no rate": (lambda at: (at / "separator.json").write_text("{}"), "numbers for sample_rate"),
        "no size": (lambda at: (at / "vocals.json").write_text("{}"), "expected args with hidden"),
        "another's": (
            lambda at: torch.save({"input_mean": torch.ones(9)}, at / "vocals.pth"),
            "expected the tensors of OpenUnmix, found others",
        ),
        "a pickle": (lambda at: torch.save({"a": Bomb()}, at / "vocals.pth"), "tensors alone"),
    }
    for name, (change, text) in changes.items():
        folder = tmp_path / name
        if change:
            change(Path(save(folder, ("drums", "vocals"))))
        with pytest.raises(ValueError, match=text):
            separator(str(folder)).load()
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(ValueError, match=r"a target of noise, speech, found 'vocals': say target="):
        enhancer(folders["speech"], target="vocals").load()


def test_files_may_carry_a_part_of_their_hash(tmp_path):
    folder = Path(save(tmp_path / "hashed", ("drums", "drums_2")))
    (folder / "drums.pth").rename(folder / "drums-0123abcd.pth")
    model = separator(str(folder))
    before = model.weights
    assert model.separate(signals((2, 900)), sample_rate=RATE, sources=2)[0].shape == (2, 900)
    (folder / "drums-0123abcd.pth").write_bytes(b"other")
    assert model.weights != before


def test_they_run_to_a_score(realear, tmp_path, folders):
    options = [word for n, _ in enumerate(STEMS, 1) for word in ("--source", f"s{n}/{{stem}}.wav")]
    for folder in ("mix", *(f"s{n}" for n in range(1, 5))):
        (tmp_path / folder).mkdir()
    for name, samples in (("a", 4_000), ("b", 6_000)):
        parts = signals(*[(samples,)] * 4)
        for number, part in enumerate(parts, 1):
            soundfile.write(tmp_path / f"s{number}/{name}.wav", part, RATE)
        soundfile.write(tmp_path / f"mix/{name}.wav", sum(parts), RATE)
    out = ["--out", tmp_path / "work"]
    for command in (
        ["--name", "mixed", "--audio", "mix/*.wav", *options],
        ["--name", "noisy", "--audio", "mix/*.wav", "--clean", "s1/{stem}.wav"],
    ):
        ended = realear("prepare", tmp_path, *command, *out)
        assert ended.code == 0, ended.text
    for dataset, name, folder in (
        ("mixed", "open-unmix", "music"),
        ("noisy", "open-unmix-enhancer", "speech"),
    ):
        ended = realear("score", "--dataset", dataset, "--model", name, "--metric", "si_snr",
                        "--set", f"checkpoint={folders[folder]}", *out, "--workers", 1)  # fmt: skip
        assert ended.code == 0, ended.text
        assert name in ended.text
