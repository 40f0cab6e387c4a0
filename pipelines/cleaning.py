"""Cleaning: outputs in a workspace that no suite refers to are listed, and removed when asked.

A file goes only if it lies where RealEar puts such files and is called as RealEar calls them. What
else lies there stays, and is told. Links are not followed. MLflow's database and files are MLflow's
to clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from metrics import MetricSpec
from pipelines import evaluate, judge, progress, stores
from pipelines.config import ComparisonConfig, Suite
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.shards.datasets import read_table, write_table
from pipelines.workspace import Workspace

# Folders of outputs by the depth below their own folder, and what files in them are called.
_SHARD = r"{name}-\d{{6}}\.(tar|json|parquet)"
LAYOUT = {
    "datasets": (1, rf"dataset\.json|index\.parquet|failures\.parquet|plan\.parquet|{_SHARD}"),
    "predictions": (
        2,
        rf"run\.json|(texts|probe|places)\.(json|parquet)|summary(-figures)?\.json|{_SHARD}",
    ),
    "scores": (3, _SHARD),
}
PAGES = (
    r"index\.html|board\.(html|css|js|csv|json)|feed\.json|badge\.svg|made\.json|"
    r"data/[\w.-]+\.js|vendor/[\w.-]+\.js|media/[\w.-]+\.(wav|flac|ogg|opus|mp3|m4a|png)"
)
EXPORTS = ("html", "csv", "json")  # of a board, beside each other as earlier versions wrote them
DESCRIBED = "datasets"  # folder of the site for pages about datasets


@dataclass(frozen=True)
class Referred:
    """What suites refer to: folders by their path below the workspace, and names.

    `scores` are folders by chain and dataset; where a dataset is not there, the folders of its
    metrics are not known and all are kept.
    """

    datasets: frozenset[str]
    answers: frozenset[tuple[str, str]]  # (chain, dataset)
    scores: frozenset[tuple[str, str, str]]  # (chain, dataset, metric)
    unknown: frozenset[tuple[str, str]]  # (chain, dataset) whose metrics' rates are not known
    suites: frozenset[str]

    def keeps(self, kind: str, place: tuple[str, ...]) -> bool:
        """Whether an output folder is referred to."""
        if kind == "datasets":
            return place[0] in self.datasets
        if kind == "predictions":
            return place in self.answers
        return place in self.scores or place[:2] in self.unknown


@dataclass(frozen=True)
class Output:
    """Something that may go: its place below the workspace, its files, and what else lies there."""

    place: str
    files: tuple[Path, ...]
    strangers: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.lstat().st_size for path in self.files)


def clean(suites: Sequence[Suite], workspace: Workspace, *, remove: bool) -> list[Output]:
    """List what no suite refers to, with sizes, and remove it if asked; what was found."""
    if stores.is_url(workspace.root) or not Path(workspace.root).is_dir():
        raise RealEarError(f"--out: expected a local workspace, found none at {workspace.root}")
    referred = refer(suites, workspace)
    found = list(outputs(workspace, referred))
    rows = stale_timings(workspace, referred)
    for output in found:
        _say(f"{_size(output.size):>10}  {output.place}")
        for path in output.strangers:
            _say(f"{'stays':>10}  {path}: not called as RealEar calls its files")
    if rows:
        _say(f"{rows:>10}  rows of timings.parquet")
    whole = f"{len(found)} outputs, {_size(sum(output.size for output in found))}"
    if not found and not rows:
        _say("nothing to remove: everything is referred to")
    elif remove:
        for output in found:
            _remove(output, Path(workspace.root))
        _forget(workspace, referred)
        _say(f"removed {whole}")
    else:
        _say(f"{whole}: --remove removes them")
    return found


def refer(suites: Sequence[Suite], workspace: Workspace) -> Referred:
    """What these suites refer to; RealEarError where a model cannot be told by its fingerprint."""
    names, answers, scores, unknown = set[str](), set(), set(), set()
    for suite in suites:
        handlings = evaluate.check_models(suite)
        made = {name: _made(suite, name, workspace) for name in suite.datasets}
        names |= {_inside(suite, name, workspace) for name in suite.datasets} - {""}
        for pair in _pairs(suite, handlings, made):
            answers.add(pair)
        for name, comparison in suite.comparisons.items():
            asked = [each for (of, _), each in handlings.items() if of == name]
            listed = {dataset: made[dataset] for _, dataset in comparison.datasets()}
            there = [each for each in listed.values() if each is not None]
            called = [each.card.name if each else name for name, each in listed.items()]
            pairs = {(model.chain, each) for model in asked for each in called}
            blind = _blind(comparison)
            judged = {(judge.chain(chain, spec), each) for chain, each in pairs for spec in blind}
            answers |= judged
            if len(there) < len(listed):
                unknown |= pairs | judged
                continue
            specs = evaluate.comparison_specs(comparison, there, asked)
            truths = judge.truths(specs, evaluate.lowest_rate(there, asked))
            scores |= {
                (judge.chain(chain, spec), each, f"{spec.name}-{spec.hash}")
                for chain, each in pairs
                for spec in (*specs, *truths.values())
            }
    return Referred(
        frozenset(names), frozenset(answers), frozenset(scores), frozenset(unknown),
        frozenset(suite.name for suite in suites),
    )  # fmt: skip


def _blind(comparison: ComparisonConfig) -> list[MetricSpec]:
    """The comparison's blind metrics, which no dataset's rate changes."""
    wanted = comparison.wanted().items()
    specs = [judge.spec(name, comparison.task, **given) for name, given in wanted]
    return [spec for spec in specs if judge.is_blind(spec)]


def _made(suite: Suite, name: str, workspace: Workspace) -> Made | None:
    """The dataset if it is there."""
    folder = suite.datasets[name].path or workspace.dataset(name)
    if not stores.exists(f"{folder}/{datasets.CARD}"):
        return None
    return Made(datasets.read_card(folder), folder)


def _inside(suite: Suite, name: str, workspace: Workspace) -> str:
    """The name of a dataset's folder among the workspace's own, '' for one that lies elsewhere."""
    path = suite.datasets[name].path
    if path is None:
        return name
    folder, home = Path(path).resolve(), Path(workspace.root, "datasets").resolve()
    return folder.name if folder.parent == home else ""


def _pairs(
    suite: Suite, handlings: dict[tuple[str, str], Handling], made: dict[str, Made | None]
) -> Iterator[tuple[str, str]]:
    for name, comparison in suite.comparisons.items():
        for _, dataset in comparison.datasets():
            there = made[dataset]
            called = there.card.name if there else dataset
            for each in (each for (of, _), each in handlings.items() if of == name):
                yield from ((chain, called) for chain in {each.chain, each.source.chain})


def outputs(workspace: Workspace, referred: Referred) -> Iterator[Output]:
    """What lies in the workspace and is not referred to."""
    root = Path(workspace.root)
    for kind, (depth, pattern) in LAYOUT.items():
        for folder in sorted((root / kind).glob("/".join("*" * depth))):
            place = folder.relative_to(root / kind).parts
            if folder.is_symlink() or not folder.is_dir() or referred.keeps(kind, place):
                continue
            name = place[0] if kind == "datasets" else place[1]
            known = re.compile(pattern.format(name=re.escape(name)))
            if (found := _output(root, folder, known)).files:
                yield found
    yield from _pages(root, Path(workspace.site), referred)


def _pages(root: Path, site: Path, referred: Referred) -> Iterator[Output]:
    """Boards of suites, and pages about datasets, that are not referred to."""
    known = re.compile(PAGES)
    for folder in sorted(path for path in site.glob("*") if path.is_dir()):
        if folder.is_symlink() or folder.name in {*referred.suites, DESCRIBED}:
            continue
        if (folder / "index.html").is_file() and (folder / "board.json").is_file():
            yield _output(root, folder, known)
    for page in sorted(site.glob("*.html")):
        files = [page.with_suffix(f".{suffix}") for suffix in EXPORTS]
        if page.stem not in referred.suites and all(_is_ours(path) for path in files):
            yield Output(page.relative_to(root).as_posix(), tuple(files))
    for page in sorted((site / DESCRIBED).glob("*.html")):
        if page.stem not in referred.datasets and _is_ours(page):
            yield Output(page.relative_to(root).as_posix(), (page,))


def _is_ours(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _output(root: Path, folder: Path, known: re.Pattern[str]) -> Output:
    """A folder's files, told apart by their names."""
    ours: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(folder).as_posix()
        inside = _is_ours(path) and path.resolve().is_relative_to(folder.resolve())
        (ours if inside and known.fullmatch(name) else others).append(path)
    return Output(folder.relative_to(root).as_posix(), tuple(ours), tuple(others))


def _remove(output: Output, root: Path) -> None:
    """Remove files, sidecars first so that a kill leaves no shard that is half there, then folders.

    Folders go where nothing is left in them, up to the workspace.
    """
    for path in sorted(output.files, key=lambda path: path.suffix != ".json"):
        path.unlink(missing_ok=True)
    folders = {parent for path in output.files for parent in path.parents}
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        if folder.is_relative_to(root) and folder not in (root, root / "site"):
            _discard(folder)


def _discard(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def stale_timings(workspace: Workspace, referred: Referred) -> int:
    """How many rows of the timings are of answers that no suite refers to."""
    if not stores.exists(workspace.timings):
        return 0
    rows = read_table(workspace.timings).select(["chain", "dataset"]).to_pylist()
    return sum((row["chain"], row["dataset"]) not in referred.answers for row in rows)


def _forget(workspace: Workspace, referred: Referred) -> None:
    """Write the timings without the rows of what was removed."""
    if not stale_timings(workspace, referred):
        return
    table = read_table(workspace.timings)
    pairs = zip(table["chain"].to_pylist(), table["dataset"].to_pylist(), strict=True)
    kept = pa.array([pair in referred.answers for pair in pairs], pa.bool_())
    write_table(workspace.timings, table.filter(kept))


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def _say(text: str) -> None:
    progress.console.print(text, soft_wrap=True, markup=False)
