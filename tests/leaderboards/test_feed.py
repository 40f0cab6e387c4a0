"""The feed and the badge of a board."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from leaderboards.feed import badge, feed
from leaderboards.records import Board, Moment

SVG = "{http://www.w3.org/2000/svg}"


def test_the_feed_has_an_item_an_evaluation_newest_first(board: Board) -> None:
    row = board.sections[0].rows[0]
    earlier = [
        Moment(f"2026-05-0{day}T00:00:00.000Z", f"run {day}",
               {f"reading|{row.model}|old|real": 0.25, "gone|x|y|real": 1.0})
        for day in (1, 2)
    ]  # fmt: skip
    found = json.loads(
        feed(replace(board, history=tuple(earlier)), run="run 3", when="2026-05-03T00:00:00.000Z")
    )
    assert found["version"] == "https://jsonfeed.org/version/1.1"
    assert found["title"] == board.title
    assert [item["id"] for item in found["items"]] == ["run 3", "run 2", "run 1"]
    assert all(item["date_published"].endswith("Z") for item in found["items"])
    assert board.sections[0].finding in found["items"][0]["content_text"]
    assert found["items"][1]["content_text"] == (f"Read speech, {row.model}, WER: real 25.0 %")


def test_a_feed_without_tracking_has_one_item_without_a_date(board: Board) -> None:
    [item] = json.loads(feed(board))["items"]
    assert item["id"] == board.suite_digest
    assert "date_published" not in item


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_the_badge_tells_the_best_models_real_value_and_gap(board: Board) -> None:
    best = board.sections[0].rows[0]
    title, result = texts(badge(board))
    assert title == "WER"
    assert result == (
        f"{best.model} · real {best.real.value * 100:.1f} % · gap {best.gap.value * 100:+.1f}"
    )


def test_the_badge_is_escaped_and_exists_for_an_empty_board(board: Board) -> None:
    section = board.sections[0]
    evil = replace(section.rows[0], model='<script>"&')
    shown = texts(badge(replace(board, sections=(replace(section, rows=(evil,)),))))
    assert shown[1].startswith('<script>"& · real')
    assert texts(badge(Board("empty", ()))) == ["RealEar", "nothing ranked"]
