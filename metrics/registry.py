"""The metrics by name, and a metric with its parameters fixed.

Every family module ends with `SHEETS`, the data sheets of its metrics, and they are collected here.
Adding a metric is one sheet there, one function `(item, parameters) -> ClipScore` and one test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from metrics.base import (
    BlindItem,
    ClassItem,
    ClipScore,
    EstimateItem,
    ExplanationItem,
    Item,
    LogitsItem,
    Metric,
    RankItem,
    SignalItem,
    TextItem,
)
from metrics.text import NORMALISER_LIBRARIES

ITEMS: dict[str, type] = {
    "text": TextItem,
    "signal": SignalItem,
    "class": ClassItem,
    "logits": LogitsItem,
    "explanation": ExplanationItem,
    "estimate": EstimateItem,
    "blind": BlindItem,
    "ranks": RankItem,
}
FAMILIES = (
    *("text", "signal", "bss", "perceptual", "intelligibility", "spectral", "classification"),
    *("faithfulness", "explanations", "quality", "blind", "retrieval"),
)


def _collected() -> dict[str, Metric]:
    """Every family's sheets by name; ValueError where two metrics share one."""
    found: dict[str, Metric] = {}
    for family in FAMILIES:
        for metric in import_module(f"metrics.{family}").SHEETS:
            if metric.name in found:
                raise ValueError(f"expected one metric named {metric.name!r}, found two")
            found[metric.name] = metric
    return found


METRICS: dict[str, Metric] = _collected()


@dataclass(frozen=True)
class MetricSpec:
    """A metric with every parameter fixed: what a score table and a board row are named by.

    `parameters` holds all of the metric's parameters in their canonical form ("basic" is recorded
    as "basic-1"). Make one with `spec`, which checks them.
    """

    metric: Metric
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name

    def record(self) -> dict[str, Any]:
        """What the number depends on and how it reads, as JSON; what `hash` covers."""
        metric = self.metric
        return {
            "name": metric.name,
            "version": metric.version,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
            "pooled": metric.pooled,
            "needs": list(metric.needs),
            "failure_policy": metric.failure_policy,
            "parameters": dict(self.parameters),
            "libraries": _versions(metric, self.parameters),
        }

    @property
    def hash(self) -> str:
        """12 hex digits of SHA-256 over the canonical JSON of `record()`."""
        text = json.dumps(self.record(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def score(self, item: Item) -> ClipScore:
        """The score of one clip; raises UndefinedMetric or FailedPrediction for the two other ends.

        TypeError for an item of another kind, ValueError for a sample rate other than the declared
        one (a declared rate of None accepts any).
        """
        wanted = ITEMS[self.metric.item]
        if not isinstance(item, wanted):
            raise TypeError(
                f"{self.name}: expected a {wanted.__name__}, found {type(item).__name__}"
            )
        parameters = dict(self.parameters)
        if isinstance(item, SignalItem | EstimateItem):
            _check_item_rate(self.name, parameters.pop("sample_rate", None), item.sample_rate)
        score: ClipScore = _function(self.metric.function)(item, **parameters)
        return score


@cache
def installed_version(library: str) -> str:
    """A library's version, looked up once: a board asks a thousand times, at 0.5 ms each."""
    return version(library)


def _versions(metric: Metric, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Versions of the libraries that the number stands on, its normaliser's among them."""
    normaliser = str(parameters.get("normaliser", ""))
    names = sorted({*metric.libraries, *NORMALISER_LIBRARIES.get(normaliser, ())})
    try:
        return {name: installed_version(name) for name in names}
    except PackageNotFoundError as error:
        raise ValueError(
            f"metric {metric.name!r}: expected the library {error.name!r}, found none: "
            f"pip install {error.name}"
        ) from error


def spec(name: str, **parameters: Any) -> MetricSpec:
    """The metric `name` with its defaults overridden; ValueError names the nearest known name."""
    metric = METRICS.get(name)
    if metric is None:
        raise ValueError(_unknown("metric", name, METRICS))
    for parameter in parameters:
        if parameter not in metric.parameters:
            raise ValueError(_unknown(f"parameter of {name}", parameter, metric.parameters))
    merged = {**metric.parameters, **parameters}
    return MetricSpec(metric, _canonical(name, merged))


def _canonical(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    checked = {
        key: _CANONICAL[key](value) if key in _CANONICAL else value
        for key, value in parameters.items()
    }
    check = METRICS[name].canonical
    return dict(_function(check)(checked)) if check else checked


def _canonical_rate(rate: Any) -> int | None:
    if rate is not None and (type(rate) is not int or rate <= 0):
        raise ValueError(
            f"sample_rate: expected Hz as a positive int, or None for any, found {rate!r}"
        )
    return None if rate is None else int(rate)


def _canonical_taps(taps: Any) -> int:
    if type(taps) is not int or taps <= 0:
        raise ValueError(f"taps: expected a positive int, found {taps!r}")
    return int(taps)


_CANONICAL: dict[str, Callable[[Any], Any]] = {
    "sample_rate": _canonical_rate,
    "taps": _canonical_taps,
}


def _check_item_rate(name: str, declared: int | None, found: int) -> None:
    if declared is not None and declared != found:
        raise ValueError(
            f"{name}: expected signals at {declared} Hz, found {found} Hz; resample them first"
        )


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"unknown {what} {name!r}; {hint}known: {', '.join(names)}"


@cache
def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
