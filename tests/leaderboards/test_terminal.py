from __future__ import annotations

import io
from dataclasses import replace

import pytest

from leaderboards import terminal
from leaderboards.records import Board


def printed(board: Board, width: int) -> str:
    stream = io.StringIO()
    terminal.show(board, file=stream, width=width)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_and_carry_no_colour_codes(board: Board, width: int) -> None:
    text = printed(board, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "…\n" not in text


def test_what_a_table_says(board: Board) -> None:
    text = printed(board, 120)
    for said in (
        "WER, %, ↓ lower is better",
        "SI-SNRi, dB, ↑ higher is better",
        "real − synthetic",
        "(baseline)",
        "(oracle, unranked)",
        "add --real FOLDER",
        "5.0×",
        "The order turns: large is ahead of small",
        "ideal mask is not ranked: an oracle: it is shown the truth.",
    ):
        assert said in " ".join(text.split()) or said in text, said


def test_failures_are_noted(made, world) -> None:
    from leaderboards.boards import build

    tables = [
        made("frail", "voices", "synthetic", [*world.around(0.1), "not_finite", "not_finite"]),
        made("frail", "rooms", "simulated", world.around(0.1, seed=1)),
    ]
    text = printed(build([replace(world.reading, real=())], tables), 80)
    assert "frail, voices: 2 of 42 clips failed (not_finite 2)." in " ".join(text.split())
    assert "(unranked)" in text


def test_markup_in_names_is_shown_as_it_stands(board: Board) -> None:
    assert "[bold]x[/bold]" in printed(replace(board, title="[bold]x[/bold]"), 80)


def test_a_stream_without_unicode_gets_ascii(board: Board) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal.show(board, file=stream, width=80)
    stream.seek(0)
    assert "v lower is better" in stream.read()
