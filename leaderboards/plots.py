"""Charts that the page draws itself when they are asked for: Vega-Lite, as plain dictionaries.

Their colours are CSS variables, as in `charts`. A chart whose data come later (slices, a cell's
histogram, history) is a template: the page puts `data.values` into it, and its width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from leaderboards import charts, words
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
LINES = 6  # models that have a line over time

Point = dict[str, Any]
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


def scatter(section: Section, *, size: tuple[int, int] = WIDE) -> dict[str, Any] | None:
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
        "x": _axis("x:Q", section, "synthetic", limits),
        "y": _axis("y:Q", section, domain, limits),
    }
    base = alt.Chart(alt.Data(values=points))
    colour = alt.value(f"var(--{domain})")
    layers = [
        _diagonal(limits, axes),
        base.mark_rule(opacity=0.38, strokeWidth=1.5).encode(
            x=alt.X("x_low:Q"), x2="x_high:Q", y=axes["y"], color=colour
        ).transform_filter("isValid(datum.x_low)"),
        base.mark_rule(opacity=0.38, strokeWidth=1.5).encode(
            x=axes["x"], y=alt.Y("y_low:Q"), y2="y_high:Q", color=colour
        ).transform_filter("isValid(datum.y_low)"),
        _marks(base, axes, domain),
        *_names(points, limits, size, axes),
    ]  # fmt: skip
    return finished(alt.layer(*layers).properties(width=size[0], height=size[1]))


def finished(chart: Any) -> dict[str, Any]:
    """A chart in the page's look and font, as the dictionary that the page hands to Vega."""
    return _plain(charts.styled(chart, {"font": FONT, "padding": 4}))


def _plain(described: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name != "$schema"}


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


def _axis(field: str, section: Section, domain: Domain, limits: tuple[float, float]) -> Any:
    unit = section.measure.unit
    title = f"{words.TITLES[domain]}{f', {unit}' if unit else ''}"
    channel = alt.X if field.startswith("x") else alt.Y
    axis = alt.Axis(
        title=title, tickCount=6, grid=True, domain=False, ticks=False,
        labelColor="var(--soft)", labelFontSize=12,
    )  # fmt: skip
    return channel(
        field, axis=axis, scale=alt.Scale(domain=list(limits), nice=False, zero=False, clamp=True)
    )


def _diagonal(limits: tuple[float, float], axes: dict[str, Any]) -> Any:
    ends = [{"x": at, "y": at} for at in limits]
    line = alt.Chart(alt.Data(values=ends)).mark_line(
        strokeDash=[5, 4], color="var(--faint)", strokeWidth=1.5, tooltip=None
    )
    return line.encode(x=axes["x"], y=axes["y"])


def _marks(base: Any, axes: dict[str, Any], domain: Domain) -> Any:
    shape = alt.Shape(
        "role:N", scale=alt.Scale(domain=list(ROLES), range=list(ROLES.values())), legend=None
    )
    told = ["model:N", "role:N", "Synthetic:N", f"{words.TITLES[domain]}:N"]
    return base.mark_point(
        filled=True, size=105, opacity=1, stroke="var(--paper)", strokeWidth=1.4
    ).encode(
        x=axes["x"], y=axes["y"], shape=shape, color=alt.value(f"var(--{domain})"), tooltip=told
    )


def _names(
    points: Sequence[Point], limits: tuple[float, float], size: tuple[int, int], axes: Any
) -> list[Any]:
    """A layer a side on which names stand."""
    placed = labels(points, limits, size)
    layers = []
    for align in ("left", "right", "center"):
        values = [label for label in placed if label["align"] == align]
        if values:
            layers.append(
                alt.Chart(alt.Data(values=values))
                .mark_text(align=align, baseline="middle", fontSize=12, color="var(--ink)",
                           tooltip=None)
                .encode(x=axes["x"], y=axes["y"], text="name:N")
            )  # fmt: skip
    return layers


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


def spread(section: Section) -> dict[str, Any]:
    """The template of a cell's histogram: `low`, `high` and `count` of every bin, and the `median`
    on the first.
    """
    measure = section.measure
    title = ", ".join(part for part in (f"{measure.title} of a clip", measure.unit) if part)
    across = alt.Axis(title=title, tickCount=6, grid=False, ticks=False, domainColor="var(--faint)")
    upwards = alt.Axis(
        title="clips", tickCount=4, tickMinStep=1, format=",d", grid=True, ticks=False,
        domain=False, labelColor="var(--soft)", labelFontSize=12,
    )  # fmt: skip
    base = alt.Chart()
    scale = alt.Scale(nice=False, zero=False)
    bars = base.mark_bar(binSpacing=1, color="var(--accent)", opacity=0.85).encode(
        x=alt.X("low:Q", bin="binned", axis=across, scale=scale),
        x2="high:Q",
        y=alt.Y("count:Q", axis=upwards),
        tooltip=[
            alt.Tooltip("range:N", title=measure.title),
            alt.Tooltip("count:Q", title="clips"),
        ],
    )
    median = (
        base.mark_rule(color="var(--ink)", strokeDash=[4, 3], strokeWidth=1.3)
        .encode(x="median:Q")
        .transform_filter("isValid(datum.median)")
    )
    layered = alt.layer(bars, median, data=alt.Data(values=[]))
    fitted = layered.properties(
        width=440, height=190, autosize=alt.AutoSizeParams(type="fit", contains="padding")
    )
    return finished(fitted)


def groups(section: Section) -> dict[str, Any]:
    """The template of a slice's dots: a panel a `group`, a line a `model`, `value`, `low`, `high`;
    `faint` groups are hollow and grey. The page sets `columns`, `facet.sort` and the models' order.
    """
    measure = section.measure
    title = ", ".join(part for part in (measure.title, measure.unit) if part)
    across = alt.Axis(title=None, tickCount=3, grid=True, domain=False, ticks=False)
    models = alt.Axis(
        title=None, domain=False, ticks=False, labelPadding=8, labelLimit=150, grid=True
    )
    x = alt.X("value:Q", axis=across, scale=alt.Scale(zero=False, nice=True))
    y = alt.Y("model:N", axis=models, sort=[])
    base = alt.Chart(alt.Data(values=[]))
    shade = alt.condition("datum.faint", alt.value("var(--faint)"), alt.value("var(--accent)"))
    rules = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, color=shade
    ).transform_filter("isValid(datum.low)")  # fmt: skip
    dots = base.mark_point(filled=True, size=62, opacity=1, strokeWidth=1.6).encode(
        x=x, y=y, stroke=shade,
        fill=alt.condition("datum.faint", alt.value("var(--paper)"), alt.value("var(--accent)")),
        tooltip=[alt.Tooltip("model:N"), alt.Tooltip("group:N"), alt.Tooltip("told:N", title=title),
                 alt.Tooltip("clips:N")],
    )  # fmt: skip
    panel = alt.layer(rules, dots).properties(width=150, height=alt.Step(22))
    header = alt.Header(title=None, labelFontSize=12, labelFontWeight=600, labelColor="var(--ink)",
                        labelAnchor="start", labelPadding=4)  # fmt: skip
    faceted = panel.facet(facet=alt.Facet("group:N", header=header, sort=[]), columns=4)
    return finished(faceted.properties(spacing=14))


def timeline(section: Section) -> dict[str, Any]:
    """The template of a history: `when`, `value`, `model`, `told`, a line a model, the first
    `LINES` with colours and shapes of their own.
    """
    measure = section.measure
    title = ", ".join(part for part in (measure.title, measure.unit) if part)
    x = alt.X(
        "when:T", axis=alt.Axis(title=None, grid=False, ticks=False, tickCount=5, format="%d %b %Y",
                                labelOverlap=True, domainColor="var(--faint)")
    )  # fmt: skip
    y = alt.Y(
        "value:Q", axis=alt.Axis(title=title, tickCount=5, grid=True, ticks=False, domain=False),
        scale=alt.Scale(zero=False, nice=True),
    )  # fmt: skip
    legend = alt.Legend(title=None, orient="top", columns=3, labelLimit=220, symbolOpacity=1)
    colours = [f"var(--line-{n + 1})" for n in range(LINES)]
    shapes = [
        "circle",
        "square",
        charts.SHAPES["simulated"],
        "triangle-up",
        "cross",
        "triangle-down",
    ]
    hue = alt.Color("model:N", sort=[], scale=alt.Scale(range=colours), legend=legend)
    shape = alt.Shape("model:N", sort=[], scale=alt.Scale(range=shapes), legend=legend)
    base = alt.Chart().encode(x=x, y=y, color=hue)
    lines = base.mark_line(strokeWidth=1.8, tooltip=None)
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        shape=shape, tooltip=["model:N", alt.Tooltip("when:T"), alt.Tooltip("told:N", title=title)]
    )
    layered = alt.layer(lines, dots, data=alt.Data(values=[]))
    fitted = layered.properties(
        width=640, height=300, autosize=alt.AutoSizeParams(type="fit", contains="padding")
    )
    return finished(fitted)


def dumbbell(section: Section, *, narrow: bool) -> dict[str, Any] | None:
    """Every model's dumbbell, for boards too long for the first view; None with nothing to show."""
    chart = charts.dumbbell_chart(section, width=charts.NARROW - 1 if narrow else 1000)
    if chart is None:
        return None
    return _plain({**chart, "config": {**chart["config"], "font": FONT, "padding": 4}})
