"""Logging an evaluation of 1,000 cells to a new sqlite file, beside MLflow's own client.

`python -m tests.bench_tracking`: runs a second, with inputs, metrics, parameters and tags, without
files; the peer writes the same runs, a hundred of them, by `MlflowClient`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from leaderboards import runs
from leaderboards.run_writers import Input, NewRun, _Requests

CELLS = 1000
PEERS = 100


def cell(store: runs.Store, number: int, parent: str) -> NewRun:
    """A run as a cell has it: 13 metrics, 12 parameters, 9 tags, a dataset."""
    tags = {"run_key": f"{number:032x}", **{f"tag {at}": f"value {at}" for at in range(7)}}
    metrics = {f"metric {at}": number + at / 7 for at in range(13)}
    parameters = {f"parameter {at}": {"at": at} for at in range(12)}
    name = f"set {number % 20}"
    given = Input(name, f"{number % 20:036x}", "{}", {"clips": 100}, {"domain": "real"})
    run, _ = store.begin(f"cell {number}", tags)
    return NewRun(run, f"cell {number}", parent, tags, metrics, parameters, [given])


def rate(store: runs.Store, cells: int) -> tuple[float, float]:
    """Runs logged in a second of the clock, and in a second of this process."""
    clock, busy = time.perf_counter(), time.process_time()
    parent, _ = store.begin("evaluation", {"kind": "evaluation"})
    written = [cell(store, number, parent) for number in range(cells)]
    store.finish([*written, NewRun(parent, "evaluation", tags={"kind": "evaluation"})])
    return cells / (time.perf_counter() - clock), cells / (time.process_time() - busy)


def main() -> None:
    """Print both rates."""
    with tempfile.TemporaryDirectory() as folder, runs.quiet():
        store = runs.open_store(f"sqlite:///{Path(folder, 'a.db')}", "bench")
        ours, busy = rate(store, CELLS)
        print(f"tracking: {ours:,.0f} runs/s ({busy:,.0f} a second of processor time)")
        by_client = runs.Store(
            store.client, store.uri, store.experiment, _Requests(store.client, store.experiment)
        )
        peer, peer_busy = rate(by_client, PEERS)
        print(f"MlflowClient: {peer:,.1f} runs/s ({peer_busy:,.1f}); {ours / peer:.0f} times")


if __name__ == "__main__":
    main()
