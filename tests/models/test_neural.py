"""What every network in torch is given by its base, on a network made here."""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from models.neural import Neural, Pretrained, hash_folder, load_weights, require


@dataclass(kw_only=True)
class Smoother(Neural):
    """A convolution over 5 samples, and how large the batch was that a clip came in."""

    task = "enhancement"
    version = "1"
    shortest = 5

    def _build(self):
        import torch

        torch.manual_seed(0)
        self.batches: list[tuple[int, ...]] = []
        return torch.nn.Conv1d(1, 1, 5, padding=2)

    def _compute(self, batch, lengths):
        self.batches.append(tuple(batch.shape))
        assert batch.dtype.is_floating_point
        return list(self._network(batch[:, None])[:, 0].float().cpu().numpy())

    def enhance(self, signals, *, sample_rate):
        found = self._answers(signals, empty=lambda clip: clip)
        return [answer[: len(clip)] for answer, clip in zip(found, signals, strict=True)]


def signals(*sizes):
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def test_without_exact_padding_equal_lengths_share_a_batch():
    model = Smoother(device="cpu")
    given = signals(100, 50, 0, 100, 3)
    found = model.enhance(given, sample_rate=8_000)
    assert sorted(model.batches) == [(1, 5), (1, 50), (2, 100)]
    assert [len(answer) for answer in found] == [100, 50, 0, 100, 3]
    alone = [model.enhance([clip], sample_rate=8_000)[0] for clip in given]
    for together, single in zip(found, alone, strict=True):
        np.testing.assert_allclose(together, single, atol=1e-6)


def test_with_exact_padding_all_do():
    model = Smoother(device="cpu")
    model.padding = "exact"
    model.enhance(signals(100, 50, 3), sample_rate=8_000)
    assert model.batches == [(3, 100)]


def test_warming_up_loads_and_computes():
    model = Smoother(device="cpu")
    model.warm_up()
    assert model.batches == [(1, 16_000)]


def test_lower_precision_is_used_and_in_the_fingerprint():
    from models import fingerprint, record

    exact, coarse = Smoother(device="cpu"), Smoother(device="cpu", precision="bfloat16")
    clips = signals(400, 300, 400)
    one, other = (model.enhance(clips, sample_rate=8_000) for model in (exact, coarse))
    assert 0 < np.abs(one[0] - other[0]).max() < 0.01
    for clip, together in zip(clips, other, strict=True):
        [alone] = coarse.enhance([clip], sample_rate=8_000)
        np.testing.assert_allclose(together, alone, atol=0.01)
    assert record(coarse, "x")["precision"] == "bfloat16"
    assert fingerprint(exact, "x") != fingerprint(coarse, "x")


def test_float32_is_not_tf32_on_a_gpu():
    import torch

    parts = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [part.allow_tf32 for part in parts]
    try:
        for part in parts:
            part.allow_tf32 = True
        Smoother(device="cpu").load()
        assert not any(part.allow_tf32 for part in parts)
    finally:
        for part, value in zip(parts, before, strict=True):
            part.allow_tf32 = value


@pytest.mark.parametrize("wrong", [{"device": "gpu"}, {"precision": "int8"}])
def test_a_wrong_word_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match="expected"):
        Smoother(**wrong)


def test_a_gpu_that_is_not_there_is_told():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match="found none: say device=cpu"):
        Smoother(device="cuda").load()


class Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_is_not_run(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(ValueError, match="expected tensors alone, found UnpicklingError"):
        load_weights(tmp_path / "bomb.pt")
    assert not (tmp_path / "exploded").exists()


def test_tensors_are_loaded_from_either_format(tmp_path):
    import torch
    from safetensors.torch import save_file

    weights = {"a": torch.arange(3.0)}
    torch.save(weights, tmp_path / "a.pt")
    save_file(weights, tmp_path / "a.safetensors")
    for path in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        assert load_weights(path)["a"].tolist() == [0.0, 1.0, 2.0]
    (tmp_path / "b.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="expected tensors alone"):
        load_weights(tmp_path / "b.safetensors")


def test_the_hash_of_a_folder_is_of_names_and_bytes_and_not_of_words(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"1")
    first = hash_folder(tmp_path)
    (tmp_path / "README.md").write_text("about it")
    (tmp_path / ".cache/hub").mkdir(parents=True)
    (tmp_path / ".cache/hub/a.metadata").write_text("when it was fetched")
    assert hash_folder(tmp_path) == first
    (tmp_path / "a.bin").rename(tmp_path / "b.bin")
    second = hash_folder(tmp_path)
    (tmp_path / "b.bin").write_bytes(b"2")
    assert len({first, second, hash_folder(tmp_path)}) == 3
    assert hash_folder(tmp_path / "b.bin") != hash_folder(tmp_path)


def test_a_checkpoint_that_cannot_be_had_is_told_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    @dataclass(kw_only=True)
    class Loaded(Pretrained):
        task = "recognition"
        version = "1"

    model = Loaded(checkpoint="somebody/something", revision="v1")
    with pytest.raises(ValueError, match=r"run `hf download somebody/something --revision v1`"):
        _ = model.weights


def test_a_library_that_is_not_there_is_told_with_its_extra():
    with pytest.raises(ValueError, match=r"pip install 'realear\[transformers\]'"):
        require("no_such_library", "transformers")
