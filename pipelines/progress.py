"""Progress of long work: a bar on a terminal, plain lines elsewhere.

It watches the store for finished sidecars, so it is right for every runner, and needs nothing from
the workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines import stores
from pipelines.records import Part
from pipelines.shards import sidecars

console = Console(stderr=True, highlight=False)
POLL = 0.25  # seconds between looks at the store
LINE_EVERY = 10.0  # seconds between plain lines


def note(label: str, parts: Sequence[Part]) -> None:
    """Say that nothing was left to do."""
    if parts:
        console.print(f"[dim]{label}: all {_count(len(parts), 'shard')} up to date[/dim]")


def wait(folder: str) -> None:
    """Say that another command of ours holds a folder."""
    console.print(f"[dim]waiting for another realear, at work in {escape(folder)}[/dim]")


def say(text: str) -> None:
    """Say what came of the work just done, if there is anything to say."""
    if text:
        console.print(f"  [dim]{escape(text)}[/dim]", soft_wrap=True)


Watched = tuple[str, Sequence[Part], Sequence[Part]]  # label, parts, those of them to do


@contextmanager
def watch(steps: Sequence[Watched]) -> Iterator[None]:
    """Show how far the parts to do of each step have come, until the block ends."""
    stop = threading.Event()
    show = _bars if console.is_terminal else _lines
    counts = [_Count(*step) for step in steps]
    thread = threading.Thread(target=show, args=(counts, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Count:
    """What is done so far; `look` asks the store."""

    def __init__(self, label: str, parts: Sequence[Part], todo: Sequence[Part]) -> None:
        self.label = label
        self.before = len(parts) - len(todo)
        self.waiting = list(todo)
        self.shards = len(todo)
        self.clips = sum(part.clips for part in todo)
        self.seconds = sum(part.seconds for part in todo)
        self.started = time.monotonic()

    def look(self) -> None:
        """Forget the parts whose sidecar has appeared."""
        self.waiting = [
            part
            for part in self.waiting
            if not stores.exists(sidecars.path(part.folder, part.stem))
        ]

    @property
    def done(self) -> int:
        """Finished shards."""
        return self.shards - len(self.waiting)

    def words(self) -> str:
        """Shards, clips, audio and speed in one line."""
        clips = self.clips - sum(part.clips for part in self.waiting)
        audio = self.seconds - sum(part.seconds for part in self.waiting)
        rate = clips / max(time.monotonic() - self.started, 1e-3)
        skipped = f", {self.before} were there" if self.before else ""
        return (
            f"{self.done}/{_count(self.shards, 'shard')}{skipped} · {_count(clips, 'clip')} · "
            f"{_duration(audio)} of audio · {rate:.1f} clips/s"
        )


def _look(counts: Sequence[_Count]) -> list[_Count]:
    """Ask the store; the steps that have begun: those with a part done, and the first that is not
    finished.
    """
    for count in counts:
        count.look()
    first = next((count for count in counts if count.waiting), None)
    begun = [count for count in counts if count.done or count is first]
    for count in counts:
        if count not in begun:
            count.started = time.monotonic()
    return begun


def _bars(counts: Sequence[_Count], stop: threading.Event) -> None:
    columns = (
        TextColumn("{task.description:<28.28}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as shown:
        tasks = [
            shown.add_task(count.label, total=count.shards, words="", visible=False)
            for count in counts
        ]
        while True:
            ended = stop.wait(POLL)
            begun = _look(counts)
            for task, count in zip(tasks, counts, strict=True):
                shown.update(
                    task, completed=count.done, words=count.words(), visible=count in begun
                )
            if ended:
                return


def _lines(counts: Sequence[_Count], stop: threading.Event) -> None:
    last = time.monotonic()
    ended = False
    while not ended:
        ended = stop.wait(POLL)
        if not ended and time.monotonic() - last <= LINE_EVERY:
            continue
        last = time.monotonic()
        begun = _look(counts)
        for count in counts if ended else begun:
            _plain(f"{count.label}: {count.words()}")
        counts = [count for count in counts if count.waiting]


def _plain(text: str) -> None:
    console.print(text, soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
