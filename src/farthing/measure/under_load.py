"""Candidates under Poisson arrivals: which of them keeps the promise at the highest rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

import numpy as np

from farthing.core.search import sustained
from farthing.core.traffic.latency_rate import LatencyRate, latency_rates
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.measure.open_loop import RunSeen, as_measurement, levels_of, requests_at
from farthing.measure.state import RunState
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, Measurement

__all__ = [
    "BesideServer",
    "TrialRuns",
    "beside_server",
    "poisson_runs",
    "rates_of",
    "run_trials",
    "seed_of",
    "under_load",
]

TIED_SERVED = 3
"""Candidates that the race could not tell apart, of which so many are tried under load."""


class TrialRuns(Protocol):
    """Where contenders are tried under load: through servers, or beside them. A context manager."""

    @property
    def shares_differ(self) -> float | None:
        """By which factor the shares of the modelled rates that candidates keep there may differ, None for no share."""

    def capacity(self, c: Candidate) -> tuple[float, float]:
        """Factor on the measured service times there, ≥ 1, and the highest rate in requests/s that is worth trying."""

    def run(self, c: Candidate, rate_rps: float, n: int) -> RunSeen:
        """Poisson arrivals, in each run others.

        Args:
            c: Who answers.
            rate_rps: > 0.
            n: Requests.
        """

    def __enter__(self) -> TrialRuns: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


@dataclass
class BesideServer:
    """Trials beside the server, where none can be started: the workers take requests from a mapped schedule.

    Attributes:
        state: Of the run.
    """

    state: RunState
    shares_differ: float | None = None
    _runs: dict[Candidate, int] = field(default_factory=dict)

    def __enter__(self) -> BesideServer:
        return self

    def __exit__(self, *_: object) -> None: ...

    def capacity(self, c: Candidate) -> tuple[float, float]:
        """The measured service times as they are, and no limit."""
        return 1.0, math.inf

    def run(self, c: Candidate, rate_rps: float, n: int) -> RunSeen:
        """As :meth:`TrialRuns.run`."""
        bench, k = self.state.bench, self._runs.get(c, 0)
        self._runs[c] = k + 1
        bench.retire([self.state.baseline, c])
        return bench.poisson(c, rate_rps, n, seed_of(bench.seed, "trial", k))


def seed_of(seed: int, stage: str, k: int) -> int:
    """Seed of the arrivals of one run: each run of each stage has its own, so that none repeats another's luck."""
    return int(np.random.SeedSequence([seed, *stage.encode(), k]).generate_state(1)[0])


def rates_of(
    bench: Workbench, known: ServiceCurve, c: Candidate, n: int, slower: float = 1.0
) -> dict[float, LatencyRate]:
    """Latency by rate of a candidate at every level, for runs of one length.

    Args:
        bench: With the objective.
        known: Service times of its build and layout.
        c: With its batch limit.
        n: Requests of one run.
        slower: Factor on its service times, > 0.
    """
    return latency_rates(
        known.upto(c.max_batch).scaled(slower),
        instances=c.instances,
        max_batch=c.max_batch,
        percentiles=levels_of(bench.level),
        n=n,
        seed=bench.seed,
    )


def under_load(
    state: RunState, leader: Candidate, contenders: Sequence[Candidate], runs: TrialRuns
) -> Candidate | None:
    """The contender that keeps the promise at the highest rate under Poisson arrivals; None when nobody keeps it.

    The leader and those tied with it are served first, in turns, then whoever the queue model puts above the best rate
    kept: what the race measured were full batches, and a server's batches are as full as its arrivals make them. What
    the model promised too much is taken off every candidate that was not served itself.
    """
    bench = state.bench
    objective = bench.workload.objective
    if objective.latency is None:
        return leader
    first = [leader, *state.tied][:TIED_SERVED]
    rates = {c: rate for c in (*first, *contenders) if (rate := state.sla[c])}
    trials = sustained.start(
        rates,
        [c for c in first if c in rates],
        bound_s=objective.latency.ms / 1000,
        runs=bench.settings.trial_runs,
        shares_differ=runs.shares_differ,
    )
    trials = run_trials(state, trials, runs)
    best = sustained.best(trials)
    _settle(state, trials, best)
    if best is not None:
        bench.tell("under load", 1, 1, f"{best.label} keeps {sustained.kept_rps(trials, best):.0f} requests/s")
        state.tied = tuple(c for c in (leader, *state.tied) if c in trials.runs and c != best and c not in state.lost)
        _settle_others(state, trials, best)
    return best


def run_trials(state: RunState, trials: sustained.Trials, runs: TrialRuns) -> sustained.Trials:
    """Trials to their end.

    Args:
        state: With the curves of all who are tried.
        trials: As :func:`sustained.start` gives them.
        runs: Where they are tried.
    """
    bench = state.bench
    lengths: dict[Candidate, int] = {}
    while found := sustained.turn(trials):
        c, rate = found
        bench.tell("under load", len(trials.runs), len(trials.modelled_rps), f"{c.label} at {rate:.0f} requests/s")
        curve = trials.curves.get(c)
        if curve is None:
            slower, most_rps = runs.capacity(c)
            rate = min(rate, most_rps)
            lengths[c] = requests_at(rate, bench.level)
            curve = rates_of(bench, state.curves[replace(c, max_batch=1)], c, lengths[c], slower)[bench.level]
        seen = runs.run(c, rate, lengths[c])
        trials = sustained.step(trials, c, curve, rate, seen.tail_s(bench.level))
    return trials


def _settle(state: RunState, trials: sustained.Trials, best: Candidate | None) -> None:
    """What the trials found of those that were served."""
    top = sustained.kept_rps(trials, best) if best is not None else 0.0
    state.tried.update(trials.runs)
    for c, runs in trials.runs.items():
        kept = sustained.kept_rps(trials, c)
        state.sla[c] = kept / sustained.HEADROOM if kept > 0 else None
        if c == best:
            state.lost.pop(c, None)
        elif kept <= 0:
            rate, tail_s = min(runs)
            state.lost[c] = f"under load: {state.level} {tail_s * 1000:.0f} ms at {rate:.0f} requests/s"
        elif c in state.lost or kept * sustained.CLEAR < top:
            state.lost[c] = f"under load: keeps {kept:.0f} requests/s, best {top:.0f}"


def _settle_others(state: RunState, trials: sustained.Trials, best: Candidate) -> None:
    kept = {c: sustained.kept_rps(trials, c) for c in trials.runs}
    share = min(1.0, max(rate / trials.modelled_rps[c] for c, rate in kept.items()))
    for c, rate in state.sla.items():
        if rate is not None and c not in trials.runs and c != state.baseline:
            state.sla[c] = min(rate * share, kept[best]) / sustained.HEADROOM


def beside_server(state: RunState, c: Candidate, rate_rps: float, runs: int, stage: str) -> Measurement:
    """The Server scenario of a candidate at one rate, beside the server: for what is not planned.

    Args:
        state: With its measured curve.
        c: With its batch limit.
        rate_rps: > 0.
        runs: With seeds of their own, ≥ 2.
        stage: Of the run, for the seeds.
    """
    return poisson_runs(state.bench, c, state.curves[replace(c, max_batch=1)], rate_rps, runs, stage)


def poisson_runs(
    bench: Workbench, c: Candidate, known: ServiceCurve, rate_rps: float, runs: int, stage: str
) -> Measurement:
    """The same from a service curve.

    Args:
        bench: Open.
        c: With its batch limit.
        known: Service times of its build and layout.
        rate_rps: > 0.
        runs: With seeds of their own, ≥ 2.
        stage: Of the work, for the seeds.
    """
    n = requests_at(rate_rps, bench.level)
    start_s = bench.clock.monotonic_s()
    seen: list[RunSeen] = [bench.poisson(c, rate_rps, n, seed_of(bench.seed, stage, k)) for k in range(runs)]
    seconds = bench.clock.monotonic_s() - start_s
    return bench.note(
        as_measurement(seen, rates_of(bench, known, c, n), c, hardware=bench.fingerprint, seconds=seconds)
    )
