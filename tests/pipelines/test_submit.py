"""Submit: somebody else's predictions, in every form they come in."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from metrics import FailedPrediction
from pipelines import audio, submit, tasks
from pipelines.records import RealEarError
from pipelines.shards import sidecars, tars
from pipelines.shards.datasets import RandomReader

RATE = 8_000  # Hz
WORDS = {"a": "one, two", "b": 'the "third"', "c": "größe\u2028x"}


@pytest.fixture
def made(corpora):
    """Three clips with words, two sources and a clean signal each."""
    for seed, key in enumerate("abc"):
        corpora.wav(f"mix/{key}.wav", seed=seed)
        for part in ("s1", "s2", "clean"):
            corpora.wav(f"{part}/{key}.wav", seed=seed + 10 * len(part))
    return corpora.prepare(
        audio="mix/{n}.wav", sources=["s1/{file}", "s2/{file}"], clean="clean/{file}",
        text={"label": "n"}, config={"shards": 2},
    )  # fmt: skip


@pytest.fixture
def given(tmp_path) -> Path:
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


def store(corpora, made, path: Path, task: str | None = None):
    """Answers by key, and reasons of failures by key."""
    submission = submit.read(str(path), task)
    asked = submit.handling("theirs", submission)
    parts = submit.plan(corpora.workspace, made.card, made.folder, submission, asked)
    found, failed = {}, {}
    for part in parts:
        submit.store_shard(part)
        assert sidecars.is_current(part)
        sidecar = sidecars.check(part.folder, part.stem)
        found |= dict(tars.samples(f"{part.folder}/{part.stem}.tar"))
        failed |= {failure.key: failure.reason for failure in sidecar.failures}
    assert len(found) + len(failed) == made.card.clips
    return found, failed


def table(given: Path, suffix: str, rows: dict[str, str], **extra) -> Path:
    path = given / f"hyp.{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == "jsonl":
            lines = [
                json.dumps({"key": k, "text": t, **extra}, ensure_ascii=False)
                for k, t in rows.items()
            ]
            file.write("\n".join(lines) + "\n")
        else:
            writer = csv.writer(file, delimiter="," if suffix == "csv" else "\t")
            writer.writerows(
                [["key", "text", *extra], *([k, t, *extra.values()] for k, t in rows.items())]
            )
    return path


def sound(path: Path, samples: int = 800, *, seed: int = 0, rate: int = RATE) -> np.ndarray:
    signal = np.random.default_rng(seed).uniform(-0.4, 0.4, samples).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(audio.encode_wav(signal, rate))
    return signal


# Words


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_words_in_a_table(corpora, made, given, suffix):
    found, failed = store(corpora, made, table(given, suffix, WORDS, score="0.5"))
    assert found == {key: {"txt": text.encode()} for key, text in WORDS.items()}
    assert not failed


def test_words_in_a_folder(corpora, made, given):
    for key, text in WORDS.items():
        (given / f"{key}.txt").write_text(text, encoding="utf-8")
    found, _ = store(corpora, made, given)
    assert found == {key: {"txt": text.encode()} for key, text in WORDS.items()}


def test_the_forms_are_one_submission(given):
    prints = {
        submit.handling("x", submit.read(str(table(given, suffix, WORDS)))).fingerprint
        for suffix in ("csv", "tsv", "jsonl")
    }
    assert len(prints) == 1
    other = submit.read(str(table(given, "csv", WORDS | {"a": "one"})))
    assert submit.handling("x", other).fingerprint not in prints


def test_a_clip_without_a_prediction_failed(corpora, made, given):
    found, failed = store(corpora, made, table(given, "csv", {"a": "one"}))
    assert sorted(found) == ["a"]
    assert failed == {"b": "missing", "c": "missing"}


def test_an_empty_text_is_a_prediction(corpora, made, given):
    found, failed = store(corpora, made, table(given, "csv", {"a": "", "b": "x", "c": "y"}))
    assert found["a"] == {"txt": b""}
    assert not failed


def test_a_prediction_for_no_clip_is_refused(corpora, made, given):
    path = table(given, "csv", WORDS | {"d": "four", "aa": "x"})
    with pytest.raises(
        RealEarError, match=r"2 of 5 predictions are for keys .* 'aa': did you mean"
    ):
        store(corpora, made, path)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("h.csv", "key,words\na,one\n", "expected columns 'key' and 'text'"),
        ("h.csv", "key,text\na\n", "expected columns 'key' and 'text'"),
        ("h.csv", 'key,text\na,"one\nb,two\n', "expected UTF-8 rows of key and text"),
        ("h.csv", "key,text\na,one\na,two\n", "expected one prediction a key, found 'a' twice"),
        ("h.jsonl", '{"key": "a"}\n', "expected columns 'key' and 'text'"),
        ("h.jsonl", '["a", "one"]\n', "expected columns 'key' and 'text'"),
        ("h.jsonl", '{"key": "a", "text": \n', "expected UTF-8 rows of key and text"),
        ("h.csv", b"key,text\na,caf\xe9\n", "expected UTF-8 rows of key and text"),
        ("h.xls", "x", r"expected a \.csv, \.tsv or \.jsonl file, found h\.xls"),
    ],
)
def test_a_wrong_table_is_told(given, name, content, text):
    path = given / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RealEarError, match=text):
        submit.read(str(path))


def test_no_predictions_at_all(given):
    with pytest.raises(RealEarError, match="found nothing"):
        submit.read(str(given / "nowhere"))
    (given / "notes.md").touch()
    with pytest.raises(RealEarError, match=r"expected files such as KEY\.txt"):
        submit.read(str(given))


# Signals


@pytest.mark.parametrize("form", ["{key}.s{n}.wav", "s{n}/{key}.wav", "run/s{n}/{key}.wav"])
def test_separated_signals_in_files_or_folders(corpora, made, given, form):
    signals = {
        (key, n): sound(given / form.format(key=key, n=n), seed=ord(key) + n)
        for key in "abc"
        for n in (1, 2)
    }
    found, failed = store(corpora, made, given)
    assert not failed
    for (key, n), signal in signals.items():
        stored, rate = audio.read_signal(found[key][f"s{n}.wav"])
        np.testing.assert_array_equal(stored, signal)
        assert rate == RATE


@pytest.mark.parametrize("form", ["{key}.wav", "{key}.enhanced.wav", "any/{key}.wav"])
def test_enhanced_signals(corpora, made, given, form):
    for key in "abc":
        sound(given / form.format(key=key))
        (given / f"{key}.txt").write_text("what else was said of it")
    found, failed = store(corpora, made, given)
    assert not failed
    assert {tuple(members) for members in found.values()} == {("enhanced.wav",)}


def test_signals_in_another_format_are_stored_as_float32(corpora, made, given):
    for key in "abc":
        signal = corpora.noise(seed=ord(key))
        corpora.wav(f"../given/{key}.flac", signal)
    found, _ = store(corpora, made, given, "enhancement")
    stored, _ = audio.read_signal(found["a"]["enhanced.wav"])
    np.testing.assert_array_equal(stored, corpora.noise(seed=ord("a")))


def test_what_cannot_be_used_costs_its_clip(corpora, made, given):
    sound(given / "a.s1.wav")  # no s2
    sound(given / "b.s1.wav")
    (given / "b.s2.wav").write_bytes(b"?")
    found, failed = store(corpora, made, given)
    assert not found
    assert failed == {"a": "missing", "b": "undecodable", "c": "missing"}


@pytest.mark.parametrize(("lengths", "ok"), [((800, 800), True), ((798, 798), True),
                                             ((700, 700), False), ((800, 700), False)])  # fmt: skip
def test_another_length_fails_when_it_is_scored(corpora, made, given, lengths, ok):
    for key in "abc":
        for n, length in enumerate(lengths, 1):
            sound(given / f"{key}.s{n}.wav", length, seed=n)
    found, failed = store(corpora, made, given)
    assert not failed
    reader = RandomReader(made.folder)
    task = tasks.get("separation")
    if ok:
        assert task.item(reader["a"], found["a"], None).estimates.shape == (2, lengths[0])
    else:
        with pytest.raises(FailedPrediction) as caught:
            task.item(reader["a"], found["a"], None)
        assert caught.value.reason == "wrong_length"
    reader.close()


def test_two_files_for_one_signal_are_refused(given):
    sound(given / "a.wav")
    sound(given / "sub/a.enhanced.wav")
    with pytest.raises(RealEarError, match=r"expected one enhanced\.wav of 'a', found a second"):
        submit.read(str(given))


def test_noisy_beside_enhanced_is_refused_rather_than_guessed(given):
    sound(given / "noisy/a.wav")
    sound(given / "output/a.wav")
    with pytest.raises(RealEarError, match=r"expected one signal of 'a', found noisy\.wav, output"):
        submit.read(str(given))


def test_twice_is_the_same_bytes_and_another_answer_another_chain(corpora, made, given):
    path = table(given, "csv", WORDS)
    submission = submit.read(str(path))
    asked = submit.handling("theirs", submission)
    parts = submit.plan(corpora.workspace, made.card, made.folder, submission, asked)
    written = []
    for _ in range(2):
        for part in parts:
            submit.store_shard(part)
        files = sorted(Path(parts[0].folder).iterdir())
        written.append({file.name: file.read_bytes() for file in files})
    assert written[0] == written[1]
    assert [part.stem for part in parts] == [shard.stem for shard in made.card.shards]
    other = submit.handling("theirs", submit.read(str(table(given, "csv", WORDS | {"a": ""}))))
    assert other.chain != asked.chain


@pytest.mark.parametrize("task", ["classification", "embedding", "quality"])
def test_a_task_whose_answers_come_in_no_such_file_is_refused(given, task):
    sound(given / "a.wav")
    with pytest.raises(RealEarError, match=f"found the task '{task}': score a model of that task"):
        submit.read(str(given), task)
