"""How a training comes along: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import Any

from lightning import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar(Callback):
    """Shows steps, what is being learnt and what is `watched`; on stderr."""

    def __init__(self, watched: str) -> None:
        self._watched = watched
        console = Console(stderr=True, highlight=False)
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("Train"), BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps {task.fields[words]}"),
            TimeRemainingColumn(compact=True), console=console, disable=not self._terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", words="")

    def _words(self, trainer: Any) -> str:
        known = {name: float(value) for name, value in trainer.callback_metrics.items()}
        return " · ".join(f"{name} {value:.2f}" for name, value in sorted(known.items()))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin where the checkpoint ended."""
        del pl_module
        self._bar.update(self._task, total=trainer.max_steps, completed=trainer.global_step)
        self._bar.start()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """A step is done."""
        words = self._words(trainer)
        self._bar.update(self._task, completed=trainer.global_step, words=words)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The held-out clips were looked at."""
        del pl_module
        if not self._terminal:
            steps = f"{trainer.global_step}/{trainer.max_steps} steps"
            self._bar.console.print(f"Train: {steps} · {self._words(trainer)}", soft_wrap=True)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """However it ended."""
        del trainer, pl_module, stage
        self._bar.stop()
