from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from leaderboards import export
from leaderboards.records import Board, SliceCell
from metrics import Interval


def test_json_gives_the_board_back(board: Board) -> None:
    text = export.to_json(board)
    assert json.loads(text) == board.to_json()
    assert text == export.to_json(board)


def test_csv_gives_every_value_back_exactly(board: Board) -> None:
    lines = list(csv.DictReader(io.StringIO(export.to_csv(board))))
    assert list(lines[0]) == list(export.COLUMNS)
    by_key = {
        (line["comparison"], line["fingerprint"], line["quantity"], line["dataset"]): line
        for line in lines
        if not line["domain"]
    }
    assert len(by_key) == len([line for line in lines if not line["domain"]])
    for section in board.sections:
        for row in section.rows:
            key = (section.comparison.name, row.fingerprint)
            for domain in section.shown():
                cell = row.cell(domain)
                assert float(by_key[*key, domain, ""]["value"]) == cell.value
                for part in cell.datasets:
                    assert float(by_key[*key, domain, part.dataset]["low"]) == part.interval.low
            gap = by_key[*key, "gap", ""]["value"]
            assert (float(gap) if gap else None) == row.gap.value


def test_no_value_is_empty_and_never_zero(board: Board) -> None:
    lines = csv.DictReader(io.StringIO(export.to_csv(board)))
    gaps = [x for x in lines if (x["comparison"], x["quantity"]) == ("speakers", "gap")]
    assert [line["value"] for line in gaps] == [""] * 4
    assert {line["note"] for line in gaps} == {"add --real FOLDER"}


def test_slices_agreement_and_duels_are_lines_of_their_own(board: Board) -> None:
    section = board.sections[0]
    first = section.rows[0].fingerprint
    cell = SliceCell("snr", "<5 dB", first, "real", 0.25, Interval(0.2, 0.3, "t", 4), 12, 4, True)
    board = replace(board, sections=(replace(section, slices=(cell,)), *board.sections[1:]))
    lines = list(csv.DictReader(io.StringIO(export.to_csv(board))))
    (found,) = [line for line in lines if line["quantity"] == "slice"]
    assert (found["slice"], found["group"], found["note"]) == ("snr", "<5 dB", "faint")
    assert (float(found["low"]), found["fingerprint"], found["scored"]) == (0.2, first, "12")
    taus = [x for x in lines if (x["comparison"], x["quantity"]) == ("reading", "tau")]
    assert [float(line["value"]) for line in taus] == [a.tau.value for a in section.agreements]
    duels = [x for x in lines if (x["comparison"], x["quantity"]) == ("reading", "duel")]
    assert [(line["fingerprint"], line["other"]) for line in duels] == [
        (duel.one, duel.other) for duel in section.duels
    ]
    assert [float(line["value"]) for line in duels] == [duel.value for duel in section.duels]
