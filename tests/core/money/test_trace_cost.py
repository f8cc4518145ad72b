"""Cost at a trace: additive in time, and never more for more capacity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.core.money.trace_cost import (
    cost_at_trace,
    hour_lengths_h,
    replicas_by_hour,
)
from farthing.core.traffic.shapes import day_night, flat
from farthing.errors import PriceError
from farthing.nouns import HOURS_PER_MONTH, Offer, Trace

OfferMaker = Callable[..., Offer]
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

hourly_counts = st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(lambda c: max(c) > 1)
sla = st.floats(0.1, 500)


def trace(counts: list[float], step_s: float = 900.0) -> Trace:
    return Trace(name="test", step_s=step_s, counts=np.array(counts))


def test_by_hand(offer: OfferMaker) -> None:
    # Peaks 10 and 25 requests/s at 10 a replica: 1 and 3 replicas at $0.10.
    counts = [3600.0, 9000.0, 0.0, 0.0, 22500.0, 0.0, 0.0, 0.0]
    cost = cost_at_trace(trace(counts), 10.0, offer())
    assert cost.replicas.tolist() == [1, 3]
    assert cost.usd_by_hour == pytest.approx([0.1, 0.3])
    assert cost.usd_per_month == pytest.approx(0.2 * 730)
    assert cost.usd_per_million == pytest.approx(0.4 / sum(counts) * 1e6)


def test_exact_fit_needs_no_extra_replica() -> None:
    sla_rps = 0.1 + 0.2
    peaks = np.array([k * sla_rps for k in range(1, 2000)])
    assert replicas_by_hour(peaks, sla_rps).tolist() == list(range(1, 2000))


def test_last_incomplete_hour_is_paid_for_the_part_seen(offer: OfferMaker) -> None:
    week = trace([900.0] * 6)  # an hour and a half at 1 request/s
    assert hour_lengths_h(week).tolist() == [1.0, 0.5]
    cost = cost_at_trace(week, 1.0, offer())
    assert cost.usd_by_hour == pytest.approx([0.1, 0.05])
    assert cost.usd_per_month == pytest.approx(0.1 * HOURS_PER_MONTH)


@FAST
@given(a=hourly_counts, b=hourly_counts, sla_rps=sla)
def test_cost_is_additive_in_time(offer: OfferMaker, a: list[float], b: list[float], sla_rps: float) -> None:
    a = a + [0.0] * (-len(a) % 4)  # whole hours, so that hours stay the same when joined
    usd = [cost_at_trace(trace(c), sla_rps, offer()).usd_by_hour.sum() for c in (a, b, a + b)]
    assert usd[2] == pytest.approx(usd[0] + usd[1])


@FAST
@given(counts=hourly_counts, sla_rps=sla, factor=st.floats(1, 20), least=st.integers(1, 5))
def test_more_capacity_never_costs_more(
    offer: OfferMaker, counts: list[float], sla_rps: float, factor: float, least: int
) -> None:
    here = cost_at_trace(trace(counts), sla_rps, offer(), least)
    better = cost_at_trace(trace(counts), sla_rps * factor, offer(), least)
    assert (better.replicas <= here.replicas).all()
    assert better.usd_per_month <= here.usd_per_month + 1e-9


@FAST
@given(counts=hourly_counts, sla_rps=sla, least=st.integers(1, 9))
def test_minimum_and_bound_are_respected(offer: OfferMaker, counts: list[float], sla_rps: float, least: int) -> None:
    t = trace(counts)
    replicas = cost_at_trace(t, sla_rps, offer(), least).replicas
    assert (replicas >= least).all()
    assert (t.hourly_rps()[1] <= replicas * sla_rps * (1 + 1e-6)).all()
    above = replicas > least
    assert (t.hourly_rps()[1][above] > (replicas[above] - 1) * sla_rps * (1 - 1e-6)).all()


def test_arguments_that_make_no_sense(offer: OfferMaker) -> None:
    with pytest.raises(ValueError, match="min_replicas"):
        cost_at_trace(flat(), 10.0, offer(), 0)
    with pytest.raises(ValueError, match="sla_rps"):
        cost_at_trace(flat(), 0.0, offer())
    with pytest.raises(PriceError):
        cost_at_trace(flat(), 10.0, offer("serverless", None, usd_per_request=1e-6))


def test_unlimited_capacity_costs_the_minimum(offer: OfferMaker) -> None:
    assert cost_at_trace(day_night(), float("inf"), offer(), 2).replicas.tolist() == [2] * 168
