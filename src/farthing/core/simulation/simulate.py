"""Run a fleet through a trace: queues between the instants at which something happens to replicas, then that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from numpy.typing import ArrayLike

from farthing.core.simulation.compiled_queues import CompiledQueues
from farthing.core.simulation.fleet import Fleet
from farthing.core.simulation.outcomes import Observation, SimulationResult, Totals
from farthing.core.simulation.queues import Queues
from farthing.core.simulation.reference import ReferenceQueues
from farthing.core.simulation.setup import Setup

__all__ = ["Controller", "simulate"]

Controller = Callable[[Observation], Mapping[str, int]]
"""Asked after each control interval how many replicas it wants, by pool; a pool that it leaves out stays as it is."""

_QUEUES: Mapping[str, Callable[[Setup, Iterable[ArrayLike]], Queues]] = {
    "compiled": CompiledQueues,
    "reference": ReferenceQueues,
}


def simulate(
    setup: Setup,
    arrivals: Iterable[ArrayLike],
    controller: Controller | None = None,
    *,
    queues: Literal["compiled", "reference"] = "compiled",
) -> SimulationResult:
    """Simulate a fleet request by request up to the horizon: the same seed, arrivals and wishes give the same run.

    At one instant batches end first, then replicas start, get ready and go, then the controller is asked, then
    requests arrive, and last idle workers take what waits.

    Args:
        setup: Server, promise, pools, disruptions, horizon, seed.
        arrivals: Blocks of ascending instants in seconds, each of shape ``(n,)``; memory holds two at a time.
        controller: Asked every ``setup.control_s``; None to leave the fleet as it starts.
        queues: ``reference`` is plain Python, slow and kept to check the compiled code by.

    Raises:
        ValueError: when arrivals are not finite, negative or not ascending, or the controller's wish is no whole
            number ≥ 0 of a known pool.
    """
    line = _QUEUES[queues](setup, arrivals)
    fleet = Fleet(setup, line)
    questions = _Questions(setup, controller, fleet, line)
    while True:
        until_s = min(fleet.next_s, questions.next_s, setup.horizon_s)
        line.advance(until_s)
        if until_s == setup.horizon_s:
            break
        fleet.happen(until_s)
        if until_s == questions.next_s:
            questions.ask()
    return SimulationResult(
        horizon_s=setup.horizon_s,
        totals=line.totals(),
        latencies=line.latencies(),
        lives=fleet.lives(),
        events=fleet.events(),
        records=line.records(),
    )


class _Questions:
    """The controller, asked at fixed intervals."""

    def __init__(self, setup: Setup, controller: Controller | None, fleet: Fleet, queues: Queues) -> None:
        self._interval_s = math.inf if controller is None else setup.control_s
        self._controller, self._fleet, self._queues = controller, fleet, queues
        self._asked, self._asked_s = 0, 0.0
        self._before: Totals = queues.totals()

    @property
    def next_s(self) -> float:
        """When it is asked next."""
        return (self._asked + 1) * self._interval_s

    def ask(self) -> None:
        """Show it the interval that ends now, and do what it wants."""
        assert self._controller is not None
        now_s, totals = self.next_s, self._queues.totals()
        seen = Observation.between(
            self._before, totals, start_s=self._asked_s, at_s=now_s, replicas=self._fleet.counts()
        )
        self._fleet.steer(self._controller(seen), now_s)
        self._asked, self._asked_s, self._before = self._asked + 1, now_s, totals
