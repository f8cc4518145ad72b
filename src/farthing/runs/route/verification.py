"""``farthing verify route.yaml``: is the planned rate of a route still kept?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from farthing.core.plan.holding import late_notes
from farthing.core.route.planned_rate import PlannedRate
from farthing.errors import InputError
from farthing.load.route.files import read_route
from farthing.load.route.settings import RouteSettings
from farthing.measure.route.rate import Proof, RouteLoad, prove_rate
from farthing.nouns import Check, Estimate, Outcome, Verdict, Verification
from farthing.ports import Progress
from farthing.render.numbers import milliseconds
from farthing.runs.options import RunOptions
from farthing.runs.route.rate import load_of, refuse_unplannable, sent

__all__ = ["verify_route"]


def verify_route(path: Path, options: RunOptions, tell: Progress) -> Verification:
    """Repeat the proof of a route's planned rate on a server of its own, with other arrivals.

    Args:
        path: A route.yaml.
        options: How much is measured, seed, trust.
        tell: Progress.

    Raises:
        InputError: when it plans no rate, or its requests are gone.
        FarthingError: when it cannot be served.
    """
    route = read_route(path)
    plan = route.planned_rate
    if plan is None or plan.rate_rps is None:
        raise InputError(
            f"{path} plans no rate that could be verified", hint=f"farthing route plan-rate {path} --p99 50ms"
        )
    refuse_unplannable(route, path)
    requests = sent(route, path.parent, RouteSettings())
    with tempfile.TemporaryDirectory(prefix="farthing-route-verify-") as work:
        load = load_of(path, route, plan.bound, requests, options, tell, Path(work))
        proof = prove_rate(load, plan.rate_rps.value, plan.requests, plan.clients, "verify")
    return _verified(load, route.name, plan, proof)


def _verified(load: RouteLoad, name: str, plan: PlannedRate, proof: Proof) -> Verification:
    tail, seen_ms = _tail(plan, proof), proof.latency(plan.bound.percentile).value
    speed = proof.capacity_rps / plan.capacity_rps if plan.capacity_rps > 0 else 1.0
    met = tail.outcome == "met"
    reason = "the planned rate is kept" if met else f"{tail.name}: {milliseconds(seen_ms)} ({tail.limit})"
    hint = "" if met else "run it again on a quiet machine, or `farthing route plan-rate` anew"
    return Verification(
        workload=name,
        candidate=load.backend,
        verdict=Verdict(outcome=tail.outcome, reasons=(reason,), hint=hint),
        checks=(tail,),
        machine_speed=Estimate(value=speed, lo=speed, hi=speed, n=0, method="clients that never rest, now over then"),
        hardware=load.hardware,
    )


def _tail(plan: PlannedRate, proof: Proof) -> Check:
    """The promised level at the planned rate; as in the plan's own verification its value decides."""
    assert plan.rate_rps is not None
    bound, seen = plan.bound, proof.latency(plan.bound.percentile)
    outcome: Outcome = "met"
    if seen.value > bound.ms:
        outcome = "unproven" if proof.contended or seen.lo <= bound.ms else "not_met"
    notes = ["cores busy during the run"] if proof.contended else []
    if proof.fallen:
        outcome = "unproven"
        notes.append(f"the route fell back to its reference: {proof.fallen}")
    notes += late_notes(proof.metrics)
    return Check(
        name=f"{bound.name} at {plan.rate_rps.value:.4g} requests/s",
        unit="ms",
        planned=plan.latency_ms,
        seen=seen,
        limit=f"at most {bound.ms:g} ms",
        outcome=outcome,
        note="; ".join(notes),
    )
