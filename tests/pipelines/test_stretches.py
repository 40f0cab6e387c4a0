"""Long clips in stretches: answers as of the whole, what fails is named, memory stays bounded."""

import re
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import soundfile

import models
from pipelines import audio, batches, stretches, tasks
from pipelines.records import Failure, Part
from pipelines.shards import datasets, packing
from pipelines.shards.packing import Sample

RATE = 8_000
SECONDS = 31.3


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Seconds instead of minutes."""
    for name, value in {"LONGEST": 10.0, "STRETCH": 4, "SHARED": 1.0, "SOUGHT": 2.0}.items():
        monkeypatch.setattr(stretches, name, value)
    monkeypatch.setattr(batches, "WINDOW", 10.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A long clip of noise that is silent for half a second in every four, and a short one."""
    folder = str(tmp_path_factory.mktemp("set"))
    rng = np.random.default_rng(0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    noise = rng.normal(0, 3_000, len(time)) * (np.abs((time + 0.4) % 4 - 0.2) > 0.25)
    long, short = noise.astype(np.int16), noise[:5_000].astype(np.int16)
    samples = [
        Sample("long", {"audio": long}, RATE, "a/b"),
        Sample("short", {"audio": short}, RATE, "a/b"),
    ]
    packing.pack(Part(folder, "set-000000", "", 2, SECONDS, None), samples)
    with datasets.opened(folder, "set-000000") as found:
        yield found


class Fake:
    """Half as loud, at a rate of its own or the clip's; says how long every clip is."""

    array, role, padded_to, padding, batch_seconds = False, "model", 0.0, "exact", 20.0

    def __init__(self, sample_rate=None, fails=lambda size: False):
        self.sample_rate, self.fails, self.heard = sample_rate, fails, []

    def enhance(self, signals, *, sample_rate):
        self.heard += [len(signal) / sample_rate for signal in signals]
        return [signal / 2 for signal in signals]

    def transcribe(self, signals):
        if any(self.fails(len(signal)) for signal in signals):
            raise MemoryError("too long")
        return [str(len(signal)) for signal in signals]


def enhanced(model, clip):
    [answer] = stretches.ask(tasks.get("enhancement"), model, [clip])
    return audio.read_signal(answer["enhanced.wav"])


def test_what_works_sample_by_sample_is_as_of_the_whole(clips):
    model = Fake()
    found, rate = enhanced(model, clips[0])
    assert rate == RATE
    np.testing.assert_array_equal(found, (clips[0].signal().astype(np.float32) / 2))
    assert len(model.heard) == 8
    assert max(model.heard) == 5.0
    [short] = stretches.ask(tasks.get("enhancement"), model, [clips[1]])
    assert len(audio.read_signal(short["enhanced.wav"])[0]) == 5_000


def test_a_model_with_another_rate_answers_as_many_samples_as_for_the_whole(clips):
    found, rate = enhanced(Fake(16_000), clips[0])
    whole = clips[0].signal(sample_rate=16_000)
    assert (rate, len(found)) == (16_000, len(whole))
    assert np.abs(found - whole / 2).max() < 1e-3


def test_a_filter_is_as_good_in_stretches(clips, monkeypatch):
    wiener = models.create("wiener")
    wiener.load()
    cut, _ = enhanced(wiener, clips[0])
    monkeypatch.setattr(stretches, "LONGEST", 1e9)
    whole, _ = enhanced(wiener, clips[0])
    apart = 10 * np.log10(np.mean(whole**2) / np.mean((cut - whole) ** 2))
    assert apart > 10  # dB; the filter looks at the whole clip's noise


def test_words_are_cut_in_the_quietest_moment_and_joined(clips):
    [answer] = stretches.ask(tasks.get("recognition"), Fake(), [clips[0]])
    sizes = [int(word) for word in answer["txt"].split()]
    assert sum(sizes) == len(clips[0].signal())
    assert len(sizes) == 8
    ends = np.cumsum(sizes)[:-1] / RATE
    assert np.all(np.abs((ends + 0.4) % 4 - 0.2) < 0.25)  # in the silences


def test_a_stretch_that_fails_is_named(clips):
    heard = Fake(fails=lambda size: size < 3.65 * RATE)
    [answer] = stretches.ask(tasks.get("recognition"), heard, [clips[0]])
    assert isinstance(answer, Failure)
    assert (answer.key, answer.reason) == ("long", "out_of_memory")
    assert re.fullmatch(r"from 27\.\d+ s on: MemoryError: too long", answer.detail)


def test_what_needs_the_whole_or_the_truth_hears_it(clips):
    for name in ("separation", "classification", "explanation", "embedding"):
        assert not stretches.apply(tasks.get(name), Fake(), clips[0])
    oracle = Fake()
    oracle.role = "oracle"
    assert not stretches.apply(tasks.get("enhancement"), oracle, clips[0])
    assert not stretches.apply(tasks.get("enhancement"), Fake(), clips[1])


def test_only_shards_that_may_hold_a_long_clip_have_other_inputs():
    small, large = (datasets.Shard("s-000000", 1, seconds, "x") for seconds in (9.0, 11.0))
    assert stretches.inputs("enhancement", small) == stretches.inputs("separation", large) == []
    assert stretches.inputs("enhancement", large) != stretches.inputs("recognition", large)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_hours_take_a_bounded_part_of_memory(tmp_path, doubles):
    rate, random = 16_000, np.random.default_rng(0)
    minute = random.normal(0, 0.1, 60 * rate) * (np.arange(60 * rate) % (3 * rate) > rate)
    (tmp_path / "talks").mkdir()
    with soundfile.SoundFile(tmp_path / "talks/talk.flac", "w", rate, 1, "PCM_16") as file:
        for _ in range(180):
            file.write(minute)
    out = ["--out", str(tmp_path), "--workers", "1"]
    prepare = ["prepare", str(tmp_path / "talks"), "--audio", "{take}.flac", "--name", "talks"]
    assert gigabytes([*prepare, *out]) < 1.3
    assert gigabytes(["predict", "wiener", "talks", *out]) < 3.0  # 17 where the clip is heard whole
    assert gigabytes(["predict", "doubles:Lengths", "talks", *out]) < 1.2
    [tar] = tmp_path.glob("predictions/*Lengths*/talks/*.tar")
    with tarfile.open(tar) as found:
        said = found.extractfile("talk.txt").read().split()
    assert sum(map(int, said)) == 180 * 60 * rate
    assert 170 < len(said) < 190


def gigabytes(words: list[str]) -> float:
    """The greatest of a command's memory; an error if it fails."""
    small = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    realear = [sys.executable, "-P", "-c", "from pipelines.cli import main; main()"]
    command = [sys.executable, "-c", small, *realear, *words]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(ended.stdout.split()[-1]) / 2**20
