"""The lives of replicas: asked for, started, loaded, ready, drained, gone; killed, or preempted with notice.

requested → (``start_s``) → loading → (``load_s``) → ready → draining → gone. A replica that is not ready yet is gone as
soon as it is no longer wanted or is disrupted; a ready one takes no further requests and is gone when it has none left,
or when its time to drain or its notice is over.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from farthing.core.simulation.outcomes import STATES, ReplicaLife, ScalingEvent, State
from farthing.core.simulation.queues import Queues
from farthing.core.simulation.setup import Disruption, Pool, Setup

__all__ = ["Fleet"]


@dataclass(slots=True, eq=False)
class _Replica:
    number: int
    pool: Pool
    place: int
    requested_s: float
    state: State | None = "requested"  # None: gone
    started_s: float | None = None
    ready_s: float | None = None
    draining_s: float | None = None
    gone_s: float | None = None
    noticed: bool = False
    reason: str = ""

    def life(self) -> ReplicaLife:
        return ReplicaLife(
            number=self.number,
            pool=self.pool.name,
            requested_s=self.requested_s,
            started_s=self.started_s,
            ready_s=self.ready_s,
            draining_s=self.draining_s,
            gone_s=self.gone_s,
            reason=self.reason,
        )


class Fleet:
    """All replicas of a simulation.

    Args:
        setup: Where they come from and what befalls them.
        queues: Told of what happens to them.
    """

    def __init__(self, setup: Setup, queues: Queues) -> None:
        self._setup, self._queues = setup, queues
        self._replicas: list[_Replica] = []
        self._there: list[_Replica] = []  # those that are not gone, by number
        self._places = list(range(setup.max_replicas))  # free ones, a heap
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._scheduled = 0
        self._log: list[ScalingEvent] = []
        for disruption in setup.disruptions:
            self._schedule(disruption.at_s, partial(self._disrupt, disruption))
        for pool in setup.pools:
            for _ in range(pool.initial):
                replica = self._add(pool, 0.0, "initial")
                replica.started_s = 0.0
                self._ready(replica, 0.0)

    # --- Time -------------------------------------------------------------------------------------------------

    @property
    def next_s(self) -> float:
        """When the next thing happens to a replica by itself; infinite when nothing does."""
        return self._due[0][0] if self._due else math.inf

    def happen(self, now_s: float) -> None:
        """Let happen what is due up to now; the queues have advanced to now."""
        self._note_emptied()
        while self._due and self._due[0][0] <= now_s:
            at_s, _, action = heapq.heappop(self._due)
            action(at_s)

    def _schedule(self, at_s: float, action: Callable[[float], None]) -> None:
        if at_s < math.inf:
            heapq.heappush(self._due, (at_s, self._scheduled, action))
            self._scheduled += 1

    def _note_emptied(self) -> None:
        for replica in [r for r in self._there if r.state == "draining"]:
            emptied_s = self._queues.emptied_s(replica.place)
            if emptied_s is not None:
                self._gone(replica, emptied_s)

    # --- The controller's wish ----------------------------------------------------------------------------------

    def steer(self, wanted: Mapping[str, int], now_s: float) -> None:
        """Ask for replicas and give up others, so that as many are requested, loading or ready as are wanted.

        Given up are first those that are requested, then those that load, then ready ones, the newest first.

        Args:
            wanted: Replicas by pool; a pool that is not named stays as it is.
            now_s: When.

        Raises:
            ValueError: when a pool is unknown or a number is not a whole one ≥ 0.
        """
        pools = {pool.name: pool for pool in self._setup.pools}
        for name, count in wanted.items():
            if name not in pools or not float(count).is_integer() or count < 0:
                raise ValueError(
                    f"at {now_s:g} s the controller wants {count} replicas of {name!r}; "
                    f"whole numbers ≥ 0 of {', '.join(pools)} are possible"
                )
        for name, count in wanted.items():
            self._scale(pools[name], int(count), now_s)

    def _scale(self, pool: Pool, wanted: int, now_s: float) -> None:
        kept = [r for r in self._there if r.pool is pool and r.state != "draining"]
        for replica in sorted(kept, key=_first_to_go)[: max(0, len(kept) - wanted)]:
            self._give_up(replica, now_s)
        for _ in range(wanted - len(kept)):
            if not self._places:
                self._log.append(ScalingEvent(at_s=now_s, kind="no place", pool=pool.name, replica=-1, reason="wanted"))
                return
            self._request(pool, now_s)

    def counts(self) -> Mapping[str, Mapping[State, int]]:
        """Replicas by pool and state."""
        found = {pool.name: dict.fromkeys(STATES, 0) for pool in self._setup.pools}
        for replica in self._there:
            assert replica.state is not None
            found[replica.pool.name][replica.state] += 1
        return found

    # --- From state to state ------------------------------------------------------------------------------------

    def _add(self, pool: Pool, now_s: float, reason: str) -> _Replica:
        replica = _Replica(len(self._replicas), pool, heapq.heappop(self._places), now_s)
        self._replicas.append(replica)
        self._there.append(replica)
        self._say(replica, now_s, "requested", reason)
        return replica

    def _request(self, pool: Pool, now_s: float) -> None:
        replica = self._add(pool, now_s, "wanted")
        self._later(pool.start_s, now_s, partial(self._started, replica))

    def _started(self, replica: _Replica, now_s: float) -> None:
        if replica.state == "requested":
            replica.state, replica.started_s = "loading", now_s
            self._say(replica, now_s, "loading")
            self._later(replica.pool.load_s, now_s, partial(self._ready, replica))

    def _later(self, lag_s: float, now_s: float, action: Callable[[float], None]) -> None:
        """Do it after a lag, at once when there is none."""
        if lag_s == 0:
            action(now_s)
        else:
            self._schedule(now_s + lag_s, action)

    def _ready(self, replica: _Replica, now_s: float) -> None:
        if replica.state is not None:
            replica.state, replica.ready_s = "ready", now_s
            self._say(replica, now_s, "ready")
            self._queues.open(replica.place, replica.number)

    def _give_up(self, replica: _Replica, now_s: float) -> None:
        if replica.state != "ready":
            self._gone(replica, now_s, "scaled in")
            return
        self._drain(replica, now_s, "scaled in")
        self._cut_later(replica, now_s + self._setup.drain_limit_s)

    def _drain(self, replica: _Replica, now_s: float, reason: str) -> None:
        """Take no further requests."""
        self._queues.close(replica.place)
        replica.state, replica.draining_s, replica.reason = "draining", now_s, reason
        self._say(replica, now_s, "draining", reason)
        self._note_emptied()

    def _cut_later(self, replica: _Replica, at_s: float) -> None:
        if replica.state is not None:
            self._schedule(at_s, partial(self._cut, replica))

    def _cut(self, replica: _Replica, now_s: float) -> None:
        """The time to drain, or the notice, is over."""
        if replica.state is not None:
            self._queues.evict(replica.place, running=True, requeue=replica.noticed)
            self._gone(replica, now_s)

    def _gone(self, replica: _Replica, now_s: float, reason: str = "") -> None:
        replica.state, replica.gone_s, replica.reason = None, now_s, reason or replica.reason
        self._there.remove(replica)
        heapq.heappush(self._places, replica.place)
        self._say(replica, now_s, "gone", replica.reason)

    def _say(self, replica: _Replica, at_s: float, kind: str, reason: str = "") -> None:
        self._log.append(
            ScalingEvent(at_s=at_s, kind=kind, pool=replica.pool.name, replica=replica.number, reason=reason)
        )

    # --- Disruptions --------------------------------------------------------------------------------------------

    def _disrupt(self, disruption: Disruption, now_s: float) -> None:
        named = [r for r in self._there if r.pool.name == disruption.pool and not r.noticed]
        taken = named[: disruption.count]
        for replica in [r for r in taken if r.state in ("requested", "loading")]:
            self._gone(replica, now_s, disruption.kind)
        holding = [r for r in taken if r.state is not None]
        for replica in holding:  # all of them are closed before any of their requests looks for another one
            self._queues.close(replica.place)
        for replica in holding:
            self._take_away(replica, disruption, now_s)

    def _take_away(self, replica: _Replica, disruption: Disruption, now_s: float) -> None:
        if disruption.kind == "killed":
            self._queues.evict(replica.place, running=True, requeue=False)
            self._gone(replica, now_s, "killed")
            return
        replica.noticed, replica.reason = True, "preempted"
        self._queues.evict(replica.place, running=False, requeue=True)
        if replica.state == "ready":
            self._drain(replica, now_s, "preempted")
        else:
            self._note_emptied()
        self._cut_later(replica, now_s + disruption.notice_s)

    # --- What was found -----------------------------------------------------------------------------------------

    def lives(self) -> tuple[ReplicaLife, ...]:
        """Of all replicas, by their number."""
        self._note_emptied()
        return tuple(replica.life() for replica in self._replicas)

    def events(self) -> tuple[ScalingEvent, ...]:
        """Steps of their lives in the order of time."""
        return tuple(sorted(self._log, key=lambda event: event.at_s))


def _first_to_go(replica: _Replica) -> tuple[int, int]:
    assert replica.state is not None
    return STATES.index(replica.state), -replica.number
