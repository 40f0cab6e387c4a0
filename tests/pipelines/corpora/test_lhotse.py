"""Lhotse manifests: what lies in files becomes clips, everything else a counted failure."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpora as readers
from pipelines.records import Entry, RealEarError
from pipelines.shards import datasets


def recording(name: str = "r1", *, channels: int = 1, **fields) -> dict:
    source = {"type": "file", "channels": list(range(channels)), "source": f"audio/{name}.wav"}
    return {"id": name, "sources": [source], "sampling_rate": 8000, "num_samples": 800,
            "duration": 0.1, **fields}  # fmt: skip


def supervision(name: str = "s1", *, start: float = 0.0, duration: float = 0.1, **fields) -> dict:
    return {"id": name, "recording_id": "r1", "start": start, "duration": duration, "channel": 0,
            **fields}  # fmt: skip


def cut(name: str = "c1", **fields) -> dict:
    whole = {"start": 0.0, "duration": 0.1, "channel": 0, "supervisions": []}
    return {"id": name, **whole, "recording": recording(), "type": "MonoCut", **fields}


def put(corpora, name: str, *rows) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    content = "\n".join(lines).encode()
    return corpora.file(name, gzip.compress(content) if name.endswith(".gz") else content).name


def read(corpora, **config) -> dict[str, Entry]:
    config = {"reader": "lhotse", "folder": str(corpora.folder), **config}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def read_cuts(corpora, *rows, **config) -> dict[str, Entry]:
    return read(corpora, cuts=put(corpora, "cuts.jsonl.gz", *rows), **config)


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


# Cuts


def test_a_cut_has_its_supervisions_words_and_labels(corpora):
    said = [
        supervision("s2", start=0.05, text="two", speaker="jo", gender="m", language="English"),
        supervision("s1", text="one", speaker="al", gender="f", custom={"room": "hall", "x": [1]}),
    ]
    found = read_cuts(corpora, cut(supervisions=said, custom={"snr": 5.5, "array": {"shape": [2]}}))
    labels = {"gender": "f+m", "language": "English", "room": "hall", "snr": "5.5"}
    assert found == {
        "c1": Entry("c1", "audio/r1.wav", channel=0, text="one two", speaker="al+jo", labels=labels)
    }


def test_stretches_and_sessions(corpora):
    rows = [cut("c1", start=0.02, duration=0.03), cut("c2", start=0.05, duration=0.05),
            cut("c3", duration=0.0999, recording=recording("r2"))]  # fmt: skip
    found = read_cuts(corpora, *rows)
    assert [(e.start, e.end, e.session) for e in found.values()] == [
        (0.02, 0.05, "r1"), (0.05, 0.1, "r1"), (None, None, "r2"),
    ]  # fmt: skip


def test_each_supervision_may_be_a_clip(corpora):
    said = [
        supervision("s1", start=0.01, duration=0.02, text="one", speaker="al"),
        supervision("s2", start=0.03, duration=9.0, speaker="jo", custom={"take": 2}),
        supervision("s3", start=-0.01),
        supervision("s4", start=0.07),
        "no object",
    ]
    rows = [cut(start=0.02, duration=0.06, supervisions=said[:4], custom={"room": "hall"}),
            cut("c2"), cut("c3", supervisions=said)]  # fmt: skip
    found = read_cuts(corpora, *rows, each="supervision")
    place = {"audio": "audio/r1.wav", "channel": 0, "session": "r1"}
    assert found["s1"] == Entry(
        "s1", **place, start=0.03, end=0.05, text="one", speaker="al", labels={"room": "hall"}
    )
    assert found["s2"] == Entry(
        "s2", **place, start=0.05, end=0.08, speaker="jo", labels={"room": "hall", "take": "2"}
    )
    assert faults(found) == {
        "s3": "bad_line", "s4": "bad_line", "c2": "no_segment", "c3": "bad_line",
    }  # fmt: skip


def test_channels(corpora):
    two = recording("r2", channels=2)
    apart = {**recording("r3"), "sources": [
        {"type": "file", "channels": [0], "source": "audio/a.wav"},
        {"type": "file", "channels": [3, 2], "source": "audio/b.wav"},
    ]}  # fmt: skip
    multi = {"type": "MultiCut"}
    found = read_cuts(
        corpora,
        cut("mono", recording=two, channel=1),
        cut("all", recording=two, channel=[0, 1], **multi),
        cut("one", recording=two, channel=[1], **multi),
        cut("none-named", recording=two, channel=None, **multi),
        cut("third", recording=apart, channel=2),
        cut("both-of-b", recording=apart, channel=[2, 3], **multi),
        cut("spread", recording=apart, channel=[0, 2], **multi),
        cut("absent", recording=two, channel=2),
        cut("some", recording=recording("r4", channels=3), channel=[0, 2], **multi),
    )
    assert faults(found) == {"spread": "channels", "absent": "channels", "some": "channels"}
    taken = {key: (e.audio, e.channel) for key, e in found.items() if not e.fault}
    assert taken == {
        "mono": ("audio/r2.wav", 1),
        "all": ("audio/r2.wav", None),
        "one": ("audio/r2.wav", 1),
        "none-named": ("audio/r2.wav", None),
        "third": ("audio/b.wav", 1),  # its place in the file, not its number
        "both-of-b": ("audio/b.wav", None),
    }


def source(kind: str, name: str) -> dict:
    return recording("r2", sources=[{"type": kind, "channels": [0], "source": name}])


def test_what_lies_in_no_file_is_refused_and_nothing_is_run(corpora):
    found = read_cuts(
        corpora,
        cut("pipe", recording=source("command", f"touch {corpora.folder}/executed")),
        cut("web", recording=source("url", "https://example.org/a.wav")),
        cut("memory", recording=source("memory", "UklGRg==")),
        cut("shar", recording=source("shar", "")),
        cut("up", recording=source("file", "../a.wav")),
        cut("speed", recording=recording(transforms=[{"name": "Speed", "kwargs": {}}])),
        {"id": "mix", "tracks": [{"cut": cut()}], "type": "MixedCut"},
        {"id": "pad", "duration": 1.0, "sampling_rate": 8000, "type": "PaddingCut"},
        cut("features", recording=None, features={"type": "fbank"}),
        cut("good"),
    )
    assert faults(found) == {
        "pipe": "command", "web": "url", "memory": "memory", "shar": "shar",
        "up": "outside_corpus", "speed": "transforms", "mix": "mixed_cut", "pad": "padding_cut",
        "features": "no_recording",
    }  # fmt: skip
    assert not (corpora.folder / "executed").exists()


BAD = {
    "no JSON": "{",
    "nested": '{"a":' * 50_000,
    "no id": cut(id=None),
    "another kind": cut(type="DataCut"),
    "no kind": cut(type=None),
    "no recording's id": cut(recording={"sources": []}),
    "no start": cut(start=None),
    "a start before the start": cut(start=-1),
    "no length": cut(duration=0),
    "supervisions that are no list": cut(supervisions={"a": 1}),
    "supervisions that are no objects": cut(supervisions=[1]),
    "a channel that is none": cut(channel="left"),
    "a channel that is a truth value": cut(channel=True),
    "a source that is none": cut(recording=recording(sources=["a.wav"])),
    "a source without a path": cut(recording=source("file", "")),
    "channels that are no list": cut(recording={**recording(), "sources": [
        {"type": "file", "channels": 0, "source": "a.wav"}]}),
    "another kind of source": cut(recording=source("ftp", "a.wav")),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_costs_one_clip(corpora, bad):
    found = read_cuts(corpora, cut("before"), bad, cut("after"))
    assert list(faults(found).values()) == ["bad_line"]
    assert len(found) == 3


def test_text_that_is_half_a_character_costs_one_clip(corpora):
    said = [supervision(text="\ud83d")]
    found = read_cuts(corpora, cut(supervisions=said), cut("c2"))
    assert faults(found) == {"c1": "not_utf8"}


def test_cuts_end_to_end(corpora):
    corpora.wav("audio/r1.wav", seed=1)
    put(corpora, "cuts.jsonl", cut("c1", start=0.02, duration=0.05), cut("c2"),
        cut("c3", recording=recording("lost")))  # fmt: skip
    made = corpora.prepare(reader="lhotse", cuts="cuts.jsonl")
    rows = {row.key: row.seconds for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert rows == {"c1": 0.05, "c2": 0.1}
    assert dict(made.card.refused) == {"missing_file": 1}


# Recordings and supervisions


def test_recordings_alone_are_whole_clips(corpora):
    named = put(corpora, "r.jsonl", recording("r1"), recording("r2", channels=2), "{",
                recording("r1"))  # fmt: skip
    found = read(corpora, recordings=named)
    assert found["r1"] == Entry("r1", "audio/r1.wav", channel=0)
    assert found["r2"] == Entry("r2", "audio/r2.wav")
    assert sorted(faults(found).values()) == ["bad_line", "duplicate_key"]


def test_supervisions_are_stretches_of_their_recordings(corpora):
    named = put(corpora, "r.jsonl.gz", recording("r1"), recording("r2"), recording("r3"))
    spoken = put(
        corpora,
        "s.jsonl.gz",
        supervision("s1", duration=0.04, text="one", speaker="jo"),
        supervision("s2", start=0.04, duration=0.02, speaker="jo"),
        supervision("s3", recording_id="r2", text="three", speaker="jo"),
        supervision("s4", recording_id="r4"),
        supervision("s5", duration=None),
        {"id": "s6"},
    )
    found = read(corpora, recordings=named, supervisions=spoken)
    lost = faults(found)
    assert sorted(lost.values()) == ["bad_line", "bad_line", "missing_file", "no_segment"]
    assert lost["s4"] == "missing_file"
    assert {key: e for key, e in found.items() if not e.fault} == {
        "s1": Entry("s1", "audio/r1.wav", start=0.0, end=0.04, channel=0, text="one", speaker="jo"),
        "s2": Entry("s2", "audio/r1.wav", start=0.04, end=0.06, channel=0, speaker="jo"),
        "s3": Entry("s3", "audio/r2.wav", channel=0, text="three", speaker="jo"),
    }


def test_the_folder_is_by_default_the_manifests(corpora):
    put(corpora, "cuts.jsonl", cut())
    where = str(corpora.folder / "cuts.jsonl")
    [entry] = readers.create({"reader": "lhotse", "cuts": where}, "corpus").entries()
    assert entry.audio == "audio/r1.wav"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "expected exactly one of cuts, recordings"),
        ({"cuts": "c", "recordings": "r"}, "expected exactly one of cuts, recordings"),
        ({"cuts": "c", "supervisions": "s"}, "supervisions with recordings only"),
        ({"recordings": "r", "each": "supervision"}, "each with cuts only"),
        ({"cuts": "c.jsonl"}, r"expected a file of JSON lines at c\.jsonl, found no file there"),
    ],
)
def test_wrong_manifests_are_errors(corpora, config, message):
    with pytest.raises(RealEarError, match=message):
        read(corpora, **config)


def test_a_folder_without_the_audio_is_an_error(corpora):
    with pytest.raises(RealEarError, match="found none of 1 clips there"):
        read_cuts(corpora, cut(recording=source("file", "/elsewhere/a.wav")))


LEAF = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["", "file"])
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=2), max_leaves=3)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_cut_with_any_value_anywhere_is_one_entry(tmp_path_factory, data):
    row = cut(supervisions=[supervision(text="a", custom={"b": 1})], custom={"c": 1})
    inner = [row, row["recording"], row["recording"]["sources"][0], row["supervisions"][0]]
    target = data.draw(st.sampled_from(inner))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(JSON)
    where = tmp_path_factory.getbasetemp() / "any.jsonl"
    where.write_text(json.dumps(row) + "\n" + json.dumps(cut("good")))
    for each in ("cut", "supervision"):
        config = {"reader": "lhotse", "cuts": str(where), "each": each}
        assert len(readers.create(config, "corpus").entries()) == 2
