"""A slowness and a wait beside the queue are found again from what the queue model says at them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from search_examples import BASE, INT8, curve, est, findings, measured

from farthing.core.plan.findings import Findings
from farthing.core.plan.known_latency import Known, baseline_known, known_at, latency_curves, stable_slowness
from farthing.core.traffic.latency_rate import LatencyRate
from farthing.nouns import LatencyBound, Measurement

ONE = replace(INT8, max_batch=1)
TIMES = {1: est(4.0), 4: est(10.0), 8: est(16.0)}
BOUND = LatencyBound(ms=50)


@pytest.fixture(scope="module")
def curves() -> dict[float, LatencyRate]:
    return latency_curves(findings(curves={ONE: curve(TIMES)}), INT8, [0.9, 0.99])


def seen(ms: float, rate_rps: float) -> Measurement:
    found = measured(INT8, ms / 3, ms / 2, ms)
    return replace(found, metrics={**found.metrics, "offered_rps": est(rate_rps)})


def run(kept_rps: float, tail: Measurement | None = None, width: float = 0.0) -> Findings:
    kept = est(kept_rps, kept_rps * (1 - width), kept_rps * (1 + width))
    return findings(curves={ONE: curve(TIMES)}, kept_rps={INT8: kept}, server={} if tail is None else {INT8: tail})


@pytest.mark.parametrize("slow", [-0.3, 0.0, 0.4])
@pytest.mark.parametrize("aside_ms", [0.0, 5.0, 20.0])
def test_a_rate_kept_and_a_latency_seen_give_slowness_and_wait(
    curves: dict[float, LatencyRate], slow: float, aside_ms: float
) -> None:
    at = curves[0.99]
    kept = at.kept_rps((50 - aside_ms) / 1000, slow)
    tail = seen(1000 * at.latency_s(0.8 * kept, slow) + aside_ms, 0.8 * kept)
    known = known_at(run(kept, tail), INT8, BOUND, 0.99)
    assert known is not None
    assert known.slow[1] == pytest.approx(slow, abs=0.02)
    assert known.aside_s[1] * 1000 == pytest.approx(aside_ms, abs=0.7)
    assert known.latency(0.8 * kept).ms.value == pytest.approx(tail.latency(0.99).value, rel=0.02)
    again = known.kept(0.05)
    assert again is not None
    assert again.value == pytest.approx(kept, rel=1e-3)
    more = known.kept(0.1)
    assert more is not None
    assert more.value == pytest.approx(at.kept_rps((100 - aside_ms) / 1000, slow), rel=0.03)


def test_without_a_bound_what_was_kept_is_a_share_of_saturation(curves: dict[float, LatencyRate]) -> None:
    full = curves[0.99].saturation_rps * math.exp(-0.2) * 0.85
    known = known_at(run(full), INT8, None, 0.99)
    assert known is not None
    assert known.slow[1] == pytest.approx(0.2)
    kept = known.kept(None)
    assert kept is not None
    assert kept.value == pytest.approx(full)


def test_intervals_are_carried_to_another_bound_and_level(curves: dict[float, LatencyRate]) -> None:
    """Kept within 50 ms at p99 to ± 10 %: at that bound the ends come back, at others they are of the same slowness."""
    rate = curves[0.99].kept_rps(0.05, 0.1)
    found = run(rate, width=0.1)
    at99, at90 = (known_at(found, INT8, BOUND, level) for level in (0.99, 0.9))
    assert at99 is not None
    assert at90 is not None
    again = at99.kept(0.05)
    assert again is not None
    assert (again.lo, again.value, again.hi) == pytest.approx((rate * 0.9, rate, rate * 1.1), rel=1e-3)
    rates = [k.value for s in (0.03, 0.05, 0.1) if (k := at99.kept(s)) is not None]
    assert rates == sorted(rates)
    easier = at90.kept(0.05)
    assert easier is not None
    assert easier.value > rate
    assert at99.kept(0.001) is None


def test_a_latency_has_the_ends_of_the_slowness_and_of_the_wait(curves: dict[float, LatencyRate]) -> None:
    known = Known(curve=curves[0.99], slow=(-0.1, 0.0, 0.1), aside_s=(0.001, 0.002, 0.004), n=6)
    at = known.latency(0.5 * curves[0.99].saturation_rps)
    assert at.percentile == 0.99
    assert at.ms.lo < at.ms.value < at.ms.hi
    assert known.latency(2 * curves[0.99].saturation_rps).ms.value == 1e9  # the queue grows
    edge = Known(curve=curves[0.99], slow=(-0.5, 0.0, 0.5)).latency(0.8 * curves[0.99].saturation_rps)
    assert edge.ms.hi == 1e9  # unbounded, not nearly so
    assert edge.ms.value < 1000


def test_the_baseline_is_as_slow_as_its_stable_rate_says(curves: dict[float, LatencyRate]) -> None:
    base = findings(curves={BASE: curve({1: est(20.0)})}, sla_rps={BASE: 80.0})
    assert stable_slowness(base, BASE, 80.0) == pytest.approx(math.log(85 / 80))
    known = baseline_known(base, 0.99)
    assert known is not None
    assert known.slow[1] == pytest.approx(math.log(85 / 80))
    assert known.aside_s == (0.0, 0.0, 0.0)
    tail = seen(500.0, 80.0)
    late = baseline_known(replace(base, server={BASE: replace(tail, candidate=BASE)}), 0.99)
    assert late is not None
    assert late.latency(80.0).ms.value == pytest.approx(500.0, rel=1e-6)
    assert baseline_known(findings(), 0.99) is None


def test_without_service_times_nothing_is_known() -> None:
    assert known_at(findings(), INT8, BOUND, 0.99) is None
    short = findings(curves={ONE: curve({1: est(4.0), 4: est(10.0)})})
    assert latency_curves(short, INT8, [0.99]) == {}  # batches of eight were not timed
