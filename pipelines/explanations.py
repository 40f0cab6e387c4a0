"""Explanations: a classifier and an explainer of it are a row of a board, and asked together.

A suite's comparison of the task `explanation` names `classifiers`, and as `models` explainers; each
explainer of each classifier is a row. What was found of a clip (`pipelines.tasks.explanation`) is a
prediction on a prediction, under both names:

predictions/<classifier>-<fingerprint>+<explainer>-<fingerprint>/<dataset>/
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from models.explained import Pair
from models.explaining import Explainer
from pipelines import predict
from pipelines.config import ComparisonConfig, ModelConfig, Suite
from pipelines.predict import Handling
from pipelines.records import RealEarError, digest

TASK = "explanation"


@dataclass(frozen=True, kw_only=True)
class Explaining(Handling):
    """An explainer, and the classifier that it is to explain."""

    explainer: Handling
    classifier: Handling

    @property
    def chain(self) -> str:
        """The classifier's chain, and the explainer's behind."""
        return f"{self.classifier.chain}+{self.explainer.chain}"

    def create(self) -> Pair:
        """Both, not loaded."""
        return pair(self.classifier.create(), self.explainer.create())

    def record(self) -> dict[str, Any]:
        """What both fingerprints cover."""
        return {"classifier": self.classifier.record(), "explainer": self.explainer.record()}

    def load(self) -> Pair:
        """Both, loaded; RealEarError if this worker's versions give other fingerprints."""
        started = time.perf_counter()
        found = pair(self.classifier.load(), self.explainer.load())
        found.warm_up()
        found.loaded_in = time.perf_counter() - started
        return found


def pair(classifier: Any, explainer: Any) -> Pair:
    """An explainer with its classifier; RealEarError where it cannot explain that one."""
    try:
        explainer.check(classifier)
    except (ValueError, OSError) as error:
        raise RealEarError(str(error)) from error
    return Pair(classifier, explainer)


def handlings(name: str, suite: Suite, comparison: ComparisonConfig) -> list[Handling]:
    """The rows of one explainer: one for each classifier. RealEarError where a name, a parameter or
    a task does not fit, or the two do not fit each other.
    """
    return [
        joined(name, suite.model(name), classifier, suite.model(classifier))
        for classifier in comparison.classifiers
    ]


def joined(name: str, config: ModelConfig, classifier: str, of: ModelConfig) -> Explaining:
    """One row."""
    asked = predict.handling(name, config.model, TASK, config.parameters)
    heard = predict.handling(classifier, of.model, "classification", of.parameters)
    made = asked.create()
    if not isinstance(made, Explainer):
        raise RealEarError(
            f"model {name!r}: expected an explainer (models.explaining.Explainer), found "
            f"{type(made).__name__}"
        )
    pair(heard.create(), made)
    return Explaining(
        model=row_name(classifier, name),
        origin=config.model,
        task=TASK,
        parameters=dict(config.parameters),
        fingerprint=digest([heard.fingerprint, asked.fingerprint])[:8],
        role=asked.role,
        device=heard.device,
        explainer=asked,
        classifier=heard,
    )


def row_name(classifier: str, explainer: str) -> str:
    """What a row is called."""
    return f"{classifier}+{explainer}"
