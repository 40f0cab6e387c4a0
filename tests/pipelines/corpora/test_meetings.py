"""Meetings: who talks when, where they talk at once, and what cannot be used."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpora as readers
from pipelines.corpora.meetings import merged, moments
from pipelines.records import Entry, RealEarError
from pipelines.shards import datasets


def turn(meeting: str, start: object, length: object, speaker: str) -> str:
    return f"SPEAKER {meeting} 1 {start} {length} <NA> <NA> {speaker} <NA> <NA>\n"


TALK = (
    turn("m1", "0.00", "0.03", "al") + turn("m1", "0.02", "0.03", "jo")
    + turn("m1", "0.06", "0.02", "al") + turn("m1", "0.07", "0.02", "al")
    + turn("m2", "0.01", "0.05", "mé")
)  # fmt: skip


def put(corpora, talk: str | bytes = TALK, *, recordings: tuple[str, ...] = ("m1", "m2")) -> None:
    corpora.file("talk.rttm", talk)
    for name in recordings:
        corpora.file(f"audio/{name}.wav", b"")


def read(folder: Path, **options) -> dict[str, Entry]:
    config = {"reader": "meetings", "folder": str(folder), **options}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


def test_turns_of_a_speaker_that_touch_or_overlap_are_one(corpora):
    put(corpora)
    first, second, third, fourth = read(corpora.folder).values()
    place = {"audio": "audio/m1.wav", "session": "m1"}
    assert first == Entry("m1-al-0000000-0000030", **place, start=0.0, end=0.03, speaker="al",
                          labels={"speakers": "2", "overlap": "0.333"})  # fmt: skip
    assert second == Entry("m1-al-0000060-0000090", **place, start=0.06, end=0.09, speaker="al",
                           labels={"speakers": "1", "overlap": "0.000"})  # fmt: skip
    assert (third.key, third.speaker) == ("m1-jo-0000020-0000050", "jo")
    assert (fourth.speaker, fourth.session, fourth.audio) == ("mé", "m2", "audio/m2.wav")


def test_overlaps_are_stretches_of_two_or_more(corpora):
    put(corpora)
    [entry] = read(corpora.folder, clips="overlaps").values()
    assert entry == Entry(
        "m1-overlap-0000020-0000030", "audio/m1.wav", start=0.02, end=0.03, speaker="al+jo",
        session="m1", labels={"speakers": "2", "overlap": "1.000"},
    )  # fmt: skip


def test_padding_stays_within_the_talk_and_joins_what_meets(corpora):
    talk = "".join(turn("m1", *facts) for facts in (
        (0.0, 1.0, "al"), (0.9, 0.2, "jo"), (1.5, 0.5, "al"), (1.6, 0.3, "bo"), (9.0, 1.0, "jo"),
        (9.5, 0.5, "bo"),
    ))  # fmt: skip
    put(corpora, talk, recordings=("m1",))
    found = read(corpora.folder, clips="overlaps", padding=0.35)
    assert [(e.start, e.end, e.speaker) for e in found.values()] == [
        (0.55, 2.25, "al+bo+jo"),
        (9.15, 10.0, "bo+jo"),
    ]
    assert [e.labels["overlap"] for e in found.values()] == ["0.235", "0.588"]


def test_short_ones_are_left_out(corpora):
    put(corpora)
    assert len(read(corpora.folder, shortest=0.03)) == 4
    assert len(read(corpora.folder, shortest=0.031)) == 1
    assert len(read(corpora.folder, clips="overlaps", shortest=0.01)) == 1
    assert read(corpora.folder, clips="overlaps", shortest=0.011) == {}


def test_whole_recordings(corpora):
    put(corpora)
    found = read(corpora.folder, clips="whole")
    assert found["m1"] == Entry("m1", "audio/m1.wav", speaker="al+jo", session="m1",
                                labels={"speakers": "2"})  # fmt: skip
    assert found["m2"].speaker == "mé"


def test_end_to_end(corpora):
    corpora.file("talk.rttm", TALK + turn("m3", 0, 1, "jo"))
    corpora.wav("m1.wav", seed=1)
    corpora.wav("m2.wav", seed=2)
    made = corpora.prepare(reader="meetings")
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert {row.seconds for row in rows.values()} == {0.03, 0.05}
    assert {row.cluster for row in rows.values()} == {"corpus/m1", "corpus/m2"}
    assert dict(made.card.refused) == {"missing_file": 1}


def test_meetings_without_a_recording_and_recordings_without_turns(corpora):
    put(corpora, recordings=("m1", "m3"))
    found = faults(read(corpora.folder))
    assert sorted(found.values()) == ["missing_file", "no_label"]
    assert found["m3"] == "no_label"
    chosen = faults(read(corpora.folder, rttm="talk.rttm"))
    assert list(chosen.values()) == ["missing_file"]  # the other recordings were not asked for


NO_TIMES = [("x", 1), (0, "x"), (-1, 1), (0, -1), (0, 0), (0, "nan"), ("inf", 1), ("1e400", 1),
            (0, 1e12)]  # fmt: skip
BAD = [
    "SPEAKER m1 1 0 0.01 <NA> <NA> <NA> <NA> <NA>", "SPEAKER m1 1 0", "SPEKER m1", "m1 0 1",
    *(turn("m1", *times, "x") for times in NO_TIMES),
    turn("m1", 0, 1, "two words"), "SPEAKER " * 9, "\x00", "S" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_bad_line_costs_itself(corpora, line):
    put(corpora, f"{TALK}{line.strip()}\n{turn('m2', 1, 1, 'jo')}")
    found = read(corpora.folder)
    assert faults(found) == {"talk-line-6": "bad_line"}
    assert len(found) == 6


def test_other_lines_and_old_forms_of_rttm(corpora):
    other = (";; a comment\n\nSPKR-INFO m1 1 <NA> <NA> <NA> unknown al <NA>\r\n"
             "\tSPEAKER m1 1\t1.0 1.0 <NA> <NA> jo 0.9\n")  # fmt: skip
    put(corpora, other)
    found = read(corpora.folder, rttm="*.rttm")
    assert [(e.speaker, e.start) for e in found.values()] == [("jo", 1.0)]


def test_a_speaker_that_is_not_utf8_costs_their_turns(corpora):
    put(corpora, (TALK + turn("m1", 1, 1, "J\udce9")).encode("utf-8", "surrogateescape"))
    assert list(faults(read(corpora.folder)).values()) == ["not_utf8"]


def test_one_turn_in_two_files_is_one(corpora):
    put(corpora)
    corpora.file("test/m1.rttm", TALK)
    assert len(read(corpora.folder)) == 4


def test_recordings_are_named_by_a_pattern(corpora):
    put(corpora, recordings=("m1/m1.Mix-Headset", "m2/m2.Mix-Headset", "m1/m1.Array1-01"))
    found = read(corpora.folder, audio="**/{meeting}.Mix-Headset.wav")
    assert not faults(found)
    assert found["m1-jo-0000020-0000050"].audio == "audio/m1/m1.Mix-Headset.wav"
    with pytest.raises(RealEarError, match=r"found m1.Array1-01, m1.Mix-Headset, .*Mix-Headset"):
        read(corpora.folder)
    with pytest.raises(RealEarError, match="expected one recording of the meeting m1, found"):
        read(corpora.folder, audio="**/{meeting}.*.wav")


def test_a_wrong_folder_is_an_error(corpora):
    with pytest.raises(RealEarError, match=r"RTTM files named like '\*\*/\*.rttm' in .*none: name"):
        read(corpora.folder)
    with pytest.raises(RealEarError, match="expected a pattern below `folder`"):
        read(corpora.folder, rttm="../*.rttm")


@pytest.mark.parametrize(
    "options",
    [{"padding": 1}, {"clips": "whole", "padding": 1}, {"clips": "whole", "shortest": 1},
     {"shortest": -1}, {"clips": "overlaps", "padding": "nan"}],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(corpora, options):
    with pytest.raises(RealEarError, match=r"expected (padding|shortest)|greater|finite"):
        read(corpora.folder, **options)


def on_a_grid(turns: dict[str, list[tuple[float, float]]], end: int) -> np.ndarray:
    """(speaker, millisecond) whether they talk."""
    grid = np.zeros((len(turns), end), bool)
    for row, stretches in zip(grid, turns.values(), strict=True):
        for first, last in stretches:
            row[round(first) : round(last)] = True
    return grid


STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5)


@settings(max_examples=300, deadline=None)
@given(speakers=st.lists(STRETCHES, min_size=1, max_size=4), data=st.data())
def test_shares_and_overlaps_are_those_of_a_grid(speakers, data):
    turns = {
        f"s{n}": merged([(float(a), float(a + length)) for a, length in stretches])
        for n, stretches in enumerate(speakers)
    }
    grid, who = on_a_grid(turns, 100), moments(turns)
    both = np.flatnonzero(np.diff(np.r_[0, (grid.sum(0) > 1).astype(int), 0]))
    assert who.overlaps(0, 0) == [tuple(pair) for pair in both.reshape(-1, 2)]
    start = data.draw(st.integers(0, 90))
    end = data.draw(st.integers(start + 1, 100))
    pieces = list(who.within((start, end)))
    assert sum(length for length, _ in pieces) == grid[:, start:end].any(0).sum()
    assert (
        sum(length for length, names in pieces if len(names) > 1)
        == (grid[:, start:end].sum(0) > 1).sum()
    )
    heard = {f"s{n}" for n, row in enumerate(grid[:, start:end]) if row.any()}
    assert {name for _, names in pieces for name in names} == heard


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("SPEAKR m1.0-e<>NA\té\udcff", max_size=60), max_size=8))
def test_any_lines_end_as_entries(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    (folder / "m1.wav").touch()
    text = "\n".join([turn("m1", 0, 1, "al"), *lines])
    (folder / "x.rttm").write_bytes(text.encode("utf-8", "surrogateescape"))
    for clips in ("turns", "overlaps", "whole"):
        for entry in read(folder, clips=clips).values():
            assert entry.fault or entry.clean is None


# Real recordings


def test_six_conversations(recordings):
    found = read(recordings / "conversations")
    assert len(found) == 33
    assert not faults(found)
    assert sum(e.end - e.start for e in found.values()) == pytest.approx(
        97.106, abs=1e-6
    )  # as its lines add up


def test_overlaps_of_six_conversations(recordings, corpora):
    folder = recordings / "conversations"
    found = read(folder, clips="overlaps", padding=0.25, shortest=0.2)
    assert found
    assert all(e.labels["speakers"] != "1" for e in found.values())
    made = corpora.prepare(reader="meetings", folder=str(folder), clips="overlaps",
                           padding=0.25, shortest=0.2)  # fmt: skip
    assert (made.card.clips, made.card.failed) == (len(found), 0)
