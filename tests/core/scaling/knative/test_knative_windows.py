"""Averages and maxima over windows of buckets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.knative import bucket_average, max_window
from farthing.core.scaling.knative.bucket_average import (
    Buckets,
    buckets,
    is_empty,
    linear_average,
    newest_first,
    record,
    resized,
    rounded,
    smoothing_coefficient,
    weighted_average,
)


def recorded(pairs: list[tuple[float, float]], window_s: float = 5, granularity_s: int = 1) -> Buckets:
    of = buckets(window_s, granularity_s)
    for t_s, value in pairs:
        of = record(of, t_s, value)
    return of


def test_a_short_history_is_averaged_over_itself() -> None:
    assert linear_average(recorded([(10, 6)]), 10) == 6
    assert linear_average(recorded([(10, 6), (12, 3)]), 12) == 3


def test_a_silence_shortens_the_average_and_a_gap_counts_as_zeros() -> None:
    whole = recorded([(t, 5.0) for t in range(5)])
    assert linear_average(whole, 6) == 5
    assert linear_average(whole, 9) == 0
    assert linear_average(record(whole, 8, 10.0), 8) == 3


def test_values_a_window_old_are_left_out_and_later_ones_counted() -> None:
    late = recorded([(10, 1.0)])
    assert record(late, 5, 100.0) == late
    assert record(late, 5.9, 100.0) == late
    assert record(late, 2, 100.0) == late
    assert linear_average(record(late, 6, 9.0), 10) == 2


def test_after_a_silent_window_all_starts_anew() -> None:
    of = recorded([(0, 100.0), (5, 4.0)])
    assert (of.first_s, of.total) == (5, 4.0)
    assert not is_empty(of, 10)
    assert is_empty(of, 11)
    assert is_empty(buckets(5), 0)


def test_the_weighted_average_follows_the_newest_bucket() -> None:
    of = recorded([(0, 2.0), (1, 2.0), (2, 8.0)])
    m = smoothing_coefficient(5)
    assert math.isclose(weighted_average(of, 2), m * (8 + 2 * (1 - m) + 2 * (1 - m) ** 2))
    assert math.isclose(weighted_average(of, 4), m * (1 - m) ** 2 * (8 + 2 * (1 - m) + 2 * (1 - m) ** 2))
    assert weighted_average(of, 8) == 0


def test_weights_of_a_window_sum_to_the_stated_precision() -> None:
    for count in (1, 5, 20, 41):
        m = smoothing_coefficient(count)
        assert 1 - (1 - m) ** count >= 0.9999 - 1e-12
    assert smoothing_coefficient(60) == 0.2


def test_a_window_keeps_its_newest_buckets_when_it_is_resized() -> None:
    of = recorded([(t, float(t)) for t in range(6)])
    assert resized(of, 5, 5) is of
    smaller = resized(of, 2, 5)
    assert (len(smaller.values), smaller.total, linear_average(smaller, 5)) == (2, 9, 4.5)
    larger = resized(of, 10, 5)
    assert (len(larger.values), larger.total, linear_average(larger, 5)) == (10, 15, 3)
    silent = resized(of, 10, 11)
    assert (silent.total, silent.first_s, silent.last_s) == (0, None, 5)


def test_buckets_are_listed_newest_first() -> None:
    of = recorded([(1, 1.0), (3, 3.0)])
    assert list(newest_first(of, 4)) == [(3, 3.0), (2, 0.0), (1, 1.0), (0, 0.0)]
    assert list(newest_first(of, 8)) == []
    assert newest_first(of, 9) == ()


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.5, 0, 1), (-0.5, 0, -1), (1.5, 0, 2), (2.5, 0, 3), (0.49999999999999994, 0, 0), (1.2345, 3, 1.235)],
)
def test_halves_are_rounded_away_from_zero(value: float, digits: int, expected: float) -> None:
    assert rounded(value, digits) == expected


@given(
    values=st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1000)), min_size=1, max_size=30),
    window_s=st.integers(1, 12),
    granularity_s=st.integers(1, 4),
)
def test_the_ring_holds_what_a_table_of_all_values_would(
    values: list[tuple[int, float]], window_s: int, granularity_s: int
) -> None:
    values = sorted(values, key=lambda pair: pair[0])
    of, table = recorded([(float(t), v) for t, v in values], window_s, granularity_s), {}
    for t, value in values:
        table[t // granularity_s] = table.get(t // granularity_s, 0.0) + value
    newest = max(table)
    for start_s, value in newest_first(of, newest * granularity_s):
        number = round(start_s / granularity_s)
        inside = (newest - number) * granularity_s < window_s
        assert math.isclose(value, table.get(number, 0.0) if inside else value, abs_tol=1e-6)
    assert math.isclose(of.total, sum(of.values), abs_tol=1e-6)


@given(
    values=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=30),
    count=st.integers(1, 6),
)
def test_the_maximum_is_that_of_the_window(values: list[tuple[int, int]], count: int) -> None:
    window, seen = max_window.max_window(count), []
    for t, value in sorted(values, key=lambda pair: pair[0]):
        window = max_window.record(window, float(t), value)
        seen.append((t, value))
        assert window.highest == max(v for s, v in seen if t - s < count)


def test_an_empty_window_has_no_highest_value() -> None:
    assert max_window.max_window(10, 4).count == 3
    assert max_window.max_window(10).highest == 0


def test_windows_that_cannot_be_are_refused() -> None:
    for window_s, granularity_s in ((0, 1), (-5, 1), (5, 0), (5, -1)):
        with pytest.raises(ValueError, match=r"must be > 0 s|needs a bucket"):
            buckets(window_s, granularity_s)
        with pytest.raises(ValueError, match=r"needs a bucket|must be > 0 s"):
            max_window.max_window(window_s, granularity_s)
    with pytest.raises(ValueError, match="whole seconds"):
        bucket_average.Buckets(window_s=5, granularity_s=1.5, values=(0.0,))  # type: ignore[arg-type]
