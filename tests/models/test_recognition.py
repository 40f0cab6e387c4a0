"""PocketSphinx on real speech: close to the truth, and the same in any order."""

import time

import jiwer
import numpy as np
import pytest
import soundfile

from models import create


@pytest.fixture(scope="module")
def sentences(recordings):
    folder = recordings / "read-sentences"
    lines = (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    signals = [soundfile.read(folder / f"{key}.wav", dtype="float32")[0] for key, _ in pairs]
    return signals, [text for _, text in pairs]


@pytest.fixture(scope="module")
def wide():
    return create("pocketsphinx")


def test_a_clear_sentence_is_heard_word_by_word(wide, sentences):
    signals, texts = sentences
    assert wide.transcribe([signals[5]]) == [texts[5]] == ["the pencils have all been used"]


def test_the_order_of_clips_does_not_matter_and_most_words_are_right(wide, sentences):
    signals, texts = [part[:6] for part in sentences]
    forwards = wide.transcribe(signals)
    assert wide.transcribe(signals[::-1])[::-1] == forwards
    assert jiwer.wer(texts, forwards) < 0.45


def test_a_narrow_beam_is_faster_and_worse(recordings, wide):
    folder = recordings / "card-commands"
    clips = [soundfile.read(folder / f"00{n}.wav", dtype="float32")[0] for n in (1, 2, 4, 5)]
    texts = ["ten of clubs", "four queen of clubs", "five five"]
    texts.append("eight of spades four of clubs seven of hearts")
    seconds, errors = [], []
    for model in (wide, create("pocketsphinx-narrow")):
        model.load()
        start = time.process_time()
        errors.append(jiwer.wer(texts, model.transcribe(clips)))
        seconds.append(time.process_time() - start)
    assert errors[0] < errors[1] < 0.6
    assert seconds[1] < seconds[0]


def test_too_short_for_a_frame_is_no_words(wide):
    noise = np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    assert wide.transcribe([noise[:size] for size in (0, 1, 160, 410, 800)]) == [""] * 5


def test_a_clip_over_full_scale_is_clipped_not_wrapped(wide):
    loud = np.full(16000, 3.0, np.float32)
    assert wide.transcribe([loud, -loud]) == wide.transcribe([loud / 3, -loud / 3])


def test_the_log_is_silent(capfd):
    model = create("pocketsphinx")
    model.transcribe([np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(8000, np.float32)])
    assert capfd.readouterr() == ("", "")
