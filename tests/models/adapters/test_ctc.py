"""CTC networks of transformers, on tiny checkpoints that the library itself writes here."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import models
from models.adapters.ctc import CTC, conv_frames, normalised, receptive_field
from models.decoding import greedy

LETTERS = "|ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
KERNELS, STRIDES = (10, 3, 2), (5, 2, 2)
FAMILIES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}


def save(folder: Path, family: str = "wav2vec2", norm: str = "layer", **options) -> Path:
    """A network with random weights, its tokenizer and its feature extractor."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", *LETTERS]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(vocabulary))
    extractor = transformers.Wav2Vec2FeatureExtractor(
        do_normalize=options.pop("do_normalize", True), return_attention_mask=norm == "layer"
    )
    torch.manual_seed(0)
    name = FAMILIES[family]
    sizes = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "conv_dim": (8, 8, 8),
        "intermediate_size": 32, "conv_kernel": KERNELS, "conv_stride": STRIDES,
        "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, **options,
    }  # fmt: skip
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tokens), feat_extract_norm=norm, do_stable_layer_norm=norm == "layer",
        initializer_range=0.8, pad_token_id=0, **sizes,
    )  # fmt: skip
    getattr(transformers, f"{name}ForCTC")(config).save_pretrained(folder)
    transformers.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """`checkpoint(family, norm)`: a folder, made once."""
    root, made = tmp_path_factory.mktemp("checkpoints"), {}

    def get(family: str = "wav2vec2", norm: str = "layer") -> str:
        if (family, norm) not in made:
            made[family, norm] = str(save(root / f"{family}-{norm}", family, norm))
        return made[family, norm]

    return get


def signals(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0.05, 0.1, size).astype(np.float32) for size in sizes]


def made(folder: str, **parameters) -> CTC:
    return CTC(checkpoint=folder, device="cpu", **parameters)


def answers_of(model: CTC, monkeypatch) -> list[np.ndarray]:
    """Every clip's own log-probabilities, as they reach the decoder."""
    found: list[np.ndarray] = []

    def keep(logits, frames):
        found.extend(a[:n].numpy() for a, n in zip(logits.log_softmax(-1), frames, strict=True))
        return CTC._written(model, logits, frames)

    monkeypatch.setattr(model, "_written", keep)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_with_layer_norm_a_clips_answer_does_not_hang_on_its_neighbours(
    checkpoint, family, monkeypatch
):
    model = made(checkpoint(family))
    model.load()
    assert model.padding == "exact"
    clips = [*signals(16_000, 1, 4_001, 300, 9_999), np.zeros(5_000, np.float32)]
    found = answers_of(model, monkeypatch)
    together = model.transcribe(clips)
    assert len(set(together)) > 3
    batched = found.copy()
    found.clear()
    assert [model.transcribe([clip])[0] for clip in clips] == together
    for one, other, clip in zip(batched, found, clips, strict=True):
        size = max(len(clip), receptive_field(KERNELS, STRIDES))
        assert len(one) == conv_frames(size, KERNELS, STRIDES)
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_group_norm_only_equal_lengths_share_a_batch(checkpoint, family):
    model = made(checkpoint(family, "group"))
    model.load()
    assert model.padding == "none"
    clips = signals(8_000, 3_000, 8_000, 1, 0)
    together = model.transcribe(clips)
    assert [model.transcribe([clip])[0] for clip in clips] == together
    assert together[0] != together[2]


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_texts_are_those_of_the_librarys_own_way(checkpoint, norm):
    import torch
    import transformers

    folder = checkpoint("wav2vec2", norm)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    network = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    clips = signals(9_000, 5_000)
    with torch.inference_mode():
        for clip, found in zip(clips, made(folder).transcribe(clips), strict=True):
            heard = processor(clip, sampling_rate=16_000, return_tensors="pt")
            best = network(heard.input_values).logits.argmax(-1)[0]
            theirs = re.sub("<.*?>", "", processor.decode(best))  # it would write <s>
            assert found == " ".join(theirs.split())
            assert set(found) & set(LETTERS)


def as_of_old(folder: Path, old: Path) -> Path:
    """A checkpoint as most on the hub lie: torch's own format, older names, nothing but essentials.

    Wav2vec 2.0 itself had its first tokenizers without a class.
    """
    import torch
    from safetensors.torch import load_file

    names = {"parametrizations.weight.original0": "weight_g",
             "parametrizations.weight.original1": "weight_v"}  # fmt: skip
    state = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        for new, former in names.items():
            name = name.replace(new, former)
        if "masked_spec_embed" not in name:
            state[name] = weight
    torch.save(state, old / "pytorch_model.bin")
    for name in ("config.json", "vocab.json"):
        (old / name).write_bytes((folder / name).read_bytes())
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (old / "tokenizer_config.json").write_text(json.dumps(marks | {"do_lower_case": False}))
    heard = {"do_normalize": True, "feature_size": 1, "padding_value": 0.0, "sampling_rate": 16_000}
    (old / "preprocessor_config.json").write_text(json.dumps(heard))
    return old


@pytest.mark.parametrize("family", FAMILIES)
def test_older_checkpoints_are_read_as_new_ones(checkpoint, family, tmp_path):
    clips = signals(3_000, 2_000)
    old = as_of_old(Path(checkpoint(family)), tmp_path)
    assert made(str(old)).transcribe(clips) == made(checkpoint(family)).transcribe(clips)


def test_a_pickle_that_runs_something_is_refused(checkpoint, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    old = as_of_old(Path(checkpoint()), tmp_path)
    with (old / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weights": Evil()}, file)
    with pytest.raises(
        ValueError, match=r"expected a checkpoint that transformers\.AutoModelForCTC"
    ):
        made(str(old)).load()
    assert not (tmp_path / "ran").exists()


def test_a_clip_is_normalised_over_its_own_samples():
    import torch
    import transformers

    clips = signals(900, 400)
    batch = torch.zeros(2, 900)
    batch[0], batch[1, :400] = torch.from_numpy(clips[0]), torch.from_numpy(clips[1])
    found = normalised(batch, torch.tensor([900, 400])).numpy()
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    theirs = extractor(clips, padding=True, sampling_rate=16_000, return_tensors="np")
    np.testing.assert_allclose(found, theirs.input_values, atol=1e-5)
    assert not normalised(torch.zeros(1, 50), torch.tensor([50])).any()


def test_a_checkpoint_may_ask_for_samples_as_they_are(tmp_path, checkpoint):
    raw = str(save(tmp_path / "raw", do_normalize=False))
    [clip] = signals(6_000)
    moved = 0.5 * clip + np.float32(0.25)
    assert made(raw).transcribe([clip]) != made(raw).transcribe([moved])
    model = made(checkpoint())
    assert model.transcribe([clip]) == model.transcribe([moved])


def test_silence_and_nothing(checkpoint):
    model = made(checkpoint())
    assert model.transcribe([]) == []
    assert model.transcribe([np.zeros(0, np.float32)]) == [""]
    silent = [np.zeros(size, np.float32) for size in (1, 400, 16_000)]
    assert all(isinstance(text, str) for text in model.transcribe(silent))


def test_a_beam_of_one_path_and_a_wide_one_may_differ_but_not_from_themselves(
    checkpoint, monkeypatch
):
    clips = signals(3_000, 2_000)
    model = made(checkpoint(), decoder="beam", beam=20)
    found = answers_of(model, monkeypatch)
    texts = model.transcribe(clips)
    assert texts == [model.transcribe([clip])[0] for clip in clips]
    for text, answer in zip(texts, found[:2], strict=True):
        assert model._beam.hypotheses(answer)[0][1] == text
        assert greedy(answer, model._vocabulary)


def test_what_does_not_fit_is_said(tmp_path, checkpoint):
    import transformers

    with pytest.raises(ValueError, match="expected decoder to be 'greedy' or 'beam', got 'best'"):
        CTC(checkpoint="x", decoder="best")
    with pytest.raises(ValueError, match="expected lexicon to be a file's path, with decoder=beam"):
        CTC(checkpoint="x", lexicon="words.txt")
    config = transformers.Wav2Vec2Config.from_pretrained(checkpoint())
    transformers.Wav2Vec2Model(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"found none for lm_head.bias, lm_head.weight: choose"):
        made(str(tmp_path)).load()
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModelForCTC": "evil.Net"}}')
    (tmp_path / "evil.py").write_text("raise SystemExit")
    with pytest.raises(
        ValueError, match=r"expected a checkpoint that transformers\.AutoModelForCTC"
    ):
        made(str(tmp_path)).load()


def test_language_model_and_lexicon_are_part_of_the_fingerprint(checkpoint, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("AB A B |\n")
    plain = made(checkpoint(), decoder="beam")
    with_words = made(checkpoint(), decoder="beam", lexicon=str(words))
    before = with_words.weights
    assert before != plain.weights
    words.write_text("BA B A |\n")
    assert with_words.weights not in (before, plain.weights)
    words.unlink()
    with pytest.raises(ValueError, match=r"expected a file at .*words.txt, found none"):
        _ = with_words.weights


@pytest.mark.parametrize("name", ["wav2vec2-base-960h", "hubert-large-ls960-ft"])
def test_an_entry_takes_a_folder_in_its_checkpoints_place(checkpoint, name):
    model = models.create(name, checkpoint=checkpoint(), device="cpu")
    assert [type(text) for text in model.transcribe(signals(4_000))] == [str]


def test_from_recordings_to_a_score(realear, checkpoint, tmp_path):
    model, out = made(checkpoint()), ("--out", tmp_path / "work", "--workers", 1)
    clips = [np.round(clip * 2**15) / 2**15 for clip in signals(16_000, 9_000, 400)]
    for number, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{number}.wav", clip, 16_000, subtype="PCM_16")
    [first, *_] = model.transcribe([clip.astype(np.float32) for clip in clips])
    words = [first, f"{first} MORE", "MORE"]
    table = "".join(f"{number}\t{text}\n" for number, text in enumerate(words))
    (tmp_path / "said.tsv").write_text(table)
    ended = realear("prepare", tmp_path, "--name", "said", "--audio", "*.wav", "--text", "said.tsv",
                    *out)  # fmt: skip
    assert ended.code == 0, ended.text
    given = ("--set", f"checkpoint={checkpoint()}", "--set", "device=cpu")
    ended = realear("predict", "wav2vec2-base-960h", "said", *given, *out)
    assert ended.code == 0, ended.text
    ended = realear("score", "--model", "wav2vec2-base-960h", "--dataset", "said", *given, *out)
    assert ended.code == 0, ended.text
    [scores] = (tmp_path / "work").glob("scores/*/said/wer-*/")
    rows = [row for path in scores.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    by_key = {row["key"]: row for row in rows}
    assert {row["end"] for row in rows} == {"scored"}
    assert by_key["0"]["numerator"] == 0
    assert by_key["0"]["denominator"] == len(first.split())
