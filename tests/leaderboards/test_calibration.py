"""Blind values beside the truth: errors, order, intervals, foreign clips; all worked by hand."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import kendalltau

from leaderboards import charts, export, tables, terminal, trust, words
from leaderboards.boards import build
from leaderboards.page import build_page
from leaderboards.records import Blind, Comparison, DatasetInfo, ScoreTable
from metrics import spec

GUESS, TRUTH = spec("blind_si_snr", estimator="ear"), spec("si_snr", sample_rate=8_000)
CARD = {
    "mae": 1.234567,
    "n": 2000,
    "note": "<i>held-out voices</i>",
    "domains": {"dry": {"mae": 1.0, "r": None}, "rooms": {"mae": 1.5}},
    "bins": [{"low": -5.0, "mae": 2.0}, {"low": 0.0, "mae": 1.0}],
    "reliability": [{"guess": 0.0, "truth": 0.5, "clips": 10}, [6.0, 5.5, 20], "none", [1]],
}
APART = Comparison(
    "apart",
    "separation",
    "Two talkers",
    "blind_si_snr",
    synthetic=("pairs",),
    real=("street",),
    blind=Blind("ear", "si_snr", TRUTH.hash, CARD),
)


@pytest.fixture
def table(tmp_path):
    """A score table: values by key, or the word why there is none; details by key."""

    def write(model, dataset, values, *, of=GUESS, details=(), role="model") -> ScoreTable:
        found = [
            {
                "key": f"{n:02d}",
                "cluster": f"x/{n % 8}",
                "end": "failed" if value is None else "scored",
                "reason": "error" if value is None else None,
                "numerator": value,
                "denominator": None if value is None else 1.0,
                "capped": False,
                "detail": json.dumps(details[n] if details else {}),
                "pair": None,
            }
            for n, value in enumerate(values)
        ]
        schema = pa.schema(
            [(n, pa.string()) for n in ("key", "cluster", "pair", "end", "reason", "detail")]
            + [(n, pa.float64()) for n in ("numerator", "denominator")]
            + [("capped", pa.bool_())]
        )
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(pa.Table.from_pylist(found, schema=schema), path)
        domain = "real" if dataset == "street" else "synthetic"
        return ScoreTable(
            model, f"fp-{model}", role, dataset, domain, of.record(), of.hash, (str(path),)
        )  # fmt: skip

    return write


def section_of(tables_, comparison=APART):
    return build([comparison], tables_, [DatasetInfo("pairs", "synthetic", 3, 9.0)]).sections[0]


def of(section, **wanted):
    return [
        error
        for error in section.calibration.errors
        if all(getattr(error, name) == value for name, value in wanted.items())
    ]


def test_errors_are_over_the_clips_that_have_both(table):
    section = section_of([
        table("a", "pairs", [1.0, 4.0, 6.0, None, 9.0]),
        table("a", "pairs", [2.0, 4.0, 3.0, 8.0, None], of=TRUTH),
    ])  # fmt: skip
    [whole], [error] = of(section, fingerprint=""), of(section, fingerprint="fp-a")
    assert replace(whole, fingerprint="fp-a") == error
    assert (error.dataset, error.domain, error.clips) == ("pairs", "synthetic", 3)
    assert error.truth == pytest.approx(3.0)
    assert error.guess == pytest.approx(11 / 3)
    assert error.mae == pytest.approx(4 / 3)  # 1, 0, 3
    assert error.bias == pytest.approx(2 / 3)
    assert error.deviation == pytest.approx(np.std([2, 4, 3]))
    assert error.pearson == pytest.approx(np.corrcoef([1, 4, 6], [2, 4, 3])[0, 1])
    assert (error.covered, error.intervals) == (None, 0)
    true = section.calibration.true("fp-a", "synthetic")
    assert true.value == pytest.approx(17 / 4)  # its own scored clips
    assert true.counts.n_failed == 1


def test_an_interval_belongs_to_the_signal_that_pit_gave_to_a_source(table):
    # Reference 0 is the model's signal 1: guesses are in the model's order, truths in theirs.
    guessed = [
        {"sources": [9.0, 1.0], "lower": [8.0, 0.0], "upper": [10.0, 2.0]},
        {"sources": [9.0, 1.0], "lower": [8.0, 0.0], "upper": [10.0, 2.0]},
        {"sources": [9.0, 1.0], "lower": [8.0, 0.0], "upper": [10.0, 2.0]},
    ]
    true = [
        {"sources": [1.5, 9.5], "permutation": [1, 0]},  # both hold
        {"sources": [1.5, 9.5], "permutation": [0, 1]},  # neither does
        {"sources": [1.5, 9.5]},  # nobody knows
    ]
    section = section_of([
        table("a", "pairs", [5.0] * 3, details=guessed),
        table("a", "pairs", [5.5] * 3, details=true, of=TRUTH),
    ])  # fmt: skip
    [error] = of(section, fingerprint="fp-a")
    assert (error.covered, error.intervals) == (0.5, 4)
    assert error.pearson is None  # nothing varies


def test_one_signal_has_its_interval_without_an_order(table):
    said = [{"lower": [4.0], "upper": [6.0]}, {"lower": [4.0], "upper": [5.0]}]
    section = section_of([
        table("a", "pairs", [5.0, 5.0], details=said),
        table("a", "pairs", [5.5, 5.5], of=TRUTH),
    ])  # fmt: skip
    assert (of(section)[0].covered, of(section)[0].intervals) == (0.5, 2)


def test_the_order_of_guesses_and_truths_is_kendalls_over_ranked_models_and_oracles(table):
    guesses, truths = [5.0, 4.0, 3.0, 9.0], [5.0, 3.0, 4.0, 12.0]
    found = []
    for number, (guess, truth) in enumerate(zip(guesses, truths, strict=True)):
        role = "oracle" if number == 3 else "model"
        found.append(table(f"m{number}", "pairs", [guess] * 8, role=role))
        found.append(table(f"m{number}", "pairs", [truth] * 8, of=TRUTH, role=role))
    failing = [
        table("bad", "pairs", [99.0] * 7 + [None]),
        table("bad", "pairs", [0.0] * 8, of=TRUTH),
    ]
    [order] = section_of([*found, *failing]).calibration.orders
    assert (order.domain, order.models) == ("synthetic", 4)
    assert order.tau == pytest.approx(kendalltau(guesses, truths).statistic)


def test_a_clip_is_foreign_with_any_of_its_signals(table):
    said = [{"outside": [0.1, 0.5]}, {"outside": [0.4, 0.49]}, {"outside": [1.0]}, {}]
    section = section_of([
        table("a", "pairs", [1.0] * 4, details=[{"outside": [0.0]}] * 4),
        table("a", "street", [1.0] * 4, details=said),
    ])  # fmt: skip
    near, far = section.calibration.foreign
    assert (near.dataset, near.clips, near.outside, near.share) == ("pairs", 4, 0, 0.0)
    assert (far.dataset, far.clips, far.outside) == ("street", 3, 2)
    told = "a, street: 2 of 3 clips (67 %) are unlike what ear was trained on."
    assert told in words.notes(section)
    assert not any("pairs:" in note for note in words.notes(section))
    assert "Beware: 2 of 3 judged clips of street are unlike what ear was trained on" in (
        section.finding
    )
    text = text_of(section, width=120)
    assert "2 of 3 clips (67 %)" in text


def text_of(section, *, width):
    import io

    stream = io.StringIO()
    board = build([], [])
    terminal.show(replace(board, sections=(section,)), file=stream, width=width)
    return " ".join(stream.getvalue().split())


def test_what_a_tenth_of_the_clips_may_be_is_no_warning(table):
    said = [{"outside": [1.0]}, *[{"outside": [0.0]}] * 9]
    section = section_of([table("a", "street", [1.0] * 10, details=said),
                          table("a", "pairs", [1.0] * 10)])  # fmt: skip
    assert section.calibration.foreign[0].outside == 1
    assert "unlike" not in section.finding + " ".join(words.notes(section))
    assert "no clip here comes with the true SI-SNR to check it by" in section.finding


def test_clips_that_do_not_count_are_not_measured(table, tmp_path):
    index = pa.table({"key": [f"{n:02d}" for n in range(4)], "seconds": [1.0, 1.0, 9.0, 9.0]})
    pq.write_table(index, tmp_path / "index.parquet")
    info = DatasetInfo("pairs", "synthetic", 4, 20.0, index=str(tmp_path / "index.parquet"))
    from leaderboards.records import ClipRule

    short = replace(APART, real=(), clips=(ClipRule("seconds", None, 5.0),))
    found = [table("a", "pairs", [1.0, 2.0, 30.0, 30.0]), table("a", "pairs", [0.0] * 4, of=TRUTH)]
    [section] = build([short], found, [info]).sections
    assert [(error.clips, error.mae) for error in section.calibration.errors] == [(2, 1.5)] * 2


@pytest.fixture
def board(table):
    rng = np.random.default_rng(0)
    found = []
    for number in range(3):
        truths = rng.normal(5 * number, 2.0, 24)
        guesses = truths + rng.normal(0.3, 1.0, 24)
        said = [{"lower": [g - 1.6], "upper": [g + 1.6], "outside": [0.0]} for g in guesses]
        found.append(table(f"m{number}", "pairs", guesses, details=said))
        found.append(table(f"m{number}", "pairs", truths, of=TRUTH))
        far = [{"outside": [1.0]}] * 16
        found.append(table(f"m{number}", "street", guesses[:16] - 4, details=far))
    return build([APART], found, [DatasetInfo("pairs", "synthetic", 24, 9.0)], title="Blind")


def test_the_table_reads_like_real_ms(board):
    [section] = board.sections
    heads = [column.title for column in tables.columns(section)]
    assert heads == ["Synthetic", "True synthetic", "Error", "Real", "Gap", "Failed"]
    for line in tables.lines(section):
        assert len(line["entries"]) == len(heads)
        true, error = line["entries"][1:3]
        [measured] = of(section, fingerprint=line["row"].fingerprint)
        assert true.text == words.number(section.measure, measured.truth)
        assert error.text == words.number(section.measure, measured.mae)
        assert error.small == f"bias {words.signed(section.measure, measured.bias)}"
        assert error.title == f"{error.small}, r {words.correlation(measured.pearson)}"
        assert true.small.startswith("[")
    wide, narrow = text_of(section, width=130), text_of(section, width=80)
    assert "True Error" in wide
    assert "bias +0." in wide
    assert "True" in narrow
    assert "Error" not in narrow


def test_the_finding_says_how_far_off_the_guesses_are(board):
    [section] = board.sections
    [whole] = of(section, fingerprint="")
    assert whole.clips == 72
    share = words.share(whole.covered)
    assert (
        f"Blind SI-SNR is a guess by ear: off by {whole.mae:.1f} dB on average on pairs (bias "
        f"+{whole.bias:.1f}, r {whole.pearson:.2f}, {share} of its 90 % intervals hold the truth, "
        "72 clips)." in section.finding
    )
    assert "Guesses rank 3 models on synthetic data as the truth does: Kendall's tau 1.00." in (
        section.finding
    )


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (None, ""),
        ({"pearson": 0.9}, ""),
        ({"mae_db": "?"}, ""),
        ({"mae_db": 1.26}, "Where it was calibrated, ear is off by 1.3 dB on average."),
        (
            {"mae_db": 1.26, "bias_db": -0.07, "pearson": 0.957, "clips": 2400, "outside": None},
            "Where it was calibrated, ear is off by 1.3 dB on average (bias −0.1, r 0.96, "
            "2,400 clips).",
        ),
    ],
)
def test_a_terminal_tells_the_card_in_a_sentence(table, card, told):
    asked = replace(APART, blind=replace(APART.blind, card=card))
    notes = words.notes(section_of([table("a", "pairs", [1.0] * 4)], asked))
    assert [note for note in notes if "calibrated" in note] == ([told] if told else [])


def test_the_files_say_it_too(board):
    import csv
    import io

    lines = list(csv.DictReader(io.StringIO(export.to_csv(board))))
    by = {(line["quantity"], line["model"], line["dataset"]): line for line in lines}
    found = board.sections[0].calibration
    for error in found.errors:
        model = error.fingerprint.removeprefix("fp-")
        for name in ("mae", "bias", "pearson", "covered"):
            line = by[name, model, "pairs"]
            assert float(line["value"]) == getattr(error, name)
            assert (line["domain"], line["scored"]) == ("synthetic", str(error.clips))
    assert float(by["outside", "m1", "street"]["value"]) == 1.0
    assert float(by["true_tau", "", ""]["value"]) == 1.0
    assert float(by["true", "m2", ""]["low"]) < float(by["true", "m2", ""]["value"])
    record = json.loads(export.to_json(board))["sections"][0]
    assert record["calibration"]["card"] == json.loads(json.dumps(CARD))
    assert record["comparison"]["blind"]["truth"] == "si_snr"


def test_the_page_draws_the_curve_and_escapes_the_card(board, elements):
    page = build_page(board, library="vega.js")
    elements(page)  # tags nest
    assert "&lt;i&gt;held-out voices&lt;/i&gt;" in page
    assert "<i>held-out" not in page
    assert "<dt>mae</dt><dd>1.23</dd>" in page
    assert "Blind, true, error" in page
    shown = trust.view(board.sections[0])
    titles = [grid.title for grid in shown.grids]
    assert titles == [
        "Measured here, where clips come with the truth",
        "Clips unlike what ear was trained on",
        "The estimator’s card: bins",
        "The estimator’s card: domains",
    ]
    assert shown.grids[3].lines == (("dry", "1", "–"), ("rooms", "1.5", "–"))
    assert shown.grids[0].lines[0][:3] == ("pairs", "all", "72")
    assert shown.chart.count("<svg") == 1
    assert build_page(board, library="vega.js") == page


def test_a_curve_is_guess_truth_and_clips(board):
    assert trust.points(CARD["reliability"]) == ((0.0, 0.5, 10), (6.0, 5.5, 20))
    assert trust.points(None) == trust.points("no") == ()
    curve = board.sections[0].calibration.curve
    assert sum(clips for _, _, clips in curve) == 72
    assert [guess for guess, _, _ in curve] == sorted(guess for guess, _, _ in curve)
    assert charts.reliability(board.sections[0].measure, {}, "SI-SNR") == ""


def test_a_metric_that_is_not_blind_has_no_calibration(board, tables, world):
    sighted = build([world.reading], tables, world.datasets).sections[0]
    assert sighted.calibration is None
    assert trust.view(sighted) is None
    assert "guess by" not in sighted.finding
