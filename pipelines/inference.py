"""Models behind Beam's RunInference: loaded once a worker, asked about one shard at a time.

RunInference counts loading and latency by itself; beside it stand the clips and how they ended, in
the model's own namespace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.metrics import Metrics

from pipelines import accelerators, lean, whereabouts
from pipelines.engines import ONE_THREAD
from pipelines.predict import Answered, Handling
from pipelines.records import Part
from pipelines.transforms import count, one_thread

with lean.absent("pandas", "scipy.optimize", "torch"):  # its manager of many models asks for them
    from apache_beam.ml.inference.base import ModelHandler, RunInference


def ask(handling: Handling) -> Any:
    """The transform from parts to the ids of those answered."""
    return RunInference(AskModel(handling))


class AskModel(ModelHandler[Part, str, Any]):
    """A model as RunInference knows it; its examples are references of shards."""

    def __init__(self, handling: Handling) -> None:
        super().__init__()
        self._handling = handling

    def load_model(self) -> Any:
        """The model, ready to be asked; on a GPU of this worker's own, where there are enough."""
        if self._handling.device == "cuda":
            import torch

            if torch.cuda.is_available():
                torch.cuda.set_device(accelerators.claim(torch.cuda.device_count()))
        whereabouts.shard(f"loading {self._handling.model}")
        with one_thread():
            # As everywhere: results must not depend on a machine's cores. Most models do without
            # torch; one that imports it reads the environment, whenever it does.
            os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            return self._handling.load()

    def run_inference(
        self, batch: Sequence[Part], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[str]:
        """Answer the clips of each shard; failures of clips are caught and counted inside."""
        del inference_args
        with one_thread():
            for part in batch:
                whereabouts.shard(part.stem)
                self._count(self._handling.answer(part, model))
                whereabouts.shard("")
                count(part)
        return [part.id for part in batch]  # a list: with a generator errors would not be counted

    def _count(self, answered: Answered) -> None:
        space = self.get_metrics_namespace()
        Metrics.counter(space, "clips").inc(answered.clips)
        if answered.cut:
            Metrics.counter(space, "cut").inc(answered.cut)
        for reason, clips in answered.failed.items():
            Metrics.counter(space, f"{FAILED}{reason}").inc(clips)
        Metrics.counter(space, "audio_milliseconds").inc(round(1e3 * answered.audio))
        Metrics.counter(space, "wall_milliseconds").inc(round(1e3 * answered.wall))

    def batch_elements_kwargs(self) -> dict[str, int]:
        """One shard at a time: batching over clips happens inside."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[Part]) -> int:
        """References only; Beam's default would pickle them to find out."""
        return 1_000 * len(batch)

    def get_metrics_namespace(self) -> str:
        """Where Beam files the counts of this model."""
        return f"realear/{self._handling.model}"


FAILED = "failed/"  # begins the name of a count of clips that failed, and the reason ends it


def told(result: Any) -> str:
    """What Beam's metrics say of a run that has ended, in a line; "" where a runner has none.

    Clips asked about, those that failed by reason, times real time, seconds of loading.
    """
    try:
        found = result.metrics().query()
    except NotImplementedError:
        return ""
    # Spark tells what was attempted only.
    counts = {
        each.key.metric.name: each.committed or each.attempted or 0 for each in found["counters"]
    }
    loads = [
        taken.max
        for each in found["distributions"]
        if each.key.metric.name == "load_model_latency_milli_secs"
        and (taken := each.committed or each.attempted)
        and taken.count
    ]
    if not counts.get("clips"):
        return ""
    failed = [
        f"{clips} {name.removeprefix(FAILED)}"
        for name, clips in sorted(counts.items())
        if name.startswith(FAILED)
    ]
    words = [f"{counts['clips']} clips", f"failed: {', '.join(failed) or 'none'}"]
    if counts.get("cut"):
        words.append(f"{counts['cut']} of them heard in stretches, for their length")
    if counts.get("wall_milliseconds"):
        speed = counts["audio_milliseconds"] / counts["wall_milliseconds"]
        words.append(f"{speed:.1f} × real time")
    words += [f"loaded in {max(loads) / 1e3:.1f} s"] if loads else []
    return " · ".join(words)
