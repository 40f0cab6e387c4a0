"""A large board, timed: 200 models × 20 datasets × 50 slices: `python -m tests.bench_board`.

Prints seconds (wall and processor) and the most memory of reading and building, of JSON and CSV,
and of writing the page, sounds apart; then the seconds until Chromium has it open.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from leaderboards import boards, details, export, site
from leaderboards.records import Board, Comparison, DatasetInfo, Domain, ScoreTable, SliceRule
from metrics import spec

MODELS, DATASETS, CLIPS, SHARDS, SPEAKERS = 200, 20, 300, 2, 30
RULES = 10  # of 5 groups each: 50 slices
DOMAINS: dict[Domain, int] = {"synthetic": 8, "simulated": 4, "real": 8}

T = TypeVar("T")


def world(
    folder: Path, *, models: int, rules: int, refused: float
) -> tuple[Comparison, list, list]:
    """Score tables and indexes as the steps write them; `refused`: the share of failed clips."""
    rng = np.random.default_rng(7)
    names = [(f"{d}-{n}", d) for d, count in DOMAINS.items() for n in range(count)]
    difficulty = rng.normal(size=(len(names), CLIPS)) * 0.05
    datasets, tables, fixed = [], [], spec("wer")
    record = fixed.record()
    for place, (name, domain) in enumerate(names):
        index = folder / f"{name}.parquet"
        labels = [
            json.dumps({f"l{rule}": f"{rng.uniform(0, 25):.1f}" for rule in range(rules)})
            for _ in range(CLIPS)
        ]
        keys = [f"{name}-{clip:05d}" for clip in range(CLIPS)]
        pq.write_table(pa.table({"key": keys, "labels": labels}), index)
        datasets.append(DatasetInfo(name, domain, CLIPS, 1000.0, index=str(index)))
        for model in range(models):
            skill = 0.1 + 0.3 * model / models + 0.05 * rng.normal()
            errors = rng.binomial(12, np.clip(skill + difficulty[place], 0.01, 0.99))
            failed = rng.random(CLIPS) < refused
            paths = _write(folder / f"{name}-{model}", name, keys, errors, failed)
            tables.append(
                ScoreTable(
                    f"model-{model:03d}", f"{model:08x}", "model", name, domain,
                    record, fixed.hash, paths, 4.0,
                )
            )  # fmt: skip
    cuts = tuple(
        SliceRule(f"r{n}", f"labels.l{n}", (5, 10, 15, 20), unit="dB") for n in range(rules)
    )
    chosen = {d: tuple(n for n, of in names if of == d) for d in DOMAINS}
    return (
        Comparison("c", "recognition", "Reading", "wer", slices=cuts, **chosen),
        tables,
        datasets,
    )


def _write(
    stem: Path, name: str, keys: list[str], errors: np.ndarray, failed: np.ndarray
) -> tuple[str, ...]:
    size, paths = CLIPS // SHARDS, []
    for shard in range(SHARDS):
        rows = range(shard * size, (shard + 1) * size)
        lost = failed[rows.start : rows.stop]
        table = {
            "key": keys[rows.start : rows.stop],
            "cluster": [f"{name}/s{row % SPEAKERS}" for row in rows],
            "pair": pa.nulls(size, pa.string()),
            "end": np.where(lost, "failed", "scored").tolist(),
            "reason": pa.array(["not_finite" if one else None for one in lost], pa.string()),
            "numerator": errors[rows.start : rows.stop].astype(float),
            "denominator": np.full(size, 12.0),
            "capped": np.zeros(size, bool),
        }
        path = f"{stem}-{shard}.parquet"
        pq.write_table(pa.table(table), path, compression="zstd")
        paths.append(path)
    return tuple(paths)


def timed(what: str, work: Callable[[], T]) -> T:
    """Do it, and print what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what:<8} {time.perf_counter() - wall:6.1f} s wall {time.process_time() - cpu:6.1f} s "
        f"processor, {peak:,.0f} MB at most"
    )
    return answer


def opened(page: Path) -> str:
    """Seconds until the page is laid out and its scripts have run, the median of 5."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        return "not opened: no Chromium is installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        seconds = []
        for _ in range(5):
            tab = browser.new_page()
            started = time.perf_counter()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            tab.wait_for_selector(".toolbar:not([hidden])", state="attached")
            tab.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
            seconds.append(time.perf_counter() - started)
            tab.close()
        browser.close()
    return f"opens in {statistics.median(seconds):.2f} s (at most {max(seconds):.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the tables, then time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--rules", type=int, default=RULES, help="of 5 groups each")
    parser.add_argument("--refused", type=float, default=0.0, help="share of clips that fail")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        comparison, tables, datasets = world(
            Path(name), models=asked.models, rules=asked.rules, refused=asked.refused
        )
        build = timed(
            "board",
            lambda: boards.build([comparison], tables, datasets, tolerated_failures=0.5),
        )
        section = build.sections[0]
        print(f"{len(section.slices):,} slice cells, {len(section.flips):,} flips")
        timed("JSON", lambda: export.to_json(build))
        timed("CSV", lambda: export.to_csv(build))
        page = timed("page", lambda: _paged(build, tables, Path(name, "site")))
        size = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        print(
            f"{size / 1e6:,.0f} MB of page, of which index.html {page.stat().st_size / 1e6:.1f} MB"
        )
        print(opened(page))


def _paged(board: Board, tables: list[ScoreTable], folder: Path) -> Path:
    """The page without sounds, the figures behind every cell included."""
    return site.write(board, folder, details=details.read(board, tables))


if __name__ == "__main__":
    main()
