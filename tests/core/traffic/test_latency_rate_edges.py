"""The latency–rate curve at its ends, by hand: logarithms that are straight lines of the utilisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from straight_rates import IDLE_S, RUN_SLOPE, STEADY_SLOPE, straight

from farthing.core.traffic.latency_rate import Slowness, latency_rates, long_run, tail_of
from farthing.core.traffic.service_curve import ServiceCurve

T_OF_2 = 4.302652729911275
"""97.5 % quantile of Student's t with two degrees of freedom, from tables."""


def run_s(rate: float, slowness: float, off: float = 0.0) -> float:
    return IDLE_S * math.exp(slowness + RUN_SLOPE * rate * math.exp(slowness) / 100 + off)


def steady_s(rate: float, slowness: float) -> float:
    return IDLE_S * math.exp(slowness + STEADY_SLOPE * rate * math.exp(slowness) / 100)


@pytest.mark.parametrize(("rate", "slowness"), [(2.0, 0.0), (50.0, 0.3), (98.0, 0.0), (98.5, 0.0), (120.0, -0.3)])
def test_a_long_run_at_a_rate(rate: float, slowness: float) -> None:
    assert straight().latency_s(rate, slowness) == pytest.approx(steady_s(rate, slowness))


@pytest.mark.parametrize("slowness", [0.0, 0.4, -0.4])
@pytest.mark.parametrize("load", [0.02, 0.04, 0.5, 0.98, 0.985])
def test_the_rate_that_keeps_a_bound_goes_up_to_the_last_of_the_curve(load: float, slowness: float) -> None:
    bound = IDLE_S * math.exp(slowness + STEADY_SLOPE * load) * (1 + 1e-12)
    assert straight().kept_rps(bound, slowness) == pytest.approx(100 * load * math.exp(-slowness))


def test_below_the_first_of_the_curve_nothing_is_kept() -> None:
    assert straight().kept_rps(IDLE_S * math.exp(STEADY_SLOPE * 0.0199), 0.0) == 0.0


def test_a_run_at_twice_the_saturation_is_the_line_gone_on() -> None:
    rate = straight()
    assert rate.middle([(200.0, run_s(200.0, 0.0))]) == pytest.approx(0.0, abs=1e-4)
    assert rate.middle([(60.0, run_s(60.0, 1.5))]) == pytest.approx(1.5, abs=1e-4)


def test_students_t_over_three_runs_by_hand() -> None:
    rate, f, d = straight(), 0.2, 0.06
    runs = [(40.0, run_s(40.0, f, off)) for off in (-d, 0.0, d)]
    found = rate.fit(runs)
    assert found.value == pytest.approx(f, abs=1e-5)
    half = T_OF_2 * d / math.sqrt(3)
    for end, way in ((found.lo, -1), (found.hi, 1)):
        middle = f + RUN_SLOPE * 0.4 * math.exp(f)
        assert end + RUN_SLOPE * 0.4 * math.exp(end) == pytest.approx(middle + way * half, abs=1e-4)
    rise = 1 + RUN_SLOPE * 0.4 * math.exp(f)
    assert found.by_run == pytest.approx((f - d / rise, f, f + d / rise), abs=1e-3)


def test_what_is_worked_out_of_a_fit_is_in_ms_and_requests_per_second() -> None:
    seen = Slowness(lo=-0.1, value=0.0, hi=0.1, confidence=0.95, by_run=(0.0,) * 4)
    late, kept = straight().latency(50.0, seen), straight().kept(0.03, seen)
    assert (late.lo, late.value, late.hi) == pytest.approx([1000 * steady_s(50.0, f) for f in (-0.1, 0.0, 0.1)])
    ends = [100 * math.exp(-f) * (math.log(0.03 / IDLE_S) - f) / STEADY_SLOPE for f in (0.1, 0.0, -0.1)]
    assert (kept.lo, kept.value, kept.hi) == pytest.approx(ends)
    assert late.n == kept.n == 4


def test_no_more_than_four_times_quicker_and_64_times_slower_is_tried() -> None:
    rate = straight()
    assert rate.slowness_at(1.0, 1e-9) == pytest.approx(-math.log(4), abs=2e-4)
    assert rate.middle([(1.0, 1e-9)]) == pytest.approx(-math.log(4))
    assert rate.slowness_at(0.001, 1e9) == pytest.approx(math.log(64), abs=2e-4)
    assert rate.middle([(0.001, math.inf)]) == pytest.approx(math.log(64))


def seen(*by_run: float) -> Slowness:
    return Slowness(lo=0.0, value=float(np.mean(by_run)), hi=0.0, confidence=0.95, by_run=by_run)


@pytest.mark.parametrize(
    ("rate", "slope"),
    [(50.0, 0.25 * math.sinh(0.02) / 0.02), (98.0, 0.49 * (1 - math.exp(-0.02)) / 0.02)],
)
def test_runs_made_long_by_hand(rate: float, slope: float) -> None:
    """In the second case a replica that is 2 % slower never rests: the slope is taken from below."""
    more = (STEADY_SLOPE - RUN_SLOPE) * rate / 100
    logs = np.log([0.02, 0.021, 0.024]) + more + slope * np.array([-0.1, 0.0, 0.1])
    half = T_OF_2 * logs.std(ddof=1) / math.sqrt(3)
    found = long_run(straight(), rate, [0.02, 0.021, 0.024], seen(-0.1, 0.0, 0.1))
    assert np.log([found.lo, found.value, found.hi]) == pytest.approx(
        math.log(1000) + logs.mean() + half * np.array([-1, 0, 1])
    )


def test_an_upper_end_of_ages_is_none() -> None:
    found = long_run(straight(), 50.0, [1e12, 1e13, 1e14], seen(0.0, 0.0, 0.0))
    assert math.isfinite(found.value)
    assert found.hi == math.inf


def test_two_without_an_answer_are_late_and_no_number_of_nothing() -> None:
    latency = np.arange(100.0)
    latency[-2:] = math.inf
    assert tail_of(latency, 0.995) == math.inf


def test_levels_are_named_in_per_cent() -> None:
    curve = ServiceCurve.exact(sizes=[1], seconds=[0.01], sigma=0.1)
    with pytest.raises(ValueError, match=r"^p99\.9 needs runs of 390 requests, not 100$"):
        latency_rates(curve, instances=1, max_batch=1, percentiles=(0.5, 0.999), n=100)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\), are \[-0\.5\]"):
        latency_rates(curve, instances=1, max_batch=1, percentiles=(-0.5,), n=100)
