"""The queue at its edges: small queues by hand, how many requests a percentile takes, and bounds just kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.traffic.batch_queue import HEADROOM_FRAC, latencies, p_latency, saturation_rps, simulated, sla_rps
from farthing.core.traffic.service_curve import ServiceCurve

STEADY = ServiceCurve.exact(sizes=(1,), seconds=(0.01,))
SERVICE = np.array([1.0, 1.5, 2.0])  # of one, two and three requests


def served(arrivals: list[float], instances: int = 1, max_batch: int = 3, jitter: list[float] | None = None):
    factors = np.ones(len(arrivals)) if jitter is None else np.array(jitter)
    return latencies(np.array(arrivals), SERVICE, factors, instances, max_batch).tolist()


def test_what_arrives_at_the_very_start_is_taken_along() -> None:
    """The first is served alone from 0 to 1; at 1 those of 0.5 and of exactly 1.0 go together, until 2.5."""
    assert served([0.0, 0.5, 1.0]) == pytest.approx([1.0, 2.0, 1.5])
    assert served([0.0, 0.5, 1.001]) == pytest.approx([1.0, 1.5, 2.0 + 1.0 - 1.001])
    assert served([3.0, 3.0]) == pytest.approx([1.5, 1.5])


def test_a_full_batch_leaves_the_rest_waiting() -> None:
    """Four wait at 1: three of them until 3, the last alone until 4; in batches of two until 2.5 and 4."""
    late = [0.0, 0.1, 0.2, 0.3, 0.4]
    assert served(late) == pytest.approx([1.0, 2.9, 2.8, 2.7, 3.6])
    assert served(late, max_batch=2) == pytest.approx([1.0, 2.4, 2.3, 3.7, 3.6])
    assert served(late, max_batch=1) == pytest.approx([1.0, 1.9, 2.8, 3.7, 4.6])


def test_the_worker_that_is_free_first_takes_what_waits() -> None:
    """The second worker's batch is shorter (factor 1/2): it takes the third at 0.7 and the fourth at 1.7 … as well."""
    seen = served([0.0, 0.2, 0.3, 1.9], instances=2, max_batch=1, jitter=[3.0, 0.5, 1.0, 1.0])
    assert seen == pytest.approx([3.0, 0.5, 1.4, 1.0])
    three = served([0.0, 0.0, 0.0, 0.0], instances=3, max_batch=1, jitter=[3.0, 2.0, 1.0, 1.0])
    assert three == pytest.approx([3.0, 2.0, 1.0, 2.0])


def test_the_first_request_of_a_batch_lends_its_jitter() -> None:
    assert served([0.0, 0.1, 0.2], jitter=[1.0, 2.0, 10.0]) == pytest.approx([1.0, 3.9, 3.8])


def test_the_least_that_a_queue_needs() -> None:
    assert served([0.0], max_batch=1) == [1.0]
    assert served([1.0, 1.0]) == pytest.approx([1.5, 1.5])  # the same time is in order
    for instances, max_batch in ((0, 1), (1, 0), (1, 4)):
        with pytest.raises(ValueError, match=r"instances ≥ 1 and max_batch in \[1, 3\]"):
            served([0.0], instances, max_batch)
    with pytest.raises(ValueError, match="must be ascending"):
        served([1.0, 0.9])
    with pytest.raises(ValueError, match="one jitter for each arrival"):
        latencies(np.zeros((2, 2)), SERVICE, np.ones((2, 2)), 1, 1)


def test_saturation_by_hand() -> None:
    curve = ServiceCurve.exact(sizes=(1, 4), seconds=(0.002, 0.005))
    assert saturation_rps(curve, instances=3, max_batch=4) == pytest.approx(3 * 4 / 0.005)
    assert saturation_rps(curve, instances=1, max_batch=1) == pytest.approx(500)


@pytest.mark.parametrize(("percentile", "each"), [(0.5, "4,000"), (0.99, "4,000"), (0.999, "16,000"), (0.9, "4,000")])
def test_a_far_percentile_takes_more_requests(percentile: float, each: str) -> None:
    """400 beyond the percentile and at least 100,000, in 20 runs whose first fifth is dropped."""
    seen = p_latency(STEADY, 50.0, instances=1, max_batch=1, percentile=percentile)
    assert seen.method == f"t on 20 independent runs of {each} requests"
    assert (seen.n, seen.confidence) == (20, 0.95)


def test_a_quarter_of_the_tail_is_the_least_that_is_taken() -> None:
    fewest = p_latency(STEADY, 50.0, instances=1, max_batch=1, n_requests=10_000)
    assert fewest.method.endswith("of 400 requests")
    with pytest.raises(ValueError, match=r"p99 needs n_requests ≥ 10000, is 9999"):
        p_latency(STEADY, 50.0, instances=1, max_batch=1, n_requests=9_999)
    assert p_latency(STEADY, 50.0, instances=1, max_batch=1, n_requests=10_001).method.endswith("of 400 requests")


@pytest.mark.parametrize("percentile", [0.0, 1.0, 1.5])
def test_percentiles_lie_strictly_inside(percentile: float) -> None:
    with pytest.raises(ValueError, match=r"percentile must lie in \(0, 1\)"):
        p_latency(STEADY, 50.0, instances=1, max_batch=1, percentile=percentile)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_rates_are_finite_and_positive(rate: float) -> None:
    with pytest.raises(ValueError, match="rate_rps must be finite"):
        p_latency(STEADY, rate, instances=1, max_batch=1)


def test_confidence_scales_the_interval_as_students_t() -> None:
    """19 degrees of freedom: 2.0930 at 95 %, 0.6876 at 50 %, around the same mean."""
    wide, narrow = (
        p_latency(STEADY, 70.0, instances=1, max_batch=1, n_requests=20_000, confidence=c) for c in (0.95, 0.5)
    )
    assert wide.value == narrow.value
    assert (wide.hi - wide.value) / (narrow.hi - narrow.value) == pytest.approx(2.0930 / 0.6876, rel=1e-3)
    assert wide.value - wide.lo == pytest.approx(wide.hi - wide.value)
    assert wide.hi > wide.value


@pytest.mark.parametrize(("percentile", "sigmas"), [(0.5, 0.0), (0.8413, 1.0), (0.1587, -1.0)])
def test_an_idle_replica_shows_the_jitter_itself(percentile: float, sigmas: float) -> None:
    """Log-normal with mean 1: its median is exp(−σ²/2), one sigma above it exp(σ − σ²/2)."""
    sigma = 0.5
    curve = ServiceCurve.exact(sizes=(1,), seconds=(0.01,), sigma=sigma)
    seen = p_latency(curve, 0.001, instances=1, max_batch=1, percentile=percentile)
    assert seen.value == pytest.approx(0.01 * math.exp(sigmas * sigma - sigma**2 / 2), rel=0.01)


def test_half_of_md1s_requests_wait_no_longer_than_the_share_of_idle_time() -> None:
    """At a utilisation of 0.6, 40 % find an idle server and take exactly one service time; those beyond wait."""
    assert p_latency(STEADY, 60.0, instances=1, max_batch=1, percentile=0.3).value == pytest.approx(0.01, rel=1e-6)
    assert p_latency(STEADY, 60.0, instances=1, max_batch=1, percentile=0.45).value > 0.0101


def test_no_bound_gives_the_rate_less_the_headroom() -> None:
    assert HEADROOM_FRAC == 0.15
    assert sla_rps(STEADY, instances=2, max_batch=1, latency_s=None) == pytest.approx(0.85 * 200)
    assert sla_rps(STEADY, instances=2, max_batch=1, latency_s=None, headroom=0.0) == pytest.approx(200)
    for headroom in (-0.01, 1.0):
        with pytest.raises(ValueError, match=r"headroom must lie in \[0, 1\)"):
            sla_rps(STEADY, instances=1, max_batch=1, latency_s=1.0, headroom=headroom)
    with pytest.raises(ValueError, match="latency_s must be > 0, is 0"):
        sla_rps(STEADY, instances=1, max_batch=1, latency_s=0)


@pytest.mark.parametrize("latency_s", [0.011, 0.02, 0.05])
def test_the_rate_is_found_to_half_a_percent(latency_s: float) -> None:
    fixed = {"instances": 1, "max_batch": 1, "percentile": 0.9, "seed": 5}
    rate = sla_rps(STEADY, latency_s=latency_s, headroom=0.0, **fixed)  # type: ignore[arg-type]
    assert rate is not None
    assert p_latency(STEADY, rate, **fixed).hi <= latency_s  # type: ignore[arg-type]
    assert p_latency(STEADY, rate * 1.0051, **fixed).hi > latency_s  # type: ignore[arg-type]
    less = sla_rps(STEADY, latency_s=latency_s, headroom=0.3, **fixed)  # type: ignore[arg-type]
    assert less == pytest.approx(0.7 * rate)


def test_a_bound_that_a_thousandth_of_saturation_breaks_gives_no_rate() -> None:
    """At 0.1 % utilisation one request in a thousand waits: p99.95 is above one service time, p99.8 is not."""
    fixed = {"instances": 1, "max_batch": 1, "latency_s": 0.01 * (1 + 1e-6)}
    assert sla_rps(STEADY, percentile=0.9995, **fixed) is None  # type: ignore[arg-type]
    slow = sla_rps(STEADY, percentile=0.998, headroom=0.0, **fixed)  # type: ignore[arg-type]
    assert slow is not None
    assert 0.1 <= slow < 0.3


def test_simulated_runs_share_their_random_numbers_over_rates() -> None:
    """At idle rates latency is service time times jitter, the same at both; twice the rate halves the arrivals."""
    curve = ServiceCurve.exact(sizes=(1, 2), seconds=(0.01, 0.015), sigma=0.3)
    fixed = {"runs": 3, "n": 400, "instances": 2, "max_batch": 2, "seed": 5}
    rates = np.array([1e-4, 2e-4, 150.0])
    slow, twice, busy = simulated(curve, rates, **fixed)  # type: ignore[arg-type]
    assert [run.shape for run in slow] == [(400,)] * 3
    assert all(a == pytest.approx(b, rel=1e-4) for a, b in zip(slow, twice))
    logs = np.log(np.concatenate(slow) / 0.01)
    assert logs.mean() == pytest.approx(-0.045, abs=0.03)
    assert logs.std() == pytest.approx(0.3, rel=0.08)
    assert not np.allclose(slow[0], slow[1])
    assert np.mean(busy) > 1.3 * np.mean(slow)
    again = next(simulated(curve, rates[2:], **fixed))  # type: ignore[arg-type]
    assert all((a == b).all() for a, b in zip(again, busy))


def test_a_simulated_queue_waits_as_theory_says() -> None:
    """M/D/1 at a utilisation of 0.5 waits half a service time on average."""
    (runs,) = simulated(STEADY, np.array([50.0]), runs=4, n=50_000, instances=1, max_batch=1, seed=2)
    assert np.mean(runs) / 0.01 - 1 == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("latency_s", [0.3, 0.6, 0.9, 1.2, 1.8, 60.0])
def test_no_bound_however_lax_gives_more_than_saturation(latency_s: float) -> None:
    """A run of 5,000 requests ends before the queue at 1.01 of saturation has grown: that is no rate to plan with."""
    rate = sla_rps(STEADY, instances=1, max_batch=1, latency_s=latency_s, headroom=0.0)
    assert rate is not None
    assert 90 < rate <= 100
