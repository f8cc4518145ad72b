"""Contenders under load through servers of their own, which take turns: near-ties are told apart as users get them."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType

from farthing.core.traffic.batch_queue import HEADROOM_FRAC
from farthing.measure.open_loop import RunSeen
from farthing.measure.served import live_server
from farthing.measure.served.path import ServedPath, served_model
from farthing.measure.served.rate import model_of, slower_by
from farthing.measure.served.runs import Patience
from farthing.measure.state import RunState
from farthing.measure.under_load import BesideServer, TrialRuns, seed_of
from farthing.nouns import Candidate

__all__ = ["ThroughServers", "trial_runs"]

SHARES_DIFFER = 1.1
"""Servers keep shares of what the queue model says that differ by no more than this between candidates: one that the
model puts further behind is not served."""


@dataclass
class _Served:
    path: ServedPath
    patience: Patience
    numbers: itertools.count[int] = field(default_factory=itertools.count)


@dataclass
class ThroughServers:
    """Trials through ``farthing serve``; the servers stay until all is decided, so that candidates can take turns.

    Attributes:
        state: With the curves of all who are tried.
    """

    state: RunState
    shares_differ: float | None = SHARES_DIFFER
    _servers: dict[Candidate, _Served] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> ThroughServers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._servers.clear()
        self._stack.close()

    def capacity(self, c: Candidate) -> tuple[float, float]:
        """As :meth:`TrialRuns.capacity`."""
        slower, full_rps = slower_by(self._of(c).path, self.state.curves[replace(c, max_batch=1)])
        return slower, full_rps * (1 - HEADROOM_FRAC)

    def run(self, c: Candidate, rate_rps: float, n: int) -> RunSeen:
        """As :meth:`TrialRuns.run`; one during which others used the machine is made again, a few times."""
        served = self._of(c)
        while True:
            seed = seed_of(self.state.bench.seed, "trial", next(served.numbers))
            seen = served.path.run(rate_rps, n, seed)
            if not served.patience.again(seen, served.path.key):
                return seen

    def _of(self, c: Candidate) -> _Served:
        if c not in self._servers:
            bench = self.state.bench
            bench.retire([self.state.baseline])
            path = served_model(bench, model_of(self.state, c, None), f"{c.key}/trial")
            self._servers[c] = _Served(self._stack.enter_context(path), Patience(bench))
        return self._servers[c]


def trial_runs(state: RunState) -> TrialRuns:
    """Through servers where that can be done here, else beside them.

    Args:
        state: After the race.
    """
    return ThroughServers(state) if live_server.missing() is None else BesideServer(state)
