"""Prepare: every clip in becomes a clip out or a counted failure, whatever is thrown at it."""

import io
import json
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from pipelines import prepare
from pipelines.audio import Coded
from pipelines.records import Entry, RealEarError, ToleranceExceeded
from pipelines.shards import datasets
from pipelines.shards.datasets import RandomReader
from pipelines.treatment import Begun

RATE = 8_000  # Hz


def failures(made) -> dict[str, str]:
    """Key to reason, from the file; checked against the card."""
    table = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    found = {row["key"]: row["reason"] for row in table}
    assert dict(Counter(row["reason"] for row in table)) == dict(made.card.refused)
    assert all(row["stage"] == "prepare" and row["detail"] for row in table)
    return found


def keys(made) -> list[str]:
    return sorted(row.key for row in datasets.read_rows(f"{made.folder}/index.parquet"))


def signal(made, key: str, name: str = "audio") -> np.ndarray:
    reader = RandomReader(made.folder)
    try:
        return reader[key].signal(name)
    finally:
        reader.close()


def stamps(made) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(made.folder).glob("set-*")}


def nan_wav(corpora, name: str, value: float) -> None:
    broken = corpora.noise()
    broken[100] = value
    corpora.wav(name, broken, subtype="FLOAT")


def every_bad_recording(corpora) -> dict[str, str]:
    """Ten good recordings beside one of every kind of bad one; key to expected reason."""
    for number in range(10):
        corpora.wav(f"good{number}.wav", seed=number)
    whole = corpora.wav("good0.wav").read_bytes()
    corpora.file("undecodable.wav", b"not a sound at all")
    corpora.file("no-bytes.wav", b"")
    corpora.wav("empty.wav", np.zeros(0))
    corpora.wav("silent.wav", np.zeros(800))
    corpora.wav("nearly-silent.wav", np.full(800, 1e-9), subtype="FLOAT")
    nan_wav(corpora, "nan.wav", np.nan)
    nan_wav(corpora, "infinite.wav", np.inf)
    corpora.file("cut.wav", whole[: len(whole) // 2])
    flac = corpora.wav("cut-flac.flac", corpora.noise(8_000)).read_bytes()
    corpora.file("cut-flac.flac", flac[: len(flac) // 2])
    corpora.file("apple.m4a", b"\0\0\0 ftypM4A \0\0\0\0M4A mp42isom" + bytes(500))
    corpora.file("rate.wav", whole[:24] + (1_092_676).to_bytes(4, "little") + whole[28:])
    corpora.file("odd-rate.wav", whole[:24] + (96_001).to_bytes(4, "little") + whole[28:])
    corpora.wav("good1.flac")  # the key stands twice
    return {
        "undecodable": "undecodable",
        "no-bytes": "undecodable",
        "empty": "empty",
        "silent": "silent",
        "nearly-silent": "silent",
        "nan": "not_finite",
        "infinite": "not_finite",
        "cut": "truncated",
        "cut-flac": "undecodable",
        "apple": "undecodable",
        "rate": "bad_sample_rate",
        "odd-rate": "bad_sample_rate",
        "good1": "duplicate_key",
    }


@pytest.mark.parametrize("shards", [1, 3, 50])
def test_every_bad_recording_is_a_counted_failure_and_none_is_lost(corpora, shards):
    expected = every_bad_recording(corpora)
    made = corpora.prepare(config={"shards": shards})
    assert failures(made) == expected
    assert keys(made) == [f"good{number}" for number in range(10)]
    listed = len(list(corpora.folder.iterdir()))
    assert made.card.clips + made.card.failed == listed == 23
    assert json.loads(Path(made.folder, "dataset.json").read_text())["refused"] == dict(
        Counter(expected.values())
    )


def test_damaged_recordings_are_all_accounted_for(corpora, recordings):
    with pytest.raises(ToleranceExceeded, match="4 of 4 clips failed"):
        corpora.prepare(config={"tolerate": 0}, folder=str(recordings / "damaged"))
    table = datasets.read_table(f"{corpora.workspace.dataset('set')}/failures.parquet").to_pylist()
    assert {row["key"]: row["reason"] for row in table} == {
        "awful": "bad_sample_rate",
        "bad": "undecodable",
        "evil": "undecodable",
        "null": "empty",
    }


@pytest.mark.parametrize("promised", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFF000 - 24], ids=hex)
def test_what_a_streaming_writer_left_is_a_recording(corpora, promised):
    corpora.file("piped.wav", corpora.wav_of_length(promised, corpora.noise()))
    corpora.wav("plain.wav")
    made = corpora.prepare()
    assert not made.card.failed
    np.testing.assert_array_equal(signal(made, "piped"), signal(made, "plain"))


# References


def test_references_must_fit_what_is_heard(corpora):
    pairs = ["good", "short", "rate", "gone", "broken", "nan"]
    for name in pairs:
        corpora.wav(f"mix/{name}.wav")
        corpora.wav(f"s1/{name}.wav", seed=1)
        corpora.wav(f"s2/{name}.wav", seed=2)
    corpora.wav("s2/short.wav", corpora.noise(799))
    corpora.wav("s2/rate.wav", rate=16_000)
    (corpora.folder / "s2/gone.wav").unlink()
    corpora.file("s2/broken.wav", b"?")
    nan_wav(corpora, "s2/nan.wav", np.nan)
    made = corpora.prepare(audio="mix/{name}.wav", sources=["s1/{file}", "s2/{file}"])
    assert failures(made) == {
        "short": "source_length",
        "rate": "source_sample_rate",
        "gone": "missing_file",
        "broken": "undecodable",
        "nan": "not_finite",
    }
    assert keys(made) == ["good"]
    assert made.card.sources == 2


def test_a_clean_reference_must_fit_too(corpora):
    for name in ("good", "long", "folder"):
        corpora.wav(f"noisy/{name}.wav")
        corpora.wav(f"clean/{name}.wav", seed=1)
    corpora.wav("clean/long.wav", corpora.noise(801))
    (corpora.folder / "clean/folder.wav").unlink()
    (corpora.folder / "clean/folder.wav").mkdir()
    made = corpora.prepare(audio="noisy/{name}.wav", clean="clean/{file}")
    assert failures(made) == {"long": "source_length", "folder": "missing_file"}
    np.testing.assert_array_equal(signal(made, "good", "clean"), corpora.noise(seed=1))


# Transcripts and manifests


def test_transcripts_that_cannot_be_used(corpora):
    for name in "abc":
        corpora.wav(f"{name}.wav")
    corpora.file("table.tsv", b"a\tone\nb\tcaf\xe9\nd\tfour\n")
    made = corpora.prepare(text={"file": "table.tsv"})
    assert failures(made) == {"b": "not_utf8", "c": "no_transcript", "d": "missing_file"}
    assert keys(made) == ["a"]


def test_text_beside_that_is_not_utf8(corpora):
    for name, text in {"a": b"one", "b": b"caf\xe9"}.items():
        corpora.wav(f"{name}.wav")
        corpora.file(f"{name}.txt", text)
    made = corpora.prepare(text={"beside": ".txt"})
    assert failures(made) == {"b": "not_utf8"}


MANIFESTS = {
    "m.csv": b'path,text,speaker\na.wav,one,jo\ngone.wav,two,jo\nb.wav,caf\xe9,jo\nc.wav\n'
             b'd.wav,"open,jo\na.wav,again,jo\ne.wav,five,Jos\xe9\nf.wav,six,jo\n',
    "m.tsv": b"path\ttext\tspeaker\na.wav\tone\tjo\ngone.wav\ttwo\tjo\nb.wav\tcaf\xe9\tjo\nc.wav\n"
             b'd.wav\t"open\tjo\na.wav\tagain\tjo\ne.wav\tfive\tJos\xe9\nf.wav\tsix\tjo\n',
    "m.jsonl": b'{"path": "a.wav", "text": "one"}\n{"path": "gone.wav"}\n'
               b'{"path": "b.wav", "text": "caf\xe9"}\n{"path": \n["d.wav"]\n{"path": "a.wav"}\n'
               b'{"path": "e.wav", "speaker": "Jos\xe9"}\n{"path": "f.wav", "text": "six"}\n',
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_faults(corpora, name):
    for stem in "abcdef":
        corpora.wav(f"{stem}.wav")
    first = 4 if name == "m.jsonl" else 5
    corpora.file(name, MANIFESTS[name])
    made = corpora.prepare(file=str(corpora.folder / name))
    assert failures(made) == {
        "gone": "missing_file",
        "b": "not_utf8",
        f"line-{first}": "bad_line",
        f"line-{first + 1}": "bad_line",
        "a": "duplicate_key",
        "e": "not_utf8",
    }
    assert keys(made) == ["a", "f"]
    assert made.card.clips + made.card.failed == 8


@pytest.mark.parametrize(
    "path",
    ["gone.wav", "x" * 5_000, "a\\u0000b.wav", ".", "/", "\\ud83d.wav", "a.wav/b.wav", "sub"],
)
def test_a_path_that_is_no_file_costs_one_clip(corpora, path):
    corpora.wav("a.wav")
    (corpora.folder / "sub").mkdir()
    corpora.file("m.jsonl", f'{{"path": "{path}", "key": "bad"}}\n{{"path": "a.wav"}}\n')
    made = corpora.prepare(file=str(corpora.folder / "m.jsonl"))
    assert failures(made)["bad"] in {"missing_file", "unreadable", "not_utf8", "outside_corpus"}
    assert keys(made) == ["a"]


# Tolerance


def test_more_failures_than_tolerated_are_told_and_the_dataset_is_kept(corpora):
    for number in range(3):
        corpora.wav(f"{number}.wav", seed=number)
    corpora.file("bad.wav", b"?")
    with pytest.raises(ToleranceExceeded) as caught:
        corpora.prepare(config={"tolerate": 0.2})
    folder = corpora.workspace.dataset("set")
    assert str(caught.value) == (
        "dataset 'set': 1 of 4 clips failed (1 undecodable), tolerated are 20.0%: "
        f"{folder}/failures.parquet names each of them; mend them, or allow them with "
        "`tolerate: 0.25`"
    )
    assert datasets.read_card(folder).clips == 3
    assert not corpora.prepare(config={"tolerate": 0.25}).card.refused.get("silent")


@pytest.mark.parametrize(("bad", "clips"), [(29, 100), (1, 3), (7, 100), (57, 100), (1, 7)])
def test_the_tolerance_that_the_error_suggests_is_enough(bad, clips):
    from pipelines import make
    from pipelines.shards.datasets import Card

    card = Card("x", "real", {}, "", "", RATE, 0, clips - bad, 1.0, {"silent": bad}, ())
    with pytest.raises(ToleranceExceeded) as caught:
        make.check_tolerance(card, bad / clips - 0.001, "folder")
    suggested = float(str(caught.value).rpartition("tolerate: ")[2].rstrip("`"))
    make.check_tolerance(card, suggested, "folder")
    make.check_tolerance(card, bad / clips, "folder")
    assert suggested < bad / clips + 0.01


def test_a_dataset_without_one_good_clip_is_refused_whatever_is_tolerated(corpora):
    corpora.file("bad.wav", b"?")
    with pytest.raises(ToleranceExceeded, match="not one of 1 clips could be used"):
        corpora.prepare(config={"tolerate": 1})


def test_a_manifest_without_lines_is_refused(corpora):
    corpora.file("m.csv", "path\n")
    with pytest.raises(RealEarError, match="expected recordings, found none in"):
        corpora.prepare(file=str(corpora.folder / "m.csv"))


# What is stored


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_mono_sources_are_stored_without_any_loss(corpora, subtype, bits, suffix):
    pcm = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), 800)
    corpora.wav(f"a.{suffix}", pcm / 2.0 ** (bits - 1), subtype=subtype)
    made = corpora.prepare()
    np.testing.assert_array_equal(signal(made, "a") * 2.0 ** (bits - 1), pcm)
    [row] = datasets.read_rows(f"{made.folder}/index.parquet")
    assert (row.clipped, row.seconds, row.sample_rate) == (0, 0.1, RATE)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_resampling_is_soxr_at_hq(corpora, rate):
    source = np.rint(corpora.noise(rate) * 32_768) / 32_768
    corpora.wav("a.wav", source, rate=rate)
    made = corpora.prepare(config={"sample_rate": 16_000})
    expected = soxr.resample(source, rate, 16_000, quality="HQ") if rate != 16_000 else source
    np.testing.assert_array_equal(signal(made, "a"), np.rint(expected * 32_768) / 32_768)
    assert made.card.sample_rate == 16_000
    assert made.card.seconds == 1.0


def test_channels_are_averaged_or_chosen(corpora):
    stereo = np.stack([corpora.noise(), corpora.noise(seed=1)], axis=1)
    corpora.wav("a.wav", stereo)
    corpora.wav("mono.wav")
    both = corpora.prepare()
    np.testing.assert_allclose(signal(both, "a"), stereo.mean(axis=1), atol=2**-16)
    one = corpora.prepare(config={"channels": 1})
    np.testing.assert_array_equal(signal(one, "a"), stereo[:, 1])
    assert failures(one) == {"mono": "no_such_channel"}


def test_clusters_are_the_corpus_and_its_session_or_speaker(corpora):
    for name in ("jo_1_x.wav", "al_1_y.wav"):
        corpora.wav(name)
    clusters = {
        "set/jo": {"audio": "{speaker}_{n}_{m}.wav", "name": "set"},
        "corpus/1": {"audio": "{speaker}_{session}_{m}.wav"},
        "corpus/unknown": {"audio": "{a}_{n}_{m}.wav"},
    }
    for cluster, config in clusters.items():
        made = corpora.prepare(**config)
        assert cluster in {
            row.cluster for row in datasets.read_rows(f"{made.folder}/index.parquet")
        }
    assert made.card.notes[0].startswith("2 of 2 clips name no speaker or session: they count")


def test_a_limit_takes_the_same_clips_every_time(corpora):
    for number in range(9):
        corpora.wav(f"{number}.wav", seed=number)
    first = keys(corpora.prepare(config={"limit": 4}))
    assert len(first) == 4
    assert keys(corpora.prepare("other", config={"limit": 4, "shards": 2})) == first
    assert set(first) < set(keys(corpora.prepare("more", config={"limit": 5})))


# Again


def grown(corpora, clips: int = 12, **config):
    for number in range(clips):
        if not (corpora.folder / f"{number}.wav").exists():
            corpora.wav(f"{number}.wav", seed=number)
    return corpora.prepare(config=config)


def test_twice_is_the_same_bytes_and_the_second_time_nothing_is_written(corpora):
    made = grown(corpora, shards=3)
    before = {path.name: path.read_bytes() for path in Path(made.folder).iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in Path(made.folder).iterdir()}
    again = grown(corpora, shards=3)
    assert {path.name: path.stat().st_mtime_ns for path in Path(made.folder).iterdir()} == times
    assert again.card == made.card
    other = corpora.prepare("set2", config={"shards": 3})
    for name, data in before.items():
        if name.endswith((".tar", "failures.parquet")):
            renamed = Path(other.folder, name.replace("set-", "set2-"))
            assert renamed.read_bytes() == data


def test_fewer_shards_leave_no_stale_one(corpora):
    grown(corpora, shards=6)
    made = grown(corpora, shards=2)
    names = {path.name for path in Path(made.folder).iterdir()}
    assert names == {
        "dataset.json", "index.parquet", "failures.parquet",
        *(f"set-00000{n}.{kind}" for n in range(2) for kind in ("tar", "json", "parquet")),
    }  # fmt: skip
    assert keys(made) == sorted(str(number) for number in range(12))
    more = grown(corpora, shards=4)
    assert len(more.card.shards) == 4
    assert more.card.content == made.card.content


def test_a_changed_recording_makes_its_own_shard_again_and_no_other(corpora):
    made = grown(corpora, shards=4)
    before = stamps(made)
    home = {row.key: row.shard for row in datasets.read_rows(f"{made.folder}/index.parquet")}["7"]
    time.sleep(0.01)
    corpora.wav("7.wav", seed=77)
    again = grown(corpora, shards=4)
    changed = {name for name, stamp in stamps(again).items() if stamp != before[name]}
    assert changed == {f"{home}.tar", f"{home}.json", f"{home}.parquet"}
    np.testing.assert_array_equal(signal(again, "7"), corpora.noise(seed=77))
    assert again.card.content != made.card.content


def test_a_recording_that_went_away_is_no_longer_there(corpora):
    made = grown(corpora, shards=2)
    (corpora.folder / "7.wav").unlink()
    again = corpora.prepare(config={"shards": 2})
    assert keys(again) == sorted(set(keys(made)) - {"7"})


def test_a_touched_card_or_option_is_written_again(corpora):
    made = grown(corpora)
    before = stamps(made)
    again = grown(corpora, licence="CC0-1.0")
    assert again.card.licence == datasets.read_card(made.folder).licence == "CC0-1.0"
    assert stamps(again) == before  # the shards are the same
    louder = grown(corpora, sample_rate=16_000)
    assert louder.card.sample_rate == 16_000


@pytest.mark.parametrize(
    "name", ["dataset.json", "index.parquet", "failures.parquet", "set-000000.tar"]
)
def test_what_was_deleted_is_made_again(corpora, name):
    made = grown(corpora, shards=2)
    whole = Path(made.folder, name).read_bytes()
    Path(made.folder, name).unlink()
    again = grown(corpora, shards=2)
    assert Path(made.folder, name).read_bytes() == whole
    assert again.card == made.card


def test_a_sound_that_cannot_be_opened_costs_one_clip(corpora, monkeypatch):
    corpora.wav("a.wav")
    corpora.wav("b.wav")
    opened = Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "b.wav":
            raise PermissionError(13, os.strerror(13))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert failures(corpora.prepare()) == {"b": "unreadable"}


def test_the_card_does_not_say_where_the_recordings_lay(corpora):
    corpora.wav("a.wav")
    made = corpora.prepare()
    assert str(corpora.folder) not in Path(made.folder, "dataset.json").read_text()


# Stretches


def test_a_manifest_cuts_stretches_and_takes_channels(corpora):
    stereo = np.stack([corpora.noise(8_000), corpora.noise(8_000, seed=1)], axis=1)
    corpora.wav("long.wav", stereo)
    corpora.wav("truth.wav", stereo[:, 1])
    corpora.file(
        "m.csv",
        "path,start,end,channel,clean,key\n"
        "long.wav,0.25,0.5,1,truth.wav,\n"
        "long.wav,,0.125,0,,begins\n"
        "long.wav,0.75,,,,ends\n"
        "long.wav,0.9,1.3,,,rounded\n"
        "long.wav,0.9,1.6,,,outside\n"
        "long.wav,2,3,,,beyond\n"
        "long.wav,0.5,0.25,,,backwards\n"
        "long.wav,soon,later,,,\n"
        "long.wav,,,7,,missing\n",
    )
    made = corpora.prepare(file=str(corpora.folder / "m.csv"))
    assert failures(made) == {
        "outside": "segment_outside",
        "beyond": "segment_outside",
        "line-8": "bad_line",
        "line-9": "bad_line",
        "missing": "no_such_channel",
    }
    cut = signal(made, "long-0000250-0000500")
    np.testing.assert_array_equal(cut, stereo[2_000:4_000, 1])
    np.testing.assert_array_equal(signal(made, "long-0000250-0000500", "clean"), cut)
    np.testing.assert_array_equal(signal(made, "begins"), stereo[:1_000, 0])
    mixed = stereo.mean(axis=1)
    np.testing.assert_allclose(signal(made, "ends"), mixed[6_000:], atol=2**-16)
    np.testing.assert_allclose(signal(made, "rounded"), mixed[7_200:], atol=2**-16)


def test_all_channels_may_be_kept(corpora):
    many = np.stack([corpora.noise(seed=seed) for seed in range(4)], axis=1)
    corpora.wav("a.wav", many)
    corpora.wav("mono.wav")
    made = corpora.prepare(config={"channels": "keep"})
    reader = RandomReader(made.folder)
    np.testing.assert_array_equal(reader["a"].channels(), many.T)
    np.testing.assert_array_equal(reader["a"].signal(), many.mean(axis=1))
    assert reader["mono"].channels().shape == (1, 800)
    assert {row.key: row.channels for row in reader.rows.values()} == {"a": 4, "mono": 1}
    reader.close()


@pytest.mark.parametrize(
    ("form", "bits"), [("flac", [16, 24, 24]), ("flac16", [16] * 3), ("flac24", [24] * 3)]
)
def test_bits_are_as_asked_for(corpora, form, bits):
    for name, subtype in {"a": "PCM_16", "b": "PCM_24", "c": "FLOAT"}.items():
        corpora.wav(f"{name}.wav", subtype=subtype)
    made = corpora.prepare(config={"format": form})
    reader = RandomReader(made.folder)
    found = [soundfile.info(io.BytesIO(reader[key].read())).subtype for key in "abc"]
    reader.close()
    assert found == [f"PCM_{number}" for number in bits]


def test_the_index_says_what_recordings_are_like(corpora):
    time_s = np.arange(4 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 997 * time_s)
    corpora.wav("tone.wav", tone)
    corpora.wav("loud.wav", np.clip(4 * tone, -1, 1))
    corpora.wav("paused.wav", np.where(time_s < 2, tone, 0))
    made = corpora.prepare()
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert rows["tone"].peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert rows["tone"].loudness_lufs == pytest.approx(-9.05, abs=0.1)
    assert (rows["tone"].clipping, rows["tone"].silence) == (0, 0)
    assert rows["loud"].clipping > 0.5
    assert rows["paused"].silence == pytest.approx(0.5, abs=0.01)
    assert 900 < rows["tone"].bandwidth_hz <= 1_200
    heads = corpora.prepare("heads", config={"format": "original", "check": "headers"})
    [row, *_] = datasets.read_rows(f"{heads.folder}/index.parquet")
    assert (row.peak_dbfs, row.loudness_lufs, row.seconds) == (None, None, 4)


@pytest.mark.parametrize(
    ("samples", "groups"),
    [
        ([1_000] * 9, [4, 4, 1]),
        ([1_000, 2_000_000, 1_000, 1_000], [2, 2]),  # nothing joins a long clip
        ([2_000_000] * 2, [1, 1]),
        ([], []),
    ],
)
def test_few_clips_are_held_at_a_time_and_none_is_lost(samples, groups):
    entries = [Entry(f"clip_{n}", "x.wav") for n in range(len(samples))]
    begun = [
        (entry, Begun({"audio": Coded(b"", np.zeros(count, np.int16), RATE, 16, 0)}, RATE))
        for entry, count in zip(entries, samples, strict=True)
    ]
    found = [group for group in prepare._together(begun) if group]
    assert [len(group) for group in found] == groups
    assert [entry for group in found for entry, _ in group] == entries
