"""Calibration: guesses made honest, by numpy; the card, by other people's formulas."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from models import calibration
from models.calibration import Guesses


def crooked(count: int = 4_000, seed: int = 0) -> tuple[Guesses, np.ndarray]:
    """Guesses that are off by a curve and by noise of a deviation that they know."""
    random = np.random.default_rng(seed)
    truth = random.uniform(-8, 25, count)
    deviation = random.uniform(0.5, 3, count)
    raw = 0.5 * truth + 0.005 * truth**2 + 3 + 0.5 * deviation * random.laplace(size=count)
    features = random.standard_normal((count, 6)) * np.arange(1, 7)
    return Guesses(raw, deviation, features), truth


def fitted(seed: int = 0) -> calibration.Calibration:
    guesses, truth = crooked(seed=seed)
    return calibration.fit(guesses, truth, calibration.some(crooked(seed=seed + 100)[0].features))


def test_a_curve_is_straightened_and_intervals_cover_nine_tenths_of_what_is_new():
    guesses, truth = crooked(seed=1)
    found = fitted().judgements(guesses)
    assert abs((found["si_snr"] - truth).mean()) < 0.1
    off = np.abs(guesses.si_snr - truth).mean()
    assert np.abs(found["si_snr"] - truth).mean() < 0.7 * off
    inside = (found["lower"] <= truth) & (truth <= found["upper"])
    assert 0.88 < inside.mean() < 0.92
    for least, most in ((0.5, 1), (2, 3)):  # those who know less say so
        chosen = (guesses.deviation >= least) & (guesses.deviation <= most)
        assert 0.85 < inside[chosen].mean() < 0.95


def test_the_correction_never_falls_and_never_saturates():
    raw = np.linspace(-60, 80, 500)
    corrected = fitted().correct(raw)
    assert (np.diff(corrected) >= 0).all()
    assert np.diff(corrected)[-1] == pytest.approx(np.diff(raw)[-1])
    assert corrected[0] < -20
    assert corrected[-1] > 60


def test_without_deviations_all_intervals_are_as_wide():
    guesses, truth = crooked()
    plain = calibration.fit(Guesses(guesses.si_snr), truth)
    found = plain.judgements(Guesses(guesses.si_snr))
    assert np.ptp(found["upper"] - found["lower"]) == pytest.approx(0, abs=1e-9)
    assert "outside" not in found


def test_what_is_far_from_everything_known_is_outside_and_little_else():
    known = fitted()
    ordinary, _ = crooked(seed=2)
    assert (known.judgements(ordinary)["outside"] >= 0.5).mean() < 0.05
    strange = Guesses(ordinary.si_snr, ordinary.deviation, ordinary.features + 40)
    values = known.judgements(strange)["outside"]
    assert (values >= 0.5).mean() > 0.99
    assert ((values >= 0) & (values <= 1)).all()


def test_new_voices_are_not_flagged_for_being_new():
    """The distance that is ordinary is that of held-out clips, further from what was learnt than
    what was learnt is from itself.
    """
    guesses, truth = crooked()
    voices = np.random.default_rng(1).normal(0, 3, (3, 1, 6)) * np.arange(1, 7)
    learnt, held_out, new = (
        crooked(seed=seed)[0].features + 0.3 * voice
        for seed, voice in zip((7, 8, 9), voices, strict=True)
    )
    found = calibration.fit(replace(guesses, features=held_out), truth, calibration.some(learnt))
    flagged = found.judgements(replace(guesses, features=new))["outside"] >= 0.5
    among = calibration.fit(replace(guesses, features=learnt), truth, calibration.some(learnt))
    naive = among.judgements(replace(guesses, features=new))["outside"] >= 0.5
    assert flagged.mean() < 0.5 * naive.mean()


def test_some_rows_are_spread_evenly_and_no_more_than_wanted():
    for size in (0, 1, 999, 1_000, 1_001, 9_999):
        few = calibration.some(range(size))
        assert len(few) <= calibration.MOST_KNOWN
        assert len(few) >= min(size, calibration.MOST_KNOWN // 2)
        assert len(set(np.diff(few))) <= 1


def test_distances_are_those_of_a_plain_search():
    known = fitted().known
    new = crooked(seed=3)[0].features[:20]
    placed = (new - known.mean) @ known.whitening
    apart = np.linalg.norm(placed[:, None] - known.features[None], axis=2)
    expected = np.sort(apart, axis=1)[:, : calibration.NEIGHBOURS].mean(axis=1)
    np.testing.assert_allclose(known.distance(new), expected, atol=1e-6)


def test_what_is_stored_judges_as_before_and_is_json():
    before = replace(fitted(), alone=fitted(seed=5))
    values, arrays = calibration.stored(before)
    after = calibration.read(json.loads(json.dumps(values)), arrays)
    guesses, _ = crooked(seed=4)
    alone = np.arange(len(guesses.si_snr)) % 3 == 0
    found = after.judgements(guesses, alone)
    for name, expected in before.judgements(guesses, alone).items():
        np.testing.assert_allclose(found[name], expected, atol=2e-3)


def test_estimates_by_themselves_have_a_calibration_of_their_own():
    both = replace(fitted(), alone=fitted(seed=5))
    guesses, _ = crooked(seed=4)
    alone = np.arange(len(guesses.si_snr)) % 3 == 0
    found = both.judgements(guesses, alone)
    for which, expected in ((~alone, fitted()), (alone, fitted(seed=5))):
        for name, values in expected.judgements(guesses).items():
            np.testing.assert_array_equal(found[name][which], values[which])
    plain = fitted().judgements(guesses, alone)  # one that knows no difference
    np.testing.assert_array_equal(plain["si_snr"], fitted().judgements(guesses)["si_snr"])


def test_a_card_holds_what_scipy_says():
    guesses, truth = crooked(300)
    found = fitted().judgements(guesses)
    groups = {"separator": ["a", "b", "b"] * 100}
    card = json.loads(json.dumps(calibration.card(found, truth, groups)))
    assert card["pearson"] == pytest.approx(pearsonr(found["si_snr"], truth).statistic, abs=1e-4)
    assert card["spearman"] == pytest.approx(spearmanr(found["si_snr"], truth).statistic, abs=1e-4)
    assert card["mae_db"] == pytest.approx(np.abs(found["si_snr"] - truth).mean(), abs=1e-4)
    assert {name: one["clips"] for name, one in card["by_separator"].items()} == {
        "a": 100,
        "b": 200,
    }
    assert sum(one["clips"] for one in card["by_true_si_snr"].values()) == 300
    assert sum(point["clips"] for point in card["reliability"]) == 300
    assert card["saturation"] == 0


def test_saturation_is_the_share_of_guesses_at_an_end():
    found = {name: np.array([0.0, 0.0, 5.0, 10.0]) for name in ("si_snr", "lower", "upper")}
    told = calibration.figures(found, np.array([-9.0, -7.0, 5.0, 20.0]), (0.0, 10.0))
    assert told["saturation"] == 0.75
    assert told["bias_db"] == pytest.approx((9 + 7 + 0 - 10) / 4)
    assert told["outside"] is None


def test_figures_that_cannot_be_had_are_none_and_of_nothing_there_are_none():
    one = {name: np.array([3.0]) for name in ("si_snr", "lower", "upper")}
    told = calibration.figures(one, np.array([3.0]))
    assert (told["pearson"], told["spearman"], told["coverage"]) == (None, None, 1.0)
    nothing = {name: np.zeros(0) for name in one}
    assert calibration.figures(nothing, np.zeros(0)) == {"clips": 0}


@pytest.mark.parametrize(
    ("value", "name"),
    [(-5.1, "below -5"), (-5, "-5 to 0"), (0, "0 to 5"), (19.9, "15 to 20"), (20, "from 20")],
)
def test_bins_of_the_truth(value, name):
    assert calibration.bin_of(value) == name
