"""Charts of a board: the dumbbell of a section, the histograms of a dataset, as SVG.

Altair describes a chart and vl-convert draws it in this process, with no browser and no network,
the same bytes every time. Colours are CSS variables (`var(--real)`), so that one drawing serves
a light page and a dark one. What the page draws itself, when asked to, is in `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import altair as alt
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
Curve = tuple[tuple[float, float, int], ...]  # mean guess, mean truth, clips
SHAPES: dict[Domain, str] = {  # Vega's own diamond is a thin one
    "synthetic": "circle",
    "simulated": "M0,-1.15L1.15,0L0,1.15L-1.15,0Z",
    "real": "square",
}


def dumbbell(section: Section, *, width: int = 760, most: int | None = None) -> str:
    """The section's chart as one `<svg>` element `width` pixels wide; '' with nothing to show.

    Only the first `most` rows are drawn, None: all of them.
    """
    chart = dumbbell_chart(replace(section, rows=section.rows[:most]), width=width)
    return drawn(chart) if chart is not None else ""


def dumbbell_chart(section: Section, *, width: int) -> dict[str, Any] | None:
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
    scale = alt.Scale(domain=[found.edges[0], found.edges[-1]], nice=False, zero=False)
    across = alt.Axis(
        title=quantity.unit, tickCount=6, grid=False, ticks=False, domainColor="var(--faint)"
    )
    upwards = alt.Axis(
        title=None, tickCount=4, tickMinStep=1, format=",d", grid=True, ticks=False, domain=False,
        labelColor="var(--soft)", labelFontSize=12,
    )  # fmt: skip
    bars = (
        alt.Chart(alt.Data(values=bins))
        .mark_bar(binSpacing=1, color=colour, opacity=0.82)
        .encode(
            x=alt.X("low:Q", bin="binned", scale=scale, axis=across),
            x2=alt.X2("high:Q"),
            y=alt.Y("count:Q", axis=upwards),
        )
    )
    median = alt.Chart(alt.Data(values=[{"median": quantity.median}])).mark_rule(
        color="var(--ink)", strokeDash=[4, 3], strokeWidth=1.3
    )
    chart = alt.layer(bars, median.encode(x=alt.X("median:Q", scale=scale)))
    width, height = PANEL
    return drawn(framed(chart, width=width, height=height, left=2))


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
    scale = alt.Scale(zero=False, nice=True)
    x = alt.X("guess:Q", scale=scale, axis=alt.Axis(title=f"Guess{unit}", tickCount=6))
    y = alt.Y("true:Q", scale=scale, axis=alt.Axis(title=f"True {truth}{unit}", tickCount=6))
    right = (
        alt.Chart(alt.Data(values=limits))
        .mark_line(color="var(--soft)", strokeDash=[4, 3], strokeWidth=1.3)
        .encode(x=x, y=y)
    )
    tones = alt.Scale(domain=list(curves), range=["var(--real)", "var(--soft)"][: len(curves)])
    colour = alt.Color("of:N", scale=tones, legend=_legend())
    base = alt.Chart(alt.Data(values=points)).encode(x=x, y=y, color=colour)
    lines = base.mark_line(strokeWidth=1.3, opacity=0.6).encode(order="guess:Q")
    size = alt.Size("clips:Q", scale=alt.Scale(range=[30, 220]), legend=None)
    dots = base.mark_point(filled=True, opacity=0.9).encode(size=size)
    width, height = SQUARE
    return drawn(framed(alt.layer(right, lines, dots), width=width, height=height, left=2))


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


def _layers(
    section: Section, points: list[dict[str, Any]], order: list[str], *, narrow: bool
) -> alt.LayerChart:
    base = alt.Chart(alt.Data(values=points)).encode(y=_models(order, narrow=narrow))
    x = _values(section, narrow=narrow)
    line = base.mark_line(strokeWidth=1.5, color="var(--faint)").encode(
        x=x, detail="model:N", order=alt.Order("value:Q")
    )
    bars = base.mark_bar(height=9, cornerRadius=4.5, opacity=0.34).encode(
        x=alt.X("low:Q"), x2=alt.X2("high:Q"), color=_colour(section)
    )
    dots = base.mark_point(
        filled=True, size=105, opacity=1, stroke="var(--paper)", strokeWidth=1.4
    ).encode(x=x, color=_colour(section), shape=_shape(section))
    measured = bars.transform_filter("isValid(datum.low)")
    return alt.layer(line, measured, dots)


def _models(order: list[str], *, narrow: bool) -> alt.Y:
    """Names beside the lines; above them where the page is narrow."""
    place: dict[str, Any] = {"labelPadding": 12, "labelLimit": 220}
    if narrow:
        place = {"labelAlign": "left", "labelPadding": 0, "labelOffset": -15, "labelLimit": 330}
    axis = alt.Axis(title=None, domain=False, ticks=False, **place)
    return alt.Y("model:N", sort=order, axis=axis)


def _values(section: Section, *, narrow: bool) -> alt.X:
    measure = section.measure
    title = ", ".join(part for part in (measure.title, measure.unit) if part)
    better = "better →" if measure.higher_is_better else "← better"
    axis = alt.Axis(
        title=f"{title}   ({better})", tickCount=4 if narrow else 8, domain=False, ticks=False
    )
    return alt.X("value:Q", axis=axis, scale=alt.Scale(zero=measure.unit == "%", nice=True))


def _colour(section: Section) -> alt.Color:
    shown = section.shown()
    scale = alt.Scale(
        domain=[words.TITLES[domain] for domain in shown],
        range=[f"var(--{domain})" for domain in shown],
    )
    return alt.Color("domain:N", scale=scale, legend=_legend())


def _shape(section: Section) -> alt.Shape:
    shown = section.shown()
    scale = alt.Scale(
        domain=[words.TITLES[domain] for domain in shown],
        range=[SHAPES[domain] for domain in shown],
    )
    return alt.Shape("domain:N", scale=scale, legend=_legend())


def _legend() -> alt.Legend:
    return alt.Legend(
        title=None, orient="top", direction="horizontal", columnPadding=18, symbolOpacity=1
    )


def framed(chart: alt.LayerChart, *, width: int, height: int, left: int = 2) -> dict[str, Any]:
    """The chart in the page's look, so many pixels large with its axes, as a description."""
    return styled(
        chart,
        {"font": FONT, "padding": {"left": left, "right": 8, "top": 2, "bottom": 2}},
        width=width,
        height=height,
        autosize={"type": "fit", "contains": "padding"},
    )


LOOK: dict[
    str, dict[str, Any]
] = {  # of every chart, beside Altair's own: the page's colours and sizes
    "view": {"stroke": None},
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


def styled(chart: Any, config: Mapping[str, Any], **properties: Any) -> dict[str, Any]:
    """The description of a chart in the page's look, with more of a configuration and properties.

    Put together here, since Altair copies a chart and its data for each of its own such calls; and
    not validated, which took a third of the time: our tests see to that.
    """
    described: dict[str, Any] = chart.to_dict(validate=False)
    theme = described.pop("config", {})
    view = {**theme.get("view", {}), **LOOK["view"]}
    return described | properties | {
        "background": "transparent", "config": {**theme, **config, **LOOK, "view": view},
    }  # fmt: skip


def drawn(described: dict[str, Any]) -> str:
    """The drawing; the page's style decides its font, and its place how wide it is."""
    svg = str(vl_convert.vegalite_to_svg(described, allowed_base_urls=[]))
    head, rest = svg.split(">", 1)
    return f'{head} aria-hidden="true">' + rest.replace(f' font-family="{FONT}"', "")
