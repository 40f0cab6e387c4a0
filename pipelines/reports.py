"""Reports: a verification from the command line, and what it found, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines import verify as verifying
from pipelines.arguments import find
from pipelines.engines import Engine
from pipelines.records import RealEarError
from pipelines.shards.datasets import Card
from pipelines.verify import Verified
from pipelines.workspace import Workspace

MOST = 20  # lines of a kind before the rest is counted


def verify(dataset: str, against: str | None, workspace: Workspace, engine: Engine) -> None:
    """Look at every byte of a dataset, say what was found; RealEarError if anything is wrong."""
    made = find(dataset, workspace)
    other = find(against, workspace) if against else None
    found = verifying.verify(made, workspace, engine)
    verified(made.card, found)
    if other is not None:
        shared(made.card, other.card, verifying.shared(made, other))
    if found.problems:
        raise RealEarError(
            f"dataset {made.card.name!r}: {len(found.problems)} problems in {made.folder}: remove "
            "the sidecars (.json) of the shards named above and make the dataset again"
        )


def verified(card: Card, found: Verified) -> None:
    """One line a fact; problems first."""
    console = Console(highlight=False)
    mark = "[bold red]✗[/bold red]" if found.problems else "[bold green]✓[/bold green]"
    console.print(
        f"{mark} {escape(card.name)}: {found.clips} clips in {len(card.shards)} shards, "
        f"{len(found.problems)} problems, {card.failed} refused when it was made"
    )
    _some(console, [f"{p.shard or card.name} {p.key}: {p.what}" for p in found.problems])
    if found.duplicates:
        clips = sum(map(len, found.duplicates))
        console.print(f"{clips} clips sound exactly as another one:")
        _some(console, [" = ".join(keys) for keys in found.duplicates])
    if found.contradictions:
        console.print(
            f"{len(found.contradictions)} of these sounds have different transcripts or classes:"
        )
        _some(console, [" ≠ ".join(keys) for keys in found.contradictions])
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, share in found.coverage.items():
        table.add_row(escape(name), f"{share:.1%} of clips")
    console.print(table)


def shared(one: Card, other: Card, pairs: Sequence[tuple[str, str]]) -> None:
    """Clips that two datasets have in common."""
    console = Console(highlight=False)
    console.print(
        f"{len(pairs)} clips of {escape(one.name)} sound exactly as one of {escape(other.name)}"
        + (":" if pairs else "")
    )
    _some(console, [" = ".join(pair) for pair in pairs])


def _some(console: Console, lines: Sequence[str]) -> None:
    for line in lines[:MOST]:
        console.print(f"  {escape(line)}", soft_wrap=True)
    if len(lines) > MOST:
        console.print(f"  … and {len(lines) - MOST} more")
