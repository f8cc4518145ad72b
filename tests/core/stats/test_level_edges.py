"""How many requests a latency level takes: figures by hand, and the ends of the domains."""

from __future__ import annotations

import pytest

from farthing.core.stats.levels import requests_for_level, requests_with_finite_ends


@pytest.mark.parametrize(
    ("percentile", "confidence", "fewest"),
    [
        (0.99, 0.95, 368),  # 0.99³⁶⁸ ≤ 2.5 % < 0.99³⁶⁷
        (0.999, 0.95, 3688),
        (0.5, 0.95, 6),  # 1.6 % and 3.1 %
        (0.9, 0.95, 36),
        (0.1, 0.95, 36),  # the other end
        (0.99, 0.9, 299),
    ],
)
def test_samples_that_bound_a_quantile_on_both_sides(percentile: float, confidence: float, fewest: int) -> None:
    assert requests_with_finite_ends(percentile, confidence=confidence) == fewest
    outer, alpha = max(percentile, 1 - percentile), (1 - confidence) / 2
    assert outer**fewest <= alpha < outer ** (fewest - 1)


@pytest.mark.parametrize(
    ("percentile", "at_p99", "requests"),
    [
        (0.99, 400, 400),
        (0.99, 1, 1),
        (0.5, 400, 400),
        (0.995, 400, 800),  # four beyond p99 take 800 beyond p99.5
        (0.999, 400, 4000),
        (0.999, 100, 3688),  # 1,000 would leave the upper end open
        (0.992, 401, 502),  # 4.01 / 0.008 = 501.25, more than the 460 that both ends take
    ],
)
def test_a_run_grows_with_the_level(percentile: float, at_p99: int, requests: int) -> None:
    assert requests_for_level(percentile, at_p99=at_p99) == requests


def test_levels_lie_strictly_inside() -> None:
    for percentile in (0.0, 1.0):
        with pytest.raises(ValueError, match="must lie in"):
            requests_for_level(percentile, at_p99=400)
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="must lie in"):
            requests_with_finite_ends(0.9, confidence=confidence)
    with pytest.raises(ValueError, match="at_p99 must be ≥ 1, is 0"):
        requests_for_level(0.99, at_p99=0)
