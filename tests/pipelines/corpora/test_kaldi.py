"""Kaldi data folders: nothing in them is run, and every line leads to a clip or a failure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpora as readers
from pipelines.records import Entry, RealEarError
from pipelines.shards import datasets

LISTS = {
    "wav.scp": "r1 audio/r1.wav\nr2\taudio/r2.wav\n",
    "segments": "u1 r1 0.00 0.04\nu2 r1 0.04 -1\nu3 r2 0.02 0.08 0\n",
    "text": "u1 one two\nu2 three\nu3\n",
    "utt2spk": "u1 jo\nu2 al\nu3 jo\n",
    "spk2gender": "jo m\nal f\n",
    "utt2dur": "u1 99\n",
}


def put(corpora, changed: dict[str, str | None] | None = None, *, data: str = "data") -> None:
    for name, content in {**LISTS, **(changed or {})}.items():
        if content is not None:
            corpora.file(f"{data}/{name}", content.encode("utf-8", "surrogateescape"))


def read(corpora, **options) -> dict[str, Entry]:
    config = {"reader": "kaldi", "folder": str(corpora.folder), "data": "data", **options}
    found = readers.create(config, "corpus").entries()
    return {entry.key: entry for entry in found}


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


def test_segments_become_clips_with_words_and_speakers(corpora):
    put(corpora)
    found = read(corpora)
    assert not faults(found)
    assert found == {
        "u1": Entry("u1", "audio/r1.wav", start=0.0, end=0.04, text="one two", speaker="jo",
                    session="r1", labels={"gender": "m"}),
        "u2": Entry("u2", "audio/r1.wav", start=0.04, end=None, text="three", speaker="al",
                    session="r1", labels={"gender": "f"}),
        "u3": Entry("u3", "audio/r2.wav", start=0.02, end=0.08, channel=0, text="", speaker="jo",
                    session="r2", labels={"gender": "m"}),
    }  # fmt: skip


def test_without_segments_recordings_are_the_utterances(corpora):
    only = {"segments": None, "text": None, "utt2spk": "r1 jo\nr2 jo\n", "spk2gender": None}
    put(corpora, only)
    assert read(corpora) == {
        "r1": Entry("r1", "audio/r1.wav", speaker="jo"),
        "r2": Entry("r2", "audio/r2.wav", speaker="jo"),
    }


def test_end_to_end(corpora):
    put(corpora)
    corpora.wav("audio/r1.wav", seed=1)
    corpora.wav("audio/r2.wav", seed=2)
    made = corpora.prepare(reader="kaldi", data="data")
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert {key: row.seconds for key, row in rows.items()} == {"u1": 0.04, "u2": 0.06, "u3": 0.06}
    assert rows["u1"].cluster == "corpus/r1"
    assert made.card.failed == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("sph2pipe -f wav -p -c 1 r1.sph |", "command"),
        ("touch {folder}/executed |", "command"),
        ("| touch {folder}/executed", "command"),
        ("a.wav | b", "command"),
        ("-", "command"),
        ("/data/wav.ark:12345", "archive"),
        ("../r1.wav", "outside_corpus"),
        ("/elsewhere/r1.wav", "outside_corpus"),
    ],
)
def test_what_is_no_file_in_the_folder_is_refused_and_never_run(corpora, path, reason):
    path = path.format(folder=corpora.folder)
    put(corpora, {"wav.scp": f"r1 {path}\nr2 audio/r2.wav\n"})
    found = read(corpora)
    assert faults(found) == {"u1": reason, "u2": reason}
    assert path[:40] in found["u1"].fault.detail
    assert not (corpora.folder / "executed").exists()


def test_absolute_paths_below_the_folder_and_spaces_in_names(corpora):
    scp = f"r1 {corpora.folder}/audio/r 1.wav\r\nr2 audio/r2.wav\r\n"
    put(corpora, {"wav.scp": scp})
    found = read(corpora)
    assert found["u1"].audio == "audio/r 1.wav"
    assert not faults(found)


def test_every_missing_piece_is_counted(corpora):
    put(corpora, {
        "wav.scp": "r1 audio/r1.wav\nr2 audio/r2.wav\nr3 audio/r3.wav\n",
        "segments": LISTS["segments"] + "u4 r4 0 1\nu5 r2 0 1\nu6 r2 1 2\n",
        "text": LISTS["text"] + "u4 four\nu6 six\nu7 seven\n",
        "utt2spk": LISTS["utt2spk"] + "u4 jo\nu5 jo\nu8 jo\n",
    })  # fmt: skip
    found = faults(read(corpora))
    assert found.pop(next(key for key in found if key.startswith("r3"))) == "no_segment"
    assert found == {
        "u4": "missing_file",  # its recording is not in wav.scp
        "u5": "no_transcript",
        "u6": "no_label",  # no speaker
        "u7": "missing_file",  # in text only
        "u8": "missing_file",  # in utt2spk only
    }


@pytest.mark.parametrize(
    "rest",
    ["r1", "r1 0", "r1 0 x", "r1 1 0.5", "r1 1 1", "r1 nan 1", "r1 0 inf", "r1 -1 1", "r1 0 -2",
     "r1 0 1 x", "r1 0 1 -1", "r1 0 1 0 0"],
)  # fmt: skip
def test_a_segment_that_is_none_costs_one_clip(corpora, rest):
    put(corpora, {"segments": f"{LISTS['segments']}u4 {rest}\n", "text": None, "utt2spk": None})
    found = read(corpora)
    assert faults(found) == {"u4": "bad_line"}


def test_a_line_that_ends_early_and_a_line_that_stands_twice(corpora):
    put(corpora, {
        "wav.scp": LISTS["wav.scp"] + "r3\nr1 audio/other.wav\n",
        "text": LISTS["text"] + "u1 one three\n",
    })  # fmt: skip
    found = read(corpora)
    assert sorted(faults(found).values()) == ["bad_line", "duplicate_key", "duplicate_key"]
    assert (found["u1"].text, found["u1"].audio) == ("one two", "audio/r1.wav")
    assert found["u1"].fault is None


def test_text_that_is_not_utf8_costs_one_clip(corpora):
    put(corpora, {"text": "u1 caf\udce9\nu2 café\nu3 a\u2028b\u00a0c\n"})
    found = read(corpora)
    assert faults(found) == {"u1": "not_utf8"}
    assert found["u2"].text == "café"
    assert found["u3"].text == "a\u2028b\u00a0c"


def test_the_data_folder_may_be_the_folder_itself(corpora):
    put(corpora, data=".")
    assert not faults(read(corpora, data=""))


def test_a_wrong_folder_is_an_error(corpora):
    corpora.file("data/notes.txt", "")
    with pytest.raises(
        RealEarError, match=r"folder with wav.scp at .*/data, found notes.txt: name"
    ):
        read(corpora)
    with pytest.raises(RealEarError, match="found nothing: name it with `data`"):
        read(corpora, data="dta")


def test_a_folder_that_holds_none_of_the_audio_is_an_error(corpora):
    put(corpora, {"wav.scp": "r1 /elsewhere/r1.wav\nr2 /elsewhere/r2.wav\n"})
    with pytest.raises(RealEarError, match=r"found none of 3 clips there .*/elsewhere/r1.wav"):
        read(corpora)


LINE = st.text("ur1 |:.-\t\r\né\udcff", max_size=40)


@settings(max_examples=100, deadline=None)
@given(scp=LINE, segments=LINE, text=LINE, speakers=LINE)
def test_any_lists_end_as_entries_or_one_clear_error(tmp_path_factory, scp, segments, text,
                                                     speakers):  # fmt: skip
    folder = tmp_path_factory.mktemp("any", numbered=True)
    lists = {"wav.scp": f"r1 a\n{scp}", "segments": segments, "text": text, "utt2spk": speakers}
    for name, content in lists.items():
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    corpus = readers.create({"reader": "kaldi", "folder": str(folder)}, "corpus")
    for entry in corpus.entries():
        assert entry.fault or (entry.audio and not str(entry.audio).startswith(("/", "../")))
