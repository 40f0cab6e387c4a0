"""A board's statistics against numpy and scipy on the per-clip tables, replicate by replicate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import stats

from leaderboards import words
from leaderboards.boards import build
from leaderboards.cells import Scores
from leaderboards.clips import Grid, read
from leaderboards.duels import duel
from leaderboards.ranking import verdicts
from leaderboards.records import Comparison, Row, ScoreTable, Section
from metrics import Tally, compare, tied
from metrics.intervals import Interval, weights

CLIPS, SPEAKERS, MODELS = 96, 8, 6
DATASETS = {"voices": "synthetic", "rooms": "simulated", "street": "real", "meeting": "real"}
COMPARISON = Comparison(
    "c", "separation", "C", "si_snri", ("voices",), ("rooms",), ("street", "meeting")
)
SPEAKER = np.arange(CLIPS) % SPEAKERS


@dataclass(frozen=True)
class Case:
    """A board with the values that it was made of: NaN where a model failed."""

    section: Section
    tables: list[ScoreTable]
    values: dict[tuple[str, str], np.ndarray]

    def row(self, model: str) -> Row:
        return next(row for row in self.section.rows if row.model == model)


@pytest.fixture(scope="module")
def case(made) -> Case:
    """Six models a decibel apart; m1 and m2 change places in real life; m5 fails here and there."""
    rng = np.random.default_rng(3)
    values, tables = {}, []
    for name, domain in DATASETS.items():
        hard = rng.normal(size=CLIPS) + rng.normal(size=SPEAKERS)[SPEAKER]
        for model in range(MODELS):
            place = {1: 2, 2: 1}.get(model, model) if domain == "real" else model
            one = 12.0 - 0.5 * place + hard + 0.8 * rng.normal(size=CLIPS)
            if model == MODELS - 1:
                one[rng.choice(CLIPS, 7, replace=False)] = np.nan
            values[f"m{model}", name] = one
            ends = ["refused" if np.isnan(value) else float(value) for value in one]
            tables.append(
                made(f"m{model}", name, domain, ends, metric="si_snri", speakers=SPEAKERS)
            )
    section = build([COMPARISON], tables, tolerated_failures=0.5).sections[0]
    return Case(section, tables, values)


def drawn(values: np.ndarray, salt: str = "") -> np.ndarray:
    """The mean of the scored clips under each replicate's weights, one after the other."""
    known = ~np.isnan(values)
    ids = [f"made/s{speaker}" for speaker in range(SPEAKERS)]
    return np.array(
        [np.average(values[known], weights=row[SPEAKER[known]]) for row in weights(ids, salt=salt)]
    )


def linear(values: np.ndarray) -> np.ndarray:
    """What each speaker adds to the mean, to first order."""
    known = ~np.isnan(values)
    apart = np.where(known, values - np.nanmean(values), 0.0)
    return np.bincount(SPEAKER, weights=apart) / known.sum()


def spread(replicates: np.ndarray, freedom: float = SPEAKERS - 1) -> tuple[float, float]:
    """The expanded percentile interval; one freedom less than speakers where datasets share them.

    Two sides that are resampled apart have Welch's degrees of freedom.
    """
    wider = np.sqrt(SPEAKERS / (SPEAKERS - 1))
    tail = stats.norm.cdf(-stats.t.ppf(0.975, freedom) * wider)
    return tuple(np.quantile(replicates, [tail, 1 - tail]))


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_cells_are_means_with_bootstrap_intervals(case: Case) -> None:
    for (model, name), values in case.values.items():
        row = case.row(model)
        parts = (*row.synthetic.datasets, *row.simulated.datasets, *row.real.datasets)
        part = next(part for part in parts if part.dataset == name)
        assert part.value == pytest.approx(np.nanmean(values), abs=1e-6)  # sums are in 2^-24
        assert ends(part.interval) == pytest.approx(spread(drawn(values)), abs=1e-6)


def test_a_domain_and_its_gap_are_differences_of_means(case: Case) -> None:
    for model in ("m0", "m5"):
        near = case.values[model, "voices"]
        street, meeting = (case.values[model, name] for name in ("street", "meeting"))
        row = case.row(model)
        real = (np.nanmean(street) + np.nanmean(meeting)) / 2
        assert row.real.value == pytest.approx(real, abs=1e-6)
        both = (drawn(street) + drawn(meeting)) / 2
        assert ends(row.real.interval) == pytest.approx(spread(both), abs=1e-6)
        assert row.gap.value == pytest.approx(np.nanmean(near) - real, abs=1e-6)
        # Higher is better: synthetic minus real, each resampled for itself.
        apart = drawn(near, "a") - (drawn(street, "b") + drawn(meeting, "b")) / 2
        parts = [linear(near), (linear(street) + linear(meeting)) / 2]
        variances = [(part**2).sum() for part in parts]
        freedom = sum(variances) ** 2 / sum(v**2 / (SPEAKERS - 1) for v in variances)
        assert ends(row.gap.interval) == pytest.approx(spread(apart, freedom), abs=1e-6)


def test_rank_agreement_is_scipys(case: Case) -> None:
    by_domain = {found.domain: found for found in case.section.agreements}
    assert list(by_domain) == ["simulated", "real"]
    names = [f"m{model}" for model in range(MODELS)]
    near = np.stack([drawn(case.values[name, "voices"], "a") for name in names])
    far = np.stack(
        [
            (drawn(case.values[name, "street"], "b") + drawn(case.values[name, "meeting"], "b")) / 2
            for name in names
        ]
    )
    found = by_domain["real"]
    values = [[case.row(name).cell(d).value for name in names] for d in ("synthetic", "real")]
    for one, statistic in ((found.tau, stats.kendalltau), (found.rho, stats.spearmanr)):
        value = statistic(*values).statistic
        assert one.value == pytest.approx(value, abs=1e-12)
        low, high = spread(
            np.array([statistic(a, b).statistic for a, b in zip(near.T, far.T, strict=True)])
        )
        expected = (min(low, value), max(high, value))
        assert ends(one.interval) == pytest.approx(expected, abs=1e-9)
    assert (found.models, found.note) == (MODELS, "")
    assert "The order of 6 models on synthetic data" in case.section.finding


def test_few_models_have_an_agreement_without_interval(case: Case) -> None:
    some = [table for table in case.tables if table.model in ("m0", "m1", "m2", "m3")]
    found = build([COMPARISON], some).sections[0]
    real = found.agreements[1]
    assert real.tau.value == pytest.approx(2 / 3)
    assert real.tau.interval is None
    assert real.note == "4 models: an interval takes at least 5"
    assert "The order of" not in found.finding
    assert any(real.note in note for note in words.notes(found))
    alone = build([COMPARISON], [table for table in some if table.model == "m0"]).sections[0]
    assert alone.agreements == ()


def test_a_known_flip_is_found_and_nothing_else_is_clear(case: Case) -> None:
    clear = [(f.ahead_on_synthetic, f.ahead_in_domain) for f in case.section.flips if f.clear]
    assert clear == [("m1", "m2")]


def test_ties_are_where_the_paired_interval_holds_zero(made) -> None:
    base = np.random.default_rng(0).normal(size=CLIPS)
    noise = np.random.default_rng(1).normal(size=CLIPS)
    tables = [
        made(name, "voices", "synthetic", values.tolist(), metric="si_snri", speakers=SPEAKERS)
        for name, values in (("a", base + 5), ("twin", base + 5 + 0.3 * noise), ("b", base + 4.9))
    ]
    comparison = replace(COMPARISON, simulated=(), real=())
    rows = build([comparison], tables).sections[0].rows
    beside = {row.model: row.synthetic.tied_with for row in rows}
    # Far wider apart each than the two differ; but a and b differ by the same on every clip.
    assert beside["a"] in (("twin",), ("twin", "b"))
    assert "b" not in beside["a"]
    never = build([replace(comparison, tie_level=None)], tables).sections[0].rows
    assert {row.synthetic.tied_with for row in never} == {()}
    loose = build([replace(comparison, tie_level=0.51)], tables).sections[0].rows
    assert sum(map(len, (row.synthetic.tied_with for row in loose))) <= sum(
        map(len, beside.values())
    )


def test_many_pairs_have_the_verdicts_of_each_pair_alone(made) -> None:
    rng = np.random.default_rng(8)
    names, datasets = [f"m{n}" for n in range(12)], {"x": 8, "y": 5, "z": 9}
    grids = {}
    for dataset, speakers in datasets.items():
        tables = []
        for place, name in enumerate(names):
            values = 0.05 * (place // 2) + rng.normal(size=60)
            lost = rng.random(60) < (0.2 if place % 3 else 0.0)
            ended = ["refused" if out else float(v) for v, out in zip(values, lost, strict=True)]
            tables.append(made(name, dataset, "real", ended, metric="si_snri", speakers=speakers))
        grids[dataset] = [read(table) for table in tables]
    comparison = Comparison("c", "separation", "C", "si_snri", real=("x", "y", "z"))
    scores = Scores(comparison, {name: Grid.of(found) for name, found in grids.items()})
    prints = [clips.table.fingerprint for clips in grids["x"]]
    pairs = list(combinations(range(len(names)), 2))
    found = verdicts(scores, "real", [(prints[a], prints[b]) for a, b in pairs])
    expected = [_alone(list(grids.values()), a, b) for a, b in pairs]
    assert found == expected
    assert {"tied", "clear"} == set(found)


def _alone(grids, one: int, other: int) -> str:
    sides = ([], [])
    for clips in grids:
        both = clips[one].scored & clips[other].scored
        for side, model in zip(sides, (one, other), strict=True):
            speakers = np.array(clips[model].clusters.to_pylist())[both]
            values = clips[model].numerators[both] / 2.0**24
            side.append(Tally.from_arrays(speakers.tolist(), values, np.ones(both.sum())))
    return {True: "tied", False: "clear", None: "unknown"}[tied(compare(*sides))]


def test_neighbours_meet_in_duels(case: Case) -> None:
    order = [row.fingerprint for row in case.section.rows]
    assert [(d.one, d.other) for d in case.section.duels] == list(pairwise(order))
    assert {d.domain for d in case.section.duels} == {"real"}
    found = duel(case.section, case.tables, *order[:2])
    assert found == case.section.duels[0]


@pytest.mark.parametrize("models", [("m1", "m2"), ("m5", "m0")])
def test_a_duel_is_the_paired_difference_and_names_its_clips(case: Case, models) -> None:
    prints = {row.model: row.fingerprint for row in case.section.rows}
    found = duel(case.section, case.tables, *(prints[model] for model in models))
    apart = {
        name: case.values[models[0], name] - case.values[models[1], name]
        for name in ("street", "meeting")
    }
    mean = np.mean([np.nanmean(values) for values in apart.values()])
    assert found.value == pytest.approx(mean, abs=1e-6)
    both = sum(drawn(values) for values in apart.values()) / 2
    assert ends(found.interval) == pytest.approx(spread(both), abs=1e-6)
    every = np.concatenate(list(apart.values()))
    assert (found.wins, found.losses, found.equal) == ((every > 0).sum(), (every < 0).sum(), 0)
    weighty = [
        (values[clip] / np.count_nonzero(~np.isnan(values)), name, f"clip-{clip:03d}")
        for name, values in apart.items()
        for clip in np.flatnonzero(~np.isnan(values))
    ]
    ahead, behind = ([clip for clip in weighty if sign * clip[0] > 0] for sign in (1, -1))
    chosen = [*sorted(behind)[:3], *sorted(ahead)[-3:]]
    assert {clip[:2] for clip in found.deciding} == {clip[1:] for clip in chosen}
    sizes = [abs(difference) for _, _, difference in found.deciding]
    assert sizes[0] == pytest.approx(np.nanmax(np.abs(every)), abs=1e-6)
    told = words.duel(case.section.measure, found, {prints[m]: m for m in models})
    assert f"{models[0]} minus {models[1]} on real recordings: " in told


def test_a_duel_needs_scores_of_both(case: Case) -> None:
    one = case.section.rows[0].fingerprint
    with pytest.raises(ValueError, match="expected scores of nobody on street"):
        duel(case.section, case.tables, one, "nobody")


def test_lower_errors_win(made, world) -> None:
    tables = [
        made(name, "voices", "synthetic", [value] * 20)
        for name, value in (("good", 0.1), ("bad", 0.2))
    ]
    comparison = replace(world.reading, simulated=(), real=())
    (found,) = build([comparison], tables).sections[0].duels
    assert (found.wins, found.losses, found.equal) == (20, 0, 0)
    assert found.value == pytest.approx(-0.1)
    assert len(found.deciding) == 3
