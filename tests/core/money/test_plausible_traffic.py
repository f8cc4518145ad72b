"""Traffic and bill that cannot belong together are found before anything is measured."""

from __future__ import annotations

from typing import Any

import pytest

from farthing.core.money.plausible_traffic import doubt_about
from farthing.nouns import HOURS_PER_MONTH

MONTH_S = HOURS_PER_MONTH * 3600


def doubt(rps: float, **changes: Any) -> Any:
    given = {"usd_per_month": 10_000.0, "replicas": 136.0, "vcpus": 2.0, "accelerated": False, **changes}
    return doubt_about(requests_per_month=rps * MONTH_S, **given)


@pytest.mark.parametrize("rps", [5.0, 200, 10_000, 1e6])
def test_usual_traffic_raises_no_doubt(rps: float) -> None:
    assert doubt(rps) is None


def test_a_request_that_costs_more_than_a_dollar() -> None:
    found = doubt_about(requests_per_month=9_999, usd_per_month=10_000, replicas=136, vcpus=2, accelerated=False)
    assert found.impossible
    assert "each would cost $1.00" in found.said
    at_one = doubt_about(requests_per_month=10_000, usd_per_month=10_000, replicas=136, vcpus=2, accelerated=False)
    assert not at_one.impossible


def test_a_core_that_has_no_time_for_its_requests() -> None:
    assert doubt(272 * 50_000) is None
    found = doubt(272 * 50_001)
    assert found.impossible
    assert "50,001 a second" in found.said
    assert doubt(272 * 50_001, accelerated=True) is None
    assert doubt(136 * 2_000_001, accelerated=True).impossible


def test_many_cores_for_hardly_any_requests_are_a_question() -> None:
    found = doubt(272 / 61)
    assert not found.impossible
    assert "one request in 1 min" in found.said
    assert doubt(272 / 59) is None
    assert doubt(1e-3, replicas=4.0, usd_per_month=300.0) is None
    assert doubt(1e-2, vcpus=None) is None
