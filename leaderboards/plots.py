"""Charts that the page draws itself when they are asked for: Vega-Lite, as plain dictionaries.

Their colours are CSS variables, as in `charts`. A chart whose data come later (slices, a cell's
histogram, history) is a template: the page puts `data.values` into it, and its width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from leaderboards import charts, words
from leaderboards.charts import Spec, nominal, quantitative
from leaderboards.records import Domain, Row, Section

WIDE, NARROW = (560, 430), (285, 300)  # pixels between the axes of a scatter
FONT = (
    '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", '
    '"Helvetica Neue", Arial, system-ui, sans-serif'
)
LETTER, TALL, CLEARANCE = 6.7, 15, 8  # pixels: of a letter of a name, of its line, around a mark
LONGEST = 28  # letters of a name beside its mark
MARGIN = 0.07  # of the range, around the outermost marks
ROLES = {"model": "circle", "baseline": "square", "oracle": charts.SHAPES["simulated"]}
SIGNS = (  # of the models that have a line over time
    "circle", "square", charts.SHAPES["simulated"], "triangle-up", "cross", "triangle-down",
)  # fmt: skip
LINES = len(SIGNS)

Point = dict[str, Any]  # of a model, by axis and by what is told of it
Box = tuple[float, float, float, float]  # left, top, right, bottom


def facing(section: Section) -> Domain | None:
    """The domain that synthetic values are set against: real where there is any, else simulated."""
    nearest: tuple[Domain, ...] = ("real", "simulated")
    for domain in nearest:
        if any(_both(row, domain) for row in section.rows):
            return domain
    return None


def _both(row: Row, domain: Domain) -> bool:
    return row.synthetic.value is not None and row.cell(domain).value is not None


def scatter(section: Section, *, size: tuple[int, int] = WIDE) -> Spec | None:
    """Synthetic against real values with the line of no change; None without both for a model.

    `size`: pixels between the axes. Names that would lie on one another are left out; every mark
    names its model when pointed at.
    """
    domain = facing(section)
    if domain is None:
        return None
    points = _points(section, domain)
    limits = _limits(points)
    axes = {
        "x": _axis("x", section, "synthetic", limits),
        "y": _axis("y", section, domain, limits),
    }
    layers = [
        _diagonal(limits, axes),
        _interval("x", axes, domain),
        _interval("y", axes, domain),
        _marks(axes, domain),
        *_names(points, limits, size, axes),
    ]
    chart = {"data": {"values": points}, "layer": layers, "width": size[0], "height": size[1]}
    return finished(chart)


def finished(chart: Spec) -> Spec:
    """A chart in the page's look and font, as the dictionary that the page hands to Vega."""
    return charts.styled(chart, {"font": FONT, "padding": 4})


def _points(section: Section, domain: Domain) -> list[Point]:
    called, scale = words.names(section.rows), section.measure.scale
    points = []
    for row in section.rows:
        if not _both(row, domain):
            continue
        point: Point = {"model": called[row.fingerprint], "role": row.role}
        for axis, cell in (("x", row.synthetic), ("y", row.cell(domain))):
            point[axis] = (cell.value or 0.0) * scale
            if cell.interval:
                point[f"{axis}_low"] = cell.interval.low * scale
                point[f"{axis}_high"] = cell.interval.high * scale
            span = words.span(section.measure, cell.interval)
            told = " ".join((words.amount(section.measure, cell.value), span)).strip()
            point[words.TITLES[cell.domain]] = told
        points.append(point)
    return points


def _limits(points: Iterable[Point]) -> tuple[float, float]:
    """One range for both axes, so that the line of no change is the diagonal."""
    numbers = [
        value
        for point in points
        for name in ("x", "x_low", "x_high", "y", "y_low", "y_high")
        if (value := point.get(name)) is not None
    ]
    low, high = min(numbers), max(numbers)
    room = MARGIN * (high - low) or MARGIN * abs(high) or 1.0
    return (0.0 if 0 <= low < 3 * room else low - room), high + room


def _axis(field: str, section: Section, domain: Domain, limits: tuple[float, float]) -> Spec:
    unit = section.measure.unit
    axis = {
        "title": f"{words.TITLES[domain]}{f', {unit}' if unit else ''}", "tickCount": 6,
        "grid": True, "domain": False, "ticks": False, "labelColor": "var(--soft)",
        "labelFontSize": 12,
    }  # fmt: skip
    scale = {"domain": list(limits), "nice": False, "zero": False, "clamp": True}
    return quantitative(field, axis=axis, scale=scale)


def _diagonal(limits: tuple[float, float], axes: dict[str, Spec]) -> Spec:
    line = {"type": "line", "strokeDash": [5, 4], "color": "var(--faint)", "strokeWidth": 1.5}
    return {
        "data": {"values": [{"x": at, "y": at} for at in limits]},
        "mark": {**line, "tooltip": None},
        "encoding": axes,
    }


def _interval(along: str, axes: dict[str, Spec], domain: Domain) -> Spec:
    ends = {along: quantitative(f"{along}_low"), f"{along}2": {"field": f"{along}_high"}}
    return {
        "transform": [{"filter": f"isValid(datum.{along}_low)"}],
        "mark": {"type": "rule", "opacity": 0.38, "strokeWidth": 1.5},
        "encoding": {**axes, **ends, "color": {"value": f"var(--{domain})"}},
    }


def _marks(axes: dict[str, Spec], domain: Domain) -> Spec:
    scale = {"domain": list(ROLES), "range": list(ROLES.values())}
    told = ("model", "role", "Synthetic", words.TITLES[domain])
    return {
        "mark": charts.DOT,
        "encoding": {
            **axes,
            "shape": nominal("role", scale=scale, legend=None),
            "color": {"value": f"var(--{domain})"},
            "tooltip": [nominal(each) for each in told],
        },
    }


def _names(
    points: Sequence[Point],
    limits: tuple[float, float],
    size: tuple[int, int],
    axes: dict[str, Spec],
) -> list[Spec]:
    """A layer a side on which names stand."""
    placed = labels(points, limits, size)
    text = {"type": "text", "baseline": "middle", "fontSize": 12, "color": "var(--ink)"}
    return [
        {
            "data": {"values": values},
            "mark": {**text, "align": align, "tooltip": None},
            "encoding": {**axes, "text": nominal("name")},
        }
        for align in ("left", "right", "center")
        if (values := [label for label in placed if label["align"] == align])
    ]


def labels(
    points: Sequence[Point], limits: tuple[float, float], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Where names stand, in the units of the axes: beside, above or below their marks.

    The first points choose first; a name that finds no free place is left out.
    """
    low, high = limits
    across, down = size[0] / (high - low), size[1] / (high - low)
    at = [((p["x"] - low) * across, (high - p["y"]) * down) for p in points]
    taken = [(x - CLEARANCE, y - CLEARANCE, x + CLEARANCE, y + CLEARANCE) for x, y in at]
    found = []
    for point, (x, y) in zip(points, at, strict=True):
        name = words_of(point["model"])
        for align, anchor, box in _sides(x, y, len(name) * LETTER):
            inside = box[0] >= 0 and box[2] <= size[0] and box[1] >= 0 and box[3] <= size[1]
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                place = {"x": low + anchor[0] / across, "y": high - anchor[1] / down}
                found.append({"name": name, "align": align, **place})
                break
    return found


def words_of(name: str) -> str:
    """A name short enough to stand beside a mark."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _sides(x: float, y: float, wide: float) -> Iterable[tuple[str, tuple[float, float], Box]]:
    half, gap = TALL / 2, CLEARANCE + 1.5
    right, left = x + gap - 3, x - gap + 3
    for at, middle in ((right, y + TALL), (left, y - TALL), (right, y - TALL), (left, y + TALL)):
        align, start = ("left", at) if at > x else ("right", at - wide)
        yield align, (at, middle), (start, middle - half, start + wide, middle + half)
    for middle in (y - gap - half, y + gap + half):
        box = (x - wide / 2, middle - half, x + wide / 2, middle + half)
        yield "center", (x, middle), box


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def spread(section: Section) -> Spec:
    """The template of a cell's histogram: `low`, `high` and `count` of every bin, and the `median`
    on the first.
    """
    measure = section.measure
    title = ", ".join(part for part in (f"{measure.title} of a clip", measure.unit) if part)
    scale = {"nice": False, "zero": False}
    bars = {
        "mark": {"type": "bar", "binSpacing": 1, "color": "var(--accent)", "opacity": 0.85},
        "encoding": {
            "x": quantitative("low", bin="binned", axis=charts.bins_axis(title), scale=scale),
            "x2": {"field": "high"},
            "y": quantitative("count", axis=charts.counts_axis("clips")),
            "tooltip": [
                nominal("range", title=measure.title),
                quantitative("count", title="clips"),
            ],
        },
    }
    median = {
        "transform": [{"filter": "isValid(datum.median)"}],
        "mark": charts.MEDIAN,
        "encoding": {"x": quantitative("median")},
    }
    return finished({**_template(bars, median), "width": 440, "height": 190})


def _template(*layers: Spec) -> Spec:
    return {"data": {"values": []}, "layer": list(layers), "autosize": charts.FITTED}


def groups(section: Section) -> Spec:
    """The template of a slice's dots: a panel a `group`, a line a `model`, `value`, `low`, `high`;
    `faint` groups are hollow and grey. The page sets `columns`, `facet.sort` and the models' order.
    """
    measure = section.measure
    title = ", ".join(part for part in (measure.title, measure.unit) if part)
    across = {"title": None, "tickCount": 3, "grid": True, "domain": False, "ticks": False}
    models = {
        "title": None, "domain": False, "ticks": False, "labelPadding": 8, "labelLimit": 150,
        "grid": True,
    }  # fmt: skip
    y = nominal("model", axis=models, sort=[])
    shade = _unless_faint("var(--accent)", "var(--faint)")
    rules = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
        "encoding": {"x": quantitative("low"), "x2": {"field": "high"}, "y": y, "color": shade},
    }
    told = [nominal("model"), nominal("group"), nominal("told", title=title), nominal("clips")]
    dots = {
        "mark": {"type": "point", "filled": True, "size": 62, "opacity": 1, "strokeWidth": 1.6},
        "encoding": {
            "x": quantitative("value", axis=across, scale={"zero": False, "nice": True}),
            "y": y,
            "stroke": shade,
            "fill": _unless_faint("var(--accent)", "var(--paper)"),
            "tooltip": told,
        },
    }
    header = {
        "title": None, "labelFontSize": 12, "labelFontWeight": 600, "labelColor": "var(--ink)",
        "labelAnchor": "start", "labelPadding": 4,
    }  # fmt: skip
    faceted = {
        "data": {"values": []},
        "facet": nominal("group", header=header, sort=[]),
        "columns": 4,
        "spacing": 14,
        "spec": {"layer": [rules, dots], "width": 150, "height": {"step": 22}},
    }
    return finished(faceted)


def _unless_faint(colour: str, faint: str) -> Spec:
    return {"condition": {"test": "datum.faint", "value": faint}, "value": colour}


def timeline(section: Section) -> Spec:
    """The template of a history: `when`, `value`, `model`, `told`, a line a model, the first
    `LINES` with colours and shapes of their own.
    """
    measure = section.measure
    title = ", ".join(part for part in (measure.title, measure.unit) if part)
    days = {
        "title": None, "grid": False, "ticks": False, "tickCount": 5, "format": "%d %b %Y",
        "labelOverlap": True, "domainColor": "var(--faint)",
    }  # fmt: skip
    values = {"title": title, "tickCount": 5, "grid": True, "ticks": False, "domain": False}
    place = {
        "x": _moment(axis=days),
        "y": quantitative("value", axis=values, scale={"zero": False, "nice": True}),
        "color": _of_model([f"var(--line-{n + 1})" for n in range(LINES)]),
    }
    lines = {"mark": {"type": "line", "strokeWidth": 1.8, "tooltip": None}, "encoding": place}
    dots = {
        "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
        "encoding": {
            **place,
            "shape": _of_model(SIGNS),
            "tooltip": [nominal("model"), _moment(), nominal("told", title=title)],
        },
    }
    return finished({**_template(lines, dots), "width": 640, "height": 300})


def _moment(**more: Any) -> Spec:
    return {"field": "when", "type": "temporal", **more}


def _of_model(marks: Sequence[str]) -> Spec:
    """What tells models apart, in one legend for colours and shapes."""
    legend = {"title": None, "orient": "top", "columns": 3, "labelLimit": 220, "symbolOpacity": 1}
    return nominal("model", sort=[], scale={"range": list(marks)}, legend=legend)


def dumbbell(section: Section, *, narrow: bool) -> Spec | None:
    """Every model's dumbbell, for boards too long for the first view; None with nothing to show."""
    chart = charts.dumbbell_chart(section, width=charts.NARROW - 1 if narrow else 1000)
    if chart is None:
        return None
    return {**chart, "config": {**chart["config"], "font": FONT, "padding": 4}}
