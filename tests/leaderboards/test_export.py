from __future__ import annotations

import csv
import io
import json

from leaderboards import export
from leaderboards.records import Board


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
