"""What the replicas of a scaled model cost: whole seconds of each one's life, on the policy's clock."""

from __future__ import annotations

from farthing.core.simulation.billing import Billing
from farthing.core.simulation.outcomes import ReplicaLife
from farthing.serve.scaling.policy_clock import PolicyClock
from farthing.workers.scaled_crew import Life, Roster

__all__ = ["FleetBill", "life_of"]

POOL = "workers"
"""Where live replicas are bought, in the simulator's words."""


def life_of(life: Life, clock: PolicyClock) -> ReplicaLife:
    """A worker's life as the simulator tells one."""
    at_s = clock.at_s
    return ReplicaLife(
        number=life.number,
        pool=POOL,
        requested_s=max(0.0, at_s(life.asked_s)),
        started_s=_of(clock, life.started_s),
        ready_s=_of(clock, life.ready_s),
        draining_s=_of(clock, life.leaving_s),
        gone_s=_of(clock, life.gone_s),
        reason=life.reason,
    )


def _of(clock: PolicyClock, at_s: float | None) -> float | None:
    return None if at_s is None else max(0.0, clock.at_s(at_s))


class FleetBill:
    """Billed seconds and dollars so far.

    Args:
        roster: Of the replicas.
        clock: Of the policy.
        minimum_s: Paid at least for one that ran.
        usd_per_hour: Of one; None when unknown.
    """

    def __init__(self, roster: Roster, clock: PolicyClock, *, minimum_s: float, usd_per_hour: float | None) -> None:
        self._roster, self._clock = roster, clock
        self._billing = Billing(minimum_s=minimum_s)
        self._usd_per_hour = usd_per_hour
        self._gone = 0

    def close(self, life: Life) -> None:
        """One is gone: it costs no more."""
        if life.gone_s is not None:
            self._gone += self._units(life, life.gone_s)

    def seconds(self, now_s: float) -> int:
        """Billed so far, those that are there until now.

        Args:
            now_s: The wall clock's monotonic time.
        """
        return self._gone + sum(self._units(life, now_s) for life in self._roster.present.values())

    def usd(self, now_s: float) -> float | None:
        """The same in dollars, None without a price."""
        return None if self._usd_per_hour is None else self.seconds(now_s) * self._usd_per_hour / 3600

    def _units(self, life: Life, until_s: float) -> int:
        """A replica of which there never was a machine costs nothing."""
        if life.started_s is None:
            return 0
        return self._billing.units(self._clock.at_s(until_s) - max(0.0, self._clock.at_s(life.started_s)))
