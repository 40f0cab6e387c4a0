from __future__ import annotations

from dataclasses import replace

import pytest

from leaderboards import words
from leaderboards.boards import build
from leaderboards.records import DOMAINS, Board, Comparison, DatasetInfo, Row, ScoreTable, Section


def row(section: Section, model: str) -> Row:
    return next(row for row in section.rows if row.model == model)


def short(world, **changes) -> Comparison:
    """Synthetic voices and one real set."""
    return replace(world.reading, **{"simulated": (), "real": ("street",), **changes})


def pair(made, world, model, near, far, **options) -> list[ScoreTable]:
    return [
        made(model, "voices", "synthetic", world.around(near, seed=1), **options),
        made(model, "street", "real", world.around(far, seed=2), **options),
    ]


def test_a_domain_is_the_unweighted_mean_over_its_datasets(board: Board) -> None:
    cell = row(board.sections[0], "large").real
    assert [part.dataset for part in cell.datasets] == ["street", "meeting"]
    assert cell.value == pytest.approx(sum(part.value for part in cell.datasets) / 2, abs=1e-12)
    assert cell.counts.scored == 80
    assert cell.interval.low < cell.value < cell.interval.high


def test_gap_is_positive_when_errors_grow(board: Board) -> None:
    large = row(board.sections[0], "large")
    assert large.gap.value == pytest.approx(large.real.value - large.synthetic.value)
    assert large.gap.value > 0.2
    assert large.gap.interval.low > 0


def test_change_is_positive_when_quality_falls(board: Board) -> None:
    net = row(board.sections[1], "masknet")
    assert net.change.value == pytest.approx(net.synthetic.value - net.simulated.value)
    assert net.change.value == pytest.approx(8.8, abs=0.5)
    assert net.gap.value is None
    assert net.gap.note == "add --real FOLDER"


def test_better_in_real_life_is_negative(made, world) -> None:
    tables = pair(made, world, "odd", 0.3, 0.1)
    section = build([short(world)], tables).sections[0]
    assert section.rows[0].gap.value < -0.15
    assert "odd gains" in section.finding


def test_no_value_without_every_dataset_of_the_domain(tables, world) -> None:
    kept = [t for t in tables if (t.model, t.dataset) != ("small", "meeting")]
    small = row(build([world.reading], kept).sections[0], "small")
    assert small.real.value is None
    assert small.real.rank is None
    assert small.gap.value is None
    assert small.real.note == "not scored on meeting"
    assert [part.dataset for part in small.real.datasets] == ["street"]
    assert small.simulated.value is not None


def test_nothing_scored_is_none_not_zero(made, world) -> None:
    near, _ = pair(made, world, "mute", 0.1, 0.1)
    far = made("mute", "street", "real", ["~too_short"] * 5)
    only = build([short(world)], [near, far]).sections[0].rows[0]
    assert only.real.value is None
    assert only.real.note == "nothing scored on street"
    assert only.real.counts.undefined == {"too_short": 5}
    assert only.unranked == ""


def test_too_many_failures_are_shown_but_not_ranked(made, world) -> None:
    near, _ = pair(made, world, "frail", 0.1, 0.1)
    far = made("frail", "street", "real", [*world.around(0.2, clips=36), *["not_finite"] * 4])
    strict = build([short(world)], [near, far]).sections[0].rows[0]
    assert strict.real.value is not None
    assert strict.real.rank is None
    assert strict.unranked == "4 of 40 clips failed in street, more than the tolerated 0 %"
    lenient = build([short(world)], [near, far], tolerated_failures=0.1).sections[0].rows[0]
    assert lenient.unranked == ""
    assert lenient.real.rank == 1


def test_undefined_clips_do_not_count_as_failures(made, world) -> None:
    near, _ = pair(made, world, "fair", 0.1, 0.1)
    far = made("fair", "street", "real", [*world.around(0.2, clips=30), *["~silent_reference"] * 9])
    assert build([short(world)], [near, far]).sections[0].rows[0].real.rank == 1


def test_oracles_are_last_and_unranked_and_baselines_ranked(board: Board) -> None:
    rows = board.sections[1].rows
    assert [r.model for r in rows] == ["dual-path", "masknet", "mixture", "ideal mask"]
    assert rows[-1].unranked == "an oracle: it is shown the truth"
    assert [r.simulated.rank for r in rows] == [1, 2, 3, None]


def test_mixed_metric_specs_are_refused(made, world) -> None:
    tables = [
        made("a", "voices", "synthetic", [0.1], normaliser="none"),
        made("a", "street", "real", [0.1], normaliser="basic"),
    ]
    with pytest.raises(ValueError, match=r"expected one metric spec .* found wer as .* and .*;"):
        build([short(world)], tables)
    picked = build([short(world, metric_hash=tables[0].metric_hash)], tables).sections[0]
    assert picked.measure.hash == tables[0].metric_hash
    assert picked.rows[0].real.value is None
    told = build([short(world, mixed=True)], tables).sections[0]
    assert told.rows[0].gap.value == pytest.approx(0.0)
    assert any("different metric specs" in note for note in words.notes(told))


def test_flips_name_both_models_and_are_clear(board: Board) -> None:
    reading, speakers = board.sections
    assert [
        (f.ahead_on_synthetic, f.ahead_in_domain, f.domain, f.clear) for f in reading.flips
    ] == [("large", "small", "real", True)]
    assert speakers.flips[0].domain == "simulated"
    assert "The order turns: large is ahead of small on synthetic data" in reading.finding


def test_neighbours_that_may_be_equal_are_tied(made, world) -> None:
    near = world.around(0.2, seed=1)
    tables = [
        made("one", "voices", "synthetic", near),
        made("two", "voices", "synthetic", world.around(0.2, seed=2)),
        made("far", "voices", "synthetic", [v + 0.3 for v in near]),
    ]
    comparison = replace(world.reading, simulated=(), real=())
    section = build([comparison], tables).sections[0]
    tied = {r.model: r.synthetic.tied_with for r in section.rows}
    assert tied == {"one": ("two",), "two": ("one",), "far": ()}
    assert "share the first place on synthetic data" in section.finding


def test_ties_are_judged_on_clips_that_both_scored(made, world) -> None:
    shared = world.around(0.2, clips=20, seed=1)
    hard = made("brave", "voices", "synthetic", [*shared, *[0.9] * 20])
    easy = made("shy", "voices", "synthetic", [*shared, *["refused"] * 20])
    comparison = replace(world.reading, simulated=(), real=())
    section = build([comparison], [hard, easy], tolerated_failures=1.0).sections[0]
    assert section.rows[0].model == "shy"
    assert section.rows[0].synthetic.tied_with == ("brave",)


def test_under_three_speakers_there_is_no_interval_and_ties_are_unknown(made, world) -> None:
    tables = [
        t for m, e in (("a", 0.1), ("b", 0.2)) for t in pair(made, world, m, e, e, speakers=2)
    ]
    section = build([short(world)], tables).sections[0]
    first = section.rows[0]
    assert first.real.interval is None
    assert first.real.note == "2 speakers"
    assert first.real.tied_with == ()
    assert first.real.tie_unknown == ("b",)
    assert first.gap.value is not None
    assert first.gap.interval is None
    assert "too few speakers" in section.finding


def test_paired_clips_of_the_same_speakers_share_their_weights(board: Board, made, world) -> None:
    large = row(board.sections[0], "large")
    assert large.change.paired
    assert not large.gap.paired
    base = world.around(0.2, spread=0.1, seed=3)
    comparison = replace(world.reading, real=())
    widths = []
    for name in (None, "p"):
        tables = [
            made("m", "voices", "synthetic", base, pair=name),
            made("m", "rooms", "simulated", [v + 0.1 for v in base], pair=name),
        ]
        change = build([comparison], tables).sections[0].rows[0].change
        widths.append(change.interval.high - change.interval.low)
    assert widths[1] < widths[0] / 10


def test_missing_real_recordings_are_asked_for(board: Board) -> None:
    speakers = board.sections[1]
    assert {r.real.note for r in speakers.rows} == {"add --real FOLDER"}
    assert speakers.finding.endswith("add --real FOLDER.")
    assert speakers.headline == "simulated"


def test_averages_in_words_leave_baselines_and_oracles_out(board: Board) -> None:
    said = board.sections[1].finding
    assert "On average the 2 models lose 8.0 dB in simulated rooms and noise" in said
    assert "beyond chance" in said


def test_speed_is_that_of_the_slowest_dataset(made, world) -> None:
    tables = [
        replace(table, rtfx=speed)
        for table, speed in zip(pair(made, world, "m", 0.1, 0.2), (9.0, 4.0), strict=True)
    ]
    assert build([short(world)], tables).sections[0].rows[0].rtfx == 4.0


def test_models_of_one_name_are_told_apart(made, world) -> None:
    tables = pair(made, world, "same", 0.1, 0.2)
    twins = [replace(table, fingerprint="feedbeef") for table in tables]
    section = build([short(world)], [*tables, *twins]).sections[0]
    assert len(section.rows) == 2
    assert "feedbeef" in section.finding


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthetic": ("nowhere",), "real": ()}, "expected score tables of wer on nowhere, found"),
        ({"synthetic": ("street",), "real": ()}, "expected 'street' to be synthetic, found real"),
        ({"metric": "nothing"}, "expected score tables of nothing"),
    ],
)
def test_impossible_comparisons_are_refused(made, world, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        build([short(world, **change)], pair(made, world, "m", 0.1, 0.2))


def test_a_dataset_card_decides_its_domain(made, world) -> None:
    cards = [DatasetInfo("street", "simulated", 40, 1.0)]
    with pytest.raises(ValueError, match="list it under simulated"):
        build([short(world)], pair(made, world, "m", 0.1, 0.2), cards)


def test_the_same_table_twice_is_refused(made, world) -> None:
    with pytest.raises(ValueError, match=r"expected one score table of m .* found two"):
        build([short(world)], pair(made, world, "m", 0.1, 0.2) * 2)


def test_the_same_clip_twice_is_refused(made, world) -> None:
    near, far = pair(made, world, "m", 0.1, 0.2)
    with pytest.raises(ValueError, match="expected every clip once, found 'clip-000'"):
        build([short(world)], [replace(near, paths=near.paths * 2), far])


def test_a_missing_score_file_is_named(made, world) -> None:
    near, far = pair(made, world, "m", 0.1, 0.2)
    with pytest.raises(ValueError, match=r"expected a score file at /nowhere/x\.parquet"):
        build([short(world)], [replace(near, paths=("/nowhere/x.parquet",)), far])


def test_tolerance_is_a_share(tables, world) -> None:
    with pytest.raises(ValueError, match="expected a share from 0 to 1, found 5"):
        build([world.reading], tables, tolerated_failures=5)


def test_a_comparison_needs_datasets_each_once(world) -> None:
    with pytest.raises(ValueError, match="expected at least one dataset"):
        Comparison("c", "recognition", "C", "wer")
    with pytest.raises(ValueError, match="expected each dataset once"):
        Comparison("c", "recognition", "C", "wer", synthetic=("a",), real=("a",))
    with pytest.raises(ValueError, match="domain: expected one of synthetic, simulated, real"):
        DatasetInfo("d", "imagined", 1, 1.0)


def test_table_order_and_sharding_change_nothing(tables, world, board: Board) -> None:
    again = build(
        (world.reading, world.speakers), tables[::-1], world.datasets, title=board.title,
        suite_digest=board.suite_digest, versions=board.versions,
    )  # fmt: skip
    assert again.to_json() == board.to_json()


def test_shown_domains_follow_the_comparison(board: Board) -> None:
    assert board.sections[0].shown() == DOMAINS
    assert board.sections[1].shown() == ("synthetic", "simulated")
