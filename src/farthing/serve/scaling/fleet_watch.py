"""From what a queue counts to what a rule is shown, interval by interval."""

from __future__ import annotations

from farthing.nouns import FleetSeen
from farthing.serve.scaling.policy_clock import PolicyClock
from farthing.workers.scaled_crew import Headcount
from farthing.workers.tally import Counted

__all__ = ["Totals", "fleet_seen", "since"]

Totals = tuple[int, int, int, int]
"""Arrived, answered, within the promise, failed."""


def since(before: Counted | None, now: Counted) -> Totals:
    """What came and went between two sums; since the queue was made where there is none before."""
    if before is None:
        return now.arrived, now.answered, now.within_promise, now.failed
    return (
        now.arrived - before.arrived,
        now.answered - before.answered,
        now.within_promise - before.within_promise,
        now.failed - before.failed,
    )


def fleet_seen(before: Counted, now: Counted, count: Headcount, waiting: int, clock: PolicyClock) -> FleetSeen:
    """An interval as the rule is shown it.

    Under time lapse an interval of the policy is longer than the wall clock's; its counts are multiplied likewise, so
    that rates are what they are.

    Args:
        before: Sums at its beginning.
        now: At its end, later than that.
        count: Replicas now.
        waiting: Requests in no batch yet.
        clock: Of the policy.
    """
    wall_s = now.at_s - before.at_s
    ready_s = now.ready_s - before.ready_s
    arrived, answered, within, failed = (round(n * clock.time_lapse) for n in since(before, now))
    return FleetSeen(
        at_s=clock.at_s(now.at_s),
        interval_s=wall_s * clock.time_lapse,
        arrived=arrived,
        answered=answered,
        within_promise=within,
        failed=failed,
        in_flight=now.in_flight,
        waiting=waiting,
        mean_in_flight=max(0.0, (now.flight_s - before.flight_s) / wall_s),
        busy_frac=min(1.0, max(0.0, (now.busy_s - before.busy_s) / ready_s)) if ready_s > 0 else 0.0,
        ready=count.ready,
        starting=count.starting,
    )
