"""Judges from shards: estimates, a tiny training, a calibration, a model like any other."""

import json

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

import models
from metrics import pit_si_snr, si_snr
from models.blind import others_of
from pipelines import quality_training, training
from pipelines.arguments import find
from pipelines.records import RealEarError
from pipelines.shards.datasets import RandomReader, read_rows
from pipelines.workspace import Workspace

SCENES = {"kind": "scenes", "of": "voices", "talkers": 2, "clips": 12, "sample_rate": 8_000}
POOL = [{"model": "mixture"}, {"model": "crosstalk"}, {"model": "small-conv-tasnet", "sources": 2}]
RECIPES = {
    "voices": {"kind": "readings", "sentences": 6},
    "pairs": SCENES,
    "rooms": {**SCENES, "clips": 3, "room": {"t60_s": 0.3, "rooms": 1}, "seed": 2},
    "three": {**SCENES, "clips": 3, "talkers": 3, "seed": 3},
    "estimates": {
        "kind": "separated", "of": ["pairs", "three"], "pool": POOL, "spread_db": [-5, 20],
    },
    "others": {
        "kind": "separated", "of": ["pairs", "three"], "pool": POOL, "each": 1, "seed": 1,
        "spread_db": [0, 10], "unblended": 0,
    },
    "dry": {"kind": "separated", "of": "rooms", "model": "mixture", "reference": "dry"},
    "heard": {"kind": "separated", "of": "rooms", "model": "mixture"},
}  # fmt: skip
QUICK = {"steps": 2, "check_every": 1, "batch": 4, "seconds": 0.5}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, realear):
    folder = tmp_path_factory.mktemp("judging")
    datasets = {
        name: {"domain": "simulated" if name == "rooms" else "synthetic", "recipe": recipe}
        for name, recipe in RECIPES.items()
    }
    for name in ("dry", "heard"):
        datasets[name]["domain"] = "simulated"
    (folder / "recipe.yaml").write_text(json.dumps({"datasets": datasets}))
    ended = realear("generate", folder / "recipe.yaml", "--out", folder, "--workers", 1)
    assert ended.code == 0, ended.text
    return folder


@pytest.fixture
def made(workspace):
    return lambda name: find(name, Workspace(str(workspace)))


def rows(made) -> list:
    return read_rows(f"{made.folder}/index.parquet")


def test_each_mixture_goes_to_all_of_the_pool_that_can_part_it(made):
    names = {}
    for row in rows(made("estimates")):
        names.setdefault((row.labels["talkers"], row.pair), set()).add(row.labels["separator"])
    pairs = [found for (talkers, _), found in names.items() if talkers == "2"]
    three = [found for (talkers, _), found in names.items() if talkers == "3"]
    assert pairs == [{"mixture", "crosstalk", "small-conv-tasnet"}] * 12
    assert three == [{"mixture", "crosstalk"}] * 3
    drawn = {}
    for row in rows(made("others")):
        drawn.setdefault(row.pair, set()).add(row.labels["separator"])
    assert {len(found) for found in drawn.values()} == {1}
    assert len(set().union(*drawn.values())) == 3


def test_labels_are_the_truth_of_what_is_stored_and_blends_are_what_was_drawn(made):
    others, blended = made("others"), 0
    reader = RandomReader(others.folder)
    means = {}
    for row in rows(others):
        clip = reader[row.key]
        truth = float(si_snr(clip.signal("reference"), clip.signal("estimate")))
        assert float(row.labels["si_snr_db"]) == pytest.approx(truth, abs=1e-3)
        off = abs(truth - float(row.labels["blended_to_db"]))
        blended += off < 0.2 or "taken_from" in row.labels
        means.setdefault(row.pair, []).append((truth, float(row.labels["mean_si_snr_db"])))
    reader.close()
    assert blended > 0.8 * others.card.clips  # 16 bits may not hold the rest of it
    for found in means.values():
        assert np.mean([one for one, _ in found]) == pytest.approx(found[0][1], abs=1e-3)


def test_blended_estimates_are_in_the_best_order_and_come_with_the_others(made):
    made_of, taken = made("estimates"), 0
    by_answer = {}
    for row in rows(made_of):
        by_answer.setdefault((row.pair, row.labels["separator"]), []).append(row)
    reader = RandomReader(made_of.folder)
    for of_one in by_answer.values():
        clips = [reader[row.key] for row in sorted(of_one, key=lambda row: row.labels["source"])]
        references = np.stack([clip.signal("reference") for clip in clips])
        estimates = np.stack([clip.signal("estimate") for clip in clips])
        mean, order = pit_si_snr(references, estimates)
        assert order == tuple(range(len(clips)))
        assert mean == pytest.approx(float(of_one[0].labels["mean_si_snr_db"]), abs=1e-3)
        for number, clip in enumerate(clips):
            expected = others_of(clip.signal(), np.delete(estimates, number, axis=0))
            kept = clip.signal("others")
            alike = expected @ kept / np.linalg.norm(expected) / np.linalg.norm(kept)
            assert alike > 0.999
        taken += any("taken_from" in row.labels for row in of_one)
    reader.close()
    assert taken  # what is blended below 0 dB may be more another talker's


def test_dry_references_are_named_and_measured_against(made):
    dry, heard = ({row.key: row.labels for row in rows(made(n))} for n in ("dry", "heard"))
    assert dry.keys() == heard.keys()
    assert {labels["reference"] for labels in dry.values()} == {"s1_dry", "s2_dry"}
    assert {labels["reference"] for labels in heard.values()} == {"s1", "s2"}
    for key, labels in dry.items():
        assert float(labels["si_snr_db"]) < float(heard[key]["si_snr_db"])


@pytest.mark.parametrize(
    ("task", "name"), [("quality", "trained-quality"), ("real-m", "real-m-network")]
)
def test_a_judge_is_trained_calibrated_and_judges(made, tmp_path, task, name):
    to = str(tmp_path / "model")
    sizes = {"width": 4, "context": 8} if task == "quality" else {}
    card = training.train(task, made("estimates"), made("others"), to, {**QUICK, **sizes})
    assert f"the model {name} with checkpoint={to}" in training.said(card, to)
    stored = json.loads((tmp_path / "model/card.json").read_text(), parse_constant=pytest.fail)
    told = stored["calibration"]
    assert told["clips"] == made("others").card.clips
    assert set(told["by_separator"]) == {"mixture", "crosstalk", "small-conv-tasnet"}
    assert set(told["by_domain"]) == {"clean", "3 talkers"}
    judge = models.create(name, checkpoint=to, device="cpu")
    assert judge.calibration == told
    reader = RandomReader(made("pairs").folder)
    clip = reader[rows(made("pairs"))[0].key]
    mixture = clip.signal().astype(np.float32)
    [found] = judge.judge([mixture], [clip.sources().astype(np.float32)], sample_rate=8_000)
    reader.close()
    assert set(found) == {"si_snr", "lower", "upper", *({"outside"} if task == "quality" else ())}
    for source in range(2):
        assert found["lower"][source] < found["si_snr"][source] < found["upper"][source]


@pytest.mark.parametrize("loaders", [0, 2])
def test_the_same_training_gives_the_same_bytes(made, tmp_path, loaders):
    tiny = {**QUICK, "width": 4, "context": 8, "loaders": loaders}
    for name in ("one", "two"):
        training.train("quality", made("others"), made("others"), str(tmp_path / name), tiny)
    files = ("model.safetensors", "calibration.safetensors", "card.json")
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_other_data_are_refused(made, tmp_path):
    with pytest.raises(RealEarError, match=r"expected estimates with their references .*'pairs'"):
        training.train("quality", made("pairs"), made("pairs"), str(tmp_path / "m"), QUICK)


def test_halves_keep_a_mixture_together_and_are_about_as_large():
    names = [f"clip-{number}" for number in range(400)]
    halves = quality_training.half_of(names + names)
    assert (halves[:400] == halves[400:]).all()
    assert 0.4 < halves.mean() < 0.6


def pairs_of(made, rows_of) -> tuple[list, list]:
    """Mixtures, and an estimate with the others of each."""
    reader = RandomReader(made.folder)
    clips = [reader[row.key] for row in rows_of]
    mixtures = [clip.signal().astype(np.float32) for clip in clips]
    estimates = [
        np.stack([clip.signal(role) for role in ("estimate", "others")]).astype(np.float32)
        for clip in clips
    ]
    reader.close()
    return mixtures, estimates


def test_the_judge_that_comes_along_tells_good_from_bad_and_knows_what_it_never_heard(made):
    judge = models.create("blind-si-snr", device="cpu")
    among = rows(made("estimates"))
    mixtures, estimates = pairs_of(made("estimates"), among)
    found = judge.judge(mixtures, estimates, sample_rate=8_000)
    truth = np.array([float(row.labels["si_snr_db"]) for row in among])
    told = {name: np.array([one[name][0] for one in found]) for name in found[0]}
    spread = np.abs(truth - 7.5) < 15
    assert np.corrcoef(told["si_snr"][spread], truth[spread])[0, 1] > 0.85
    assert (told["outside"] >= 0.5).mean() < 0.2
    halves = [low_and_high(mixture) for mixture in mixtures[::6]]
    strange = judge.judge(mixtures[::6], halves, sample_rate=8_000)
    assert np.mean([max(one["outside"]) >= 0.5 for one in strange]) > 0.85


def low_and_high(mixture: np.ndarray) -> np.ndarray:
    """A separator from outside the pool: below 1 kHz one talker, above it the other."""
    low = sosfiltfilt(butter(8, 1_000, fs=8_000, output="sos"), mixture)
    return np.stack([low, mixture - low]).astype(np.float32)
