"""The picture of a router: quality × cost, the curve with its band, tiers, the fixed split, random, the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from farthing.core.route.judging.evaluation import CurvePoint, RouterEvaluation
from farthing.core.route.judging.reports import EvaluationReport
from farthing.render.drawing import AXIS_PX, dashed, data, panel_title, round_ticks, styled, words_on_ground
from farthing.render.numbers import percent
from farthing.render.palette import LIGHT
from farthing.render.route.words import MILLION, cost
from farthing.render.words import printable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["quality_and_cost"]

STEPS = 60
NAMED_AT = 0.72
"""Where along its line a control is named."""
LABEL_CHARACTERS = 40
NARROW_PX = 500
"""Up to this width controls are not named in the picture; the page's key names them."""
Row = dict[str, Any]


def quality_and_cost(report: EvaluationReport, *, width: int = 720) -> alt.LayerChart:
    """Mean quality against mean cost of a request, costs logarithmic.

    Args:
        report: Points are drawn with their intervals; the band is theirs, along the curve.
        width: Of the whole picture in pixels.
    """
    import altair as alt

    e, unit = report.evaluation, 1000.0 if report.currency == "cpu_s" else MILLION
    costs = [p.cost_usd.value * unit for p in (*e.points, *e.tiers)] + [e.oracle_cost_usd.value * unit]
    positive = [c for c in costs if c > 0]
    low, high = min(positive) * 0.75, max(positive) * 1.3
    lowest, highest = _span(report)
    axis_title = "CPU ms a request, logarithmic" if report.currency == "cpu_s" else "$ a million requests, logarithmic"
    x = alt.X(
        "x:Q",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(
            values=round_ticks(low, high, most=7 if width > NARROW_PX else 4),
            format=".3~r" if report.currency == "cpu_s" else "$,.6~r",
            title=axis_title,
        ),
    )
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[lowest, highest], nice=False, clamp=True),
        axis=alt.Axis(tickCount=6, format=".4~r", title=None),
    )
    chart = alt.layer(
        *_band(e, unit, x, y),
        *_controls(e, unit, x, y, low, high, width),
        *_promise(report, x, y),
        *_points(report, unit, x, y),
        *_tiers(report, unit, x, y),
        title=panel_title(f"{_word(report)}, per cent"),
        width=width - AXIS_PX - 16,
        height=300 if width > NARROW_PX else 260,
    )
    return styled(chart, f"{_word(report)} against cost of {len(e.points)} policies, {len(e.tiers)} tiers and controls")


def _word(report: EvaluationReport) -> str:
    return "quality" if report.quality == "given" else report.quality


def _span(report: EvaluationReport) -> tuple[float, float]:
    """Range of the axis of quality: all points; a tier far below the rest stands at the lower edge."""
    e = report.evaluation
    top = max(100 * p.quality.hi for p in (*e.points, *e.tiers))
    top = max(top, 100 * e.oracle_quality.value)
    values = sorted(100 * p.quality.lo for p in (*e.points, *e.tiers))
    promise = [] if report.max_loss_frac is None else [100 * (_reference(report).quality.value - report.max_loss_frac)]
    bottom = min([*values, *promise])
    room = max(top - bottom, 0.5)
    return max(0.0, bottom - 0.08 * room), top + 0.1 * room


def _reference(report: EvaluationReport) -> CurvePoint:
    tiers = report.evaluation.tiers
    return next((t for t in tiers if t.label == f"always {report.reference}"), tiers[-1])


def _row(point: CurvePoint, unit: float, currency: str) -> Row:
    q = point.quality
    return {
        "x": point.cost_usd.value * unit,
        "y": 100 * q.value,
        "lo": 100 * q.lo,
        "hi": 100 * q.hi,
        "d": f"{printable(point.label)}: {percent(q, decimals=2)}, {cost(point.cost_usd, currency, bounds=True)}",
    }


def _band(e: RouterEvaluation, unit: float, x: Any, y: Any) -> list[Any]:
    """The curve of the points that no other beats, with the intervals of their quality."""
    import altair as alt

    front = sorted((p for p in e.points if p.pareto and p.cost_usd.value > 0), key=lambda p: p.cost_usd.value)
    rows = [
        {"x": p.cost_usd.value * unit, "y": 100 * p.quality.value, "lo": 100 * p.quality.lo, "hi": 100 * p.quality.hi}
        for p in front
    ]
    if len(rows) < 2:
        return []
    chart = alt.Chart(data(rows))
    area = chart.mark_area(color=LIGHT["band"], opacity=0.8, aria=False, clip=True).encode(
        x=x, y=alt.Y("lo:Q", scale=y["scale"], axis=y["axis"]), y2="hi:Q"
    )
    line = chart.mark_line(color=LIGHT["plan"], strokeWidth=2, aria=False, clip=True).encode(x=x, y=y)
    return [area, line]


def _controls(e: RouterEvaluation, unit: float, x: Any, y: Any, low: float, high: float, width: int) -> list[Any]:
    """The best fixed split and the random router over all costs, and the oracle."""
    import altair as alt

    from farthing.core.route.controls import random_router_quality

    tier_cost = np.array([t.cost_usd.value for t in e.tiers])
    tier_quality = np.array([t.quality.value for t in e.tiers])
    span = np.geomspace(max(tier_cost.min(), low / unit), tier_cost.max(), STEPS)
    span = np.unique(np.concatenate([span, e.split.cost_usd[e.split.cost_usd >= span[0]]]))
    lines = (
        (e.split.quality_at(span), "now", [1, 0], "best fixed split", -8),
        (random_router_quality(span, tier_cost, tier_quality), "lost", [3, 3], "random router", 10),
    )
    layers: list[Any] = []
    for quality, colour, dash, name, dy in lines:
        rows = [{"x": float(c * unit), "y": float(100 * q)} for c, q in zip(span, quality, strict=True)]
        line = alt.Chart(data(rows)).mark_line(
            color=LIGHT[colour], strokeWidth=1.4, strokeDash=dash, aria=False, clip=True
        )
        layers.append(line.encode(x=x, y=y))
        if width <= NARROW_PX:
            continue
        middle = {**rows[int(NAMED_AT * len(rows))], "text": name}
        layers += [t.encode(x=x, y=y) for t in words_on_ground([middle], colour=colour, dy=dy, align="right")]
    oracle = [
        {
            "x": e.oracle_cost_usd.value * unit,
            "y": 100 * e.oracle_quality.value,
            "d": f"oracle, knows the answers: {percent(e.oracle_quality, decimals=2)}",
            "text": "oracle",
        }
    ]
    point = alt.Chart(data(oracle)).mark_point(
        color=LIGHT["ink"], fill=LIGHT["paper"], shape="diamond", size=70, opacity=1, strokeWidth=1.4
    )
    left = e.oracle_cost_usd.value * unit > (low * high) ** 0.5
    side: dict[str, Any] = {"align": "right", "dx": -8} if left else {"align": "left", "dx": 8}
    layers.append(point.encode(x=x, y=y, description="d:N"))
    layers += [t.encode(x=x, y=y) for t in words_on_ground(oracle, colour="ink", **side)]
    return layers


def _promise(report: EvaluationReport, x: Any, y: Any) -> list[Any]:
    import altair as alt

    if report.max_loss_frac is None:
        return []
    bound = 100 * (_reference(report).quality.value - report.max_loss_frac)
    rows = [{"y": bound, "text": f"promised −{100 * report.max_loss_frac:g}"}]
    at = alt.Y("y:Q", scale=y["scale"], axis=y["axis"])
    texts = words_on_ground(rows, colour="muted", align="left", baseline="bottom", dx=2, dy=-4)
    return [dashed(rows, y=at), *(t.encode(y=at, x=alt.value(0)) for t in texts)]


def _tiers(report: EvaluationReport, unit: float, x: Any, y: Any) -> list[Any]:
    import altair as alt

    rows = [
        {**_row(t, unit, report.currency), "text": printable(t.label.removeprefix("always "))[:LABEL_CHARACTERS]}
        for t in report.evaluation.tiers
        if t.cost_usd.value > 0
    ]
    chart = alt.Chart(data(rows))
    whisker = chart.mark_rule(color=LIGHT["now"], strokeWidth=1.2, aria=False, clip=True)
    point = chart.mark_point(color=LIGHT["now"], fill=LIGHT["now"], size=70, opacity=1)
    named = rows if len(rows) <= 6 else _ends(rows)
    texts = words_on_ground(named, colour="now", dy=14, fontWeight=600)
    return [
        whisker.encode(x=x, y=alt.Y("lo:Q", scale=y["scale"], axis=y["axis"]), y2="hi:Q"),
        point.encode(x=x, y=y, description="d:N"),
        *(t.encode(x=x, y=y) for t in texts),
    ]


def _ends(rows: list[Row]) -> list[Row]:
    """The best and the cheapest of many tiers: all names would not be readable; the others speak on hover."""
    best, cheapest = max(rows, key=lambda r: r["y"]), min(rows, key=lambda r: r["x"])
    return [best] if best is cheapest else [best, cheapest]


def _points(report: EvaluationReport, unit: float, x: Any, y: Any) -> list[Any]:
    """Every policy of the curve small, the followed one large with both intervals and its name."""
    import altair as alt

    e = report.evaluation
    rest = e.points[1:] if report.followed else e.points
    small = [_row(p, unit, report.currency) for p in rest if p.cost_usd.value > 0]
    layers = []
    if small:
        mark = alt.Chart(data(small)).mark_point(
            color=LIGHT["plan"], fill=LIGHT["paper"], size=24, opacity=1, strokeWidth=1.2, clip=True
        )
        layers.append(mark.encode(x=x, y=y, description="d:N"))
    if report.followed and e.points[0].cost_usd.value > 0:
        point = e.points[0]
        rows = [{**_row(point, unit, report.currency), "text": "followed"}]
        c = point.cost_usd
        rows[0] |= {"x_lo": c.lo * unit, "x_hi": c.hi * unit}
        chart = alt.Chart(data(rows))
        rule: dict[str, Any] = {"color": LIGHT["plan"], "strokeWidth": 1.6, "aria": False, "clip": True}
        layers += [
            chart.mark_rule(**rule).encode(x=x, y=alt.Y("lo:Q", scale=y["scale"], axis=y["axis"]), y2="hi:Q"),
            chart.mark_rule(**rule).encode(x=alt.X("x_lo:Q", scale=x["scale"], axis=x["axis"]), x2="x_hi:Q", y=y),
            chart.mark_point(color=LIGHT["plan"], fill=LIGHT["plan"], size=130, opacity=1).encode(
                x=x, y=y, description="d:N"
            ),
            *(t.encode(x=x, y=y) for t in words_on_ground(rows, colour="plan", dy=-14, fontWeight=600)),
        ]
    return layers
