from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.nouns import NEVER_MS, Estimate
from farthing.render import numbers as n


def est(value: float, lo: float, hi: float) -> Estimate:
    return Estimate(value=value, lo=lo, hi=hi, n=8, method="test")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10_000, "$10,000"),
        (590.4, "$590"),
        (99.574, "$99.57"),
        (0.71, "$0.71"),
        (0.0021, "$0.0021"),
        (0, "$0"),
        (-8870.2, "−$8,870"),
        (est(590, 540, 640), "$590 [540, 640]"),
        (est(0.0204, 0.0199, 0.0213), "$0.020 [0.020, 0.021]"),
    ],
)
def test_money(value, text):
    assert n.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(8870, "−$8,870"), (-12.4, "+$12"), (99.57, "−$100"), (3.2, "−$3.20"), (0.001, "0"), (0, "0")],
)
def test_money_change(value, text):
    assert n.money_change(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (22.9, "22.9 ms"),
        (38.0, "38 ms"),
        (50, "50 ms"),
        (7.5, "7.5 ms"),
        (0.94, "0.94 ms"),
        (0.004, "4 µs"),
        (12_340, "12.3 s"),
        (est(7.2, 7.0, 7.5), "7.2 ms [7.0, 7.5]"),
        (est(38, 36, 41), "38 ms [36, 41]"),
        (est(0.94, 0.93, 0.95), "0.940 ms [0.930, 0.950]"),
        (est(12_340, 12_000, 13_000), "12.3 s [12.0, 13.0]"),
    ],
)
def test_milliseconds(value, text):
    assert n.milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (est(0.3, 0.04, 26.0), "0.3 ms [0.0, 26.0]"),
        (est(0.04, 0.01, 90.0), "0.04 ms [0.01, 90.00]"),
        (est(12.3, 0.1, 26.0), "12 ms [0, 26]"),
        (est(0.0, 0.0, 26.0), "0 ms [0, 26]"),
    ],
)
def test_a_time_is_never_written_as_nothing(value, text):
    """p99 read “0 ms [0, 26]” where 0.3 ms had been seen."""
    assert n.milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.762, "76 %"),
        (0.994, "99.4 %"),
        (0.0312, "3.1 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (est(0.941, 0.932, 0.948), "94.1 % [93.2, 94.8]"),
        (est(0.091, 0.079, 0.104), "9.1 % [7.9, 10.4]"),
        (est(0.5, 0.3, 0.7), "50 % [30, 70]"),
        (est(0.5, -math.inf, 0.7), "50.0 % ≤ 70.0"),
    ],
)
def test_percent(value, text):
    assert n.percent(value) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (-0.00143, "−0.1 points"),
        (0.0, "0.0 points"),
        (-0.0003, "−0.03 points"),
        (0.00143, "+0.1 points"),
        (-0.04, "−4.0 points"),
    ],
)
def test_points(change, text):
    assert n.points(change) == text


@pytest.mark.parametrize(
    ("hi", "text"), [(0.0068, "−0.7"), (0.0105, "−1.1"), (0.0100, "−1.0"), (0.00001, "−0.1"), (-0.002, "+0.2")]
)
def test_points_limit_never_flatters(hi, text):
    assert n.points_limit(hi) == text


@given(st.floats(-0.5, 0.9), st.integers(1, 3))
def test_points_limit_bounds_the_drop(hi, decimals):
    shown = float(n.points_limit(hi, decimals=decimals).replace("−", "-"))
    assert -shown >= hi * 100 - 1e-6
    assert -shown < hi * 100 + 10.0**-decimals + 1e-6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1400, "1,400"),
        (460e6, "460 M"),
        (13.95e9, "13.9 B"),
        (14e9, "14 B"),
        (999_999, "1 M"),
        (87.25, "87.2"),
        (5, "5"),
        (2e12, "2 T"),
    ],
)
def test_count(value, text):
    assert n.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4, "0.4 s"),
        (48, "48 s"),
        (180, "3 min"),
        (192, "3 min 12 s"),
        (7500, "2 h 5 min"),
        (59.7, "1 min"),
        (3600, "1 h"),
    ],
)
def test_duration(value, text):
    assert n.duration(value) == text


def test_times_and_names_and_clock():
    assert n.times(est(16.2, 15.8, 16.6)) == "16.2 × [15.8, 16.6]"
    assert n.times(0.52) == "0.520 ×"
    assert n.clock_time(91) == "1:31"
    assert n.clock_time(3723) == "1:02:03"


def test_moment():
    assert n.moment(date(2026, 7, 20)) == "2026-07-20"
    assert n.moment(datetime(2026, 7, 20, 14, 3, tzinfo=timezone(timedelta(hours=2)))) == "2026-07-20 14:03 +02:00"
    assert n.moment(datetime(2026, 7, 20, 14, 3, tzinfo=UTC)) == "2026-07-20 14:03 +00:00"


def test_interval_forms():
    assert n.interval(est(1, 1, 1)) == ""
    assert n.interval(est(1.0, 0.5, math.inf)) == "≥ 0.50"
    assert n.interval(est(1.0, -math.inf, math.inf)) == ""
    assert n.interval(est(-1.0, -2.0, 1.0)) == "[−2, 1]" or n.interval(est(-1.0, -2.0, 1.0)) == "[−2.0, 1.0]"


@given(st.floats(-1e9, 1e9, allow_nan=False), st.integers(0, 4))
def test_number_reads_back_and_never_says_minus_zero(value, decimals):
    text = n.number(value, decimals)
    assert (
        abs(float(text.replace(",", "").replace("−", "-")) - value)
        <= 0.5 * 10.0**-decimals * 1.0001 + abs(value) * 1e-12
    )
    assert not text.startswith("−0") or any(c in "123456789" for c in text)


def test_a_latency_without_a_limit_is_said_in_words() -> None:
    """It stood there as 1,000,000 s."""
    assert n.milliseconds(est(NEVER_MS, 12.0, NEVER_MS)) == n.milliseconds(NEVER_MS) == "unbounded"
    assert n.milliseconds(est(40.0, 12.0, NEVER_MS)) == "40.0 ms ≥ 12.0"
