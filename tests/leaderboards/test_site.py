"""The page's folder: its files, what they hand over, and the figures behind a cell."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboards import details, payloads, plots, site
from leaderboards.boards import build
from leaderboards.details import Origin
from leaderboards.examples import Example, Media, Sound
from leaderboards.records import Board, ClipRule, Moment, ScoreTable, SliceRule

EVIL = "</script><script>alert(1)</script>\u2028&"


@pytest.fixture(scope="module")
def folder(board: Board, tables: list[ScoreTable], tmp_path_factory) -> Path:
    """A whole page of the made board, with a sound in one cell."""
    root = tmp_path_factory.mktemp("page")
    found = details.read(board, tables)
    site.write(board, root, details=found, media=heard(board, root), origins=made_by(board))
    return root


def heard(board: Board, root: Path) -> Media:
    (root / "media").mkdir(exist_ok=True)
    for name in ("a.flac", "a.png", "old.flac"):
        (root / "media" / name).write_bytes(b"x")
    first = board.sections[0].rows[0]
    sound = Sound("What the model heard", "media/a.flac", "media/a.png", "first 15 s of 40 s")
    example = Example("reading", first.fingerprint, "street", "clip-001", (sound,), EVIL, "a b")
    return Media((example,), {}, "a note")


def made_by(board: Board) -> list[Origin]:
    first = board.sections[0].rows[0]
    return [Origin(first.fingerprint, "street", ("realear predict x",), (("Chain", EVIL),))]


def handed(path: Path) -> Any:
    """What a file of `data/` hands over, read as its script would be."""
    text = path.read_text(encoding="utf-8")
    name, value = re.fullmatch(r'RealEar\.receive\(("[^"]+"), (".*")\);\n', text).groups()
    assert json.loads(name) == path.stem
    return json.loads(json.loads(value))


def test_the_folder_holds_the_page_and_nothing_of_an_earlier_one(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"index.html", "board.css", "board.js", "board.csv", "board.json"} <= names
    assert {f"vendor/{site.library()}", "data/section-0.js", "data/cells-0-3.js"} <= names
    assert {"media/a.flac", "media/a.png"} <= names
    assert "media/old.flac" not in names
    assert not [name for name in names if name.endswith(".partial")]


def test_the_same_board_gives_the_same_files(board, tables, folder: Path, tmp_path: Path) -> None:
    found = details.read(board, tables)
    site.write(board, tmp_path, details=found, media=heard(board, tmp_path), origins=made_by(board))
    for path in folder.rglob("*"):
        if path.is_file() and "media" not in path.parts:
            assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_scripts_hand_over_any_text_and_hold_no_sign_that_ends_them() -> None:
    value = {"__proto__": EVIL, "a": [1.5, None, "\u2029'\"\\"]}
    text = payloads.script("cells-0-0", value)
    assert not set("<>&\u2028\u2029") & set(text)
    _, inner = re.fullmatch(r'RealEar\.receive\(("[^"]+"), (".*")\);\n', text).groups()
    assert json.loads(json.loads(inner)) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        payloads.script("x", float("nan"))


def test_our_scripts_never_make_html_of_a_string() -> None:
    script = site.layout.script("board")
    code = re.sub(r"//.*", "", script)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert word not in code, word
    assert "textContent" in code


def test_a_section_hands_over_every_model_on_every_dataset(board: Board, folder: Path) -> None:
    found = handed(folder / "data/section-0.js")
    section = board.sections[0]
    assert [m["fingerprint"] for m in found["models"]] == [r.fingerprint for r in section.rows]
    assert [d["name"] for d in found["datasets"]] == ["voices", "rooms", "street", "meeting"]
    street = section.rows[0].real.datasets[0]
    assert found["matrix"][0][2][2] == street.value
    assert {"scatter", "spread"} <= set(found["charts"])


def test_a_cell_shows_worst_and_median_clips_as_numpy_finds_them(board, tables, folder) -> None:
    row = board.sections[0].rows[0]
    cells = handed(folder / "data/cells-0-2.js")
    [cell] = [cell for cell in cells if cell["fingerprint"] == row.fingerprint]
    [table] = [t for t in tables if (t.fingerprint, t.dataset) == (row.fingerprint, "street")]
    clips = pq.read_table(table.paths[0]).to_pylist()
    values = np.array([clip["value"] for clip in clips])
    order = np.argsort(-values, kind="stable")
    assert [p["key"] for p in cell["picks"]][:3] == [clips[n]["key"] for n in order[:3]]
    middle = clips[order[(len(order) - 1) // 2]]["key"]
    assert [p["key"] for p in cell["picks"] if "median" in p["kind"]] == [middle]
    assert cell["median"] == pytest.approx(100 * np.median(values))
    assert sum(count for _, _, count in cell["bins"]) == len(values)
    assert cell["commands"] == ["realear predict x"]
    assert ["Chain", EVIL] in cell["facts"]


def test_a_cell_says_what_is_heard_or_why_nothing_is(board, tables, tmp_path) -> None:
    found = details.read(board, tables)
    row = board.sections[0].rows[0]
    place = ("reading", row.fingerprint, "street")
    key = found[place].picks[0].key
    sound = Sound("What the model heard", "media/a.flac", "media/a.png")
    example = Example("reading", row.fingerprint, "street", key, (sound,), EVIL, "a b")
    media = Media((example,), {("reading", row.fingerprint, "meeting"): "because"})
    site.write(board, tmp_path, details=found, media=media)
    street = handed(tmp_path / "data/cells-0-2.js")[0]
    assert street["silence"] == ""
    assert street["picks"][0]["sounds"] == [[sound.label, sound.file, sound.picture, ""]]
    assert street["picks"][0]["words"][0][0] == "substitute"
    assert handed(tmp_path / "data/cells-0-3.js")[0]["silence"] == "because"
    assert handed(tmp_path / "data/cells-0-2.js")[1]["silence"] == payloads.UNHEARD


def test_a_cell_counts_only_clips_that_count(made, world, tmp_path) -> None:
    table = made("m", "voices", "synthetic", [0.1, 0.2, 0.9])
    index = tmp_path / "index.parquet"
    keys = [f"clip-{n:03d}" for n in range(3)]
    pq.write_table(pa.table({"key": keys, "seconds": [1.0, 2.0, 30.0]}), index)
    comparison = replace(
        world.reading, simulated=(), real=(), clips=(ClipRule("seconds", high=10.0),)
    )
    info = replace(world.datasets[0], index=str(index))
    board = build([comparison], [table], [info])
    [detail] = details.read(board, [table]).values()
    assert [pick.key for pick in detail.picks] == ["clip-001", "clip-000"]
    assert detail.picks[1].kinds == ("second worst",)


def test_clips_without_a_value_leave_an_empty_detail(made, world) -> None:
    table = made("m", "voices", "synthetic", ["~silent", "crashed"])
    board = build([replace(world.reading, simulated=(), real=())], [table])
    [detail] = details.read(board, [table]).values()
    assert (detail.histogram, detail.median, detail.picks) == (None, None, ())


def test_rounds_give_every_cell_its_worst_clip_before_any_its_second(board, tables) -> None:
    turns = [(turn, place) for turn, place, _ in details.picked(details.read(board, tables))]
    assert [turn for turn, _ in turns] == sorted(turn for turn, _ in turns)
    cells = {place for _, place in turns}
    first = [place for turn, place in turns if turn == 0]
    assert set(first) == cells
    assert len(first) <= 2 * len(cells)


def test_slices_are_handed_over_one_by_one(made, world, tmp_path) -> None:
    index = tmp_path / "index.parquet"
    keys = [f"clip-{n:03d}" for n in range(40)]
    labels = [json.dumps({"snr": EVIL if n % 2 else "low"}) for n in range(40)]
    pq.write_table(pa.table({"key": keys, "labels": labels}), index)
    rules = (SliceRule("noise", "labels.snr"),)
    comparison = replace(world.reading, simulated=(), real=("street",), slices=rules)
    found = [made("m", name, domain, world.around(0.2))
             for name, domain in (("voices", "synthetic"), ("street", "real"))]  # fmt: skip
    infos = [replace(info, index=str(index)) for info in world.datasets[:1] + world.datasets[2:3]]
    board = build([comparison], found, infos)
    site.write(board, tmp_path / "page")
    cut = handed(tmp_path / "page/data/slices-0-0.js")
    assert (cut["name"], set(cut["groups"])) == ("noise", {"low", EVIL})
    assert cut["domains"] == ["synthetic", "real"]
    by_group = {
        (domain, cut["groups"][group]): value for domain, _, group, value, *_ in cut["cells"]
    }
    values = np.array(world.around(0.2))
    assert by_group["real", EVIL] == pytest.approx(100 * values[1::2].mean(), rel=1e-6)
    assert handed(tmp_path / "page/data/section-0.js")["charts"]["groups"]["columns"]


def test_history_follows_a_model_by_name_and_leaves_others_out(board: Board) -> None:
    section = board.sections[0]
    best = section.rows[0].model
    moments = [
        Moment(f"2026-0{n}-01T00:00:00Z", str(n), {
            f"reading|{best}|older{n}|real": 0.2 + n / 10,
            f"reading|{best}|older{n}|synthetic": 0.9,
            f"speakers|{best}|x|real": 0.9,
            "reading|gone|x|real": 0.9,
        })
        for n in (1, 2)
    ]  # fmt: skip
    found = payloads.remembered(replace(board, history=tuple(moments)), section)
    assert [(p["model"], p["value"]) for p in found] == [
        (best, pytest.approx(30.0)), (best, pytest.approx(40.0))
    ]  # fmt: skip
    assert payloads.remembered(board, section) == []


def test_names_in_a_scatter_stand_on_no_mark_and_on_no_other_name() -> None:
    rng = np.random.default_rng(3)
    points = [
        {"model": f"model {n}", "x": x, "y": y} for n, (x, y) in enumerate(rng.random((60, 2)))
    ]
    size = (500, 400)
    placed = plots.labels(points, (0.0, 1.0), size)
    assert 10 < len(placed) < 60
    boxes = []
    for label in placed:
        wide = len(label["name"]) * plots.LETTER
        left = label["x"] * size[0] - {"left": 0, "right": wide, "center": wide / 2}[label["align"]]
        middle = (1 - label["y"]) * size[1]
        boxes.append((left, middle - 7, left + wide, middle + 7))
    marks = [(p["x"] * size[0], (1 - p["y"]) * size[1]) for p in points]
    for n, (left, top, right, bottom) in enumerate(boxes):
        assert not [1 for x, y in marks if left < x < right and top < y < bottom]
        others = boxes[:n]
        assert not [
            1 for o in others if left < o[2] and o[0] < right and top < o[3] and o[1] < bottom
        ]


def test_a_scatter_has_one_range_for_both_axes(board: Board) -> None:
    for section in board.sections:
        spec = plots.scatter(section)
        domains = {tuple(layer["encoding"][axis]["scale"]["domain"])
                   for layer in spec["layer"] for axis in "xy"
                   if "scale" in layer["encoding"][axis]}  # fmt: skip
        assert len(domains) == 1
    assert plots.scatter(replace(board.sections[0], rows=())) is None


def test_the_packed_library_is_kept_for_other_boards(board: Board, tmp_path, monkeypatch) -> None:
    packed = []
    monkeypatch.setattr(site, "_bundle", lambda: packed.append("packed") or "library")
    for name in ("one", "two"):
        site.write(board, tmp_path / name, cache=tmp_path / "cache")
        assert (tmp_path / name / "vendor" / site.library()).read_text() == "library"
    assert packed == ["packed"]
    (tmp_path / "file").touch()
    site.write(board, tmp_path / "three", cache=tmp_path / "file")  # not a folder: packed again
    assert packed == ["packed"] * 2
