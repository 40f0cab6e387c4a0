"""Linear probes: logistic regression on stored embeddings, fold by fold; no clip is in what judged
it was fitted on.

The folds are the dataset's own (label `fold`) where every clip of a class has one; else the
clusters (speakers, recordings) are dealt to five.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.records import digest
from pipelines.shards.datasets import Row, read_table, write_table
from pipelines.tasks.classification import truth

VERSION = "1"  # bump when the same embeddings would be fitted otherwise
FOLDS = 5  # where the dataset has none of its own
STRENGTH = 1.0  # C of scikit-learn's LogisticRegression, on standardised dimensions
ITERATIONS = 2_000

Floats = NDArray[np.float64]
SCHEMA = pa.schema(
    [
        ("fold", pa.string()),
        ("class", pa.string()),
        ("bias", pa.float64()),
        ("weights", pa.list_(pa.float64())),
    ]
)


def fingerprint() -> str:
    """8 hex digits of what decides a fit beside its data."""
    return digest(["probe", VERSION, FOLDS, STRENGTH, ITERATIONS, version("scikit-learn")])[:8]


@dataclass(frozen=True, eq=False)
class Judge:
    """What was fitted without a fold: `weights` (classes, dim) and `biases` (classes,)."""

    classes: tuple[str, ...]
    weights: Floats
    biases: Floats

    def logits(self, vectors: NDArray[np.floating]) -> Floats:
        """(clips, classes) of (clips, dim)."""
        return np.asarray(vectors.astype(np.float64) @ self.weights.T + self.biases)


def folds(rows: Sequence[Row]) -> dict[str, str]:
    """Key to fold of every clip that has a class."""
    known = [row for row in rows if truth(row) is not None]
    if known and all(row.labels.get("fold") for row in known):
        return {row.key: row.labels["fold"] for row in known}
    clusters = sorted({row.cluster for row in known}, key=lambda name: digest(["fold", name]))
    dealt = {name: str(1 + place % FOLDS) for place, name in enumerate(clusters)}
    return {row.key: dealt[row.cluster] for row in known}


def fit(
    vectors: NDArray[np.floating], classes: Sequence[str], parts: Sequence[str]
) -> dict[str, Judge]:
    """A judge a fold, fitted on the clips of all others; none for a fold whose others have under
    two classes. `vectors` (clips, dim), `classes` and `parts` (folds) by clip.
    """
    where, said = np.array(parts), np.array(classes)
    found = {}
    for fold in sorted(set(parts)):
        others = where != fold
        if len(set(said[others])) >= 2:
            found[fold] = _fitted(vectors[others].astype(np.float64), said[others])
    return found


def _fitted(vectors: Floats, classes: NDArray[np.str_]) -> Judge:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, spread = vectors.mean(axis=0), vectors.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS)
        model.fit((vectors - mean) / spread, classes)
    weights, biases = model.coef_ / spread, model.intercept_
    if len(weights) == 1:  # two classes: the log odds of the second
        weights = np.concatenate([np.zeros_like(weights), weights])
        biases = np.concatenate([[0.0], biases])
    return Judge(tuple(map(str, model.classes_)), weights, biases - weights @ mean)


def save(path: str, judges: dict[str, Judge]) -> list[object]:
    """Write judges as Parquet; what they are, for a digest."""
    rows = [
        {"fold": fold, "class": name, "bias": float(bias), "weights": weights.tolist()}
        for fold, judge in judges.items()
        for name, weights, bias in zip(judge.classes, judge.weights, judge.biases, strict=True)
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=SCHEMA))
    return [list(row.values()) for row in rows]


def load(path: str) -> dict[str, Judge]:
    """Judges by fold."""
    grouped: dict[str, list[dict]] = {}
    for row in read_table(path).to_pylist():
        grouped.setdefault(row["fold"], []).append(row)
    return {
        fold: Judge(
            tuple(row["class"] for row in rows),
            np.array([row["weights"] for row in rows]),
            np.array([row["bias"] for row in rows]),
        )
        for fold, rows in grouped.items()
    }
