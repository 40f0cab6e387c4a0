"""Slices against numpy on the per-clip table; what rules make of labels, found and missing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from leaderboards import terminal, words
from leaderboards.boards import build
from leaderboards.labels import groups, read_index
from leaderboards.records import (
    ClipRule,
    Comparison,
    DatasetInfo,
    Section,
    SliceCell,
    SliceRule,
)
from metrics.intervals import weights

SNR = SliceRule("snr", "labels.snr_db", (5, 10), unit="dB")
CLIPS, SPEAKERS = 240, 8
Labels = Sequence[dict[str, str]]
Indexed = Callable[[str, Labels], str]


@pytest.fixture
def indexed(tmp_path: Path) -> Indexed:
    """Writes the index of a made dataset, a row a clip, and returns its path."""

    def write(name: str, labels: Labels) -> str:
        path = tmp_path / f"{name}.parquet"
        table = {
            "key": [f"clip-{row:03d}" for row in range(len(labels))],
            "seconds": [1.0 + row % 7 for row in range(len(labels))],
            "sources": pa.array([row % 3 for row in range(len(labels))], pa.int32()),
            "labels": [json.dumps(of) for of in labels],
        }
        pq.write_table(pa.table(table), path)
        return str(path)

    return write


def levels(seed: int) -> np.ndarray:
    """Integers, so that a level stands in its label as it is."""
    return np.random.default_rng(seed).integers(0, 15, CLIPS)


def named(snr: np.ndarray) -> list[dict[str, str]]:
    return [{"snr_db": f"{level}"} for level in snr]


def section(made, indexed, *, rules=(SNR,), models=3, **options) -> tuple[Section, dict, dict]:
    """A board of models on voices and street, the values by model and dataset, and the levels."""
    values, snr, tables, infos = {}, {}, [], []
    for place, (name, domain) in enumerate((("voices", "synthetic"), ("street", "real"))):
        snr[name] = levels(place)
        infos.append(DatasetInfo(name, domain, CLIPS, 1.0, index=indexed(name, named(snr[name]))))
        for model in range(models):
            rng = np.random.default_rng(10 * place + model)
            one = 0.3 + 0.1 * model - 0.01 * snr[name] + 0.02 * rng.normal(size=CLIPS)
            values[f"m{model}", name] = one
            tables.append(made(f"m{model}", name, domain, one.tolist(), speakers=SPEAKERS))
    comparison = Comparison(
        "c", "recognition", "C", "wer", ("voices",), (), ("street",), slices=rules, **options
    )
    return build([comparison], tables, infos).sections[0], values, snr


def cell(found: Section, model: str, group: str, domain: str = "real") -> SliceCell:
    names = {row.model: row.fingerprint for row in found.rows}
    (one,) = [
        c
        for c in found.slices
        if (c.fingerprint, c.group, c.domain) == (names[model], group, domain)
    ]
    return one


def resampled(values: np.ndarray, kept: np.ndarray) -> tuple[float, float]:
    """The expanded percentile interval of a mean, replicate by replicate, clip by clip."""
    ids = [f"made/s{speaker}" for speaker in range(SPEAKERS)]
    drawn = weights(ids)
    speaker = np.arange(CLIPS) % SPEAKERS
    means = [np.average(values[kept], weights=row[speaker[kept]]) for row in drawn]
    count = len(set(speaker[kept]))
    tail = stats.norm.cdf(-stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1)))
    return tuple(np.quantile(means, [tail, 1 - tail]))


def test_a_slice_is_the_mean_of_its_clips_with_the_bootstraps_interval(made, indexed) -> None:
    found, values, snr = section(made, indexed)
    spans = {"<5 dB": (-1, 5), "5–10 dB": (5, 10), "≥10 dB": (10, 99)}
    for domain, name in (("synthetic", "voices"), ("real", "street")):
        for group, (low, high) in spans.items():
            kept = (snr[name] >= low) & (snr[name] < high)
            for model in ("m0", "m1", "m2"):
                one = cell(found, model, group, domain)
                mean = values[model, name][kept].mean()
                assert one.value == pytest.approx(mean, abs=1e-7)  # clips are summed in 2^-24
                expected = resampled(values[model, name], kept)
                assert (one.interval.low, one.interval.high) == pytest.approx(expected, abs=1e-7)
                assert (one.scored, one.clusters, one.faint) == (kept.sum(), SPEAKERS, False)


def test_a_domain_is_the_mean_over_those_datasets_that_have_the_group(made, indexed) -> None:
    loud, quiet = ([{"snr_db": level}] * 40 for level in ("20", "1"))
    infos = [
        DatasetInfo("voices", "synthetic", 40, 1.0, index=indexed("voices", quiet)),
        DatasetInfo("rooms", "synthetic", 40, 1.0, index=indexed("rooms", quiet[:20] + loud[20:])),
    ]
    tables = [
        made("m", "voices", "synthetic", [0.1] * 40),
        made("m", "rooms", "synthetic", [0.2] * 20 + [0.4] * 20),
    ]
    comparison = Comparison("c", "recognition", "C", "wer", ("voices", "rooms"), slices=(SNR,))
    found = build([comparison], tables, infos).sections[0]
    low, high = cell(found, "m", "<5 dB", "synthetic"), cell(found, "m", "≥10 dB", "synthetic")
    assert (low.value, low.datasets, low.scored) == (pytest.approx(0.15), 2, 60)
    assert (high.value, high.datasets, high.scored) == (pytest.approx(0.4), 1, 20)
    assert {c.group for c in found.slices} == {"<5 dB", "≥10 dB"}  # nobody is in between


def test_small_groups_are_faint_and_missing_labels_are_a_group(made, indexed) -> None:
    labels = [{}] * 30 + [{"snr_db": "soft"}] * 5 + [{"snr_db": "7"}] * 5
    infos = [DatasetInfo("street", "real", 40, 1.0, index=indexed("street", labels))]
    tables = [made("m", "street", "real", [0.2] * 35 + ["refused"] * 5)]
    comparison = Comparison("c", "recognition", "C", "wer", real=("street",), slices=(SNR,))
    found = build([comparison], tables, infos, tolerated_failures=1).sections[0]
    assert [(c.group, c.scored, c.faint) for c in found.slices] == [("not given", 35, False)]
    tables = [made("m", "street", "real", [0.2] * 40)]
    found = build([comparison], tables, infos).sections[0]
    assert [(c.group, c.scored, c.faint) for c in found.slices] == [
        ("5–10 dB", 5, True),
        ("not given", 35, False),
    ]


def test_a_rule_that_no_clip_answers_is_told(made, indexed) -> None:
    rules = (SNR, SliceRule("accent", "labels.accent"))
    found, _, _ = section(made, indexed, rules=rules)
    assert {c.slice for c in found.slices} == {"snr"}
    assert "No clip says accent (labels.accent): it is not cut by that." in words.notes(found)


def test_texts_are_grouped_by_frequency_and_the_rest_are_other() -> None:
    values = ["tram"] * 3 + ["café"] * 5 + [f"n{n:02d}" for n in range(25)] + [None, ""]
    names, places = groups(SliceRule("noise", "labels.noise"), values)
    assert names[:2] == ("café", "tram")
    assert names[2:-2] == tuple(f"n{n:02d}" for n in range(18))
    assert names[-2:] == ("other", "not given")
    assert np.bincount(places).tolist() == [5, 3, *[1] * 18, 7, 2]
    chosen, places = groups(SliceRule("noise", "labels.noise", values=("tram", "bus")), values)
    assert chosen == ("tram", "bus", "other", "not given")
    assert np.bincount(places, minlength=4).tolist() == [3, 0, 30, 2]


def test_edges_are_part_of_the_upper_group() -> None:
    rule = SliceRule("level", "rms_dbfs", (-30, -20), unit="dB")
    names, places = groups(rule, [-30.0, "-20", -31.0, "nan", "loud", None])
    assert names == ("<−30 dB", "−30 to −20 dB", "≥−20 dB", "not given")
    assert places.tolist() == [1, 2, 0, 3, 3, 3]
    with pytest.raises(ValueError, match="expected edges that rise"):
        SliceRule("level", "rms_dbfs", (2, 1))


def test_the_first_column_that_a_clip_has_counts(indexed) -> None:
    path = indexed("mix", [{"talkers": "2"}, {}, {"talkers": "", "speakers": "4"}])
    column = "labels.talkers, labels.speakers, sources"
    found = read_index(path, [column, "labels.nothing"])
    keys = ["clip-000", "clip-001", "clip-002", "unknown"]
    assert found.values(column, keys) == ["2", 1, "4", None]
    assert found.values("labels.nothing", keys) == [None] * 4
    assert read_index(path, ["sources"]).values("sources", keys) == [None, 1, 2, None]


def test_only_the_clips_that_count_are_counted(made, indexed) -> None:
    every, values, snr = section(made, indexed)
    some, _, _ = section(made, indexed, clips=(ClipRule("labels.snr_db", low=5, high=12),))
    kept = (snr["street"] >= 5) & (snr["street"] < 12)
    first = some.rows[0]
    assert first.real.value == pytest.approx(values[first.model, "street"][kept].mean(), abs=1e-7)
    assert first.real.counts.total == kept.sum()
    assert every.rows[0].real.counts.total == CLIPS
    named, _, _ = section(made, indexed, clips=(ClipRule("labels.snr_db", values=("3", "4")),))
    assert named.rows[0].real.counts.total == np.isin(snr["street"], (3, 4)).sum()
    none, _, _ = section(made, indexed, clips=(ClipRule("labels.snr_db", low=99),))
    assert none.rows[0].real.note == "nothing scored on street"


def test_choosing_clips_needs_an_index(made) -> None:
    comparison = Comparison(
        "c", "recognition", "C", "wer", real=("street",), clips=(ClipRule("seconds", low=1),)
    )
    tables = [made("m", "street", "real", [0.1] * 4)]
    with pytest.raises(ValueError, match="expected an index of dataset 'street'"):
        build([comparison], tables)
    lost = DatasetInfo("street", "real", 4, 1.0, index="/nowhere/index.parquet")
    with pytest.raises(ValueError, match="expected a dataset's index at /nowhere"):
        build([comparison], tables, [lost])


def test_a_model_scored_on_too_little_is_shown_unranked(made, world) -> None:
    tables = [made("shy", "voices", "synthetic", [*world.around(0.2, clips=30), *["~silent"] * 10])]
    comparison = replace(world.reading, simulated=(), real=(), min_scored=0.8)
    shy = build([comparison], tables).sections[0].rows[0]
    assert shy.unranked == (
        "30 of 40 clips were scored in voices, fewer than the 80 % that the ranking asks for"
    )
    assert (shy.synthetic.rank, shy.synthetic.value is None) == (None, False)
    lenient = replace(comparison, min_scored=0.75)
    assert build([lenient], tables).sections[0].rows[0].unranked == ""


def test_the_weakest_slice_is_told_where_its_interval_leaves_out_the_whole(made, indexed) -> None:
    found, _, _ = section(made, indexed)
    weak = cell(found, "m0", "<5 dB")
    assert f"m0 is weakest on real recordings where snr is <5 dB: {100 * weak.value:.1f} %" in (
        found.finding
    )
    told = words.findings(replace(found, slices=(cell(found, "m0", "≥10 dB"),)))
    assert "weakest" not in " ".join(told)


def test_a_terminal_shows_slices_group_by_group(made, indexed) -> None:
    found, _, _ = section(made, indexed)
    stream = io.StringIO()
    terminal.slices(found, file=stream, width=80)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    low = next(line for line in lines if "≥10 dB" in line)
    assert f"{100 * cell(found, 'm0', '≥10 dB').value:.1f}" in low
    terminal.slices(replace(found, slices=()), file=stream)
    assert "No slices" in stream.getvalue()
