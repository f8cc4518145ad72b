"""What a query's text says: its outermost aggregation, its longest window."""

from __future__ import annotations

import pytest

from farthing.load.scaling.promql import outer_aggregation, window_s


@pytest.mark.parametrize(
    ("query", "aggregation"),
    [
        ("sum(rate(x[1m]))", "sum"),
        ("  AVG (x)", "avg"),
        ("sum by (pod) (x)", "sum"),
        ("sum(x) by (pod)", "sum"),
        ("sum without(pod)(x)", "sum"),
        ("max(x) or vector(0)", "max"),
        ("sum(x) or on() vector(0)", "sum"),
        ('sum(x{path="/a)("})', "sum"),
        ("sum(x) > 5", "sum"),
        ("quantile(0.9, x)", "quantile"),
        ("sum(a) / sum(b)", None),
        ("avg_over_time(x[5m])", None),
        ("rate(x[5m])", None),
        ("sum(x", None),
        ("summary(x)", None),
    ],
)
def test_outermost(query: str, aggregation: str | None) -> None:
    assert outer_aggregation(query) == aggregation


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("rate(x[5m])", 300),
        ("rate(x[1h30m])", 5400),
        ("max_over_time(rate(x[30s])[10m:15s])", 600),
        ("x", None),
        ('x{a="[5m]"}', None),
        ("rate(x[500ms])", 0.5),
    ],
)
def test_longest_window(query: str, seconds: float | None) -> None:
    assert window_s(query) == seconds
