"""The workspace: where every artefact lies, named by what made it (see ARCHITECTURE.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workspace:
    """A folder (or a URL) that holds datasets, predictions, scores and the site."""

    root: str

    def dataset(self, name: str) -> str:
        """Card, shards and index of a dataset."""
        return f"{self.root}/datasets/{name}"

    def predictions(self, chain: str, dataset: str) -> str:
        """A chain of models' answers to a dataset: same shard names, same keys."""
        return f"{self.root}/predictions/{chain}/{dataset}"

    def scores(self, chain: str, dataset: str, metric: str) -> str:
        """Per-clip scores; `metric` is name and spec hash."""
        return f"{self.root}/scores/{chain}/{dataset}/{metric}"

    @property
    def timings(self) -> str:
        """Wall times: the only table that two equal runs may differ in."""
        return f"{self.root}/timings.parquet"

    @property
    def timing_spool(self) -> str:
        """Where workers leave the wall times that `timings` has not taken in yet."""
        return f"{self.root}/timings"

    @property
    def site(self) -> str:
        """Board pages and exports."""
        return f"{self.root}/site"

    @property
    def database(self) -> str:
        """MLflow's sqlite file."""
        return f"{self.root}/realear.db"

    @property
    def artifacts(self) -> str:
        """MLflow's artifacts."""
        return f"{self.root}/artifacts"
