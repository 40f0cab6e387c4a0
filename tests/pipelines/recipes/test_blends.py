"""Blends: an estimate made as good, or as bad, as is wanted."""

import numpy as np
import pytest

from metrics import si_snr
from pipelines.recipes.blends import at_si_snr


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    reference, rest, error = random.standard_normal((3, 4_000))
    return reference, 0.3 * reference + 0.4 * error, rest


@pytest.mark.parametrize("wanted", [-7.0, -2.0, 1.0, 8.0, 25.0])
def test_the_si_snr_is_what_was_wanted(scene, wanted):
    reference, estimate, rest = scene
    assert si_snr(reference, at_si_snr(reference, estimate, rest, wanted)) == pytest.approx(
        wanted, abs=1e-3
    )


def test_a_better_one_keeps_its_own_error_and_a_worse_one_takes_of_the_rest(scene):
    reference, estimate, rest = scene
    better = at_si_snr(reference, estimate, rest, 20.0) - 0.3 * reference
    assert abs(np.corrcoef(better, estimate - 0.3 * reference)[0, 1]) > 0.95
    added = at_si_snr(reference, estimate, rest, -7.0) - estimate
    assert np.corrcoef(added, rest)[0, 1] == pytest.approx(1)


def test_of_silence_nothing_is_made(scene):
    reference, estimate, rest = scene
    silence = np.zeros(4_000)
    np.testing.assert_array_equal(at_si_snr(silence, estimate, rest, 3.0), estimate)
    np.testing.assert_array_equal(at_si_snr(reference, silence, rest, 3.0), silence)
    near = at_si_snr(reference, estimate, silence, -20.0)
    assert np.isfinite(near).all()


def test_upside_down_it_is_blended_the_same(scene):
    """A separator's polarity is its own affair: the rest must not be heard against the talker."""
    reference, estimate, rest = scene
    for wanted in (-7.0, 20.0):
        blended = at_si_snr(reference, estimate, rest, wanted)
        np.testing.assert_allclose(at_si_snr(reference, -estimate, rest, wanted), -blended)
