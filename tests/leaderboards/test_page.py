"""The page's first view: what it says, how it is escaped, what it may load."""

from __future__ import annotations

import html
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import altair as alt
import numpy as np
import pytest
import soundfile

from leaderboards import charts, tables, words
from leaderboards.boards import build
from leaderboards.examples import align, source
from leaderboards.page import build_page
from leaderboards.records import Board

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(board: Board) -> str:
    return build_page(board, library="vega.js")


@pytest.fixture(scope="module")
def evil(made, world) -> Board:
    found = [
        made(EVIL, "voices", "synthetic", world.around(0.1, seed=1)),
        made(EVIL, "street", "real", [*world.around(0.3, seed=2), "<b>oops</b>"]),
    ]
    comparison = replace(world.reading, simulated=(), real=("street",), title='"><img src=x>')
    return build([comparison], found, title="</title><script>alert(2)</script>")


def test_what_is_shown_is_escaped_everywhere(evil: Board, elements) -> None:
    page = build_page(evil, library="vega.js", note=EVIL)
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    found = elements(page)
    assert [attrs["src"] for tag, attrs in found if tag == "script"] == ["board.js"]
    assert not [tag for tag, _ in found if tag == "img"]
    assert not [name for _, attrs in found for name in attrs if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline(page: str, elements) -> None:
    own = {"board.css", "board.js", "board.csv", "board.json", "data:,"}
    for tag, attributes in elements(page):
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            value = attributes.get(name) or "#"
            assert value.startswith("#") or value in own, (tag, name, value)
        assert "style" not in attributes
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert {a for a in addresses if not a.startswith("http://www.w3.org/")} == set()
    for tag in ("<style", "url(", "@import"):
        assert tag not in page


def test_the_policy_is_strict(page: str, elements) -> None:
    [policy] = [a["content"] for _, a in elements(page) if "http-equiv" in a]
    allowed = {part.split()[0]: part.split()[1:] for part in policy.split("; ")}
    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["style-src"] == allowed["media-src"]
    assert allowed["script-src"] == ["'self'", "file:"]
    assert allowed["require-trusted-types-for"] == ["'script'"]
    assert "unsafe" not in policy


def test_the_same_board_gives_the_same_bytes(board: Board, page: str) -> None:
    assert build_page(board, library="vega.js") == page


def test_the_page_says_what_was_found_and_how_to_read_it(board: Board, page: str) -> None:
    for text in (
        "Does it hold in real life?",
        "real − synthetic",
        "synthetic − simulated",
        "+ is worse",
        "add --real FOLDER",
        "an oracle: it is shown the truth",
        "silent 2",
        "9c1e0c7d5a3b",
        board.sections[0].measure.hash,
        "How to read this",
    ):
        assert text in page, text
    for section in board.sections:
        assert all(f'<p class="finding">{found}</p>' in page for found in section.findings)
        said = html.unescape(page)
        assert all(f"<p>{words.agreement(found)}</p>" in said for found in section.agreements)


def test_the_table_is_marked_up_for_sorting_and_for_phones(page: str, elements) -> None:
    found = elements(page)
    labels = [attrs["data-label"] for tag, attrs in found if attrs.get("data-label")]
    expected = ["Synthetic", "Simulated", "Change", "Real", "Gap", "Speed", "Failed"]
    assert labels[: len(expected)] == expected
    heads = [attrs for tag, attrs in found if attrs.get("role") == "columnheader"]
    assert heads[0]["aria-sort"] == "ascending"
    assert {"ascending", "descending"} == {head["data-first"] for head in heads}
    values = [float(a["data-sort"]) for tag, a in found if tag == "td" and "data-sort" in a]
    assert len(values) >= 6 * 3


def test_every_value_leads_to_its_cell(board: Board, page: str, elements) -> None:
    links = {a["href"] for tag, a in elements(page) if tag == "a" and a.get("class") == "cell"}
    for section in board.sections:
        for row in section.rows:
            for domain in section.shown():
                first = row.cell(domain).datasets[0].dataset
                assert tables.link(section, row.fingerprint, first) in links


def test_an_address_of_a_cell_holds_any_name(evil: Board) -> None:
    found = tables.link(evil.sections[0], "a/b", "<#? %\u2028")
    assert re.fullmatch(r"#cell/[\w.~%-]+/[\w.~%-]+/[\w.~%-]+", found)


def test_ties_say_with_whom(made, world) -> None:
    found = [made(name, "voices", "synthetic", world.around(0.2, seed=n, spread=0.05))
             for n, name in enumerate(("one", "two"))]  # fmt: skip
    comparison = replace(world.reading, simulated=(), real=())
    [section] = build([comparison], found).sections
    first, second = (line["place"] for line in tables.lines(section))
    assert (first.text, second.text) == ("1≈", "2≈")
    assert "tied with" in first.title
    shown = [line["entries"][0].kind for line in tables.lines(section)]
    assert shown == ["first", "first"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1500, "1.5 k"), (48_000, "48 k"), (7_240_000, "7.2 M"),
     (330_000_000, "330 M"), (1_200_000_000, "1.2 B")],
)  # fmt: skip
def test_numbers_of_weights(count, shown) -> None:
    assert tables.weights(count) == shown


def test_charts_are_well_formed_follow_the_scheme_and_name_no_font(board: Board) -> None:
    for section in board.sections:
        for width in (360, 912):
            chart = charts.dumbbell_chart(section, width=width)
            if chart is not None:  # drawing it validates nothing
                assert alt.LayerChart.from_dict(chart).to_dict(validate=True)
            svg = charts.dumbbell(section, width=width)
            root = ElementTree.fromstring(svg)
            assert root.get("width") == str(width)
            assert "var(--synthetic)" in svg
            assert "font-family" not in svg
            assert " style=" not in svg  # the page's policy allows none
            marks = [e for e in root.iter() if e.get("aria-roledescription") == "point"]
            assert len(marks) == sum(
                row.cell(domain).value is not None
                for row in section.rows
                for domain in section.shown()
            )


def test_a_long_board_draws_the_first_models(board: Board) -> None:
    svg = charts.dumbbell(board.sections[0], width=912, most=1)
    assert board.sections[0].rows[0].model in svg
    assert board.sections[0].rows[1].model not in svg


def test_a_section_without_values_has_no_chart(board: Board) -> None:
    assert charts.dumbbell(replace(board.sections[0], rows=()), width=912) == ""


def test_charts_are_told_in_words(board: Board) -> None:
    assert "masknet: synthetic 16.0 dB, simulated 7.2 dB." in charts.described(board.sections[1])


@pytest.mark.parametrize(
    ("form", "media"), [("WAV", "wav"), ("FLAC", "flac"), ("OGG", "ogg"), ("MP3", "mpeg")]
)
def test_what_soundfile_writes_is_known_by_its_first_bytes(form, media) -> None:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(800), 8000, format=form)
    assert source(stream.getvalue()).startswith(f"data:audio/{media};base64,")


def test_audio_that_no_browser_plays_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the bytes of a WAV, FLAC, Ogg or MP3 file"):
        source(b"FORM....")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b", "a b", [("equal", "a", "a"), ("equal", "b", "b")]),
        ("a b c", "a x c", [("equal", "a", "a"), ("substitute", "b", "x"), ("equal", "c", "c")]),
        ("a b", "", [("delete", "a", ""), ("delete", "b", "")]),
        ("", "a", [("insert", "", "a")]),
        ("", "", []),
        ("a c", "a b c", [("equal", "a", "a"), ("insert", "", "b"), ("equal", "c", "c")]),
    ],
)
def test_alignment(reference, hypothesis, expected) -> None:
    assert align(reference, hypothesis) == expected
