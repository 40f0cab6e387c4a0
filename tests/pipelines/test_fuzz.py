"""2,000 damaged sound files and tars go through `prepare`: none crashes it, stops it or is lost.

Mutations are drawn from a seed each, so that a failure can be repeated by its number alone.
"""

import io
import json
import random
import subprocess
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import make, verify
from pipelines.corpora.webdataset import WebDataset
from pipelines.engines import Engine
from pipelines.originals import path_of
from pipelines.records import Entry
from pipelines.shards import datasets
from pipelines.workspace import Workspace

RATE = 8_000  # Hz
KINDS = {
    "pcm16.wav": ("WAV", "PCM_16", 1),
    "pcm24.wav": ("WAV", "PCM_24", 1),
    "float.wav": ("WAV", "FLOAT", 1),
    "ulaw.wav": ("WAV", "ULAW", 1),
    "adpcm.wav": ("WAV", "IMA_ADPCM", 1),
    "stereo.wav": ("WAVEX", "PCM_16", 2),
    "mono.flac": ("FLAC", "PCM_16", 1),
    "stereo.flac": ("FLAC", "PCM_24", 2),
    "mono.mp3": ("MP3", "MPEG_LAYER_III", 1),
    "stereo.mp3": ("MP3", "MPEG_LAYER_III", 2),
    "mono.ogg": ("OGG", "VORBIS", 1),
    "stereo.ogg": ("OGG", "VORBIS", 2),
    "mono.opus": ("OGG", "OPUS", 1),
    "stereo.opus": ("OGG", "OPUS", 2),
}
EXTREMES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
            1 << 40, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]  # fmt: skip
PEAK = 450  # MiB; 280 were found, nearly all of it for the imports


@cache
def seeds() -> dict[str, bytes]:
    """A whole file of each kind, a fifth of a second long."""
    found = {}
    for number, (name, (form, subtype, channels)) in enumerate(KINDS.items()):
        signal = np.random.default_rng(number).uniform(-0.4, 0.4, (RATE // 5, channels))
        file = io.BytesIO()
        soundfile.write(file, signal, RATE, format=form, subtype=subtype)
        found[name] = file.getvalue()
    return found


def tar_seed(name: str) -> bytes:
    """Three clips with their texts and labels."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sound in ("pcm16.wav", "mono.flac", "mono.ogg"):
            data = {Path(sound).suffix: seeds()[sound], ".json": b'{"speaker": "jo"}', ".txt": b"a"}
            for suffix, content in data.items():
                info = tarfile.TarInfo(f"{name}/{Path(sound).stem}-{sound[-3:]}{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


# Mutations: each changes the bytes in place


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 2, 8, 64])):
        place = rng.randrange(8 * len(data))
        data[place // 8] ^= 1 << place % 8


def overwrite(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 2, 8])):
        data[rng.randrange(len(data))] = rng.randrange(256)


def edit_a_header(data: bytearray, rng: random.Random) -> None:
    """An extreme number where sizes, rates, channels and counts stand."""
    put_number(data, rng, rng.randrange(min(len(data), 80)))


def edit_anywhere(data: bytearray, rng: random.Random) -> None:
    put_number(data, rng, rng.randrange(len(data)))


def put_number(data: bytearray, rng: random.Random, at: int) -> None:
    width = rng.choice([1, 2, 4, 8])
    value = rng.choice(EXTREMES) % (1 << 8 * width)
    data[at : at + width] = value.to_bytes(width, rng.choice(["little", "big"]))


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def leave_out(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice([1, 2, 4, 100])]


def repeat(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.choice([4, 44, 200, 1_000])] * rng.choice([1, 2, 50])


def blank(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    length = len(data[at : at + rng.choice([4, 16, 300])])
    data[at : at + length] = bytes([rng.choice([0, 255])]) * length


def splice(data: bytearray, rng: random.Random) -> None:
    """Go on as another file."""
    other = rng.choice(list(seeds().values()))
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


MUTATIONS = [flip_bits, overwrite, edit_a_header, edit_anywhere, truncate, leave_out, repeat, blank,
             splice]  # fmt: skip


def mutated(data: bytes, number: int, mend: Callable[[bytearray], None]) -> bytes:
    """One to four mutations; mostly with right checksums, else nothing looks at what is behind."""
    rng = random.Random(number)
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        if changed:
            rng.choice(MUTATIONS)(changed, rng)
    if rng.random() < 0.75:
        mend(changed)
    return bytes(changed)


BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def mend_pages(data: bytearray) -> None:
    """Right checksums for the pages of an Ogg file; any other file stays as it is."""
    at = data.find(b"OggS") if data[:4] == b"OggS" else -1
    while at >= 0:
        segments = data[at + 27 : at + 27 + (data[at + 26] if at + 26 < len(data) else 0)]
        end = at + 27 + len(segments) + sum(segments)
        if end <= len(data):
            data[at + 22 : at + 26] = bytes(4)
            found = zlib.crc32(data[at:end].translate(BACKWARDS), 0xFFFFFFFF) ^ 0xFFFFFFFF
            data[at + 22 : at + 26] = found.to_bytes(4, "big").translate(BACKWARDS)
        at = data.find(b"OggS", at + 4)


def mend_headers(data: bytearray) -> None:
    """Right checksums for the headers of a tar, as far as its sizes lead."""
    at = 0
    while at + 512 <= len(data) and any(data[at : at + 512]):
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        try:
            size = max(tarfile.nti(bytes(data[at + 124 : at + 136])), 0)
        except tarfile.HeaderError:
            return
        at += 512 + size + -size % 512


def write_files(folder: Path, numbers: range) -> None:
    folder.mkdir()
    names = list(seeds())
    for number in numbers:
        name = names[number % len(names)]
        (folder / f"{number}-{name}").write_bytes(mutated(seeds()[name], number, mend_pages))


def write_tars(folder: Path, numbers: range) -> None:
    folder.mkdir()
    for number in numbers:
        data = mutated(tar_seed(str(number)), number, mend_headers)
        (folder / f"{number}.tar").write_bytes(data)


# What must hold of the result


def failures(made: make.Made) -> dict[str, str]:
    table = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    assert all(row["reason"] and row["detail"] for row in table)
    return {row["key"]: row["reason"] for row in table}


def check_sound(made: make.Made, root: Path) -> None:
    """Every hash, index row, sidecar and sound of the dataset, as `realear verify` sees them."""
    found = verify.verify(made, Workspace(str(root)), Engine(workers=1))
    assert found.problems == ()
    for row in datasets.read_rows(f"{made.folder}/index.parquet"):
        assert 0 < row.seconds < 3600
        assert np.isfinite(row.rms_dbfs)


def check_files(made: make.Made, folder: Path, root: Path) -> None:
    """Every file is a clip or a failure; many are each, so that both ways were taken."""
    keys = {row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    refused = failures(made)
    listed = [path.stem for path in folder.iterdir()]
    assert made.card.clips + made.card.failed == len(listed)
    assert {key.partition("-")[0] for key in keys | refused.keys()} == {
        name.partition("-")[0] for name in listed
    }
    assert len(keys) > len(listed) / 10
    assert len(refused) > len(listed) / 10
    assert {"undecodable", "truncated"} <= set(refused.values())
    check_sound(made, root)


def tar_of(entry: Entry) -> str:
    """The tar that an entry comes from; failures name it first."""
    return path_of(entry.audio) or entry.fault.detail.partition(":")[0]


def check_tars(made: make.Made, folder: Path, root: Path) -> None:
    """Every tar gave clips or failures: three clips where nothing of it was refused."""
    entries = list(WebDataset(folder=str(folder)).listed())
    assert made.card.clips + made.card.failed == len(entries)
    found = Counter(map(tar_of, entries))
    faulty = {tar_of(entry) for entry in entries if entry.fault}
    assert found.keys() == {path.name for path in folder.iterdir()}
    assert all(found[name] >= 3 for name in found.keys() - faulty)
    assert {"bad_tar", "truncated", "undecodable"} <= set(failures(made).values())
    assert made.card.clips > len(found)
    check_sound(made, root)


def test_a_slice_of_damaged_files(corpora, tmp_path):
    folder = tmp_path / "files"
    write_files(folder, range(140))
    check_files(corpora.prepare(folder=str(folder)), folder, tmp_path)


def test_a_slice_of_damaged_tars(corpora, tmp_path):
    folder = tmp_path / "tars"
    write_tars(folder, range(60))
    made = corpora.prepare(reader="webdataset", folder=str(folder))
    check_tars(made, folder, tmp_path)


@pytest.mark.parametrize("check", ["samples", "headers"])
def test_a_slice_of_damaged_files_that_are_kept_as_they_are(corpora, tmp_path, check):
    folder = tmp_path / "files"
    write_files(folder, range(140))
    made = corpora.prepare(
        folder=str(folder), config={"format": "original", "check": check, "shard_bytes": 100_000}
    )
    assert made.card.clips + made.card.failed == 140
    if check == "samples":  # unheard, damage within the sound is passed on
        check_files(made, folder, tmp_path)


CHILD = """
import faulthandler, json, sys
faulthandler.enable()
from pipelines import make
from pipelines.config import DatasetConfig
from pipelines.engines import Engine
from pipelines.workspace import Workspace
folder, reader, work = sys.argv[1:]
corpus = {"folder": folder, "reader": reader}
config = DatasetConfig(domain="real", tolerate=1, channels="keep", corpus=corpus)
made = make.make("set", config, Workspace(work), Engine(workers=1), {})
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"folder": made.folder, "peak": int(peak)}))
"""


def in_a_child(folder: Path, reader: str, work: Path) -> tuple[make.Made, float]:
    """Prepare in a process of its own, since a decoder's crash ends it; its peak memory in MiB.

    Not `ru_maxrss`: that counts what the process was forked from, too.
    """
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), reader, str(work)],
        capture_output=True, text=True, errors="replace", timeout=280,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3_000:]
    said = json.loads(ended.stdout.splitlines()[-1])
    made = make.Made(datasets.read_card(said["folder"]), said["folder"])
    return made, said["peak"] / 1024


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("reader", "write", "check", "count"),
    [("files", write_files, check_files, 1_700), ("webdataset", write_tars, check_tars, 300)],
)
def test_two_thousand_damaged_files(tmp_path, reader, write, check, count):
    folder = tmp_path / "corpus"
    write(folder, range(count))
    made, peak = in_a_child(folder, reader, tmp_path / "work")
    check(made, folder, tmp_path)
    assert peak < PEAK
