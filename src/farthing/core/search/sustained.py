"""Which contender to serve next, and at which rate: the highest rate that keeps the promise under real arrivals.

A pure step function. Each run under Poisson arrivals is compared with what the latency–rate curve of its candidate
expects (:mod:`farthing.core.traffic.latency_rate`), which gives the rate that the candidate keeps to a few per cent
from two or three runs, wherever their rates lay. The queue model's rate of a candidate is taken as the most it can do
(batches under Poisson arrivals are never better filled or better grouped than the model assumes), so one whose
modelled rate does not exceed the best rate already kept cannot win and is not served. A server takes something on each
request, so that nobody keeps all of the modelled rate: there the share that others kept, and by how much such shares
differ, say what a candidate may keep.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from farthing.core.traffic.latency_rate import LatencyRate, Slowness
from farthing.nouns import Candidate, Estimate

__all__ = [
    "HEADROOM",
    "RUNS",
    "TRIES",
    "Trials",
    "allowing_for_cuts",
    "best",
    "cut",
    "kept_by_run",
    "kept_rps",
    "next_rate",
    "start",
    "step",
    "turn",
]

HEADROOM = 1.15
"""A replica is planned at the rate that kept the promise divided by this: close to its limit the tail doubles when the
machine gets a few per cent slower, as another start of the same server may, and machines are not alike."""
RUNS = 3
"""Runs of each candidate that is served."""
CLEAR = 1.02
"""A challenger must keep a rate that is higher by this factor, else it is no better for a user."""
MOST_DOWN, MOST_UP = 0.5, 1.3
"""A run is tried at no less and no more than these times the rate of the one before."""
TRIES = 3
"""Rates at which a proof is tried."""
LEAST_CUT, LATER_CUT, MOST_CUT = 1.03, 1.1, 1.25
"""A proof that failed lowers the planned rate by no less and no more than these factors."""
EASY_FRAC = 0.3
"""Share of a replica's capacity at which next to nobody waits: a run at a lower rate says no more and takes longer."""
_STEP = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """State of the trials.

    Attributes:
        modelled_rps: The queue model's rate by candidate, in the order in which they are tried.
        must: So many of the first are tried though others may be better already (the leader and those tied with it).
        bound_s: The promise.
        curves: Latency by rate of each candidate that was served.
        runs: Rate and percentile (seconds, infinite where too few were answered) of each run so far, by candidate.
        wanted: Runs of each candidate.
        shares_differ: By which factor the shares of the modelled rates that candidates keep may differ, ≥ 1; None where
            anybody may keep all of it.
    """

    modelled_rps: Mapping[Candidate, float]
    must: int
    bound_s: float
    curves: Mapping[Candidate, LatencyRate]
    runs: Mapping[Candidate, tuple[tuple[float, float], ...]]
    wanted: int = RUNS
    shares_differ: float | None = None


def start(
    modelled_rps: Mapping[Candidate, float],
    first: Sequence[Candidate],
    *,
    bound_s: float,
    runs: int = RUNS,
    shares_differ: float | None = None,
) -> Trials:
    """Trials of the keys of ``modelled_rps``: ``first`` in its order, then the rest, highest rate first.

    Args:
        modelled_rps: Rates in requests/s, > 0.
        first: Candidates that are tried in any case; all of them keys.
        bound_s: The promise in seconds, > 0.
        runs: Of each candidate, ≥ 1.
        shares_differ: As in :class:`Trials`.

    Raises:
        ValueError: when nobody is there, a rate is not > 0, or one of ``first`` has none.
    """
    if not modelled_rps or any(not r > 0 for r in modelled_rps.values()) or not set(first) <= set(modelled_rps):
        raise ValueError(f"rates must be > 0 and there for all of {[c.label for c in first]}: {dict(modelled_rps)}")
    rest = sorted((c for c in modelled_rps if c not in first), key=lambda c: -modelled_rps[c])
    return Trials(
        modelled_rps={c: modelled_rps[c] for c in (*first, *rest)},
        must=len(first),
        bound_s=bound_s,
        curves={},
        runs={},
        wanted=runs,
        shares_differ=shares_differ,
    )


def kept_rps(trials: Trials, c: Candidate) -> float:
    """Rate that a candidate keeps as its runs so far say, 0 when it keeps none or was not served."""
    runs = trials.runs.get(c, ())
    return trials.curves[c].kept_rps(trials.bound_s, trials.curves[c].middle(runs)) if runs else 0.0


def best(trials: Trials) -> Candidate | None:
    """Who keeps the highest rate of those that ran as often as wanted; of equals the one tried first; None for none."""
    kept = {c: kept_rps(trials, c) for c, runs in trials.runs.items() if len(runs) >= trials.wanted}
    able = [c for c in trials.modelled_rps if kept.get(c, 0.0) > 0]
    return max(able, key=lambda c: kept[c]) if able else None


def turn(trials: Trials) -> tuple[Candidate, float] | None:
    """Who is to be served next and at which rate in requests/s; None when it is settled.

    Those who are tried in any case take turns, so that what the machine does meanwhile falls on all of them; then
    challengers, one after another.
    """
    able = [c for c in trials.modelled_rps if _may_win(trials, c)]
    firsts = [c for c in list(trials.modelled_rps)[: trials.must] if c in able]
    if not able:
        return None
    c = min(firsts, key=lambda c: len(trials.runs.get(c, ()))) if firsts else able[0]
    runs = trials.runs.get(c, ())
    return c, next_rate(trials.curves[c], runs, trials.bound_s) if runs else trials.modelled_rps[c]


def _may_win(trials: Trials, c: Candidate) -> bool:
    """Whether a candidate has runs to come."""
    runs = trials.runs.get(c, ())
    if len(runs) >= trials.wanted:
        return False
    if runs or list(trials.modelled_rps).index(c) < trials.must:
        return True
    first = best(trials)
    top = kept_rps(trials, first) if first is not None else 0.0
    return trials.modelled_rps[c] * _most_kept(trials) > top * CLEAR


def _most_kept(trials: Trials) -> float:
    """Most of its modelled rate that a candidate that was not served may keep, in (0, 1]."""
    if trials.shares_differ is None:
        return 1.0
    shares = [kept_rps(trials, c) / trials.modelled_rps[c] for c in trials.runs]
    most = max(shares, default=0.0)
    return min(1.0, most * trials.shares_differ) if most > 0 else 1.0


def next_rate(curve: LatencyRate, runs: Sequence[tuple[float, float]], bound_s: float) -> float:
    """Rate of the next run: the one that is kept as far as is known, within a step of the last.

    Where the promise is kept at no rate, the runs do not go on to ever lower ones.

    Args:
        curve: Of the candidate.
        runs: Rate and percentile of each run, at least one.
        bound_s: The promise in seconds.
    """
    last, slowness = runs[-1][0], curve.middle(runs)
    easy = EASY_FRAC * curve.saturation_rps * math.exp(-slowness)
    return min(max(curve.kept_rps(bound_s, slowness), last * MOST_DOWN, easy), last * MOST_UP)


def kept_by_run(curve: LatencyRate, bound_s: float, seen: Slowness) -> tuple[list[float], float]:
    """Rate kept as each run alone says, to first order; and by how many per cent it falls for each of service time.

    Args:
        curve: Of the candidate.
        bound_s: The promise in seconds, > 0.
        seen: From :meth:`LatencyRate.fit`.
    """
    quicker, middle, slower = (curve.kept_rps(bound_s, seen.value + way * _STEP) for way in (-1, 0, 1))
    if not min(quicker, middle) > 0:
        return [max(middle, 1e-9)] * len(seen.by_run), 1.0
    fall = math.log(quicker / slower) / (2 * _STEP) if slower > 0 else math.log(quicker / middle) / _STEP
    return [middle * math.exp(-fall * (f - seen.value)) for f in seen.by_run], fall


def step(trials: Trials, c: Candidate, curve: LatencyRate, rate_rps: float, seen_s: float) -> Trials:
    """Take in one run.

    Args:
        trials: State before it.
        c: Who was served.
        curve: Its latency by rate, for runs of this length.
        rate_rps: At which rate.
        seen_s: The promised percentile after the warm-up; infinite where too few requests were answered.
    """
    runs = (*trials.runs.get(c, ()), (rate_rps, seen_s))
    return replace(trials, curves={**trials.curves, c: curve}, runs={**trials.runs, c: runs})


def cut(curve: LatencyRate, at_rps: float, hi_s: float, bound_s: float, failed: int = 1) -> float:
    """Factor, > 1, by which a failed proof lowers the planned rate: to what the upper end of its own interval keeps.

    Args:
        curve: Latency by rate, of runs as the proof's.
        at_rps: Rate of the proof, > 0.
        hi_s: Upper end of the promised percentile there in seconds, infinite where there was none.
        bound_s: The promise in seconds, > 0.
        failed: Proofs so far, ≥ 1: where lowering the rate helped less than the curve says, the next step is larger.
            So is the first where no percentile was seen, which says nothing of by how much the promise failed.
    """
    kept = curve.kept_rps(bound_s, curve.slowness_at(at_rps, hi_s))
    least = LEAST_CUT if failed == 1 and math.isfinite(hi_s) else LATER_CUT
    return min(MOST_CUT, max(least, at_rps / kept)) if kept > 0 else MOST_CUT


def allowing_for_cuts(found: Estimate, factor: float) -> Estimate:
    """An estimate that is going to be scaled to a planned rate that failed proofs lowered.

    Another run of the same command may find the first rate proven: its upper end stays where it was.

    Args:
        found: The rate kept, or its ratio to another.
        factor: By which proofs lowered the plan, ≥ 1.
    """
    if factor <= 1:
        return found
    method = f"{found.method}; and what proofs took off"
    return replace(found, hi=found.hi * factor, method=method)
