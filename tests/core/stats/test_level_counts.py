"""A level above p99 takes more requests; up to p99 a run has what its settings ask for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.stats.intervals import quantile
from farthing.core.stats.levels import requests_for_level, requests_with_finite_ends

LEVELS = (0.5, 0.9, 0.95, 0.99, 0.999)


@pytest.mark.parametrize("level", LEVELS)
def test_from_that_n_on_both_ends_are_finite(level: float) -> None:
    n = requests_with_finite_ends(level)
    enough, short = (quantile(np.arange(float(k)), level) for k in (n, n - 1))
    assert np.isfinite([enough.lo, enough.hi]).all()
    assert not np.isfinite([short.lo, short.hi]).all()


def test_known_counts() -> None:
    assert (requests_with_finite_ends(0.99), requests_with_finite_ends(0.999)) == (368, 3688)
    assert [requests_for_level(q, at_p99=400) for q in LEVELS] == [400, 400, 400, 400, 4000]
    assert [requests_for_level(q, at_p99=2000) for q in LEVELS] == [2000, 2000, 2000, 2000, 20_000]
    assert requests_for_level(0.999, at_p99=20) == 3688


@given(st.integers(1, 10_000), st.floats(0.9901, 0.999))
def test_as_many_requests_lie_beyond_as_beyond_p99(at_p99: int, level: float) -> None:
    n = requests_for_level(level, at_p99=at_p99)
    assert n >= at_p99
    assert n * (1 - level) >= at_p99 * 0.01 - 1e-6
    assert np.isfinite(quantile(np.arange(float(n)), level).hi)


@pytest.mark.parametrize(("level", "at_p99"), [(0.0, 400), (1.0, 400), (0.99, 0)])
def test_nonsense_is_refused(level: float, at_p99: int) -> None:
    with pytest.raises(ValueError, match="must"):
        requests_for_level(level, at_p99=at_p99)
