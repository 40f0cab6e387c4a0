"""examples/explanations.yaml: whole as it stands, and run in small on made sounds."""

from pathlib import Path

import pytest

from pipelines.config import load_suite, parse_suite
from pipelines.evaluate import check_models, evaluate

EXAMPLE = Path(__file__).parents[2] / "examples" / "explanations.yaml"


@pytest.fixture
def suite(monkeypatch, tmp_path):
    monkeypatch.setenv("REALEAR_RECORDINGS", str(tmp_path))
    return load_suite(str(EXAMPLE))


def test_every_row_can_be_asked_and_chance_stands_beside_explainers(suite):
    found = check_models(suite)
    for name, comparison in suite.comparisons.items():
        rows = [handling for (of, _), handling in found.items() if of == name]
        assert len(rows) == len(comparison.models)
        assert {row.role for row in rows} >= {"model", "baseline"}
    assert "oracle" in {row.role for row in found.values()}


@pytest.mark.slow
def test_it_runs_in_small(suite, corpora):
    """Two classes of sounds; every explainer, and what is laid over the sounds."""
    value = suite.model_dump(mode="json", exclude_unset=True)
    value["datasets"]["made-sounds"]["recipe"] |= {"each": 2, "classes": ["siren", "rain"]}
    del value["datasets"]["digits"]
    value["comparisons"]["faithfulness"]["real"] = []
    outcome = evaluate(parse_suite(value, "here"), corpora.workspace, corpora.engine)
    assert not outcome.over_tolerance()
    [share] = [s for s in outcome.board.sections if s.measure.name == "source_share"]
    best = max(share.rows, key=lambda row: row.synthetic.value or 0)
    assert best.role == "oracle"
