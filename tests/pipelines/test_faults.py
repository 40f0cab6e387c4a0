"""Faults, each followed by a second run that must end as if nothing had happened."""

import sys

import pytest

from tests import faults

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks into /proc for whom to kill"
)
BATCH = 5  # trials a test: two test processes share them


@pytest.fixture
def suite(tmp_path):
    return faults.suite(tmp_path / "made")


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("first", range(1, faults.TRIALS + 1, BATCH))
def test_killed_at_any_moment_and_started_again(first, tmp_path):
    ended = list(faults.trials(range(first, first + BATCH), tmp_path))
    assert len(ended) == BATCH
    assert [(each.trial, each.wrong) for each in ended if each.wrong] == []


def test_killed_again_and_again(suite, realear, tmp_path):
    """Launcher, then worker, in one folder: datasets alone, so that it is quick."""
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    for victim, shards, code in (("launcher", 1, -9), ("worker", faults.SHARDS + 1, 4)):
        process = faults.start(suite, out, "generate")
        killed, _, _ = faults.disturb(process, faults.Trial(1, victim, shards, 0.0), out)
        process.communicate()
        assert (killed, process.returncode) == (victim, code)
    before = faults.sidecars(out)
    assert faults.SHARDS < len(before) < 2 * faults.SHARDS
    assert realear("generate", suite, "--out", out, "--workers", 1).code == 0
    again = faults.sidecars(out)
    assert {path: again[path] for path in before} == before
    assert realear("generate", suite, "--out", undisturbed, "--workers", 1).code == 0
    assert faults.tree(out) == faults.tree(undisturbed)
