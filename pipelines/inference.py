"""Models behind Beam's RunInference: loaded once a worker, asked about one shard at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from apache_beam.ml.inference.base import ModelHandler, RunInference

from pipelines.predict import Handling
from pipelines.records import Part
from pipelines.transforms import count, one_thread


def ask(handling: Handling) -> Any:
    """The transform from parts to the ids of those answered."""
    return RunInference(AskModel(handling))


class AskModel(ModelHandler[Part, str, Any]):
    """A model as RunInference knows it; its examples are references of shards."""

    def __init__(self, handling: Handling) -> None:
        super().__init__()
        self._handling = handling

    def load_model(self) -> Any:
        """The model, ready to be asked."""
        torch.set_num_threads(1)  # as everywhere: results must not depend on a machine's cores
        with one_thread():
            return self._handling.load()

    def run_inference(
        self, batch: Sequence[Part], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[str]:
        """Answer the clips of each shard; failures of clips are caught and counted inside."""
        del inference_args
        with one_thread():
            for part in batch:
                self._handling.answer(part, model)
                count(part)
        return [part.id for part in batch]  # a list: with a generator errors would not be counted

    def batch_elements_kwargs(self) -> dict[str, int]:
        """One shard at a time: batching over clips happens inside."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[Part]) -> int:
        """References only; Beam's default would pickle them to find out."""
        return 1_000 * len(batch)

    def get_metrics_namespace(self) -> str:
        """Where Beam files the counts of this model."""
        return f"realear/{self._handling.model}"
