"""Arrivals from how busy the replicas are that a bill pays for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.core.money.trace_cost import cost_at_trace
from farthing.core.money.utilisation import LEAST_FRAC, MOST_FRAC, PLAUSIBLE_FRAC, paid_replicas, trace_at
from farthing.core.traffic.shapes import day_night, flat
from farthing.errors import InputError
from farthing.nouns import HOURS_PER_MONTH, Offer, Trace

OfferMaker = Callable[..., Offer]
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_by_hand(offer: OfferMaker) -> None:
    # $730 at $0.10 an hour is 10 replicas all month; at 40 % of 25 requests/s each that is 100 requests/s.
    replicas = paid_replicas(730.0, offer())
    assert replicas == pytest.approx(10)
    found = trace_at(flat(), 0.4, replicas, 25.0)
    assert found.counts[0] == pytest.approx(100 * 60)
    assert found.requests_per_month() == pytest.approx(100 * 3600 * HOURS_PER_MONTH)
    assert found.inferred
    assert cost_at_trace(found, 25.0, offer()).usd_per_month == pytest.approx(0.4 * 730)


def test_the_plausible_range_is_every_whole_per_cent() -> None:
    assert (PLAUSIBLE_FRAC[0], PLAUSIBLE_FRAC[-1]) == (LEAST_FRAC, MOST_FRAC) == (0.2, 0.8)
    assert np.diff(PLAUSIBLE_FRAC) == pytest.approx(0.01)


@FAST
@given(
    counts=st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(lambda c: max(c) > 1),
    used=st.floats(0.01, 1.0),
    replicas=st.floats(0.5, 1e5),
    rate_rps=st.floats(0.1, 1e5),
)
def test_the_mean_rate_is_the_utilisation_of_the_capacity(
    counts: list[float], used: float, replicas: float, rate_rps: float
) -> None:
    """The user's own shape, whatever its mean."""
    shape = Trace(name="test", step_s=900.0, counts=np.array(counts))
    found = trace_at(shape, used, replicas, rate_rps)
    assert found.requests_per_month() / HOURS_PER_MONTH / 3600 == pytest.approx(used * replicas * rate_rps)
    assert found.counts / found.counts.max() == pytest.approx(shape.counts / shape.counts.max())


def test_bills_and_arguments_that_make_no_sense(offer: OfferMaker) -> None:
    with pytest.raises(InputError, match=r"pays for 0\.41 replicas of test/machine@here:on_demand"):
        paid_replicas(30.0, offer())
    with pytest.raises(InputError, match="the minimum is 3"):
        paid_replicas(100.0, offer(), 3)
    assert paid_replicas(73 * 2.5, offer(), 3) == pytest.approx(2.5)
    for used in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="utilisation_frac"):
            trace_at(day_night(), used, 10, 10)
    with pytest.raises(ValueError, match="capacity_rps"):
        trace_at(day_night(), 0.5, 10, 0)
