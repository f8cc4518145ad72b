"""Small fleets for the tests of the simulation, and the one call by which they are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from farthing.core.simulation.outcomes import OUTCOMES, SimulationResult
from farthing.core.simulation.setup import BatchingServer, Pool, Setup, Window
from farthing.core.simulation.simulate import Controller, simulate

ONE_SECOND = BatchingServer(service_s=(1.0,))
"""One request at a time, exactly a second each."""


def setup_of(**changes: Any) -> Setup:
    """One replica of ONE_SECOND, 100 s, the first 1,000 requests recorded; ``changes`` to that."""
    usual = Setup(
        server=ONE_SECOND, pools=(Pool(name="on_demand", initial=1),), horizon_s=100.0, record=Window(count=1000)
    )
    return replace(usual, **changes)


def run(
    arrivals_s: Sequence[float], controller: Controller | None = None, *, queues: Any = "compiled", **changes: Any
) -> SimulationResult:
    """Simulate instants as one block; one of ``changes`` may be a whole ``setup``."""
    setup = changes.pop("setup", None) or setup_of(**changes)
    return simulate(setup, [np.array(arrivals_s, dtype=float)], controller, queues=queues)


def endings(result: SimulationResult, n: int) -> list[tuple[str, float]]:
    """How each of the first ``n`` requests ended, and when."""
    rows = result.records
    return [(OUTCOMES[rows.outcome[k]], float(rows.end_s[k])) for k in range(n)]
