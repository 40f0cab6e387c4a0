"""The same shards from any run, any number of workers, any death; and readable by others."""

import io
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset as wds

from pipelines.shards import datasets
from pipelines.shards.datasets import RandomReader

RATE = 16_000  # Hz
START = "from pipelines.cli import main; main()"
SUFFIXES = ("wav", "flac", "ogg", "mp3")


def corpus(folder: Path, clips: int = 120) -> None:
    """Recordings of four formats, some in stereo, some broken, with texts beside them."""
    rng = np.random.default_rng(0)
    for number in range(clips):
        suffix = SUFFIXES[number % 4]
        shape = (int(rng.integers(2_000, 30_000)), 1 + (number % 7 == 0))
        subtype = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}.get(suffix, "PCM_16")
        name = folder / f"speaker{number % 6}_{number:03d}.{suffix}"
        soundfile.write(name, rng.uniform(-0.4, 0.4, shape), RATE, subtype=subtype)
        name.with_suffix(".txt").write_text(f"clip number {number}")
    for number in range(5):
        (folder / f"speaker0_broken{number}.wav").write_bytes(rng.bytes(300))
        (folder / f"speaker0_broken{number}.txt").write_text("never heard")


@pytest.fixture(scope="session")
def recorded(once) -> Path:
    return once("recorded", corpus)


def command(folder: Path, out: Path, workers: int, *options: str) -> list[str]:
    return [
        sys.executable, "-P", "-c", START, "prepare", str(folder), "--name", "set",
        "--out", str(out), "--audio", "{speaker}_{take}.*", "--text", ".txt", "--tolerate", "1",
        "--workers", str(workers), *options,
    ]  # fmt: skip


@pytest.fixture(scope="session")
def prepared(once, recorded, realear) -> Path:
    """The corpus prepared by one worker, undisturbed; not to be changed."""

    def make(folder: Path) -> None:
        ended = realear(*command(recorded, folder, 1)[4:])
        assert ended.code == 0, ended.text

    return once("sharded", make)


def test_one_and_two_workers_write_the_same_bytes(prepared, recorded, realear, tree, tmp_path):
    ended = realear(*command(recorded, tmp_path, 2)[4:])
    assert ended.code == 0, ended.text
    assert tree(tmp_path) == tree(prepared)
    card = datasets.read_card(f"{tmp_path}/datasets/set")
    assert (card.clips, card.refused) == (120, {"undecodable": 5})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_ten_random_moments(prepared, recorded, realear, tree, tmp_path):
    """Wherever it is killed, the same command ends with the undisturbed run's files."""
    draw = random.Random(4)
    started = time.monotonic()
    subprocess.run(command(recorded, tmp_path / "timed", 2), check=True, capture_output=True)
    whole = time.monotonic() - started
    for number in range(10):
        out = tmp_path / str(number)
        process = subprocess.Popen(
            command(recorded, out, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(whole * draw.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        again = realear(*command(recorded, out, 1)[4:])
        assert again.code == 0, again.text
        assert tree(out) == tree(prepared)
        assert not list(out.rglob("*.partial"))
        sound = realear("verify", "set", "--out", out, "--workers", 1)
        assert sound.code == 0, sound.text


# Readers that are not ours

# webdataset leaves the shards that it opened to the garbage collector.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


def decode(key: str, data: bytes) -> object:
    """What a user of webdataset hands to `decode`: sounds by soundfile, the rest as it comes."""
    if key.rpartition(".")[2] in SUFFIXES:
        samples, rate = soundfile.read(io.BytesIO(data))
        return samples, rate
    return None


@leaves_files_open
@pytest.mark.parametrize("form", ["flac", "original"])
def test_webdataset_reads_decodes_shuffles_and_batches(
    recorded, prepared, realear, tmp_path, monkeypatch, form
):
    monkeypatch.setenv("WDS_SECURE", "1")
    out = prepared
    if form == "original":
        out = tmp_path
        assert realear(*command(recorded, out, 1, "--format", "original")[4:]).code == 0
    folder = out / "datasets/set"
    shards = sorted(map(str, folder.glob("*.tar")))
    pipeline = (
        wds.WebDataset(shards, shardshuffle=len(shards), seed=1, empty_check=False)
        .decode(decode)
        .shuffle(50, seed=2)
        .map(lambda sample: (sample["__key__"], sample["txt"], sample["json"], first_sound(sample)))
        .batched(8, partial=True)
    )
    found = {}
    for keys, texts, said, sounds in pipeline:
        assert len(keys) <= 8
        for key, text, labels, sound in zip(keys, texts, said, sounds, strict=True):
            found[key] = (text, labels["speaker"], *sound)
    reader = RandomReader(str(folder))
    assert sorted(found) == sorted(reader.rows)
    for key, row in reader.rows.items():
        text, speaker, samples, rate = found[key]
        assert (text, speaker, rate) == (row.text, row.speaker, row.sample_rate)
        np.testing.assert_array_equal(
            samples if samples.ndim == 1 else samples.mean(axis=1), reader[key].signal()
        )
    reader.close()


def first_sound(sample: dict) -> tuple:
    return next(sample[suffix] for suffix in SUFFIXES if suffix in sample)


@leaves_files_open
def test_classes_are_integers_where_webdataset_expects_them(corpora, monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    corpora.wav("3_jo_7.wav")
    made = corpora.prepare(reader="free-spoken-digits")
    [sample] = wds.WebDataset(f"{made.folder}/set-000000.tar", shardshuffle=False).decode()
    assert (sample["cls"], sample["txt"]) == (3, "three")


def test_any_key_is_read_at_random(prepared):
    folder = str(prepared / "datasets/set")
    reader = RandomReader(folder, trust=True)
    in_order = [
        (clip.row.key, clip.read(), clip.read("json"))
        for shard in datasets.read_card(folder).shards
        for clip in datasets.clips(folder, shard.stem)
    ]
    random.Random(0).shuffle(in_order)
    for key, sound, labels in in_order:
        assert (reader[key].read(), reader[key].read("json")) == (sound, labels)
    assert len(reader) == len(in_order) == 120
    reader.close()
