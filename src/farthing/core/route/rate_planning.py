"""Which rate a route can be planned for: what of it can be measured here, its service curve, and the verdict.

A route is several queues that share a machine. Seen from its port it is one server with a service curve: with ``2b``
clients that ask again as soon as they are answered, ``b`` requests are served while ``b`` wait, so that serving ``b``
takes ``b / X(2b)`` of its time where ``X`` is their throughput (Little's law). The latency–rate curve of that server is
fitted to runs through the port; around the rate that is looked for it need be right only in its slope and in how far
short runs stay behind the steady state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.attaching import of_outcomes
from farthing.core.route.routes import Route
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import NEVER_MS, Estimate, LatencyBound, Verdict

__all__ = [
    "CLIENTS",
    "answered_elsewhere",
    "enough_clients",
    "rate_verdict",
    "served_curve",
    "spread",
    "why_no_rate",
]

CLIENTS = (2, 4, 8, 16, 32, 64)
"""Clients that never rest, one number after the other; twice the batch size that each stands for."""
GROWS = 1.03
"""Where so many clients more give less than this times the throughput the server is full."""
MOST_SPREAD = 1.0
_QUIETER = "run it again on a quiet machine"


def why_no_rate(route: Route) -> str:
    """Why no rate can be planned for a route on this machine, in words; empty when one can."""
    bare = [tier.name for tier in route.tiers if not tier.source and not any(r.url for r in tier.replicas)]
    if bare:
        what = "it rests on a table of outcomes" if of_outcomes(route) else "its tiers have no place"
        return f"{what}, and no place of {', '.join(bare)} is named: there is nothing to serve"
    return answered_elsewhere(
        [tier.name for tier in route.tiers if tier.kind != "model" or any(r.url for r in tier.replicas)]
    )


def answered_elsewhere(tiers: Sequence[str]) -> str:
    """Why no rate can be planned over tiers behind a URL, in words; empty when there are none."""
    if not tiers:
        return ""
    who = f"the tier {tiers[0]} answers" if len(tiers) == 1 else f"the tiers {', '.join(tiers)} answer"
    return f"{who} at a URL: the rate there is that of other machines, which cannot be measured from here"


def enough_clients(closed_rps: Mapping[int, float]) -> bool:
    """Whether more clients would not be answered faster: the last doubling brought less than 3 %.

    Args:
        closed_rps: Throughput by number of clients, in the order tried.
    """
    seen = list(closed_rps.values())
    return len(seen) > 1 and seen[-1] < GROWS * seen[-2]


def served_curve(closed_rps: Mapping[int, float], sigma: float) -> ServiceCurve:
    """The service curve of a route as its port shows it: ``b`` requests take ``b / X(2b)``.

    Args:
        closed_rps: Throughput ``X`` in requests/s, > 0, by number of clients, each even.
        sigma: Standard deviation of the logarithm of a request's time, ≥ 0.

    Raises:
        ValueError: when a number of clients is odd or a throughput is not > 0.
    """
    if not closed_rps or any(k < 2 or k % 2 or not x > 0 for k, x in closed_rps.items()):
        raise ValueError(f"throughputs > 0 of even numbers of clients are needed: {dict(closed_rps)}")
    sizes = [k // 2 for k in sorted(closed_rps)]
    return ServiceCurve.exact(sizes=sizes, seconds=[b / closed_rps[2 * b] for b in sizes], sigma=sigma)


def spread(latency_ms: NDArray[np.float64]) -> float:
    """Standard deviation of the logarithm of latencies at an easy rate, at most 1: requests differ in who answers them.

    Args:
        latency_ms: Infinite where no answer came, shape ``(n,)``.
    """
    seen = latency_ms[np.isfinite(latency_ms) & (latency_ms > 0)]
    return min(MOST_SPREAD, float(np.log(seen).std(ddof=1))) if seen.size > 1 else 0.0


def rate_verdict(
    bound: LatencyBound, rate_rps: Estimate | None, latency_ms: Estimate | None, *, busy: bool = False, fallen: str = ""
) -> Verdict:
    """What the last proof says of the promise.

    Args:
        bound: The promise.
        rate_rps: Of the proof; None when the promise was kept at no rate.
        latency_ms: At the promised level, None when nothing was proven.
        busy: Whether cores were busy with something else.
        fallen: Why the route fell back to its reference meanwhile; empty when it did not.
    """
    promised = f"{bound.name} ≤ {bound.ms:g} ms"
    if fallen:
        reason = f"the route fell back to its reference while it was measured: {fallen}"
        return Verdict(outcome="unproven", reasons=(reason,), hint="calibrate again on requests as they come")
    if rate_rps is None or latency_ms is None:
        reason = f"{promised} is kept at no rate"
        hint = _QUIETER if busy else f"promise more time with {bound.flag}"
        return Verdict(outcome="unproven" if busy else "not_met", reasons=(reason,), hint=hint)
    seen = f"{bound.name} is {_ms(latency_ms.value)} [{_ms(latency_ms.lo)}, {_ms(latency_ms.hi)}]"
    reason = f"{seen} at {rate_rps.value:.4g} requests/s, promised {bound.ms:g} ms"
    if latency_ms.hi <= bound.ms:
        return Verdict(outcome="met", reasons=(reason,))
    beyond = latency_ms.lo > bound.ms and not busy
    hint = f"{_QUIETER}, or promise more time with {bound.flag}"
    return Verdict(outcome="not_met" if beyond else "unproven", reasons=(reason,), hint=hint)


def _ms(value: float) -> str:
    return "unbounded" if value >= NEVER_MS or not math.isfinite(value) else f"{value:.4g} ms"
