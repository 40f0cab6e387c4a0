"""Whisper on a tiny checkpoint with windows of two seconds, written here by transformers itself."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import models
from models.adapters.whisper import Whisper

RATE = 16_000
WINDOW = 2 * RATE  # samples
ENDS, STARTS = "<|endoftext|>", "<|startoftranscript|>"
LANGUAGES = ("<|en|>", "<|de|>")
TASKS = {"transcribe": "<|transcribe|>", "translate": "<|translate|>"}
OTHERS = ("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
MARKS = [ENDS, STARTS, *LANGUAGES, *TASKS.values(), *OTHERS]


def save(folder, *, multilingual: bool = True) -> str:
    """A network with random weights over bytes, Whisper's marks and time stamps."""
    import torch
    import transformers
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = {letter: n for n, letter in enumerate(bytes_to_unicode().values())}
    tokenizer = transformers.WhisperTokenizer(vocab=letters, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS[1:]})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(101)])
    mark = dict(zip(MARKS, tokenizer.convert_tokens_to_ids(MARKS), strict=True))
    ids = {f"{name}_token_id": mark[ENDS] for name in ("bos", "eos", "pad")}
    ids["decoder_start_token_id"] = mark[STARTS]
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_source_positions=100, max_target_positions=24, init_std=1.0,
        **ids,
    )  # fmt: skip
    network = transformers.WhisperForConditionalGeneration(config)
    known = {
        "lang_to_id": {name: mark[name] for name in LANGUAGES},
        "task_to_id": {task: mark[name] for task, name in TASKS.items()},
    }
    network.generation_config = transformers.GenerationConfig(
        is_multilingual=multilingual, max_length=24, max_initial_timestamp_index=50,
        no_timestamps_token_id=mark["<|notimestamps|>"], prev_sot_token_id=mark["<|startofprev|>"],
        return_timestamps=False, suppress_tokens=[1, 2], begin_suppress_tokens=[220, mark[ENDS]],
        **ids, **(known if multilingual else {}),
    )  # fmt: skip
    extractor = transformers.WhisperFeatureExtractor(chunk_length=2)
    transformers.WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    network.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def english(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("english"), multilingual=False)


@pytest.fixture(scope="module")
def greedy(checkpoint) -> Whisper:
    return made(checkpoint)


def made(folder: str, **parameters) -> Whisper:
    return Whisper(checkpoint=folder, device="cpu", **parameters)


def signals(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    tones = [rng.uniform(0.02, 0.4) for _ in sizes]
    return [
        (0.3 * np.sin(tone * np.arange(size)) + rng.normal(0, 0.05, size)).astype(np.float32)
        for tone, size in zip(tones, sizes, strict=True)
    ]


SIZES = (RATE, 1, 4_001, 300, WINDOW, 9_999, WINDOW + 1, 3 * RATE)


@pytest.mark.parametrize(
    "parameters", [{}, {"beams": 3}, {"language": "de"}, {"fallback": True}], ids=str
)
def test_a_clips_text_does_not_hang_on_its_neighbours(checkpoint, parameters):
    model = made(checkpoint, **parameters)
    assert model.padding == "exact"
    clips = [*signals(*SIZES), np.zeros(5_000, np.float32), np.zeros(0, np.float32)]
    together = model.transcribe(clips)
    assert len(set(together[:8])) > 5
    assert together[-1] == ""
    backwards = model.transcribe(clips[::-1])[::-1]
    assert backwards == together
    assert [model.transcribe([clip])[0] for clip in clips] == together


def test_fallback_samples_from_a_seed_of_its_own(checkpoint, greedy):
    import torch

    clips = signals(RATE, 5_000, 20_000)
    model, answers = made(checkpoint, fallback=True), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        answers.append(model.transcribe(clips))
        assert torch.initial_seed() == seed
    assert answers[0] == answers[1] != greedy.transcribe(clips)


def test_padding_leaves_no_trace_in_the_log_mel_spectrum(checkpoint, greedy):
    """Zeros behind a clip in a batch and zeros up to the window are the same zeros."""
    greedy.load()
    extractor = greedy._processor.feature_extractor
    short, long = signals(4_001, WINDOW)
    options = {"sampling_rate": RATE, "return_tensors": "np"}
    alone = extractor([short], **options)["input_features"][0]
    beside = extractor([long, short], **options)["input_features"][1]
    np.testing.assert_allclose(beside, alone, atol=1e-5)


def test_a_clip_of_a_window_is_answered_as_the_library_does(checkpoint, greedy):
    import torch
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(checkpoint)
    network = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(checkpoint).eval()
    for clip in signals(RATE, 9_999):
        heard = processor(clip, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            ids = network.generate(heard, task="transcribe", do_sample=False, num_beams=1)
        [theirs] = processor.batch_decode(ids, skip_special_tokens=True)
        assert greedy.transcribe([clip]) == [theirs.strip()]


def test_a_longer_clip_is_heard_to_its_end_window_by_window(greedy):
    greedy.load()
    heard = []
    hook = greedy._network.model.encoder.register_forward_hook(
        lambda encoder, asked, found: heard.append(found.last_hidden_state.shape[1])
    )
    [clip] = signals(3 * RATE)
    [text] = greedy.transcribe([clip])
    hook.remove()
    assert len(heard) > 1
    assert set(heard) == {100}  # frames of 20 ms: windows of 2 s
    [shorter] = greedy.transcribe([clip[: WINDOW + RATE // 4]])
    assert text != shorter


def test_the_language_is_asked_for_and_the_task_is_to_transcribe(checkpoint, monkeypatch):
    asked = []
    model = made(checkpoint, language="de", beams=2)
    model.load()
    generate = model._network.generate
    monkeypatch.setattr(
        model._network, "generate", lambda *a, **k: asked.append(k) or generate(*a, **k)
    )
    model.transcribe(signals(RATE, WINDOW + RATE))
    expected = {"language": "de", "task": "transcribe", "num_beams": 2, "do_sample": False}
    assert asked == [{**expected, "return_timestamps": long} for long in (True, False)]


def test_a_language_changes_the_answer(checkpoint, greedy):
    clips = signals(RATE, 9_999, 20_000)
    answers = {language: made(checkpoint, language=language).transcribe(clips) for language in
               ("en", "de")}  # fmt: skip
    assert answers["en"] != answers["de"]
    heard = greedy.transcribe(clips)
    for text, *told in zip(heard, *answers.values(), strict=True):
        assert text in told


def test_english_alone_is_told_no_language(english):
    clips = signals(RATE, WINDOW + 1)
    plain = made(english).transcribe(clips)
    assert plain == made(english, language="en").transcribe(clips)
    with pytest.raises(ValueError, match=r"expected no language but 'en', for it knows English"):
        made(english, language="de").load()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"language": "German"}, "expected language to be a code such as 'en', got 'German'"),
        ({"beams": 0}, "expected beams to be a whole number from 1 to 100, got 0"),
        ({"fallback": 1}, "expected fallback to be False or True, got 1"),
    ],
)
def test_a_wrong_parameter_is_told_at_once(parameters, message):
    with pytest.raises(ValueError, match=message):
        Whisper(checkpoint="nowhere", **parameters)


def test_a_language_that_the_checkpoint_does_not_know_is_told_on_loading(checkpoint):
    with pytest.raises(ValueError, match=r"expected a language of de, en, got 'fr'"):
        made(checkpoint, language="fr").load()


def test_batches_are_bounded_by_windows_not_by_seconds_of_sound(greedy, monkeypatch):
    greedy.load()
    sizes = []
    generate = greedy._network.generate

    def count(features, **options):
        sizes.append(len(features))
        return generate(features, **options)

    monkeypatch.setattr(greedy._network, "generate", count)
    greedy.transcribe(signals(*[100] * 70))
    assert sizes == [60, 10]  # 120 s of windows of 2 s
    assert greedy.padded_to == 2.0
    assert models.create("whisper-tiny").padded_to == 30.0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_spectrum_is_never_computed_in_less_than_32_bits(checkpoint, precision, monkeypatch):
    import torch

    model = made(checkpoint, precision=precision)
    model.load()
    extractor = model._processor.feature_extractor
    [clip] = signals(RATE)
    plain = extractor([clip], sampling_rate=RATE, return_tensors="pt")["input_features"]
    heard = []
    generate = model._network.generate
    monkeypatch.setattr(
        model._network, "generate", lambda f, **k: heard.append(f) or generate(f, **k)
    )
    model.transcribe([clip])
    torch.testing.assert_close(heard[0], plain, atol=1e-6, rtol=0)


def test_from_recordings_to_a_score(realear, checkpoint, greedy, tmp_path):
    out = ("--out", tmp_path / "work", "--workers", 1)
    clips = [np.round(clip * 2**15) / 2**15 for clip in signals(RATE, WINDOW + 4_000)]
    for number, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{number}.wav", clip, RATE, subtype="PCM_16")
    (tmp_path / "said.tsv").write_text("0\tone two\n1\tthree\n")
    ended = realear("prepare", tmp_path, "--name", "said", "--audio", "*.wav", "--text", "said.tsv",
                    *out)  # fmt: skip
    assert ended.code == 0, ended.text
    given = ("--set", f"checkpoint={checkpoint}", "--set", "device=cpu")
    ended = realear("score", "--model", "whisper-tiny", "--dataset", "said", *given, *out)
    assert ended.code == 0, ended.text
    [scores] = (tmp_path / "work").glob("scores/*/said/wer-*/")
    rows = [row for path in scores.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {row["key"]: row["end"] for row in rows} == {"0": "scored", "1": "scored"}
    assert {row["key"]: row["denominator"] for row in rows} == {"0": 2, "1": 1}


@pytest.mark.parametrize("name", ["whisper-tiny.en", "distil-whisper-large-v3"])
def test_an_entry_takes_a_folder_in_its_checkpoints_place(english, name):
    model = models.create(name, checkpoint=english, device="cpu")
    assert [type(text) for text in model.transcribe(signals(4_000))] == [str]
