from __future__ import annotations

from dataclasses import replace

import pytest

from leaderboards import words
from leaderboards.records import Board, Counts, Flip, Measure
from metrics import METRICS, Interval


def measure(name: str) -> Measure:
    m = METRICS[name]
    return Measure(m.name, m.title, m.unit, m.higher_is_better, m.scale, m.summary, "0" * 12, {})


@pytest.mark.parametrize(
    ("name", "value", "number", "signed", "amount", "loss"),
    [
        ("wer", 0.26714, "26.7", "+26.7", "26.7 %", "26.7 points"),
        ("pesq", -1.234, "−1.23", "−1.23", "−1.23", "1.23 MOS"),
        ("si_snr", -0.04, "0.0", "0.0", "0.0 dB", "0.0 dB"),
        ("si_snr", 12.25, "12.2", "+12.2", "12.2 dB", "12.2 dB"),
        ("stoi", 0.91234, "0.912", "+0.912", "0.912", "0.912"),
    ],
)
def test_values_as_the_field_writes_them(name, value, number, signed, amount, loss) -> None:
    m = measure(name)
    assert words.number(m, value) == number
    assert words.signed(m, value) == signed
    assert words.amount(m, value) == amount
    assert words.loss(m, value) == loss


def test_nothing_is_a_dash() -> None:
    assert words.number(measure("wer"), None) == "–"
    assert words.signed(measure("wer"), None) == "–"
    assert words.span(measure("wer"), None) == ""


def test_intervals_mark_the_rough_ones() -> None:
    spread = Interval(0.1, 0.213, "bootstrap", 9)
    assert words.span(measure("wer"), spread) == "[10.0, 21.3]"
    assert words.span(measure("wer"), replace(spread, method="t")) == "~[10.0, 21.3]"


def test_differences_are_written_so_that_positive_is_worse() -> None:
    assert words.difference(measure("wer"), "real") == ("Gap", "real − synthetic")
    assert words.difference(measure("pesq"), "real") == ("Gap", "synthetic − real")
    assert words.difference(measure("wer"), "simulated") == ("Change", "simulated − synthetic")


def test_lists_durations_and_reasons() -> None:
    assert words.joined([]) == ""
    assert words.joined(["a"]) == "a"
    assert words.joined(["a", "b", "c"]) == "a, b and c"
    assert [words.duration(s) for s in (48, 750, 11_520)] == ["48 s", "12.5 min", "3.2 h"]
    assert words.reasons({"b": 1, "a": 2000}) == "a 2,000, b 1"


def test_many_turns_and_failures_are_counted_not_listed(board: Board) -> None:
    section = board.sections[0]
    turn = Flip("a", "b", "real", clear=False)
    failed = Counts(30, failed={"not_finite": 1})
    rows = [
        replace(
            row,
            real=replace(
                row.real, datasets=tuple(replace(c, counts=failed) for c in row.real.datasets)
            ),
        )
        for row in section.rows * 4
    ]
    told = words.notes(replace(section, flips=(turn,) * 25, rows=tuple(rows)))
    assert told.count("a is ahead of b on synthetic data, behind it on real recordings "
                      "(may be chance).") == words.MOST_TOLD  # fmt: skip
    assert "15 more pairs change places." in told
    assert "14 more results have failed clips: the tables count them." in told
