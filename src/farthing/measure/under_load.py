"""Candidates under Poisson arrivals: which keeps the promise at which rate, and the choice at the plan's peak."""

from __future__ import annotations

from collections.abc import Sequence

from farthing.core.money.trace_cost import replicas_by_hour
from farthing.core.search import sustained
from farthing.measure.state import RunState, TraceOf
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, percentile_name

__all__ = ["serve_at_peak", "served_n", "under_load"]

TIED_SERVED = 3
"""Candidates that the race could not tell apart, of which so many are tried under load."""
MOST_SERVED = 20_000
"""Requests of one Server run at the most: neither p99 nor p99.9 needs more."""


def served_n(bench: Workbench, rate_rps: float) -> int:
    """Requests of a Server run at a rate: those of three seconds, within the settings and the limit."""
    return min(MOST_SERVED, max(bench.enough(bench.settings.server_n), int(rate_rps * 3)))


def under_load(state: RunState, leader: Candidate, contenders: Sequence[Candidate]) -> Candidate | None:
    """The contender that keeps the promise at the highest rate under Poisson arrivals; None when nobody keeps it.

    The leader and those tied with it are served first, then whoever the queue model puts above the best rate kept:
    what the race measured were full batches, and a server's batches are as full as its arrivals make them. What the
    model promised too much is taken off every candidate that was not served itself.
    """
    bench = state.bench
    if bench.workload.objective.latency is None:
        return leader
    first = [leader, *state.tied][:TIED_SERVED]
    rates = {c: state.sla[c] or 0.0 for c in (*first, *contenders)}
    trials = sustained.start(rates, first)
    while found := sustained.turn(trials):
        c, rate = found
        bench.retire([state.baseline, c])
        bench.tell("serving", len(trials.done), len(rates), f"{c.label} at {rate:.0f} requests/s")
        trials = sustained.step(trials, c, rate, _keeps(state, c, rate))
    best = sustained.best(trials)
    _settle(state, trials, best)
    if best is not None:
        bench.tell("serving", 1, 1, f"{best.label} keeps {trials.kept_rps[best]:.0f} requests/s")
        state.notes.append(
            f"a replica is planned at {1 / sustained.HEADROOM:.0%} of the rate at which it kept the promise under load"
        )
        state.tied = tuple(c for c in (leader, *state.tied) if c in trials.kept_rps and c not in {best, *state.lost})
        _settle_others(state, trials, best)
    return best


def _keeps(state: RunState, c: Candidate, rate_rps: float) -> bool:
    """Serve at a rate; the run is the candidate's evidence when it kept the promise, or when it has none yet.

    The upper end of the promised level counts; of a run on busy cores, which only ever adds to the latency, the value.
    """
    bench, bound = state.bench, state.bench.workload.objective.latency
    seen = bench.server(c, rate_rps, served_n(bench, rate_rps))
    tail = seen.latency(bench.level)
    held = bound is None or (tail.value if seen.contended else tail.hi) <= bound.ms
    if held or c not in state.server:
        state.server[c] = seen
    return held


def _settle(state: RunState, trials: sustained.Trials, best: Candidate | None) -> None:
    """What the trials found of those that were served."""
    for c in trials.runs:
        state.sla[c] = trials.kept_rps[c] / sustained.HEADROOM if c in trials.kept_rps else None
        if c == best:
            state.lost.pop(c, None)
        elif c in trials.kept_rps and best is not None:
            if c not in state.lost and trials.kept_rps[c] * sustained.CLEAR >= trials.kept_rps[best]:
                continue
            state.lost[c] = f"under load: keeps {trials.kept_rps[c]:.0f} requests/s, best {trials.kept_rps[best]:.0f}"
        else:
            state.lost[c] = _broke(state, c)


def _settle_others(state: RunState, trials: sustained.Trials, best: Candidate) -> None:
    share = min(1.0, max(rate / trials.modelled_rps[c] for c, rate in trials.kept_rps.items()))
    for c, rate in state.sla.items():
        if rate is not None and c not in trials.runs and c != state.baseline:
            state.sla[c] = min(rate * share, trials.kept_rps[best]) / sustained.HEADROOM


def _hold(state: RunState, c: Candidate, rate_rps: float) -> bool:
    """Serve at a rate, cut until the promise is kept; the rate kept becomes the candidate's, None for none."""
    for _ in range(sustained.CUTS):
        state.server.pop(c, None)
        state.sla[c] = rate_rps
        if _keeps(state, c, rate_rps):
            return True
        rate_rps *= sustained.CUT
    state.sla[c] = None
    state.lost[c] = _broke(state, c)
    return False


def _share_cut(state: RunState, chosen: Candidate, share: float) -> None:
    """What the last run took off the choice is taken off all that it is compared with: they were not served again."""
    if share < 1:
        for c, rate in state.sla.items():
            if rate is not None and c not in (chosen, state.baseline):
                state.sla[c] = rate * share


def _broke(state: RunState, c: Candidate) -> str:
    """Why a candidate lost that broke the promise: its latency and the rate of one and the same run."""
    seen, level = state.server[c], state.bench.level
    tail, rate = seen.latency(level), seen.metrics["offered_rps"]
    return f"under load: {percentile_name(level)} {tail.value:.0f} ms at {rate.value:.0f} requests/s"


def serve_at_peak(state: RunState, chosen: Candidate, trace_of: TraceOf) -> None:
    """The choice at the peak rate of one replica of the plan, and the baseline at its own."""
    bench = state.bench
    trace = trace_of(state.sla[state.baseline] or 0.0)
    _, peaks = trace.hourly_rps()
    rate = state.sla[chosen]
    assert rate is not None
    replicas = replicas_by_hour(peaks, rate, bench.workload.objective.min_replicas)
    per_replica = float((peaks / replicas).max())
    bench.tell("serving", 0, 2, f"{chosen.label} at {per_replica:.0f} requests/s")
    if _hold(state, chosen, per_replica) and state.sla[chosen] == per_replica:
        state.sla[chosen] = rate
    elif state.sla[chosen] is None:  # it kept this rate before the proof rounds: the machine is busier now
        state.sla[chosen] = per_replica
        state.notes.append(f"at the plan's peak rate {chosen.label} missed the promise in the last run: verify it")
    _share_cut(state, chosen, (state.sla[chosen] or rate) / rate)
    base = state.sla[state.baseline]
    bench.tell("serving", 1, 2, f"{state.baseline.label}, today")
    if base is not None:
        state.server[state.baseline] = bench.server(state.baseline, base, bench.enough(bench.settings.latency_n))
    tail = state.server[chosen].latency(bench.level)
    bench.tell("serving", 2, 2, f"{percentile_name(bench.level)} {tail.value:.1f} ms")
