"""Models behind Beam's RunInference: loaded once a worker, asked about one shard at a time.

RunInference counts loading and latency by itself; beside it stand the clips and how they ended, in
the model's own namespace.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import weakref
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar

from apache_beam.metrics import Metrics

from pipelines import accelerators, lean, whereabouts
from pipelines.engines import ONE_THREAD
from pipelines.predict import Answered, Handling
from pipelines.records import Part
from pipelines.transforms import count, one_thread

with lean.absent("pandas", "scipy.optimize", "torch"):  # its manager of many models asks for them
    from apache_beam.ml.inference.base import ModelHandler, RunInference


def ask(handling: Handling) -> Any:
    """The transform from batches of parts to the ids of those answered."""
    return RunInference(AskModel(handling))


class AskModel(ModelHandler[Part, str, Any]):
    """A model as RunInference knows it; its examples are references of shards."""

    def __init__(self, handling: Handling) -> None:
        super().__init__()
        self._handling = handling

    def load_model(self) -> _Held:
        """The model, to be loaded when it is first asked."""
        return _Held(self._handling)

    def run_inference(
        self, batch: Sequence[Part], model: _Held, inference_args: dict[str, Any] | None = None
    ) -> Iterable[str]:
        """Answer the clips of each shard; failures of clips are caught and counted inside."""
        del inference_args
        with one_thread():
            loaded = model.get()
            if model.news is not None:
                space = self.get_metrics_namespace()
                Metrics.distribution(space, LOADED).update(round(1e3 * model.news))
                model.news = None
            for part in batch:
                whereabouts.shard(part.stem)
                self._count(self._handling.answer(part, loaded))
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

    def should_skip_batching(self) -> bool:
        """Batches come as they are, of one shard: batching over clips happens inside, and Beam's
        own holds each shard back until the next one is there.
        """
        return True

    def get_num_bytes(self, batch: Sequence[Part]) -> int:
        """References only; Beam's default would pickle them to find out."""
        return 1_000 * len(batch)

    def get_metrics_namespace(self) -> str:
        """Where Beam files the counts of this model."""
        return _space(self._handling.model)


class _Held:
    """A model of this process, which holds one at a time, however many are asked in turn."""

    loaded: ClassVar[weakref.ref[_Held] | None] = None  # whose model is in memory

    def __init__(self, handling: Handling) -> None:
        self._handling = handling
        self._model: Any = None
        self.news: float | None = None  # seconds that loading took, until they are counted

    def get(self) -> Any:
        """The model; on a GPU of this process's own, where there are enough."""
        if self._model is None:
            self._make_room()
            whereabouts.shard(f"loading {self._handling.model}")
            if self._handling.device == "cuda":
                _take_gpu()
            # As everywhere: results must not depend on a machine's cores. Most models do without
            # torch; one that imports it reads the environment, whenever it does.
            os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            started = time.perf_counter()
            self._model = self._handling.load()
            self.news = time.perf_counter() - started
            _Held.loaded = weakref.ref(self)
        return self._model

    def _make_room(self) -> None:
        other = _Held.loaded() if _Held.loaded else None
        if other is not None:
            other._model = None
            gc.collect()
            if other._handling.device == "cuda" and "torch" in sys.modules:
                sys.modules["torch"].cuda.empty_cache()


@cache
def _take_gpu() -> None:
    """A process keeps the GPU that it has once got."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(accelerators.claim(torch.cuda.device_count()))


LOADED = "load_milliseconds"  # the name of a distribution
FAILED = "failed/"  # begins the name of a count of clips that failed, and the reason ends it


def told(result: Any, model: str) -> str:
    """What Beam's metrics say of a model in a run that has ended, in a line; "" where a runner has
    none.

    Clips asked about, those that failed by reason, times real time, seconds of loading.
    """
    try:
        found = result.metrics().query()
    except NotImplementedError:
        return ""
    # Spark tells what was attempted only.
    counts, loads = (
        {
            each.key.metric.name: value
            for each in found[kind]
            if each.key.metric.namespace == _space(model)
            and (value := each.committed or each.attempted)
        }
        for kind in ("counters", "distributions")
    )
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
    if counts.get("audio_milliseconds") and counts.get("wall_milliseconds"):
        speed = counts["audio_milliseconds"] / counts["wall_milliseconds"]
        words.append(f"{speed:.1f} × real time")
    words += [f"loaded in {loads[LOADED].max / 1e3:.1f} s"] if LOADED in loads else []
    return " · ".join(words)


def _space(model: str) -> str:
    """Where Beam files the counts of a model."""
    return f"realear/{model}"
