from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from leaderboards import charts, dataset_terminal, dataset_words
from leaderboards.dataset_page import build_page
from leaderboards.description import Description, Label, Refusal, Sound, quantity

EVIL = "<script>alert(1)</script>"
HOSTILE = f"{EVIL}\x1b[2J[red]\u202etxt.exe\n"


def sound(seconds: float = 0.1) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(round(8000 * seconds)), 8000, format="FLAC")
    return stream.getvalue()


def described(**changes: object) -> Description:
    rng = np.random.default_rng(0)
    quantities = (
        quantity("seconds", rng.gamma(4, 1, 400), unit="s", limits=(0, None)),
        quantity("loudness_lufs", rng.normal(-23, 4, 390), unit="LUFS", total=400, step=1),
        quantity("rms_dbfs", rng.normal(-26, 4, 400), unit="dBFS", step=1),
        quantity("clipping", [0.0] * 399 + [2.5], unit="%"),
        quantity("silence", rng.uniform(0, 60, 400), unit="%", limits=(0, 100)),
        quantity("speaker_clips", [10] * 40, unit="clips", step=1),
        quantity("speaker_seconds", rng.gamma(9, 5, 40), unit="s", limits=(0, None)),
    )
    values: dict[str, object] = {
        "name": "street", "domain": "real", "clips": 400, "seconds": 1600.0, "shards": 16,
        "size": 51_200_000, "licence": "CC BY 4.0", "language": "en", "clipping": 1,
        "sample_rates": ((16_000, 300), (8_000, 100)), "channels": ((1, 400),),
        "quantities": quantities, "words": (4_000, 700), "duplicates": 3,
        "labels": (
            Label("text", 400, 400, (("a b", 1), ("c d", 1))),
            Label("speaker", 400, 40, (("ann", 10), ("bob", 10))),
            Label("session", 0, 0),
            Label("room", 399, 2, (("hall", 300), ("", 99))),
        ),
        "refused": (Refusal("silent", 4, "clip-9", "every sample is zero"),),
        "notes": ("12 clips name no speaker",), "digests": {"Content": "c0ffee"},
        "made_by": {"corpus": {"reader": "files"}},
        "sounds": (Sound(("loudest", "longest"), "clip-1", 40.0, sound(), cut=15.0),),
    }  # fmt: skip
    return Description(**{**values, **changes})


@pytest.fixture(scope="module")
def evil() -> Description:
    return described(
        name=EVIL, licence=HOSTILE, language=HOSTILE, notes=(HOSTILE,), digests={HOSTILE: HOSTILE},
        made_by={HOSTILE: HOSTILE}, refused=(Refusal(HOSTILE, 1, HOSTILE, HOSTILE),),
        labels=(Label(HOSTILE, 400, 1, ((HOSTILE, 400),)),),
        sounds=(Sound(("loudest",), HOSTILE, 0.1, sound(), ("1 s",), HOSTILE, HOSTILE),),
    )  # fmt: skip


def test_what_is_shown_is_escaped_everywhere(evil: Description, elements) -> None:
    page = build_page(evil)
    assert EVIL not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 12
    scripts = [attrs.get("type") for tag, attrs in elements(page) if tag == "script"]
    assert scripts == ["application/json"]
    assert not {"\x1b", "\u202e"} & set(page.partition('<script type="application/json"')[0])


def test_embedded_json_is_the_description(evil: Description) -> None:
    page = build_page(evil)
    [body] = re.findall(r'<script type="application/json" id="dataset">(.*)</script>', page)
    assert json.loads(body) == json.loads(json.dumps(evil.to_json()))
    assert "<" not in body


def test_nothing_is_loaded_from_anywhere(elements) -> None:
    page = build_page(described())
    for tag, attributes in elements(page):
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, name)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert {a for a in addresses if not a.startswith("http://www.w3.org/")} == set()
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_the_same_description_gives_the_same_bytes() -> None:
    assert build_page(described()) == build_page(described())


def test_the_page_says_what_there_is(elements) -> None:
    page = build_page(described())
    for text in (
        "400 real clips by 40 speakers: 26.7 min of audio.",
        "51.2 MB",
        "mostly 16 kHz",
        "16 kHz 75.0 %, 8 kHz 25.0 %; mono",
        "in 1 clip (0.2 %), at most 2.50 % of the samples of one",
        "3 clips (0.8 %) sound exactly as another one",
        "100 % of the clips, all different",
        "99.8 % of the clips, 2 different values",
        "no clip has it",
        "(empty)",
        "38 other values: 380 clips",
        "clip-9: every sample is zero",
        "12 clips name no speaker",
        "390 of 400 clips",
        "Loudest, longest",
        "The first 15 s of it.",
        "c0ffee",
    ):
        assert text in page, text
    [player] = [attrs for tag, attrs in elements(page) if tag == "audio"]
    assert player["src"].startswith("data:audio/flac;base64,")
    assert player["aria-label"] == "loudest, longest: clip-1"


def test_every_menu_entry_and_picture_can_be_reached_and_is_told(elements) -> None:
    found = elements(build_page(described()))
    ids = {attrs["id"] for _, attrs in found if "id" in attrs}
    menu = {attrs["href"] for tag, attrs in found if tag == "a"}
    assert menu == {f"#{name}" for name in ids & {name.removeprefix("#") for name in menu}}
    told = [attrs["aria-label"] for _, attrs in found if attrs.get("role") == "img"]
    assert len(told) == 4
    assert all("Median" in text and "nine in ten" in text for text in told)


def test_histograms_are_well_formed_follow_the_scheme_and_name_no_font() -> None:
    drawn = described().find("loudness_lufs")
    svg = charts.histogram(drawn, "var(--real)")
    root = ElementTree.fromstring(svg)
    bars = [e for e in root.iter() if e.get("aria-roledescription") == "bar"]
    assert len(bars) == len(drawn.histogram.counts)
    assert "var(--real)" in svg
    assert "font-family" not in svg


def test_a_page_without_clips_or_sounds_can_be_read(elements) -> None:
    empty = Description("nothing", "simulated", 0, 0.0, 0, 0)
    page = build_page(empty)
    elements(page)
    assert "A simulated dataset without any clip." in page
    assert "There is nothing to measure." in page
    assert "--with-audio" in build_page(described(sounds=()))
    assert "--with-audio" not in build_page(described())


def test_level_stands_in_where_too_few_clips_have_a_loudness() -> None:
    short = quantity("loudness_lufs", [-20.0] * 100, unit="LUFS", total=400)
    level = quantity("rms_dbfs", [-20.0] * 400, unit="dBFS")
    few = described(quantities=(short, level))
    assert [found.name for found in dataset_words.pictured(few)] == ["rms_dbfs"]
    names = [found.name for found in dataset_words.pictured(described())]
    assert names == ["seconds", "loudness_lufs", "silence", "speaker_seconds"]


def test_audio_that_no_browser_plays_is_refused() -> None:
    with pytest.raises(ValueError, match="clip 'k': expected the bytes of a WAV, FLAC"):
        Sound(("longest",), "k", 1.0, b"FORM....")


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    start=st.sampled_from([None, 0.0]),
    closed_above=st.booleans(),
)
def test_every_value_is_counted_once(values, start, closed_above) -> None:
    found = quantity("q", values, unit="s", limits=(start, None), closed_above=closed_above)
    drawn = found.histogram
    assert sum(drawn.counts) + drawn.below + drawn.above == found.count == len(values)
    assert list(drawn.edges) == sorted(set(drawn.edges))
    assert len(drawn.edges) == len(drawn.counts) + 1
    merged = drawn.merged(5)
    assert len(merged.counts) <= 5
    assert sum(merged.counts) == sum(drawn.counts)
    assert (merged.edges[0], merged.edges[-1]) == (drawn.edges[0], drawn.edges[-1])


def test_a_bin_begins_at_its_edge_or_where_it_is_asked_to_ends_there() -> None:
    whole = quantity("q", [5.0] * 9, unit="s", limits=(0, None)).histogram
    at = whole.counts.index(9)
    assert (whole.edges[at], whole.edges[at + 1]) == (5.0, 5.5)
    band = quantity("q", [4.0] * 9, unit="kHz", limits=(0, 8), closed_above=True).histogram
    at = band.counts.index(9)
    assert (band.edges[at], band.edges[at + 1]) == (3.5, 4.0)
    assert band.edges[-1] == 8.0


def test_a_few_far_values_do_not_squeeze_the_picture() -> None:
    values = [*np.linspace(1, 3, 999), 7200.0]
    found = quantity("seconds", values, unit="s", limits=(0, None))
    assert found.histogram.edges[-1] < 4
    assert found.histogram.above == 1
    assert "1 above the picture, up to 7,200.00 s." in dataset_words.spread(found)


def test_no_values_are_no_figure() -> None:
    assert quantity("q", [], unit="s") is None


@pytest.mark.parametrize(
    ("count", "total", "said"),
    [(0, 9, "0 %"), (9, 9, "100 %"), (1, 3, "33.3 %"), (1, 10_000, "<0.1 %"),
     (9_999, 10_000, ">99.9 %"), (0, 0, "0 %")],
)  # fmt: skip
def test_a_share_is_none_or_all_only_where_it_is(count, total, said) -> None:
    assert dataset_words.share(count, total) == said


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\tb\n", "a b "), ("a\x1b[2Jb\x00", "a\ufffd[2Jb\ufffd"), ("\u202eexe", "\ufffdexe"),
     ("\u0645\u0631", "\u0645\u0631"), ("x" * 200, "x" * 96 + "…")],
)  # fmt: skip
def test_text_of_others_is_one_harmless_line(text, shown) -> None:
    assert dataset_words.safe(text) == shown


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_it_all_within_its_width(width: int) -> None:
    stream = io.StringIO()
    dataset_terminal.show(described(), file=stream, width=width)
    said = stream.getvalue()
    assert max(map(len, said.splitlines())) <= width
    for text in ("Loudness, LUFS", "█", "hall 300", "silent", "Note: 12 clips name no speaker"):
        assert text in said, text


def test_a_terminal_is_not_steered_by_labels(evil: Description) -> None:
    stream = io.StringIO()
    dataset_terminal.show(replace(evil, name=HOSTILE), file=stream, width=80)
    assert not {"\x1b", "\u202e"} & set(stream.getvalue())
    assert "[red]" in stream.getvalue()


def test_a_stream_that_knows_ascii_only_gets_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    dataset_terminal.show(described(), file=stream, width=80)
    stream.flush()
    assert b"####" in stream.buffer.getvalue()
