"""Integers and doubles behave as Go's do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.fixed_width import (
    MAX_INT32,
    MAX_INT64,
    ceil_int32,
    quotient,
    ratio,
    to_int32,
    to_int64,
    wrap,
)
from farthing.nouns import ScalingDecision


@pytest.mark.parametrize(("a", "b", "expected"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (0, 5, 0)])
def test_a_quotient_is_truncated_towards_zero(a: int, b: int, expected: int) -> None:
    assert quotient(a, b) == expected


def test_a_quotient_of_large_integers_is_exact() -> None:
    assert quotient(MAX_INT64, 3) == 3_074_457_345_618_258_602


def test_integers_wrap_around() -> None:
    assert wrap(MAX_INT64 + 1) == -(2**63)
    assert wrap(MAX_INT32 + 1, 32) == -(2**31)
    assert wrap(-(2**31) - 1, 32) == MAX_INT32
    assert wrap(12) == 12


@given(st.integers(-(2**70), 2**70))
def test_wrapping_keeps_the_low_bits(value: int) -> None:
    assert (wrap(value) - value) % 2**64 == 0
    assert -(2**63) <= wrap(value) < 2**63


def test_a_ratio_to_zero_is_infinite_or_no_number() -> None:
    assert ratio(1, 0) == math.inf
    assert ratio(-1, 0) == -math.inf
    assert math.isnan(ratio(0, 0))
    assert ratio(3, 2) == 1.5


def test_what_does_not_fit_becomes_the_nearest_that_does() -> None:
    assert to_int32(1e20) == MAX_INT32
    assert to_int32(-1e20) == -(2**31)
    assert to_int64(math.inf) == MAX_INT64
    assert to_int32(math.nan) == 0
    assert ceil_int32(math.inf) == MAX_INT32
    assert ceil_int32(math.nan) == 0


def test_conversions_truncate_and_ceilings_round_up() -> None:
    assert (to_int32(2.9), to_int32(-2.9), ceil_int32(2.1), ceil_int32(-2.9)) == (2, -2, 3, -2)
    assert to_int64(2.0**53 + 1) == 2**53


def test_a_decision_has_no_negative_replicas() -> None:
    with pytest.raises(ValueError, match="≥ 0"):
        ScalingDecision(replicas=-1, reason="")
