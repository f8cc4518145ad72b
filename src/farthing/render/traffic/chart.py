"""The picture of a trace: its rate over time, and how bursty it is in windows of all lengths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from farthing.core.traffic.burstiness import Burstiness, Dispersion
from farthing.nouns import Trace
from farthing.render.drawing import AXIS_PX, dashed, data, panel_title, round_ticks, styled, words_on_ground
from farthing.render.numbers import count, duration, moment, number, times
from farthing.render.palette import LIGHT
from farthing.render.words import printable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["traffic"]

NARROW_PX = 500
"""Up to this width titles are short."""
BIN_PX = 2
"""Width of a bar of the rate, at least."""
RATE_PX, DISPERSION_PX = 150, 170
NAMED_S = (1.0, 60.0, 3600.0)
"""Windows whose peak stands in the picture."""
_DISPERSION = "variance by mean of the requests in a window: 1 is Poisson, the band what chance makes of it"
_DISPERSION_SHORT = "variance by mean of counts, Poisson is 1"
_LEAST_IDC = 0.01
"""Arrivals as regular as a clock stand here on the logarithmic axis."""
_TICKS_S = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
_WINDOW_LABEL = (
    "datum.value < 1 ? datum.value * 1000 + ' ms' : datum.value < 60 ? datum.value + ' s' : "
    "datum.value < 3600 ? datum.value / 60 + ' min' : datum.value / 3600 + ' h'"
)
_UNITS = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (600.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From a length on, seconds of a unit of time and its name."""
_BINS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
_PERIODS = ((1.0, "a second", "s"), (60.0, "a minute", "min"), (3600.0, "an hour", "h"))
Row = dict[str, Any]


def traffic(trace: Trace, bursty: Burstiness, *, width: int = 720) -> alt.VConcatChart:
    """Rate over time, and below it the index of dispersion over the length of windows.

    Args:
        trace: Its steps are drawn, or the mean and the busiest of several where they are narrower than two pixels.
        bursty: Of the same arrivals; where it has no windows the rate stands alone.
        width: Of the whole picture in pixels.
    """
    import altair as alt

    inner = width - AXIS_PX - 16
    panels = [_rate_panel(trace, inner)]
    if bursty.by_window:
        panels.append(_dispersion_panel(bursty, inner))
    said = (
        f"Arrivals of {printable(trace.name)} over {duration(trace.counts.size * trace.step_s)}: rate, and burstiness"
    )
    return styled(alt.vconcat(*panels), said)


def _rate_panel(trace: Trace, inner: int) -> alt.LayerChart:
    import altair as alt

    length_s = trace.counts.size * trace.step_s
    unit_s, unit = next((size, name) for least, size, name in _UNITS if length_s >= least)
    steps = _steps_of_bin(trace, inner)
    per_s, per, sign = _period(trace)
    rows = _bins(trace, steps, unit_s, per_s, sign)
    since = unit if trace.start is None else f"{unit} from {moment(trace.start)} on"
    x = alt.X(
        "at:Q", scale=alt.Scale(domain=[0, length_s / unit_s], nice=False), axis=alt.Axis(tickCount=7, title=since)
    )
    several = f": mean, and busiest {_length(trace.step_s)} of {_length(steps * trace.step_s)}" if steps > 1 else ""
    layers = [_steps_of(rows, x, "peak", "faint", 0.0)] if steps > 1 else []
    layers += [_steps_of(rows, x, "mean", "now", 0.16), _spoken(rows, x)]
    return alt.layer(*layers, title=panel_title(f"requests {per}{several}"), width=inner, height=RATE_PX)


def _steps_of_bin(trace: Trace, inner: int) -> int:
    """Steps of a bar that is at least two pixels wide and, where whole steps can be, a usual length of time."""
    least = math.ceil(trace.counts.size * BIN_PX / inner)
    usual = (s / trace.step_s for s in _BINS_S if s >= least * trace.step_s and s % trace.step_s == 0)
    return least if least == 1 else round(next(usual, least))


def _period(trace: Trace) -> tuple[float, str, str]:
    """The period in which the mean rate is at least 1: its seconds, its name and its sign."""
    mean_rps = float(trace.counts.mean()) / trace.step_s
    return next((period for period in _PERIODS if mean_rps * period[0] >= 1), _PERIODS[-1])


def _bins(trace: Trace, steps: int, unit_s: float, per_s: float, sign: str) -> list[Row]:
    """Mean and busiest step of each bin of so many steps; the last bin may have fewer."""
    starts = np.arange(0, trace.counts.size, steps)
    sizes = np.diff(np.append(starts, trace.counts.size))
    rates = trace.counts / trace.step_s * per_s
    mean, peak = np.add.reduceat(rates, starts) / sizes, np.maximum.reduceat(rates, starts)
    rows = []
    for k, start in enumerate(starts):
        at_s, end_s = float(start) * trace.step_s, float(start + sizes[k]) * trace.step_s
        busiest = f", busiest {_length(trace.step_s)} {count(float(peak[k]))}/{sign}" if steps > 1 else ""
        said = f"after {_length(at_s)}: {count(float(mean[k]))} requests/{sign}{busiest}"
        row = {"at": at_s / unit_s, "next": end_s / unit_s, "mean": float(mean[k]), "peak": float(peak[k])}
        rows.append({**row, "d": said})
    return rows


def _length(seconds: float) -> str:
    if 0 < seconds < 1:
        return f"{number(seconds * 1000, 0)} ms"
    return f"{seconds:.3g} s" if seconds < 60 else duration(seconds)


def _steps_of(rows: list[Row], x: Any, field: str, colour: str, opacity: float) -> Any:
    import altair as alt

    closed = [*rows, {**rows[-1], "at": rows[-1]["next"]}]
    steps: dict[str, Any] = {"interpolate": "step-after", "color": LIGHT[colour], "aria": False}
    axis = alt.Axis(tickCount=4, format="~s", title=None)
    chart = alt.Chart(data(closed)).encode(x=x, y=alt.Y(f"{field}:Q", axis=axis, scale=alt.Scale(nice=True, zero=True)))
    line = chart.mark_line(strokeWidth=1.4, **steps)
    return chart.mark_area(fillOpacity=opacity, **steps) + line if opacity else line


def _spoken(rows: list[Row], x: Any) -> Any:
    """An unseen bar over each bin that carries its sentence."""
    import altair as alt

    bars = alt.Chart(data(rows)).mark_rect(color=LIGHT["ink"], opacity=0)
    return bars.encode(x=x, x2="next:Q", y=alt.value(0), y2=alt.value(RATE_PX), description="d:N")


def _dispersion_panel(bursty: Burstiness, inner: int) -> alt.LayerChart:
    import altair as alt

    rows = [_window(one) for one in bursty.by_window]
    low = min(*(min(row["idc"], row["lo"]) for row in rows), 1.0) * 0.7
    high = max(*(max(row["idc"], row["hi"]) for row in rows), 1.0) * 2.2
    first, last = rows[0]["window"] * 0.8, rows[-1]["window"] * 1.25
    x = alt.X(
        "window:Q",
        scale=alt.Scale(type="log", domain=[first, last], nice=False),
        axis=alt.Axis(
            values=[tick for tick in _TICKS_S if first <= tick <= last],
            labelExpr=_WINDOW_LABEL,
            title="length of a window",
        ),
    )
    y_scale = alt.Scale(type="log", domain=[low, high], nice=False)
    y = alt.Y("idc:Q", scale=y_scale, axis=alt.Axis(values=round_ticks(low, high), format="~g", title=None))
    chart = alt.Chart(data(rows))
    band = chart.mark_area(color=LIGHT["grid"], opacity=0.9, aria=False, clip=True).encode(
        x=x, y=alt.Y("lo:Q", scale=y_scale), y2="hi:Q"
    )
    line = chart.mark_line(color=LIGHT["now"], strokeWidth=2, aria=False).encode(x=x, y=y)
    points = chart.mark_point(color=LIGHT["now"], fill=LIGHT["paper"], size=36, opacity=1, strokeWidth=1.4).encode(
        x=x, y=y, description="d:N"
    )
    return alt.layer(
        band,
        *_poisson(y_scale, rows[-1]["window"], x),
        line,
        points,
        *_peaks(bursty, x, y),
        title=panel_title(_DISPERSION if inner > NARROW_PX else _DISPERSION_SHORT),
        width=inner,
        height=DISPERSION_PX,
    )


def _window(one: Dispersion) -> Row:
    said = (
        f"windows of {_length(one.window_s)}: index of dispersion {number(one.idc, 2)}, Poisson "
        f"{number(one.poisson_lo, 2)} to {number(one.poisson_hi, 2)}; busiest {times(one.peak_to_mean)} the mean "
        f"({count(one.windows)} windows)"
    )
    row: Row = {"window": one.window_s, "idc": max(one.idc, _LEAST_IDC), "d": said}
    return row | {"lo": max(one.poisson_lo, _LEAST_IDC), "hi": one.poisson_hi}


def _poisson(y_scale: Any, window_s: float, x: Any) -> list[Any]:
    import altair as alt

    rows = [{"idc": 1.0, "window": window_s, "text": "Poisson"}]
    y = alt.Y("idc:Q", scale=y_scale)
    texts = words_on_ground(rows, colour="muted", align="right", baseline="bottom", dy=-3)
    return [dashed(rows, y=y), *(text.encode(x=x, y=y) for text in texts)]


def _peaks(bursty: Burstiness, x: Any, y: Any) -> list[Any]:
    """How much busier than the mean the busiest second, minute and hour are, beside their points, above the line."""
    layers = []
    for one in (found for found in map(bursty.at, NAMED_S) if found is not None):
        first = one is bursty.by_window[0]
        row = {"window": one.window_s, "idc": max(one.idc, _LEAST_IDC), "text": f"peak {times(one.peak_to_mean)} mean"}
        side: dict[str, Any] = {"align": "left", "dx": -4} if first else {"align": "right", "dx": 4}
        layers += [text.encode(x=x, y=y) for text in words_on_ground([row], colour="now", dy=-13, **side)]
    return layers
