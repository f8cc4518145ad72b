"""The pictures of a plan as Altair charts; nothing is computed here but positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from farthing.core.money.saving import UNSPLIT
from farthing.nouns import NEVER_MS, Estimate, Evaluation, HourlyPlan, OperatorTime, Plan, Profile
from farthing.render.drawing import AXIS_PX, dashed, data, panel_title, round_ticks, styled, words, words_on_ground
from farthing.render.numbers import count, interval, milliseconds, money, money_change, percent
from farthing.render.palette import LIGHT
from farthing.render.plan.frontier import frontier
from farthing.render.plan.sentences import how_loaded
from farthing.render.svg import svg
from farthing.render.words import printable, term_name

if TYPE_CHECKING:
    import altair as alt

__all__ = ["HOURS_SHOWN", "OPERATORS_SHOWN", "cost_by_hour", "frontier", "latency", "operators", "svg", "waterfall"]

HOURS_SHOWN = 168
"""Hours of the trace that the cost picture shows: its first week."""
OPERATORS_SHOWN = 15
"""Operators that the roofline picture shows: the longest ones."""
NAME_PX = 104
Row = dict[str, Any]


def waterfall(plan: Plan, *, width: int = 720) -> alt.LayerChart:
    """From the bill to the plan, one bar a step, each with its interval.

    Raises:
        ValueError: when nothing is planned.
    """
    import altair as alt

    if plan.planned_usd_per_month is None:
        raise ValueError(f"Plan {plan.workload}: nothing is planned, there is no saving to draw")
    rows = _steps(plan, plan.planned_usd_per_month)
    ends = [r[key] for r in rows for key in ("from", "to", "end_lo", "end_hi") if r[key] is not None]
    most = max(ends) * 1.02
    scale = alt.Scale(domain=[min(ends), most], nice=False)
    y = alt.Y(
        "row:N",
        sort=None,
        title=None,
        axis=alt.Axis(grid=False, labelLimit=NAME_PX, labelColor=LIGHT["ink"], labelFontSize=12),
    )
    x = alt.X("from:Q", scale=scale, title=None, axis=alt.Axis(format="$,.6~r", tickCount=5 if width > 500 else 3))
    chart = alt.Chart(data(rows))
    bars = chart.mark_bar(height=18, cornerRadius=1).encode(
        x=x, x2="to:Q", y=y, color=alt.Color("colour:N", scale=None), description="d:N"
    )
    whiskers = chart.mark_rule(color=LIGHT["ink"], strokeWidth=1.5, aria=False).encode(
        x=alt.X("end_lo:Q", scale=scale), x2="end_hi:Q", y=y
    )
    labels = [_beside(row, most, scale, y) for row in rows]
    chart = alt.layer(bars, whiskers, *labels, width=width - NAME_PX - 18, height=alt.Step(30))
    return styled(chart, "From the bill to the plan, in dollars a month").configure_axisY(
        minExtent=NAME_PX, maxExtent=NAME_PX
    )


def _steps(plan: Plan, planned: Estimate) -> list[Row]:
    bill = plan.bill_usd_per_month
    rows = [_step("bill today", 0.0, bill, None, "now", money(bill), "")]
    left = bill
    for part in plan.parts:
        saved = part.usd_per_month
        note = printable(part.note) + ("" if part.claimed or part.name == UNSPLIT else ". Shown, not credited")
        if saved is None:
            rows.append(_step(printable(part.name), left, left, None, "faint", "not priced", note))
            continue
        ends = (left - saved.hi, left - saved.lo)
        colour = "faint" if not part.claimed else "now" if saved.value < 0 else "kept"
        ends_text = f" {interval(saved, decimals=0)}" if saved.hi > saved.lo else ""
        row = _step(
            printable(part.name), left - saved.value, left, ends, colour, money_change(saved.value), note, ends_text
        )
        rows.append(row)
        left -= saved.value
    ends = (planned.lo, planned.hi)
    return [*rows, _step("plan", 0.0, planned.value, ends, "plan", money(planned), "")]


def _step(
    name: str,
    start: float,
    end: float,
    ends: tuple[float, float] | None,
    colour: str,
    text: str,
    note: str,
    detail: str = "",
) -> Row:
    lo, hi = sorted((start, end))
    row: Row = {"row": name, "from": lo, "to": hi, "colour": LIGHT[colour], "text": text}
    row["d"] = f"{name}: {text}{detail} a month{f'. {note}' if note else ''}"
    finite = ends is not None and all(math.isfinite(e) for e in ends)
    return row | ({"end_lo": ends[0], "end_hi": ends[1]} if finite and ends else {"end_lo": None, "end_hi": None})


def _beside(row: Row, most: float, scale: Any, y: Any) -> Any:
    """The amount, right of a bar where there is room, else left of it, else in it."""
    import altair as alt

    reach_lo = min(row["from"], row["end_lo"] if row["end_lo"] is not None else row["from"])
    reach_hi = max(row["to"], row["end_hi"] if row["end_hi"] is not None else row["to"])
    if reach_hi < 0.62 * most:
        options, colour, at = {"align": "left", "dx": 7}, "ink", reach_hi
    elif reach_lo > 0.3 * most:
        options, colour, at = {"align": "right", "dx": -7}, "ink", reach_lo
    else:
        options, colour, at = (
            {"align": "right", "dx": -8},
            "paper" if row["colour"] in (LIGHT["now"], LIGHT["plan"]) else "ink",
            row["to"],
        )
    text = words([{**row, "at": at}], colour=colour, **options)
    return text.encode(x=alt.X("at:Q", scale=scale), y=y)


def _depth(level: float) -> float:
    """Place of a percentile on an axis that gives each “nine” the same room."""
    return -math.log10(1 - level)


def latency(plan: Plan, *, width: int = 720) -> alt.LayerChart:
    """Latency at each percentile of single requests, now and planned, against the promise.

    The level that is promised stands beside it as a diamond, measured under load, each at a rate of its own.

    Raises:
        ValueError: when neither was measured.
    """
    import altair as alt

    sides = [("now", "now", plan.baseline)]
    if plan.chosen or plan.nearest:
        sides.append(("planned" if plan.chosen else "nearest", "plan", plan.chosen or plan.nearest))  # type: ignore[arg-type]
    curves = [row for name, colour, e in sides for row in _curve(name, colour, e)]
    if not curves:
        raise ValueError(f"Plan {plan.workload}: no latency distribution was measured")
    marks = [row for name, colour, e in sides for row in _known(name, colour, e)]
    bound = plan.objective.latency
    values = [r["ms"] for r in curves + marks] + ([bound.ms] if bound else [])
    low, high = min(values) * 0.8, max(values) * 1.35
    y_scale = alt.Scale(type="log", domain=[low, high], nice=False)
    x = _percentile_axis(max(0.99, plan.objective.level))
    y = alt.Y("ms:Q", scale=y_scale, axis=alt.Axis(values=round_ticks(low, high), format="~g", title=None))
    colour = alt.Color("colour:N", scale=None)
    lines = alt.Chart(data(curves)).mark_line(strokeWidth=2, aria=False).encode(x=x, y=y, color=colour, detail="name:N")
    points = alt.Chart(data(marks))
    whiskers = points.mark_rule(strokeWidth=1.5, aria=False).encode(
        x=x, y=alt.Y("lo:Q", scale=y_scale), y2="hi:Q", color=colour
    )
    dots = points.mark_point(filled=True, opacity=1, size=60).encode(
        x=x, y=y, color=colour, shape=alt.Shape("shape:N", scale=None), description="d:N"
    )
    chart = alt.layer(
        *_promise_mark(plan, y_scale),
        lines,
        whiskers,
        dots,
        *_line_names(curves, marks, x, y),
        title=panel_title("latency in ms, logarithmic"),
        width=width - AXIS_PX - 16,
        height=240,
    )
    return styled(chart, "Latency by percentile, now and planned, against the promise")


def _curve(name: str, colour: str, e: Evaluation) -> list[Row]:
    some = e.quantiles_ms[:-1]
    return [{"name": name, "colour": LIGHT[colour], "depth": _depth(i / 100), "ms": ms} for i, ms in enumerate(some)]


def _known(name: str, colour: str, e: Evaluation) -> list[Row]:
    marks = [(latency, "circle", "one request at a time") for latency in e.single]
    marks += [(e.at_peak, "diamond", how_loaded(e.at_peak, e))] if e.at_peak is not None else []
    label = printable(e.candidate.label)
    return [
        {
            "colour": LIGHT[colour],
            "depth": _depth(latency.percentile),
            "ms": latency.ms.value,
            "lo": latency.ms.lo if math.isfinite(latency.ms.lo) else latency.ms.value,
            "hi": latency.ms.hi if latency.ms.hi < NEVER_MS else latency.ms.value * 1.4,
            "shape": shape,
            "d": f"{name}, {label}: {latency.name} {milliseconds(latency.ms)}, {how}",
        }
        for latency, shape, how in marks
        if latency.ms.value < NEVER_MS  # an endless queue has no place on the axis
    ]


def _percentile_axis(last: float) -> Any:
    import altair as alt

    levels = [0.0, 0.5, 0.9, 0.99] + ([last] if last > 0.99 else [])
    text = "datum.value == 0 ? 'min' : 'p' + format(100 * (1 - pow(10, -datum.value)), '.4~r')"
    axis = alt.Axis(values=[_depth(level) for level in levels], labelExpr=text, labelOverlap=False)
    scale = alt.Scale(domain=[0, _depth(last) * 1.06], nice=False)
    return alt.X("depth:Q", scale=scale, axis=axis, title="requests answered within")


def _promise_mark(plan: Plan, y_scale: Any) -> list[Any]:
    import altair as alt

    bound = plan.objective.latency
    if bound is None:
        return []
    rows = [{"ms": bound.ms, "text": f"promised: {bound.name} ≤ {milliseconds(bound.ms)}"}]
    y = alt.Y("ms:Q", scale=y_scale)
    return [
        dashed(rows, y=y),
        words(rows, colour="muted", align="left", baseline="bottom", dx=2, dy=-4).encode(y=y, x=alt.value(0)),
    ]


def _line_names(curves: list[Row], marks: list[Row], x: Any, y: Any) -> list[Any]:
    ends = {row["name"]: row for row in curves if row["depth"] <= _depth(0.8)}
    layers = []
    for name, row in ends.items():
        colour = "now" if name == "now" else "plan"
        layers.extend(words_on_ground([{**row, "text": name}], colour=colour, dy=-10, align="right", fontWeight=600))
    for row in marks:
        if row["shape"] == "diamond" and row["colour"] == LIGHT["plan"]:
            layers.extend(words_on_ground([{**row, "text": "at the peak"}], colour="plan", dx=-9, align="right"))
    return [layer.encode(x=x, y=y) for layer in layers]


def cost_by_hour(plan: Plan, *, width: int = 720) -> alt.VConcatChart:
    """Cost of each hour now and planned, and the planned replicas below it, over at most a week of the trace.

    Raises:
        ValueError: when the plan has no costs by hour.
    """
    import altair as alt

    hourly = plan.hourly
    if not hourly.baseline_usd:
        raise ValueError(f"Plan {plan.workload}: no cost by hour, nothing to draw")
    rows = _hours(hourly)
    days = list(range(0, len(rows) + 1, 24 if len(rows) > 48 else 6))
    label = "'day ' + (datum.value / 24 + 1)" if len(rows) > 48 else "datum.value + ' h'"
    x_axis = alt.Axis(
        values=days[:-1] if len(rows) > 48 else days, labelExpr=label, labelAlign="left", title=None, labelFlush=False
    )
    x = alt.X("hour:Q", scale=alt.Scale(domain=[0, len(rows)], nice=False), axis=x_axis)
    inner = width - AXIS_PX - 16
    areas = [("now_usd", "now", 0.16), ("plan_usd", "plan", 0.75)]
    top = alt.layer(
        *(_steps_area(rows, x, field, colour, opacity) for field, colour, opacity in areas if field in rows[0]),
        _hover(rows, x),
        title=panel_title(
            "dollars an hour: now above, planned below" if hourly.planned_usd else "dollars an hour, now"
        ),
        width=inner,
        height=170,
    )
    field, colour = ("plan_n", "plan") if hourly.planned_replicas else ("now_n", "now")
    layers = [_steps_area(rows, x, field, colour, 0.16)]
    if hourly.committed_replicas:
        layers.append(_steps_area(rows, x, "committed", colour, 0.55))
    committed = (
        f", {hourly.committed_replicas} of them {term_name(hourly.committed_term)}" if hourly.committed_term else ""
    )
    title = f"replicas planned{committed}" if hourly.planned_replicas else "replicas now"
    bottom = alt.layer(*layers, title=panel_title(title), width=inner, height=80)
    return styled(alt.vconcat(top, bottom), f"Cost and replicas by hour over {len(rows)} hours of the trace")


def _hours(hourly: HourlyPlan) -> list[Row]:
    n = min(HOURS_SHOWN, len(hourly.baseline_usd))
    planned = bool(hourly.planned_usd)
    rows = []
    for h in range(n):
        row: Row = {"hour": h, "now_usd": hourly.baseline_usd[h], "now_n": hourly.baseline_replicas[h]}
        rates = f"{count(round(hourly.mean_rps[h]))} requests/s (peak {count(round(hourly.peak_rps[h]))})"
        text = f"day {h // 24 + 1}, {h % 24}:00, {rates}: "
        text += f"now {hourly.baseline_replicas[h]} replicas, {money(hourly.baseline_usd[h])}"
        if planned:
            row |= {
                "plan_usd": hourly.planned_usd[h],
                "plan_n": hourly.planned_replicas[h],
                "committed": hourly.committed_replicas,
            }
            text += f"; planned {hourly.planned_replicas[h]}, {money(hourly.planned_usd[h])}"
        rows.append({**row, "next": h + 1, "d": text})
    return rows


def _steps_area(rows: list[Row], x: Any, field: str, colour: str, opacity: float) -> Any:
    import altair as alt

    closed = [*rows, {**rows[-1], "hour": len(rows)}]
    axis = alt.Axis(tickCount=4, format="~s" if field.endswith("usd") else "d", title=None)
    steps: dict[str, Any] = {"interpolate": "step-after", "color": LIGHT[colour], "aria": False}
    chart = alt.Chart(data(closed)).encode(x=x, y=alt.Y(f"{field}:Q", axis=axis, scale=alt.Scale(nice=True, zero=True)))
    return chart.mark_area(fillOpacity=opacity, **steps) + chart.mark_line(strokeWidth=1.4, **steps)


def _hover(rows: list[Row], x: Any) -> Any:
    """An unseen bar over each hour that carries its sentence."""
    import altair as alt

    bars = alt.Chart(data(rows)).mark_rect(color=LIGHT["ink"], opacity=0)
    return bars.encode(x=x, x2="next:Q", y=alt.value(0), y2=alt.value(170), description="d:N")


def operators(profile: Profile, *, width: int = 720) -> alt.LayerChart:
    """Draw the longest operators: dark is the time that the machine's roofline allows, light is left to win.

    Raises:
        ValueError: when no operator was profiled.
    """
    import altair as alt

    if not profile.operators:
        raise ValueError(f"{profile.candidate.label}: no operators were profiled")
    rows = [_operator(i, o, width // 10) for i, o in enumerate(profile.operators[:OPERATORS_SHOWN])]
    y = alt.Y("i:O", axis=None)
    most = max(r["ms"] for r in rows)
    x_axis = alt.Axis(tickCount=5, title=f"ms a batch of {profile.batch}")
    x = alt.X("ms:Q", scale=alt.Scale(domain=[0, most * 1.14], nice=False), axis=x_axis)
    chart = alt.Chart(data(rows))
    full = chart.mark_bar(height=8, yOffset=7).encode(
        x=x, y=y, color=alt.Color("colour:N", scale=None), description="d:N"
    )
    won = chart.mark_bar(height=8, yOffset=7, color=LIGHT["plan"], aria=False).encode(x=alt.X("at_roof:Q"), y=y)
    names = words(rows, colour="ink", align="left", baseline="bottom", dy=1).encode(x=alt.value(0), y=y)
    shares = words(
        [{**r, "text": r["share"]} for r in rows], colour="muted", align="left", dx=5, dy=7, fontSize=10
    ).encode(x=x, y=y)
    chart = alt.layer(full, won, names, shares, width=width - 20, height=alt.Step(33))
    return styled(chart, f"Time of the {len(rows)} longest operators against the roofline").configure_axisY(minExtent=0)


def _operator(i: int, o: OperatorTime, room: int) -> Row:
    name, kind = printable(o.name), printable(o.kind)
    at_roof = None if o.roofline_frac is None else percent(o.roofline_frac, decimals=0)
    precision = f" in {printable(o.precision)}" if o.precision else ""
    share = percent(o.share_frac, decimals=1)
    roof = "roofline unknown" if at_roof is None else f"{at_roof} of the roofline"
    return {
        "i": i,
        "ms": o.time_ms,
        "at_roof": None if o.roofline_frac is None else o.time_ms * min(1.0, o.roofline_frac),
        "colour": LIGHT["faint" if at_roof is None else "kept"],
        "text": f"{name if len(name) <= room else '…' + name[1 - room :]}{'' if kind in name else f' · {kind[:24]}'}",
        "share": at_roof or "",
        "d": f"{name}, {kind}{precision}: {milliseconds(o.time_ms)}, {share} of operator time, {roof}",
    }
