"""Whatever a manifest names, whatever lies there: inside the corpus, bounded time and memory."""

import json
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines import audio
from pipelines.audio import BadAudio
from pipelines.originals import Originals
from pipelines.records import InTable, InTar
from pipelines.shards import datasets

TERABYTE = 10**12
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pipes and devices")


def refused(made) -> dict[str, str]:
    rows = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    return {row["key"]: row["reason"] for row in rows}


def manifest(corpora, paths: dict[str, str]) -> str:
    """Key to path, as JSON lines, beside a good clip."""
    corpora.wav("good.wav")
    lines = [{"key": key, "path": path} for key, path in {**paths, "good": "good.wav"}.items()]
    return str(corpora.file("m.jsonl", "".join(json.dumps(line) + "\n" for line in lines)))


def reason_of(folder: Path, sound) -> str:
    with pytest.raises(BadAudio) as caught:
        Originals(str(folder)).open(sound)
    return caught.value.reason


def test_paths_stay_inside_the_corpus(corpora, tmp_path):
    corpora.wav("sub/a.wav")
    corpora.wav("../secret.wav")
    outside = str(tmp_path / "secret.wav")
    expected = {
        "up": ("../secret.wav", "outside_corpus"),
        "up-and-down": ("sub/../../secret.wav", "outside_corpus"),
        "far-up": ("../" * 40 + "etc/passwd", "outside_corpus"),
        "absolute": (outside, "outside_corpus"),
        "sibling": ("../corpus-2/a.wav", "outside_corpus"),
        "gone": ("sub/b.wav", "missing_file"),
        "below-a-file": ("sub/a.wav/b.wav", "missing_file"),
        "folder": ("sub", "missing_file"),
        "root": (".", "missing_file"),
        "nul": ("a\0.wav", "missing_file"),
        "long": ("x" * 5_000, "unreadable"),
        "deep": ("x/" * 3_000 + "a.wav", "unreadable"),
    }
    inside = {
        "plain": "sub/a.wav",
        "dotted": "./sub/../sub/a.wav",
        "absolute-inside": str(corpora.folder / "sub/a.wav"),
    }
    named = {key: path for key, (path, _) in expected.items()} | inside
    made = corpora.prepare(file=manifest(corpora, named))
    assert refused(made) == {key: reason for key, (_, reason) in expected.items()}
    keys = {row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert keys == {"good", *inside}


@pytest.mark.parametrize("field", ["clean", "sources"])
def test_references_stay_inside_too(corpora, field):
    corpora.wav("../secret.wav")
    corpora.wav("good.wav")
    where = corpora.file("m.jsonl", json.dumps({"path": "good.wav", field: "../secret.wav"}) + "\n")
    corpora.wav("other.wav")
    with where.open("a") as file:
        file.write('{"path": "other.wav"}\n')
    assert refused(corpora.prepare(file=str(where))) == {"good": "outside_corpus"}


def test_links_lead_out_only_where_that_is_allowed(corpora, tmp_path):
    corpora.wav("../elsewhere/a.wav")
    corpora.wav("inside.wav")
    (corpora.folder / "file.wav").symlink_to(tmp_path / "elsewhere/a.wav")
    (corpora.folder / "folder").symlink_to(tmp_path / "elsewhere")
    (corpora.folder / "within.wav").symlink_to("inside.wav")
    (corpora.folder / "circle.wav").symlink_to("circle.wav")
    (corpora.folder / "nowhere.wav").symlink_to(tmp_path / "nothing")
    paths = {
        "file": "file.wav",
        "folder": "folder/a.wav",
        "within": "within.wav",
        "circle": "circle.wav",
        "nowhere": "nowhere.wav",
    }
    made = corpora.prepare(file=manifest(corpora, paths))
    out = {"file": "outside_corpus", "folder": "outside_corpus", "nowhere": "outside_corpus"}
    assert refused(made) == {**out, "circle": "unreadable"}
    followed = corpora.prepare(
        "followed", file=str(corpora.folder / "m.jsonl"), config={"follow_links": True}
    )
    assert refused(followed) == {"circle": "unreadable", "nowhere": "missing_file"}


def test_a_folder_that_leads_out_is_told_for_each_of_its_files(corpora, tmp_path):
    (tmp_path / "outside").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "outside" / name).write_bytes(b"secret")
    corpora.wav("in/good.wav")
    (corpora.folder / "out").symlink_to(tmp_path / "outside")
    (corpora.folder / "in" / "link.wav").symlink_to("good.wav")
    originals = Originals(str(corpora.folder))
    for name in ("a.wav", "b.wav", "a.wav"):
        with pytest.raises(BadAudio, match="is a link out of the corpus"):
            originals.open(f"out/{name}")
    assert originals.open("in/link.wav") == originals.open("in/good.wav")


def test_the_corpus_itself_may_be_a_link(corpora, tmp_path):
    corpora.wav("sub/a.wav")
    link = tmp_path / "link"
    link.symlink_to(corpora.folder)
    for path in ("sub/a.wav", str(link / "sub/a.wav"), str(corpora.folder / "sub/a.wav")):
        assert Originals(str(link)).open(path)
    assert reason_of(link, "../secret.wav") == "outside_corpus"


@linux
@pytest.mark.timeout(30)  # opening a pipe waits for a writer, reading /dev/zero never ends
def test_pipes_and_devices_are_no_files(corpora):
    os.mkfifo(corpora.folder / "pipe.wav")
    (corpora.folder / "zero.wav").symlink_to("/dev/zero")
    (corpora.folder / "random.wav").symlink_to("/dev/urandom")
    paths = {name: f"{name}.wav" for name in ("pipe", "zero", "random")}
    config = {"follow_links": True}
    made = corpora.prepare(file=manifest(corpora, paths), config=config)
    assert refused(made) == dict.fromkeys(paths, "missing_file")
    for sound in (InTar("pipe.wav", 0, 9), InTable("pipe.wav", "audio", 0, 0)):
        assert reason_of(corpora.folder, sound) == "missing_file"
    assert refused(corpora.prepare("listed", config=config)) == dict.fromkeys(paths, "missing_file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(corpora):
    corpora.wav("a.wav").chmod(0)
    assert reason_of(corpora.folder, "a.wav") == "unreadable"


# Places inside tars and tables


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, TERABYTE), (10_240, 1), (-1, 5), (5, -1), (2**63, 1), (2**70, 2**70), (10_241, 0)],
)
def test_a_member_that_is_not_within_its_tar(corpora, offset, length):
    with tarfile.open(corpora.folder / "a.tar", "w") as tar:
        tar.add(corpora.wav("a.wav"), "a.wav")
    assert (corpora.folder / "a.tar").stat().st_size == 10_240
    assert reason_of(corpora.folder, InTar("a.tar", offset, length)) == "truncated"


@pytest.mark.parametrize(
    ("column", "group", "row", "reason"),
    [
        ("audio", 0, 1, "missing_file"),
        ("audio", 0, -1, "missing_file"),
        ("audio", 1, 0, "unreadable"),
        ("audio", -1, 0, "unreadable"),
        ("nothing", 0, 0, "unreadable"),
        ("number", 0, 0, "missing_file"),
    ],
)
def test_a_cell_that_is_not_there(tmp_path, column, group, row, reason):
    table = pa.table({"audio": [{"bytes": b"sound", "path": "/etc/passwd"}], "number": [1]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert Originals(str(tmp_path)).open(InTable("a.parquet", "audio", 0, 0)) == b"sound"
    assert reason_of(tmp_path, InTable("a.parquet", column, group, row)) == reason


def test_a_long_member_of_a_tar_is_read_like_a_file(corpora, monkeypatch):
    data = corpora.wav("a.wav").read_bytes()
    corpora.file("a.tar", bytes(512) + data + b"behind")
    monkeypatch.setattr("pipelines.originals.IN_MEMORY", 100)
    with Originals(str(corpora.folder)).open(InTar("a.tar", 512, len(data))) as stream:
        found = audio.decode(stream)
        np.testing.assert_array_equal(found.pcm, audio.decode(data).pcm)
        stream.seek(-3, os.SEEK_END)
        assert stream.read() == data[-3:]


# Sizes: what is small on the disk and large in memory


def sparse(path: Path, start: bytes) -> Path:
    """A terabyte of zeros behind some bytes; takes no room on the disk."""
    path.write_bytes(start)
    os.truncate(path, TERABYTE)
    return path


@pytest.mark.parametrize("form", ["none", "WAV", "FLAC", "MP3", "OGG", "CAF"])
def test_a_terabyte_of_nothing_is_not_read_to_its_end(corpora, tmp_path, form, monkeypatch):
    monkeypatch.setattr("pipelines.untrusted.MOST_READ", 1 << 22)
    start = b""
    if form != "none":
        soundfile.write(tmp_path / "start", corpora.noise(), 8_000, format=form)
        start = (tmp_path / "start").read_bytes()
    sparse(corpora.folder / "a.wav", start)
    corpora.wav("good.wav")
    made = corpora.prepare()
    assert made.card.clips + made.card.failed == 2
    assert refused(made).get("a") == {"none": "undecodable", "OGG": "endless"}.get(form)


def test_a_header_that_claims_a_terabyte_of_samples(corpora, monkeypatch):
    monkeypatch.setattr(audio, "MOST", 1 << 18)
    data = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", TERABYTE)
    data += b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
    data += b"fmt " + bytes.fromhex("f3acd3118cd100c04f8edb8a") + struct.pack("<Q", 40)
    data += struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)
    data += b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + struct.pack("<Q", TERABYTE - 200)
    sparse(corpora.folder / "a.w64", data)
    corpora.wav("good.wav")
    assert refused(corpora.prepare()) == {"a": "too_long"}


def crc(data: bytes, width: int, polynomial: int) -> int:
    """A checksum of FLAC: of 8 bits for headers, of 16 for frames."""
    found = 0
    for byte in data:
        found ^= byte << width - 8
        for _ in range(8):
            found = found << 1 ^ (polynomial if found >> width - 1 else 0)
    return found & (1 << width) - 1


def flac_bomb(frames: int) -> bytes:
    """65,535 samples of 8 kHz in every frame of 14 bytes: all of them have the same value."""
    block = 65_535
    told = 8_000 << 44 | 0 << 41 | 15 << 36 | block * frames
    parts = [b"fLaC", bytes([0x80, 0, 0, 34]), struct.pack(">HH", block, block), bytes(6),
             told.to_bytes(8, "big"), bytes(16)]  # fmt: skip
    for number in range(frames):
        header = (
            bytes([0xFF, 0xF8, 0x70, 0x08]) + chr(number).encode() + struct.pack(">H", block - 1)
        )
        frame = header + bytes([crc(header, 8, 0x107)]) + b"\0" + struct.pack(">h", 7)
        parts += [frame, struct.pack(">H", crc(frame, 16, 0x18005))]
    return b"".join(parts)


def test_a_flac_of_hours_in_a_few_kilobytes_is_too_long(corpora, monkeypatch):
    bomb = flac_bomb(200)
    assert len(bomb) < 3_200
    assert len(audio.decode(flac_bomb(2)).pcm) == 131_070
    monkeypatch.setattr(audio, "MOST", 1 << 20)
    corpora.file("bomb.flac", bomb)
    corpora.wav("good.wav")
    assert refused(corpora.prepare()) == {"bomb": "too_long"}


def test_a_slow_recording_does_not_explode_when_it_is_resampled(corpora, monkeypatch):
    corpora.wav("slow.wav", corpora.noise(4_000), rate=1_000)
    corpora.wav("good.wav", corpora.noise(4_000), rate=16_000)
    monkeypatch.setattr(audio, "MOST", 1 << 16)
    made = corpora.prepare(config={"sample_rate": 192_000})
    assert refused(made) == {"slow": "too_long"}


@pytest.mark.parametrize("channels", [9, 255, 1_024])
def test_many_channels_are_mixed_or_refused(corpora, channels):
    signal = np.stack([corpora.noise(seed=seed) for seed in range(channels)], axis=1)
    corpora.wav("many.wav", signal)
    corpora.wav("good.wav")
    assert refused(corpora.prepare("mixed")) == {}
    kept = corpora.prepare("kept", config={"channels": "keep"})
    assert refused(kept) == {"many": "too_many_channels"}


def test_the_mean_of_channels_is_the_same_in_blocks(corpora):
    for channels in (2, 3, 8, 16):
        pcm = (
            np.random.default_rng(0).integers(-(2**15), 2**15, (70_001, channels)).astype(np.int16)
        )
        recording = audio.Recording(pcm, 8_000, 16)
        np.testing.assert_array_equal(audio.pick(recording, "mono"), recording.samples.mean(axis=1))


CHILD = """
import sys
from pipelines.originals import Originals
from pipelines.records import Entry
from pipelines.treatment import Treatment, store
def peak():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
before = peak()
stored, _ = store(Treatment(), Originals(sys.argv[1]), Entry("a", "hour.wav"))
print(stored["audio"].frames, peak() - before)
"""


@pytest.mark.slow
@linux
def test_an_hour_of_stereo_takes_little_more_than_its_samples(tmp_path):
    hour, rate = 3_600, 16_000
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", rate, 2, "PCM_16") as file:
        minute = np.random.default_rng(0).normal(0, 0.1, (60 * rate, 2))
        for _ in range(hour // 60):
            file.write(minute)
    said = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(said[0]) == hour * rate
    # Its samples as 16 bits (220 MiB), their mean as float64 (440), that as 16 and 32 bits, FLAC.
    assert float(said[1]) < 1_300
