"""A route's rate: what of it can be planned here, its service curve from its port, the verdict of a proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.rate_planning import enough_clients, rate_verdict, served_curve, spread, why_no_rate
from farthing.core.route.routes import Route, Tier, TierReplicas
from farthing.core.traffic.batch_queue import saturation_rps
from farthing.nouns import NEVER_MS, Estimate, LatencyBound, Verdict

BOUND = LatencyBound(ms=50.0)
SMALL, LARGE = (Tier(name=name, source=f"{name}/", usd_per_request=1e-6) for name in ("small", "large"))


def route(*tiers: Tier, quality: str = "accuracy") -> Route:
    return Route(
        name="auto", verdict=Verdict(outcome="met"), tiers=tiers, scores=(), ladder=(), chosen=None,
        reference=tiers[-1].name, quality=quality, max_loss_frac=0.01, confidence=0.95,  # type: ignore[arg-type]
    )  # fmt: skip


def around(value: float, half: float = 0.0) -> Estimate:
    return Estimate(value=value, lo=value - half, hi=value + half, n=6, method="t")


# — what can be planned ————————————————————————————————————————————————————————————————————————————————————————————


def test_tiers_that_run_here_can_be_planned() -> None:
    assert why_no_rate(route(SMALL, LARGE)) == ""


@pytest.mark.parametrize("kind", ["openai", "open_inference"])
def test_a_tier_behind_a_url_plans_no_rate_and_that_is_said(kind: str) -> None:
    far = replace(LARGE, kind=kind, source="http://10.0.0.7:8000")
    assert why_no_rate(route(SMALL, far)) == (
        "the tier large answers at a URL: the rate there is that of other machines, which cannot be measured from here"
    )
    both = replace(SMALL, kind=kind, source="http://10.0.0.8:8000")
    assert why_no_rate(route(both, far)).startswith("the tiers small, large answer at a URL")


def test_replicas_elsewhere_plan_no_rate_either() -> None:
    spot = TierReplicas(purchase="spot", count=1, sla_rps=10.0, url="http://10.0.0.7:8000")
    assert "the tier large answers at a URL" in why_no_rate(route(SMALL, replace(LARGE, replicas=(spot,))))


def test_of_outcomes_alone_there_is_nothing_to_serve() -> None:
    bare = route(replace(SMALL, source=""), replace(LARGE, source=""), quality="given")
    assert why_no_rate(bare) == (
        "it rests on a table of outcomes, and no place of small, large is named: there is nothing to serve"
    )
    assert why_no_rate(route(SMALL, LARGE, quality="given")) == ""  # its places are named now


# — the service curve ——————————————————————————————————————————————————————————————————————————————————————————————


def test_a_server_of_known_service_times_is_found_again() -> None:
    """One worker, batches of what waits: with 2b clients b are served in s(b) while b wait, so X(2b) = b / s(b)."""
    service_s = {1: 0.004, 2: 0.005, 4: 0.007, 8: 0.012}
    found = served_curve({2 * b: b / s for b, s in service_s.items()}, sigma=0.2)
    assert found.sizes == (1, 2, 4, 8)
    assert found.seconds == pytest.approx(tuple(service_s.values()))
    assert found.sigma == 0.2
    assert saturation_rps(found, instances=1, max_batch=8) == pytest.approx(8 / 0.012)


def test_a_server_that_gains_nothing_by_batches_serves_one_by_one() -> None:
    found = served_curve({2: 100.0, 4: 100.0}, sigma=0.0)
    assert found.seconds == pytest.approx((0.01, 0.02))


@pytest.mark.parametrize("closed", [{}, {1: 5.0}, {3: 5.0}, {2: 0.0}])
def test_what_gives_no_curve_is_refused(closed: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="even numbers of clients"):
        served_curve(closed, 0.0)


def test_more_clients_are_tried_until_they_bring_nothing() -> None:
    assert not enough_clients({2: 100.0})
    assert not enough_clients({2: 100.0, 4: 103.1})
    assert enough_clients({2: 100.0, 4: 102.9})
    assert enough_clients({2: 100.0, 4: 180.0, 8: 90.0})


def test_the_spread_is_that_of_the_logarithms_and_bounded() -> None:
    rng = np.random.default_rng(0)
    assert spread(np.exp(0.3 * rng.standard_normal(20_000))) == pytest.approx(0.3, rel=0.03)
    assert spread(np.array([1.0, 1.0, np.inf])) == 0.0
    assert spread(np.array([0.001, 1000.0, np.inf])) == 1.0
    assert spread(np.array([np.inf])) == 0.0


# — the verdict ————————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("value", "half", "busy", "outcome"),
    [
        (40.0, 9.9, False, "met"),
        (40.0, 9.9, True, "met"),
        (40.0, 10.1, False, "unproven"),
        (60.0, 10.1, False, "unproven"),
        (60.0, 9.9, False, "not_met"),
        (60.0, 9.9, True, "unproven"),  # busy cores prove nothing against it
    ],
)
def test_the_upper_end_decides(value: float, half: float, busy: bool, outcome: str) -> None:
    found = rate_verdict(BOUND, around(100.0), around(value, half), busy=busy)
    assert found.outcome == outcome
    assert found.reasons[0].startswith(f"p99 is {value:g} ms [")
    assert found.reasons[0].endswith("at 100 requests/s, promised 50 ms")
    assert bool(found.hint) == (outcome != "met")


def test_at_no_rate_is_not_met_and_busy_cores_leave_it_open() -> None:
    assert rate_verdict(BOUND, None, None).outcome == "not_met"
    assert rate_verdict(BOUND, None, None).reasons == ("p99 ≤ 50 ms is kept at no rate",)
    assert "--p99" in rate_verdict(BOUND, None, None).hint
    assert rate_verdict(BOUND, None, None, busy=True).outcome == "unproven"


def test_a_route_that_fell_back_was_not_measured() -> None:
    found = rate_verdict(BOUND, around(100.0), around(40.0, 1.0), fallen="route auto, reason drift")
    assert found.outcome == "unproven"
    assert "route auto, reason drift" in found.reasons[0]


def test_a_latency_without_end_is_no_number() -> None:
    never = Estimate(value=NEVER_MS, lo=20.0, hi=NEVER_MS, n=6, method="t")
    assert "p99 is unbounded [20 ms, unbounded]" in rate_verdict(BOUND, around(100.0), never).reasons[0]


def test_met_without_proof_is_no_planned_rate() -> None:
    met = Verdict(outcome="met")
    with pytest.raises(ValueError, match="met without a proof"):
        PlannedRate(bound=BOUND, verdict=met, rate_rps=around(9.0), kept_rps=None, headroom=1.1)
    with pytest.raises(ValueError, match="met without a proof"):
        PlannedRate(
            bound=BOUND, verdict=met, rate_rps=around(9.0), kept_rps=None, headroom=1.1, latency_ms=around(45.0, 6.0)
        )
    with pytest.raises(ValueError, match="headroom"):
        PlannedRate(bound=BOUND, verdict=Verdict(outcome="unproven"), rate_rps=None, kept_rps=None, headroom=0.9)
