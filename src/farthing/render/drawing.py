"""What all charts have in common: type, colours, axes and the labels that describe each mark."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from farthing.render.palette import LIGHT

if TYPE_CHECKING:
    import altair as alt

__all__ = ["AXIS_PX", "dashed", "data", "panel_title", "round_ticks", "styled", "words", "words_on_ground"]

AXIS_PX = 46
"""Room left of a plot for its axis labels; a chart's width includes it."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def data(rows: list[dict[str, Any]]) -> alt.Data:
    """Rows as inline data; not to be changed afterwards."""
    return _rows_type()(values=rows)


@cache
def _rows_type() -> type[alt.Data]:
    import altair as alt

    class Rows(alt.Data):  # type: ignore[misc]
        """Altair copies every part of a chart at each layer and composition: a fifth of a page's time went to rows."""

        def __deepcopy__(self, memo: object = None) -> Rows:
            return self

    return Rows


def styled(chart: Any, description: str) -> Any:
    """The chart, which is changed, with the house's type and axes and one sentence that describes the whole."""
    axis: dict[str, Any] = {
        "domain": False,
        "ticks": False,
        "gridColor": LIGHT["grid"],
        "labelColor": LIGHT["muted"],
        "titleColor": LIGHT["muted"],
        "titleFontWeight": "normal",
        "titleFontSize": 11,
        "labelFontSize": 11,
        "labelPadding": 6,
        "titlePadding": 8,
    }
    chart.description, chart.background = description, "transparent"  # set, since ``properties`` copies the whole chart
    chart.padding = {"left": 0, "right": 8, "top": 4, "bottom": 2}
    return (
        chart.configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(**axis)
        .configure_axisY(minExtent=AXIS_PX, maxExtent=AXIS_PX)
        .configure_title(anchor="start", fontSize=12, fontWeight="normal", color=LIGHT["ink"], offset=8)
        .configure_concat(spacing=18)
    )


def panel_title(text: str) -> alt.TitleParams:
    """A panel's title, which says what its vertical axis shows."""
    import altair as alt

    return alt.TitleParams(text=text, frame="bounds", dx=2)


def dashed(rows: list[dict[str, Any]], **encoding: Any) -> Any:
    """The line of a promise."""
    import altair as alt

    mark = alt.Chart(data(rows)).mark_rule(color=LIGHT["ink"], strokeDash=[4, 3], strokeWidth=1, aria=False, clip=True)
    return mark.encode(**encoding)


def words(rows: list[dict[str, Any]], *, colour: str, **options: Any) -> Any:
    """Text that stands in the plot: field ``text`` of each row, hidden from screen readers (marks say it)."""
    import altair as alt

    settings: dict[str, Any] = {"fontSize": 11, "aria": False, **options}
    return alt.Chart(data(rows)).mark_text(color=LIGHT[colour], **settings).encode(text="text:N")


def words_on_ground(rows: list[dict[str, Any]], *, colour: str, **options: Any) -> list[Any]:
    """Text over a rim of the ground's colour, readable where it crosses marks."""
    rim = words(rows, colour="paper", stroke=LIGHT["paper"], strokeWidth=4, strokeJoin="round", **options)
    return [rim, words(rows, colour=colour, **options)]


def round_ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round positions on a logarithmic axis from ``low`` to ``high`` (both > 0): 1-2-5 steps, thinned to ``most``."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]
        if len(ticks) <= most:
            break
    return ticks
