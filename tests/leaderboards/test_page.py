from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from leaderboards import charts
from leaderboards.boards import build
from leaderboards.examples import MOST, Example, align, source
from leaderboards.page import build_page
from leaderboards.records import Board

EVIL = "<script>alert(1)</script>"


def sound(form: str = "FLAC") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(800), 8000, format=form, subtype="PCM_16")
    return stream.getvalue()


@pytest.fixture(scope="module")
def page(board: Board) -> str:
    return build_page(board)


@pytest.fixture(scope="module")
def evil(made, world) -> Board:
    tables = [
        made(EVIL, "voices", "synthetic", world.around(0.1, seed=1)),
        made(EVIL, "street", "real", [*world.around(0.3, seed=2), "<b>oops</b>"]),
    ]
    comparison = replace(world.reading, simulated=(), real=("street",), title='"><img src=x>')
    return build([comparison], tables, title="</title><script>alert(2)</script>")


def test_what_is_shown_is_escaped_everywhere(evil: Board, elements) -> None:
    page = build_page(evil, examples=[Example(EVIL, EVIL, "street", EVIL, kind=EVIL)])
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    found = elements(page)
    assert [attrs.get("type") for tag, attrs in found if tag == "script"] == ["application/json"]
    assert not [tag for tag, _ in found if tag == "img"]


def test_embedded_json_is_the_board(evil: Board) -> None:
    page = build_page(evil)
    body = re.search(r'<script type="application/json" id="board">(.*)</script>', page, re.DOTALL)
    assert json.loads(body.group(1)) == evil.to_json()
    assert "<" not in body.group(1)


def test_nothing_is_loaded_from_anywhere(page: str, elements) -> None:
    for tag, attributes in elements(page):
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert {a for a in addresses if not a.startswith("http://www.w3.org/")} == set()
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_same_board_gives_the_same_bytes(board: Board, page: str) -> None:
    assert build_page(board) == page


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


def test_labels_on_a_phone_follow_the_columns(page: str, elements) -> None:
    labels = [attrs["data-label"] for tag, attrs in elements(page) if attrs.get("data-label")]
    assert labels[:6] == ["Synthetic", "Simulated", "Change", "Real", "Gap", "Speed"]


def test_charts_are_well_formed_follow_the_scheme_and_name_no_font(board: Board) -> None:
    for section in board.sections:
        for width in (360, 912):
            svg = charts.dumbbell(section, width=width)
            root = ElementTree.fromstring(svg)
            assert root.get("width") == str(width)
            assert "var(--synthetic)" in svg
            assert "font-family" not in svg
            marks = [e for e in root.iter() if e.get("aria-roledescription") == "point"]
            assert len(marks) == sum(
                row.cell(domain).value is not None
                for row in section.rows
                for domain in section.shown()
            )


def test_a_section_without_values_has_no_chart(board: Board) -> None:
    assert charts.dumbbell(replace(board.sections[0], rows=())) == ""


def test_charts_are_told_in_words(board: Board) -> None:
    assert "masknet: synthetic 16.0 dB, simulated 7.2 dB." in charts.described(board.sections[1])


def test_example_clips_play_and_show_their_errors(board: Board, elements) -> None:
    example = Example(
        "In the street", "large", "street", "clip-001", kind="typical",
        audio=(("What the model heard", sound()), ("What it answered", sound("WAV"))),
        reference="the quick brown fox jumps over", hypothesis="the quick round fox jumps high up",
        score=0.5,
    )  # fmt: skip
    page = build_page(board, examples=[example])
    players = [attrs for tag, attrs in elements(page) if tag == "audio"]
    assert [p["src"].split(",")[0] for p in players] == [
        "data:audio/flac;base64",
        "data:audio/wav;base64",
    ]
    assert page.count("clip to listen to") == 1
    assert "<del>brown</del> → <ins>round</ins>" in page
    assert "typical · large · street · clip-001 · 50.0 %" in page


def test_a_comparison_shows_only_a_few_examples(board: Board) -> None:
    many = [Example(f"No. {n}", "large", "street", str(n)) for n in range(MOST + 3)]
    page = build_page(board, examples=many)
    assert page.count('<article class="example">') == MOST


def test_audio_that_no_browser_plays_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the bytes of a WAV, FLAC, Ogg or MP3 file"):
        Example("t", "m", "d", "k", audio=(("x", b"FORM...."),))


@pytest.mark.parametrize(
    ("form", "media"), [("WAV", "wav"), ("FLAC", "flac"), ("OGG", "ogg"), ("MP3", "mpeg")]
)
def test_what_soundfile_writes_is_known_by_its_first_bytes(form, media) -> None:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(800), 8000, format=form)
    assert source(stream.getvalue()).startswith(f"data:audio/{media};base64,")


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
