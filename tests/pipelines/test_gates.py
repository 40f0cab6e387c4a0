"""Gates and comparisons with earlier evaluations, on a made board."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from leaderboards.records import (
    Board,
    Cell,
    Change,
    Comparison,
    Counts,
    DatasetCell,
    Measure,
    Row,
    Section,
)
from metrics.intervals import Interval
from pipelines import gates, since
from pipelines.records import RealEarError
from pipelines.since import Earlier

NOWHERE = Change(None, note="no simulated dataset")


def row(model: str, near: float, far: float | None, *, role="model", failed: int = 0) -> Row:
    """A model with an interval of ± 0.02 around its gap."""
    cells = {}
    for domain, value in (("synthetic", near), ("simulated", None), ("real", far)):
        counts = Counts(100 - failed, {}, {"error": failed} if failed else {})
        part = DatasetCell(f"{domain} set", domain, value, None, counts)
        cells[domain] = Cell(domain, value, None, counts, (part,), "nothing scored")
    gap = NOWHERE
    if far is not None:
        gap = Change(far - near, Interval(far - near - 0.02, far - near + 0.02, "t", 5))
    return Row(model, f"{sum(model.encode()):08x}", role, cells["synthetic"], cells["simulated"],
               cells["real"], NOWHERE, gap)  # fmt: skip


@pytest.fixture
def board() -> Board:
    comparison = Comparison("words", "recognition", "Words", "wer",
                            synthetic=("a",), real=("b",))  # fmt: skip
    measure = Measure("wer", "WER", "%", False, 100.0, "", "0" * 12, {})
    rows = (
        row("good", 0.10, 0.11),
        row("tiny.en", 0.10, 0.30, failed=4),
        row("lazy", 0.5, 0.9, role="baseline"),
    )
    return Board("b", (Section(comparison, measure, rows, (), "real"),))


def lines(board: Board, text: str, earlier: Earlier | None = None) -> list[str]:
    gate = gates.parse(text, gates.of_board(board), since=earlier is not None)
    return gates.fired([gate], board, earlier)


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("gap.wer > 0.05", ["tiny.en"]),
        ("gap.wer>0.05", ["tiny.en"]),
        ("gap.wer > 0.5", []),
        ("gap.wer >= 0", ["good", "tiny.en"]),
        ("gap.wer.low > 0", ["tiny.en"]),  # of the other it may be chance
        ("gap.wer.high < 0.1", ["good"]),
        ("real.wer < 0.12", ["good"]),
        ("synthetic.wer <= 0.1", ["good", "tiny.en"]),
        ("synthetic.wer.low > 0", []),  # no interval: nothing is certain
        ("failed.wer > 0.01", ["tiny.en"]),
        ("good.gap.wer > 0", ["good"]),
        ("tiny.en.gap.wer > 0.1", ["tiny.en"]),
        ("words.tiny.en.gap.wer > 0.1", ["tiny.en"]),
        ("words.gap.wer > 0.1", ["tiny.en"]),
        ("lazy.gap.wer > 0.1", ["lazy"]),  # a baseline only where it is named
    ],
)
def test_a_gate_fires_for_the_rows_it_is_true_of(board, text, models) -> None:
    found = lines(board, text)
    assert [line.partition("words: ")[2].split(" ")[0] for line in found] == models
    assert all(line.startswith(f"{text}: words: ") for line in found)


def test_what_fired_is_told_in_words(board) -> None:
    assert lines(board, "gap.wer > 0.05") == [
        "gap.wer > 0.05: words: tiny.en has a gap wer of 20.0 % ~[18.0, 22.0]"
    ]
    assert lines(board, "failed.wer > 0") == [
        "failed.wer > 0: words: tiny.en failed on 4.0% of its clips"
    ]


def test_a_value_that_is_not_there_cannot_be_said_to_be_well(board) -> None:
    [section] = board.sections
    one = replace(board, sections=(replace(section, rows=(row("good", 0.1, None),)),))
    assert lines(one, "gap.wer > 0.05") == [
        "gap.wer > 0.05: words: good has no gap value (no simulated dataset)"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gap.wer", "expected it as 'gap.wer > 0.05'"),
        ("gap.wer == 1", "expected it as"),
        ("gap.wer > many", "expected a number, found 'many'"),
        ("gap.wer > nan", "expected a finite number"),
        ("wer > 1", "expected quantity.metric, such as gap.wer, found 'wer'"),
        ("gab.wer > 1", "unknown quantity 'gab': did you mean 'gap'?"),
        ("gap.wr > 1", "unknown metric 'wr': did you mean 'wer'?"),
        ("god.gap.wer > 1", "unknown comparison or model 'god': did you mean 'good'"),
        ("change.wer > 1", "change needs synthetic and simulated datasets, found real and synth"),
        ("failed.wer.low > 1", "failed has no interval"),
        ("worse.wer > 0.01", "name it by --since"),
    ],
)
def test_a_wrong_word_is_refused(board, text, message) -> None:
    with pytest.raises(RealEarError) as refused:
        gates.parse(text, gates.of_board(board))
    assert message in str(refused.value)
    assert repr(text) in str(refused.value)


@pytest.fixture
def earlier(board) -> Earlier:
    """`good` was as it is, under another fingerprint; `tiny.en` was better in real life."""
    tiny = board.sections[0].rows[1]
    return Earlier(
        "run", "2026-05-01T10:00:00.000Z",
        {
            ("words", "good", "another", "real"): 0.11,
            ("words", "good", "another", "synthetic"): 0.12,
            ("words", "tiny.en", tiny.fingerprint, "real"): 0.25,
            ("other", "tiny.en", tiny.fingerprint, "synthetic"): 0.0,
        },
    )  # fmt: skip


def test_worse_compares_with_an_earlier_evaluation(board, earlier) -> None:
    assert lines(board, "worse.wer > 0.01", earlier) == [
        "worse.wer > 0.01: words: tiny.en is +5.0 worse on real recordings than before"
    ]
    assert lines(board, "worse.wer > 0.06", earlier) == []
    assert lines(board, "good.worse.wer > -0.03", earlier) != []


def test_more_is_better_turns_worse_round(board, earlier) -> None:
    [section] = board.sections
    better = replace(section, measure=replace(section.measure, higher_is_better=True))
    assert lines(replace(board, sections=(better,)), "worse.wer > 0.01", earlier) == [
        "worse.wer > 0.01: words: good is +2.0 worse on synthetic data than before"
    ]


def test_changes_are_shown_by_model_and_domain(board, earlier) -> None:
    said = io.StringIO()
    since.show(board, earlier, Console(file=said, width=100))
    text = [line.split() for line in said.getvalue().splitlines()]
    assert text[0] == ["Since", "2026-05-01", "10:00", "UTC", "(run)"]
    assert ["good", "−2.0", "0.0"] in text
    assert ["tiny.en", "–", "+5.0"] in text
    assert ["lazy", "–", "–"] in text
