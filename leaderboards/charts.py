"""Charts of a board: the dumbbell of a section, the histograms of a dataset, as SVG.

A chart is described in Vega-Lite, as plain dictionaries, and vl-convert draws it in this process,
with no browser and no network, the same bytes every time. Colours are CSS variables
(`var(--real)`), so that one drawing serves a light page and a dark one. What the page draws itself,
when asked to, is in `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import vl_convert

from leaderboards import words
from leaderboards.description import Quantity
from leaderboards.records import Domain, Measure, Row, Section

LINE, TALL_LINE = 40, 52  # pixels a model, with its name beside or above
SLACK = 14  # pixels at the left, for page fonts wider than FONT
NARROW = 500  # pixels: below, names go above their lines
FRAME = 78  # pixels for legend, axis and its title
PANEL = (420, 190)  # pixels: a histogram, two of which stand side by side on a desk
SQUARE = (420, 330)  # pixels: guesses against truths
FONT = "Liberation Sans"  # measured with vl-convert's own copy; the page's fonts are then shown
Spec = dict[str, Any]  # a chart in Vega-Lite, or a part of one
Curve = tuple[tuple[float, float, int], ...]  # mean guess, mean truth, clips
SHAPES: dict[Domain, str] = {  # Vega's own diamond is a thin one
    "synthetic": "circle",
    "simulated": "M0,-1.15L1.15,0L0,1.15L-1.15,0Z",
    "real": "square",
}
CSS: dict[Domain, str] = {domain: f"var(--{domain})" for domain in SHAPES}


def dumbbell(section: Section, *, width: int = 760, most: int | None = None) -> str:
    """The section's chart as one `<svg>` element `width` pixels wide; '' with nothing to show.

    Only the first `most` rows are drawn, None: all of them.
    """
    chart = dumbbell_chart(replace(section, rows=section.rows[:most]), width=width)
    return drawn(chart) if chart is not None else ""


def dumbbell_chart(section: Section, *, width: int) -> Spec | None:
    """The section's chart for `drawn`, or for a browser; None with nothing to show."""
    points = _points(section)
    if not points:
        return None
    order = list(dict.fromkeys(point["model"] for point in points))
    narrow = width < NARROW
    chart = _layers(section, points, order, narrow=narrow)
    height = (TALL_LINE if narrow else LINE) * len(order) + FRAME
    return framed(chart, width=width, height=height, left=2 if narrow else SLACK)


def histogram(quantity: Quantity, colour: str) -> str:
    """One figure's histogram with its median as a line, as one `<svg>` element as wide as its
    place; `colour`: what CSS calls it, such as `var(--real)`.
    """
    found = quantity.histogram
    edges = zip(found.edges, found.edges[1:], found.counts, strict=False)
    bins = [{"low": low, "high": high, "count": count} for low, high, count in edges]
    scale = {"domain": [found.edges[0], found.edges[-1]], "nice": False, "zero": False}
    layers = [
        {
            "data": {"values": bins},
            "mark": {"type": "bar", "binSpacing": 1, "color": colour, "opacity": 0.82},
            "encoding": {
                "x": quantitative("low", bin="binned", scale=scale, axis=bins_axis(quantity.unit)),
                "x2": {"field": "high"},
                "y": quantitative("count", axis=counts_axis(None)),
            },
        },
        {
            "data": {"values": [{"median": quantity.median}]},
            "mark": MEDIAN,
            "encoding": {"x": quantitative("median", scale=scale)},
        },
    ]
    width, height = PANEL
    return drawn(framed({"layer": layers}, width=width, height=height))


MEDIAN = {"type": "rule", "color": "var(--ink)", "strokeDash": [4, 3], "strokeWidth": 1.3}


def bins_axis(title: str) -> Spec:
    """The axis along a histogram."""
    return {
        "title": title, "tickCount": 6, "grid": False, "ticks": False,
        "domainColor": "var(--faint)",
    }  # fmt: skip


def counts_axis(title: str | None) -> Spec:
    """The axis up a histogram: whole numbers."""
    return {
        "title": title, "tickCount": 4, "tickMinStep": 1, "format": ",d", "grid": True,
        "ticks": False, "domain": False, "labelColor": "var(--soft)", "labelFontSize": 12,
    }  # fmt: skip


def reliability(measure: Measure, curves: Mapping[str, Curve], truth: str) -> str:
    """Mean guess against mean truth, a line a curve, and the diagonal, as one `<svg>` element; ''
    without a point.
    """
    points = [
        {"of": name, "guess": guess * measure.scale, "true": true * measure.scale, "clips": clips}
        for name, curve in curves.items()
        for guess, true, clips in curve
    ]
    if not points:
        return ""
    ends = [end * measure.scale for of in curves.values() for point in of for end in point[:2]]
    limits = [{"guess": end, "true": end} for end in (min(ends), max(ends))]
    unit = f", {measure.unit}" if measure.unit else ""
    scale = {"zero": False, "nice": True}
    x = quantitative("guess", scale=scale, axis={"title": f"Guess{unit}", "tickCount": 6})
    y = quantitative("true", scale=scale, axis={"title": f"True {truth}{unit}", "tickCount": 6})
    tones = {"domain": list(curves), "range": ["var(--real)", "var(--soft)"][: len(curves)]}
    place = {"x": x, "y": y, "color": nominal("of", scale=tones, legend=LEGEND)}
    size = quantitative("clips", scale={"range": [30, 220]}, legend=None)
    layers = [
        {
            "data": {"values": limits},
            "mark": {**MEDIAN, "type": "line", "color": "var(--soft)"},
            "encoding": {"x": x, "y": y},
        },
        {
            "mark": {"type": "line", "strokeWidth": 1.3, "opacity": 0.6},
            "encoding": {**place, "order": quantitative("guess")},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 0.9},
            "encoding": {**place, "size": size},
        },
    ]
    width, height = SQUARE
    chart = {"data": {"values": points}, "layer": layers}
    return drawn(framed(chart, width=width, height=height))


def described(section: Section) -> str:
    """The chart in words, for those who hear the page."""
    lines = [_described(section, row, name) for name, row in _named(section)]
    return f"{section.measure.title} of each model. " + " ".join(lines)


def _described(section: Section, row: Row, name: str) -> str:
    shown = [
        f"{domain} {words.amount(section.measure, row.cell(domain).value)}"
        for domain in section.shown()
        if row.cell(domain).value is not None
    ]
    return f"{name}: {', '.join(shown) or 'no value'}."


def _named(section: Section) -> list[tuple[str, Row]]:
    called = words.names(section.rows)
    return [(called[row.fingerprint], row) for row in section.rows]


def _points(section: Section) -> list[dict[str, Any]]:
    return [
        _point(section, row, name, domain)
        for name, row in _named(section)
        for domain in section.shown()
        if row.cell(domain).value is not None
    ]


def _point(section: Section, row: Row, name: str, domain: Domain) -> dict[str, Any]:
    cell, scale = row.cell(domain), section.measure.scale
    point = {
        "model": f"{name} ({row.role})" if words.ROLE_MARKS[row.role] else name,
        "domain": words.TITLES[domain],
        "value": (cell.value or 0.0) * scale,
    }
    if cell.interval:
        point |= {"low": cell.interval.low * scale, "high": cell.interval.high * scale}
    return point


def _layers(section: Section, points: list[Spec], order: list[str], *, narrow: bool) -> Spec:
    y = _models(order, narrow=narrow)
    x = _values(section, narrow=narrow)
    colour, shape = (_domains(section, of) for of in (CSS, SHAPES))
    line = {
        "mark": {"type": "line", "strokeWidth": 1.5, "color": "var(--faint)"},
        "encoding": {"x": x, "y": y, "detail": nominal("model"), "order": quantitative("value")},
    }
    interval = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "bar", "height": 9, "cornerRadius": 4.5, "opacity": 0.34},
        "encoding": {"x": quantitative("low"), "x2": {"field": "high"}, "y": y, "color": colour},
    }
    dot = {"mark": DOT, "encoding": {"x": x, "y": y, "color": colour, "shape": shape}}
    return {"data": {"values": points}, "layer": [line, interval, dot]}


DOT = {
    "type": "point", "filled": True, "size": 105, "opacity": 1, "stroke": "var(--paper)",
    "strokeWidth": 1.4,
}  # fmt: skip


def _models(order: list[str], *, narrow: bool) -> Spec:
    """Names beside the lines; above them where the page is narrow."""
    place: Spec = {"labelPadding": 12, "labelLimit": 220}
    if narrow:
        place = {"labelAlign": "left", "labelPadding": 0, "labelOffset": -15, "labelLimit": 330}
    return nominal(
        "model", sort=order, axis={"title": None, "domain": False, "ticks": False, **place}
    )


def _values(section: Section, *, narrow: bool) -> Spec:
    measure = section.measure
    title = ", ".join(part for part in (measure.title, measure.unit) if part)
    better = "better →" if measure.higher_is_better else "← better"
    axis = {
        "title": f"{title}   ({better})", "tickCount": 4 if narrow else 8, "domain": False,
        "ticks": False,
    }  # fmt: skip
    return quantitative("value", axis=axis, scale={"zero": measure.unit == "%", "nice": True})


def _domains(section: Section, marks: Mapping[Domain, str]) -> Spec:
    """What tells the domains apart: their colours, or their shapes."""
    shown = section.shown()
    scale = {
        "domain": [words.TITLES[domain] for domain in shown],
        "range": [marks[domain] for domain in shown],
    }
    return nominal("domain", scale=scale, legend=LEGEND)


LEGEND = {
    "title": None, "orient": "top", "direction": "horizontal", "columnPadding": 18,
    "symbolOpacity": 1,
}  # fmt: skip


def quantitative(field: str, **more: Any) -> Spec:
    """The encoding of a field that holds numbers."""
    return {"field": field, "type": "quantitative", **more}


def nominal(field: str, **more: Any) -> Spec:
    """The encoding of a field that holds names."""
    return {"field": field, "type": "nominal", **more}


def framed(chart: Spec, *, width: int, height: int, left: int = 2) -> Spec:
    """The chart in the page's look, so many pixels large with its axes."""
    return styled(
        {**chart, "width": width, "height": height, "autosize": FITTED},
        {"font": FONT, "padding": {"left": left, "right": 8, "top": 2, "bottom": 2}},
    )


FITTED = {"type": "fit", "contains": "padding"}
LOOK: dict[str, Spec] = {  # of every chart: the page's colours and sizes
    "view": {"continuousWidth": 300, "continuousHeight": 300, "stroke": None},
    "axis": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--soft)",
        "gridColor": "var(--line)",
        "labelFontSize": 13,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "axisX": {"labelColor": "var(--soft)", "labelFontSize": 12},
    "axisY": {"grid": False},
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 13, "symbolSize": 90},
}


def styled(chart: Spec, config: Spec) -> Spec:
    """The chart in the page's look, with more of a configuration."""
    return {**chart, "background": "transparent", "config": {**config, **LOOK}}


def start() -> None:
    """Have whatever draws at hand: its first drawing takes a second, the next ones a tenth."""
    vl_convert.vegalite_to_svg({"data": {"values": []}, "mark": "point"}, allowed_base_urls=[])


def drawn(chart: Spec) -> str:
    """The drawing; the page's style decides its font, and its place how wide it is."""
    svg = str(vl_convert.vegalite_to_svg(chart, allowed_base_urls=[]))
    head, rest = svg.split(">", 1)
    return f'{head} aria-hidden="true">' + rest.replace(f' font-family="{FONT}"', "")
