"""The number with its interval that every figure is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.nouns import Estimate

ratios = st.floats(1e-6, 1e6)


@given(ratios, ratios, ratios)
def test_a_rounding_that_puts_an_end_past_the_value_is_none(value: float, rate: float, other: float) -> None:
    end = (rate / other) * value / value  # == rate / other, but for its last bit
    found = Estimate(value=rate / other, lo=end, hi=end, n=0, method="drawn")
    assert found.lo <= found.value <= found.hi


@pytest.mark.parametrize("ends", [(1.0 + 1e-9, 2.0), (0.5, 1.0 - 1e-9), (math.nan, 2.0), (2.0, 0.5)])
def test_an_end_on_the_wrong_side_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="Estimate: "):
        Estimate(value=1.0, lo=ends[0], hi=ends[1], n=0, method="drawn")


def test_an_end_a_hair_away_stays_where_it_is() -> None:
    found = Estimate(value=1.0, lo=1.0 - 1e-9, hi=math.inf, n=0, method="drawn")
    assert (found.lo, found.hi) == (1.0 - 1e-9, math.inf)
