"""Planning for an index of a million clips: what the launcher holds while it plans and packs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import lanes, prepare, transforms
from pipelines.records import Entry, Step
from pipelines.shards.packing import Cutting

ROOT = Path(__file__).parents[2]
BYTES = 1_000  # a clip, at most, of the launcher's memory: the corpus's listing and the plan
WORKERS = 64
MILLION = """
import json, resource
from tests.pipelines import test_scale
import sys
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = test_scale.planned(int(sys.argv[1]))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({**found, "grown": grown * 1024}))
"""


def planned(clips: int) -> dict[str, float]:
    """Plan the preparation of so many clips, and pack them for local workers: what comes of it."""
    entries = tuple(
        Entry(
            key=f"speaker{n % 5_000:04d}-{n:07d}",
            audio=f"speaker{n % 5_000:04d}/{n:07d}.flac",
            start=0.0,
            end=2.0 + n % 13,
            text="the quick brown fox jumps over the lazy dog",
            speaker=f"speaker{n % 5_000:04d}",
        )
        for n in range(clips)
    )
    job = prepare.Preparing("/nowhere", "corpus", entries)
    parts = prepare.plan("set", "/nowhere/set", job, Cutting())
    (shared,) = transforms._lanes([Step("Prepare", parts, prepare.make_shard)], WORKERS)
    of_workers = [[part for group in lane for part in group] for lane in shared]
    loads = [sum(part.seconds for part in lane) for lane in of_workers]
    return {
        "shards": len(parts),
        "clips": sum(part.clips for lane in of_workers for part in lane),
        "spread": max(loads) - min(loads),
        "dearest": max(part.seconds for part in parts),
        "elements": sum(len(lanes.packed(lane)) for lane in shared),
    }


def apart(clips: int) -> dict[str, float]:
    """The same in a process of its own, and by how many bytes that grew."""
    command = [sys.executable, "-c", MILLION, str(clips)]
    ended = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,  # what it complains of is seen
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def check(found: dict[str, float], clips: int) -> None:
    assert found["clips"] == clips
    assert found["shards"] == max(32, clips // 1_000)
    assert found["spread"] <= found["dearest"]  # longest first: no lane waits for two shards
    assert found["elements"] < 100 * clips  # bytes that go through Beam
    assert found["grown"] < BYTES * clips


def test_twenty_thousand_clips_are_planned_in_bounded_memory():
    check(apart(20_000), 20_000)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_million_clips_are_planned_in_bounded_memory():
    check(apart(1_000_000), 1_000_000)
