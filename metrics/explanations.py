"""What an explanation is beyond the classifier's logits: its map, and whether it points where its
class is.

The map's own: Gini index and entropy (`metrics.faithfulness`), and how much is kept. Of a mixture
that came with the source of its class, explanations are judged as separators are, and by energy:
of what the mask keeps, how much comes from the source? "Does it point at the dog?" Chance is the
source's share of the clip. A clip that the classifier takes for another class than the source's
has no such answer, for any explainer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.base import (
    ClipScore,
    ExplanationItem,
    FailedPrediction,
    Metric,
    Parts,
    UndefinedMetric,
)
from metrics.faithfulness import complexity, sparseness
from metrics.signal import CAP_DB, si_snr

_MAP = ("mask of the explanation",)
_SOURCE = ("true source of the clip's class",)


def source_share(kept_source: Any, kept_rest: Any) -> float:
    """Of the energy that a mask keeps, the share, 0 to 1, that the source has; `(time,)` each.

    Raises FailedPrediction("silent_estimate") where nothing is kept, ("not_finite").
    """
    parts = (np.asarray(part, np.float64) for part in (kept_source, kept_rest))
    energies = [float(part @ part) for part in parts]
    if not np.isfinite(energies).all():
        raise FailedPrediction("not_finite", "the kept part holds NaN or infinity")
    if not sum(energies):
        raise FailedPrediction("silent_estimate", "the explanation keeps nothing")
    return energies[0] / sum(energies)


def score_sparseness(item: ExplanationItem) -> ClipScore:
    """`sparseness` of one clip's mask."""
    return ClipScore(sparseness(item.mask))


def score_complexity(item: ExplanationItem) -> ClipScore:
    """`complexity` of one clip's mask."""
    return ClipScore(complexity(item.mask))


def score_mask_area(item: ExplanationItem) -> ClipScore:
    """Mean of one clip's mask."""
    if not np.size(item.mask):
        raise UndefinedMetric("empty_map", "the mask has no cells")
    return ClipScore(float(np.mean(item.mask)))


def score_source_share(item: ExplanationItem) -> ClipScore:
    """`source_share` of one clip."""
    parts = _parts(item)
    return ClipScore(source_share(parts.kept_source, parts.kept_rest))


def score_source_si_snr(item: ExplanationItem) -> ClipScore:
    """SI-SNR of x_in against the source, dB."""
    parts = _parts(item)
    return _decibels(float(si_snr(parts.source, parts.kept)), 0.0)


def score_source_si_snri(item: ExplanationItem) -> ClipScore:
    """… minus that of the clip as it is."""
    parts = _parts(item)
    before = float(si_snr(parts.source, parts.mixture))
    return _decibels(float(si_snr(parts.source, parts.kept)), before)


def _parts(item: ExplanationItem) -> Parts:
    if item.parts is None:
        raise UndefinedMetric(item.undefined, "no source of the explained class to compare with")
    return item.parts


def _decibels(found: float, before: float) -> ClipScore:
    capped = max(abs(found), abs(before)) >= CAP_DB
    return ClipScore(found - before, detail={"capped": capped})


def _sheet(name: str, title: str, summary: str, needs: tuple[str, ...], **fields: Any) -> Metric:
    return Metric(
        name=name,
        title=title,
        unit=fields.get("unit", ""),
        scale=fields.get("scale", 1.0),
        higher_is_better=fields.get("higher_is_better", True),
        version="1",
        pooled=False,
        item="explanation",
        function=f"metrics.explanations:score_{name}",
        parameters={},
        summary=summary,
        needs=needs,
        failure_policy=fields.get("policy", "failed: a mask of zeros"),
        source=fields.get("source", "RealEar"),
    )


_TRUTH = (
    "undefined: no source, a silent one, or another class explained (`other_class`); failed: a "
    "silent x_in"
)

SHEETS: tuple[Metric, ...] = (
    _sheet(
        "sparseness",
        "Sparseness",
        "Gini index of the mask: 0 is even, 1 a single cell",
        _MAP,
        source="Hurley & Rickard 2009; Chalasani et al. 2020",
    ),
    _sheet(
        "complexity",
        "Complexity",
        "entropy of the mask, ln(cells) where it is even",
        _MAP,
        unit="nat",
        higher_is_better=False,
        source="Bhatt et al. 2020",
    ),
    _sheet(
        "mask_area",
        "Area",
        "mean of the mask: how much is kept",
        _MAP,
        unit="%",
        scale=100.0,
        higher_is_better=False,
        policy="none fails",
    ),
    _sheet(
        "source_share",
        "Of the source",
        "share of the kept energy that comes from the class's true source",
        _SOURCE,
        unit="%",
        scale=100.0,
        policy=_TRUTH,
    ),
    _sheet(
        "source_si_snr",
        "SI-SNR of x_in",
        "SI-SNR of the kept part against the class's true source",
        _SOURCE,
        unit="dB",
        policy=_TRUTH,
        source="Le Roux et al. 2019",
    ),
    _sheet(
        "source_si_snri",
        "SI-SNRi of x_in",
        "… minus that of the clip itself",
        _SOURCE,
        unit="dB",
        policy=_TRUTH,
        source="Le Roux et al. 2019",
    ),
)
