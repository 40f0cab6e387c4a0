"""`python -m metrics` prints docs/metrics.md: the table of all metrics, and a sheet for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from metrics.base import Metric
from metrics.registry import METRICS

INTRODUCTION = """\
# Metrics

Made by `python -m metrics` (`make docs`) from the data sheets in `metrics/`; change them there.

Arguments come as (reference, prediction). A clip is *scored*, *undefined* (its input's fault: no
model can be scored on it) or *failed* (the model's fault); only scored clips enter a value, and the
others are counted by reason. A *pooled* metric sums numerators and denominators over clips and then
divides; any other is the mean over scored clips. Over no scored clip there is no value. What a
number depends on is hashed into its spec; scores of different specs are not compared.
"""
ITEMS = {
    "text": "reference text, recognised text",
    "signal": "reference signals, estimated signals, mixture, sample rate",
    "class": "label, scores over classes",
    "logits": "logits of the clip, of the part kept and of the part removed",
    "explanation": "the same, the mask, and the source of the clip's class where it is known",
    "estimate": "clean signal, signal as heard, sample rate, guesses by name",
    "ranks": "places of caption and sound, and how many of each were searched",
    "blind": "an estimator's guesses by name, one for each signal that the model answered",
}


def page(metrics: Mapping[str, Metric] = METRICS) -> str:
    """The whole page as Markdown, ending in a newline."""
    sheets = [line for metric in metrics.values() for line in _sheet(metric)]
    return "\n".join([INTRODUCTION, *_table(metrics), "", *sheets]).rstrip() + "\n"


def _table(metrics: Mapping[str, Metric]) -> Iterator[str]:
    yield "| metric | | unit | better | over clips | scores |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for metric in metrics.values():
        cells = (
            f"[`{metric.name}`](#{metric.name})",
            metric.summary,
            metric.unit,
            _better(metric),
            _average(metric),
            metric.item,
        )
        yield f"| {' | '.join(map(_cell, cells))} |"


def _sheet(metric: Metric) -> Iterator[str]:
    yield from (f"## {metric.name}", "", f"**{metric.title}**: {metric.summary}.", "")
    for name, text in _facts(metric).items():
        if text:
            yield f"- {name}: {text}"
    yield ""


def _facts(metric: Metric) -> dict[str, str]:
    return {
        "Version": metric.version,
        "Unit": f"{metric.unit}" + (f" (value × {metric.scale:g})" if metric.scale != 1 else ""),
        "Better": _better(metric),
        "Over clips": _average(metric),
        "Scores": ITEMS[metric.item],
        "Needs": ", ".join(metric.needs),
        "Guesses": f"`{metric.truth}`" if metric.truth else "",
        "Parameters": ", ".join(
            f"`{name}={json.dumps(value)}`" for name, value in metric.parameters.items()
        ),
        "Undefined and failed": metric.failure_policy,
        "Source": metric.source,
        "Libraries": ", ".join(metric.libraries),
        "Function": f"`{metric.function.replace(':', '.')}`",
    }


def _better(metric: Metric) -> str:
    return "higher" if metric.higher_is_better else "lower"


def _average(metric: Metric) -> str:
    return "pooled" if metric.pooled else "mean"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
