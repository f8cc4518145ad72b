"""The picture of the choice: cost against accuracy and against tail latency, one point a candidate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from farthing.nouns import NEVER_MS, Evaluation, Plan, percentile_name
from farthing.render.drawing import AXIS_PX, dashed, data, panel_title, round_ticks, styled, words, words_on_ground
from farthing.render.numbers import milliseconds, money, number
from farthing.render.palette import LIGHT
from farthing.render.plan.sentences import accuracy_change, how_loaded, shown_bound, shown_level
from farthing.render.words import printable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["describe", "frontier", "label_place"]

LETTER_PX = 6.7
"""Width of a letter of a label, on the wide side: fonts differ from system to system."""

_LOOK = {
    # kind: colour, size, shape, filled
    "infeasible": ("faint", 30, "M-1,-1L1,1M-1,1L1,-1", False),
    "lost": ("lost", 44, "circle", False),
    "baseline": ("now", 110, "circle", True),
    "nearest": ("plan", 90, "diamond", True),
    "chosen": ("plan", 130, "circle", True),
}
_NAMED = ("baseline", "nearest", "chosen")
Row = dict[str, Any]


def frontier(plan: Plan, *, width: int = 720) -> alt.VConcatChart:
    """Cost × accuracy above, cost × tail latency below, on one logarithmic cost axis.

    Args:
        plan: Candidates without a cost are left out (they stand in the table).
        width: Of the whole picture in pixels, axis labels included.

    Raises:
        ValueError: when no candidate has a cost.
    """
    import altair as alt

    rows = _rows(plan)
    if not rows:
        raise ValueError(f"Plan {plan.workload}: no candidate has a cost, nothing to draw")
    low, high = min(_known(rows, "cost_lo")) * 0.8, max(_known(rows, "cost_hi")) * 1.25
    ticks = round_ticks(low, high, most=7 if width > 500 else 4)
    x_scale = alt.Scale(type="log", domain=[low, high], nice=False)
    inner = width - AXIS_PX - 16
    cost_axis = alt.Axis(values=ticks, format="$,.6~r", title="cost a month, logarithmic")
    bottom = _latency_panel(plan, [r for r in rows if r["tail"] is not None], x_scale, cost_axis, inner)
    bare = alt.Axis(values=ticks, labels=False, title=None)
    judged = [r for r in rows if r["change"] is not None]
    top = _accuracy_panel(plan, judged, x_scale, bare if bottom else cost_axis, inner)
    panels = [panel for panel in (top, bottom) if panel]
    return styled(
        alt.vconcat(*panels), f"Cost against {plan.objective.metric} and tail latency of {len(rows)} candidates"
    )


def describe(evaluation: Evaluation, *, percentile: float = 0.99, also: tuple[str, ...] = ()) -> str:
    """All that a reader wants to know of one candidate in one sentence."""
    said = [printable(evaluation.candidate.label), evaluation.status]
    if evaluation.cost_usd_per_month is not None:
        said.append(f"{money(evaluation.cost_usd_per_month)} a month")
    if evaluation.accuracy is not None:
        said.append(f"{printable(evaluation.accuracy.metric)} {accuracy_change(evaluation.accuracy)}")
    tail = evaluation.tail_at(percentile)
    if tail is not None:
        said.append(f"{tail.name} {milliseconds(tail.ms)} {how_loaded(tail, evaluation)}")
    text = ", ".join(said)
    if evaluation.reason:
        text += f". {printable(evaluation.reason)}"
    if also:
        text += f". Cannot be told apart from it: {', '.join(also)}"
    return text


def _kind(plan: Plan, evaluation: Evaluation) -> str:
    if plan.nearest is not None and evaluation.candidate == plan.nearest.candidate:
        return "nearest"
    return "infeasible" if evaluation.status == "failed" else evaluation.status


def _rows(plan: Plan) -> list[Row]:
    tied = tuple(e for e in plan.evaluations if e.status == "tied" and plan.chosen is not None)
    rows, level = [], shown_level(plan)
    for e in plan.evaluations:
        if e.cost_usd_per_month is None or e in tied:
            continue
        kind = "lost" if _kind(plan, e) == "tied" else _kind(plan, e)
        group = tied if kind == "chosen" else ()
        names = tuple(printable(t.candidate.label) for t in group)
        rows.append(
            {
                "kind": kind,
                "label": _label(kind, e, len(group)),
                "d": describe(e, percentile=level, also=names),
                **_place(e, kind, level),
                "tied": [_place(t, "tied", level) for t in group if t.cost_usd_per_month is not None],
            }
        )
    return sorted(rows, key=lambda r: list(_LOOK).index(r["kind"]))


def _known(rows: list[Row], name: str) -> list[float]:
    """Values of a field over all rows and those that are drawn as one with them."""
    return [r[name] for row in rows for r in (row, *row["tied"]) if r[name] is not None]


def _label(kind: str, e: Evaluation, n_tied: int) -> str:
    prefix = {"baseline": "now: ", "nearest": "nearest: "}.get(kind, "")
    return f"{prefix}{printable(e.candidate.label)[:40]}{f' + {n_tied} like it' if n_tied else ''}"


def _place(e: Evaluation, kind: str, level: float) -> Row:
    cost, tail = e.cost_usd_per_month, e.tail_at(level)
    assert cost is not None
    row: Row = {"cost": cost.value, "cost_lo": cost.lo, "cost_hi": cost.hi, "change": None, "tail": None}
    if e.accuracy is not None:
        row |= {"change": -100 * e.accuracy.drop_frac.value, "change_lo": -100 * e.accuracy.drop_frac.hi}
    elif kind == "baseline":
        row |= {"change": 0.0, "change_lo": 0.0}
    if tail is not None and tail.ms.value < NEVER_MS:  # an endless queue has no place on the axis; the table says it
        top = tail.ms.hi if tail.ms.hi < NEVER_MS else tail.ms.value * 1.4
        row |= {"tail": tail.ms.value, "tail_lo": tail.ms.lo, "tail_hi": top}
    return row


def _accuracy_panel(plan: Plan, rows: list[Row], x_scale: alt.Scale, x_axis: alt.Axis, width: int) -> Any:
    import altair as alt

    if not rows:
        return None
    allowed = -100 * plan.objective.max_drop_frac
    usable = [r["change_lo"] for r in rows if r["kind"] != "infeasible"]
    low = min([allowed * 1.5, *usable, *_known(rows, "change")])
    high = max(_known(rows, "change"))
    span = max(high - low, 0.5)
    scale = alt.Scale(domain=[low - span * 0.06, high + span * 0.22], nice=False)
    y_axis = alt.Axis(tickCount=5, labelExpr="replace(format(datum.value, '+'), /^\\+0$/, '0')", title=None)
    promise = [{"y": allowed, "text": f"allowed {number(allowed, 0 if allowed == round(allowed) else 2)}"}]
    return alt.layer(
        dashed(promise, y=alt.Y("y:Q", scale=scale)),
        words(promise, colour="muted", align="right", baseline="top", dy=4).encode(
            y=alt.Y("y:Q", scale=scale), x=alt.value("width")
        ),
        *_marks(rows, "change", x_scale, scale, y_axis, x_axis),
        *_names(rows, x_scale, scale, width),
        title=panel_title(f"{printable(plan.objective.metric)}, change in points"),
        width=width,
        height=230,
    )


def _latency_panel(plan: Plan, rows: list[Row], x_scale: alt.Scale, x_axis: alt.Axis, width: int) -> Any:
    import altair as alt

    if not rows:
        return None
    bound = shown_bound(plan)
    values = _known(rows, "tail") + ([bound] if bound else [])
    low, high = min(values) * 0.75, max(values) * 1.5
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    y_axis = alt.Axis(values=round_ticks(low, high, most=5), format="~g", title=None)
    promise = [{"y": bound, "text": f"promised {milliseconds(bound)}"}] if bound else []
    labels = words_on_ground(promise, colour="muted", align="left", baseline="bottom", dy=-4)
    return alt.layer(
        dashed(promise, y=alt.Y("y:Q", scale=scale)),
        *_marks(rows, "tail", x_scale, scale, y_axis, x_axis),
        *(label.encode(y=alt.Y("y:Q", scale=scale), x=alt.value(0)) for label in labels),
        title=panel_title(f"{percentile_name(shown_level(plan))} latency in ms, logarithmic"),
        width=width,
        height=150,
    )


def _marks(rows: list[Row], name: str, x_scale: Any, y_scale: Any, y_axis: Any, x_axis: Any) -> list[Any]:
    """Band of the tied, whiskers, points and labels of one panel, the important ones last."""
    import altair as alt

    x, y = alt.X("cost:Q", scale=x_scale, axis=x_axis), alt.Y(f"{name}:Q", scale=y_scale, axis=y_axis)
    layers = [_band(rows, name, x_scale, y_scale)]
    for kind, (colour, size, shape, filled) in _LOOK.items():
        some = [r for r in rows if r["kind"] == kind]
        if not some:
            continue
        strong = kind in _NAMED
        whisker: dict[str, Any] = {
            "color": LIGHT[colour],
            "strokeWidth": 1.5 if strong else 0.7,
            "aria": False,
            "clip": True,
        }
        chart = alt.Chart(data(some))
        top = f"{name}_hi:Q" if name == "tail" else "change:Q"
        layers.append(
            chart.mark_rule(**whisker).encode(x=x, y=alt.Y(f"{name}_lo:Q", scale=y_scale, axis=y_axis), y2=top)
        )
        layers.append(
            chart.mark_rule(**whisker).encode(x=alt.X("cost_lo:Q", scale=x_scale, axis=x_axis), x2="cost_hi:Q", y=y)
        )
        inside = LIGHT[colour] if filled else LIGHT["paper"]
        point = chart.mark_point(stroke=LIGHT[colour], fill=inside, size=size, shape=shape, opacity=1, strokeWidth=1.4)
        layers.append(point.encode(x=x, y=y, description="d:N"))
    return layers


def _band(rows: list[Row], name: str, x_scale: Any, y_scale: Any) -> Any:
    """Broad strokes from the chosen one to those that cannot be told apart from it."""
    import altair as alt

    spokes = [
        {"x": row["cost"], "x2": tied["cost"], "y": row[name], "y2": tied[name]}
        for row in rows
        for tied in row["tied"]
        if tied[name] is not None
    ]
    stroke = alt.Chart(data(spokes)).mark_rule(
        color=LIGHT["band"], strokeWidth=20, strokeCap="round", aria=False, clip=True
    )
    return stroke.encode(x=alt.X("x:Q", scale=x_scale), x2="x2:Q", y=alt.Y("y:Q", scale=y_scale), y2="y2:Q")


def _names(rows: list[Row], x_scale: Any, y_scale: Any, width: int) -> list[Any]:
    """Names of the points that matter: the chosen one at the upper edge, today's below its point; none is cut off."""
    import altair as alt

    layers: list[Any] = []
    low, high = x_scale.domain
    for row in (r for r in rows if r["kind"] in _NAMED):
        text, left = label_place(row["label"], width * math.log(row["cost"] / low) / math.log(high / low), width)
        below = row["kind"] == "baseline"
        drawn = words_on_ground(
            [{**row, "text": text}], colour=_LOOK[row["kind"]][0], dy=18 if below else 0, fontWeight=600, align="left"
        )
        place = alt.Y("change:Q", scale=y_scale) if below else alt.value(8)
        layers.extend(mark.encode(x=alt.value(left), y=place) for mark in drawn)
    return layers


def label_place(text: str, at: float, width: float) -> tuple[str, float]:
    """A label, shortened to what fits, and its left edge: beside its point where there is room, else further in.

    Args:
        text: As long as it is.
        at: Its point, in pixels from the left of the plot.
        width: Of the plot in pixels; left of it there is room for axis labels.
    """
    room = AXIS_PX - 4
    most = int((width + room) / LETTER_PX)
    if len(text) > most:
        text = text[: most - 1].rstrip() + "…"
    long = LETTER_PX * len(text)
    beside = at - 5 if 2 * at < width else at + 5 - long
    return text, max(-room, min(beside, width - long))
