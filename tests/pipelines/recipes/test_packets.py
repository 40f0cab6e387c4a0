"""Packets: how many are lost, in which bursts, and what is heard instead."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes.base import generator
from pipelines.recipes.packets import Loss, LossRow, lost, without_lost

RATE = 8_000  # Hz
SIZE = 160  # samples of a packet


def row(**options):
    return LossRow(
        **{"share": 0.1, "burst_packets": 3.0, "density": 1.0, "fill": "zeros", "seed": 1} | options
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("burst", [1.0, 2.0, 8.0])
def test_so_many_packets_are_lost_in_such_bursts(share, burst):
    gone = lost(row(share=share, burst_packets=burst, seed=7), 60_000)
    runs = [len(list(run)) for missing, run in groupby(gone) if missing]
    likely = 4.0 / np.sqrt(60_000 * share / burst)  # standard errors
    assert gone.mean() == pytest.approx(share, rel=likely)
    assert np.mean(runs) == pytest.approx(burst, rel=likely)


def test_bursts_may_have_holes():
    sparse = lost(row(share=0.1, burst_packets=8.0, density=0.5, seed=3), 60_000)
    assert sparse.mean() == pytest.approx(0.1, rel=0.1)
    runs = [len(list(run)) for missing, run in groupby(sparse) if missing]
    assert 1.0 < np.mean(runs) < 3.0


def test_the_first_packets_do_not_depend_on_how_many_follow():
    np.testing.assert_array_equal(lost(row(share=0.3), 500)[:77], lost(row(share=0.3), 77))
    assert not np.array_equal(lost(row(share=0.3, seed=2), 77), lost(row(share=0.3), 77))


@given(
    share=st.floats(0.0, 0.5),
    burst=st.floats(1.0, 5.0),
    fill=st.sampled_from(["zeros", "repeat"]),
    samples=st.integers(0, 4_000),
    seed=st.integers(0, 1_000),
)
@settings(deadline=None)
def test_what_came_is_untouched_and_what_is_lost_fades(share, burst, fill, samples, seed):
    signal = generator("signal", samples).uniform(0.5, 1.0, samples)
    loss = row(share=share, burst_packets=burst, fill=fill, seed=seed)
    heard = without_lost(loss, signal, RATE)
    assert heard.shape == signal.shape
    since, last = 0, None
    for packet, missing in enumerate(lost(loss, -(-samples // SIZE))):
        came, sounds = (x[packet * SIZE : (packet + 1) * SIZE] for x in (signal, heard))
        if not missing:
            np.testing.assert_array_equal(sounds, came)
            since, last = 0, came
        elif fill == "zeros" or last is None or since >= 3:
            assert not sounds.any()
        else:
            ratio = sounds / last[: sounds.size]
            np.testing.assert_allclose(ratio, 1 - (since * SIZE + np.arange(sounds.size)) / 480)
        since += missing


def test_a_loss_is_drawn_from_its_ranges():
    recipe = Loss(share=(0.05, 0.06), burst_packets=(2, 3), density=(0.8, 0.9), fills=("repeat",))
    rows = [recipe.draw(seed) for seed in range(20)]
    assert len({drawn.seed for drawn in rows}) == 20
    for drawn in rows:
        assert 0.05 <= drawn.share <= 0.06
        assert 2.0 <= drawn.burst_packets <= 3.0
        assert 0.8 <= drawn.density <= 0.9
        assert drawn.fill == "repeat"
    wider = Loss(share=(0.05, 0.06), burst_packets=(1, 9), density=(0.8, 0.9))
    assert [wider.draw(n).share for n in range(20)] == [drawn.share for drawn in rows]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": [0, 0.6]}, "share up to 0.5, .* found 0.6"),
        ({"share": [0, 0.5], "density": [0.8, 1]}, "share up to 0.4"),
        ({"share": [-0.1, 0.1]}, "share of 0 or more"),
        ({"burst_packets": [0.5, 2]}, "burst_packets of 1 or more"),
        ({"density": [0, 1]}, "density above 0"),
        ({"fills": []}, "at least 1 item"),
        ({"fills": ["zeros", "zeros"]}, "every fill once"),
    ],
)
def test_losses_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Loss.model_validate(options)
