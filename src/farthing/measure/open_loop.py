"""Runs under Poisson arrivals, each with a seed of its own: what one saw, and what several say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.intervals import mean_t, wider
from farthing.core.traffic.latency_rate import (
    LatencyRate,
    least_requests_of_run,
    long_run,
    requests_of_run,
    tail_of,
)
from farthing.nouns import NEVER_MS, Candidate, Estimate, LatencyBound, Measurement, latency_metric

__all__ = [
    "RunSeen",
    "as_measurement",
    "fewest_requests",
    "just_late",
    "levels_of",
    "look_by_look",
    "requests_at",
    "seen_of",
    "server_metrics",
]

RUN_S = 2.0
"""Length of one run."""
LONGEST_RUN_S = 4 * RUN_S
"""No run is longer: where requests come so slowly that a level would need more time, it makes do with fewer of them."""
JUST_LATE = 1.02
MOST_REQUESTS = 200_000
"""Of one run, unless more were asked for."""
_MEDIAN, _NORMAL = 0.5, 1.96
FIRST_LOOKS = ((1, 0.99), (2, 0.96))
"""A proof's looks: how many times the usual number of runs, and the confidence of the interval that must keep the
promise then. The second is made where the first one cannot tell. Each errs to one side in half of the rest: 0.5 and
2 %, 2.5 % together."""
LATER_LOOKS = ((1, 0.999), (2, 0.975))
"""The same after a proof that failed: 0.05 and 1.25 %, so that with two of them the plan's promise errs in 5 %."""
LEVELS = (_MEDIAN, 0.9, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen:
    """What one run saw.

    Attributes:
        rate_rps: Of the schedule.
        n: Requests.
        seed: Of the arrivals.
        tails_s: Percentiles after the warm-up, by level (``"0.99"``), infinite where too few were answered.
        answered_frac: Share with a good answer.
        achieved_rps: Good answers over the time.
        batch_size: Mean size of the batches, 0 where nobody could look.
        generator_frac: Processor time of the load generator over that of all cores, 0 where there was none.
        front_frac: The same of the server's own process, its workers left out.
        contended: Whether cores were busy in spite of retries.
        slowdown: By how much, ≥ 1.
        full_rps: What clients that never rest got from the server right after the run, 0 where nobody looked.
    """

    rate_rps: float
    n: int
    seed: int
    tails_s: Mapping[str, float]
    answered_frac: float
    achieved_rps: float
    batch_size: float = 0.0
    generator_frac: float = 0.0
    front_frac: float = 0.0
    contended: bool = False
    slowdown: float = 1.0
    full_rps: float = 0.0

    def tail_s(self, level: float) -> float:
        """A percentile of this run in seconds."""
        return self.tails_s[f"{level:.6g}"]


def levels_of(promised: float) -> tuple[float, ...]:
    """Percentiles that a run is asked for: the usual ones and the promised one."""
    return tuple(sorted({*LEVELS, promised}))


def fewest_requests(promised: float) -> int:
    """Fewest requests of one run: those that the highest of its percentiles needs.

    Args:
        promised: Level, in (0, 1).
    """
    return requests_of_run(max(levels_of(promised)))


def requests_at(rate_rps: float, level: float, fewest: int = 0) -> int:
    """Requests of one run at a rate: those of some seconds, at least what the level needs in the time there is.

    Args:
        rate_rps: > 0.
        level: That is promised, in (0, 1); p99 is always asked for.
        fewest: Wanted by the user.
    """
    enough = min(
        fewest_requests(level), max(least_requests_of_run(max(levels_of(level))), round(rate_rps * LONGEST_RUN_S))
    )
    return max(enough, fewest, min(MOST_REQUESTS, round(rate_rps * RUN_S)))


def seen_of(latency_ms: NDArray[np.float64], levels: Sequence[float], **facts: Any) -> RunSeen:
    """Reduce one run.

    Args:
        latency_ms: In order of arrival, infinite where no good answer came.
        levels: Percentiles.
        facts: Further fields.
    """
    tails = {f"{level:.6g}": tail_of(latency_ms, level) / 1000 for level in levels}
    answered = float(np.isfinite(latency_ms).mean())
    return RunSeen(n=latency_ms.size, tails_s=tails, **{"answered_frac": answered, **facts})


def just_late(latency_ms: NDArray[np.float64], bound_ms: float) -> NDArray[np.float64]:
    """Requests that were refused or given up count as a little later than a bound and all others: late at the least.

    Args:
        latency_ms: Infinite where no good answer came, shape ``(n,)``.
        bound_ms: That they were refused by, > 0.
    """
    answered = np.isfinite(latency_ms)
    return np.where(answered, latency_ms, max(bound_ms * JUST_LATE, float(latency_ms[answered].max(initial=0))))


class _HasTails(Protocol):
    """What is known of the percentiles of some runs."""

    def latency(self, percentile: float) -> Estimate:
        """One of them in ms."""
        ...


Seen = TypeVar("Seen", bound=_HasTails)


def server_metrics(
    runs: Sequence[RunSeen],
    rates: Mapping[float, LatencyRate],
    *,
    aside_s: Mapping[float, float] | None = None,
    confidence: float = 0.95,
    start_frac: float = 0.0,
    set_aside: int = 0,
) -> dict[str, Estimate]:
    """What several runs at one rate say of the Server scenario, by name as a Measurement has it.

    The percentiles are those of the long run at that rate, with an interval over the runs (each with its own seed):
    :func:`farthing.core.traffic.latency_rate.long_run`.

    Args:
        runs: At least two at the same rate.
        rates: Latency by rate of each level, the median among them.
        aside_s: What a request waits for beside the queue at each level, ≥ 0; 0 where a level is missing.
        confidence: Of the intervals of latencies.
        start_frac: Standard deviation of the logarithm of service times between starts of the same server, ≥ 0: all
            these runs are of one start, and another one is another.
        set_aside: Runs that were made again since others used the machine meanwhile.
    """
    rate = runs[0].rate_rps
    lost = mean_t([1 - run.answered_frac for run in runs], confidence=confidence)
    metrics = {}
    for level, found in _long_runs(runs, rates, aside_s or {}, confidence):
        found = _lower(_between_starts(found, rates[level], rate, start_frac), runs, set_aside)
        metrics[latency_metric(level)] = _bounded(found, lost, 1 - level)
    for name, values in {
        "throughput_rps": [r.achieved_rps for r in runs],
        "answered_frac": [r.answered_frac for r in runs],
        "batch_size": [r.batch_size for r in runs if r.batch_size],
        "generator_frac": [r.generator_frac for r in runs if r.generator_frac],
        "front_frac": [r.front_frac for r in runs if r.front_frac],
    }.items():
        if len(values) > 1:
            metrics[name] = mean_t(values)
    return {**metrics, "offered_rps": Estimate(value=rate, lo=rate, hi=rate, n=0, method="as scheduled")}


def as_measurement(
    runs: Sequence[RunSeen],
    rates: Mapping[float, LatencyRate],
    candidate: Candidate,
    *,
    hardware: str,
    seconds: float,
    aside_s: Mapping[float, float] | None = None,
    confidence: float = 0.95,
    start_frac: float = 0.0,
    set_aside: int = 0,
) -> Measurement:
    """Several runs at one rate as the Server scenario's Measurement of a candidate.

    Args:
        runs: At least two at the same rate.
        rates: As :func:`server_metrics` takes them.
        candidate: What ran, with its batch limit.
        hardware: Fingerprint.
        seconds: Wall time of all.
        aside_s: As :func:`server_metrics` takes it.
        confidence: Likewise.
        start_frac: Likewise.
        set_aside: Likewise.
    """
    return Measurement(
        candidate=candidate,
        scenario="Server",
        batch=candidate.max_batch,
        n=sum(run.n for run in runs),
        metrics=server_metrics(
            runs, rates, aside_s=aside_s, confidence=confidence, start_frac=start_frac, set_aside=set_aside
        ),
        seed=runs[0].seed,
        hardware=hardware,
        taken_at=datetime.now(UTC),
        blocks=tuple(run.achieved_rps for run in runs),
        contended=any(run.contended for run in runs),
        seconds=seconds,
    )


def look_by_look(
    bound: LatencyBound | None,
    level: float,
    make: Callable[[int], object],
    measured: Callable[[float], Seen],
    *,
    again: bool,
) -> Seen:
    """A proof: more runs where the promise is kept by an interval too wide to say so.

    Args:
        bound: That must be kept, None for none: then there is one look, at 95 %.
        level: Of the percentile.
        make: Makes runs until there are so many times the usual number.
        measured: What all runs so far say, at a confidence.
        again: A proof at a higher rate has failed before.
    """
    for times, confidence in LATER_LOOKS if again else FIRST_LOOKS:
        make(times)
        found = measured(0.95 if bound is None else confidence)
        tail = found.latency(level)
        if bound is None or not tail.value <= bound.ms < tail.hi:
            break
    return found


def _long_runs(
    runs: Sequence[RunSeen], rates: Mapping[float, LatencyRate], aside_s: Mapping[float, float], confidence: float
) -> Iterator[tuple[float, Estimate]]:
    """Each level with its long-run percentile."""
    waits_s = aside_s.get(_MEDIAN, 0.0)
    busy = rates[_MEDIAN].fit([(r.rate_rps, max(r.tail_s(_MEDIAN) - waits_s, 0.0)) for r in runs], confidence)
    for level, curve in rates.items():
        tails_s = [run.tail_s(level) for run in runs]
        yield level, long_run(curve, runs[0].rate_rps, tails_s, busy, aside_s.get(level, 0.0))


def _between_starts(found: Estimate, curve: LatencyRate, rate_rps: float, start_frac: float) -> Estimate:
    """With what another start of the server would change at that rate."""
    if start_frac <= 0 or not 0 < found.lo <= found.hi < math.inf:
        return found
    quicker, middle, slower = (curve.latency_s(rate_rps, way * _NORMAL * start_frac) for way in (-1, 0, 1))
    said = f"{100 * start_frac:.2g} % of service time as standard deviation between starts"
    return wider(found, math.log(middle / quicker), math.log(slower / middle), said)


def _lower(found: Estimate, runs: Sequence[RunSeen], set_aside: int) -> Estimate:
    """On busy cores, which only ever add to a latency, the interval reaches down to quiet ones; what was left out."""
    slower = math.exp(sum(math.log(run.slowdown) for run in runs if run.contended) / len(runs))
    said = ", widened: cores busy" if slower > 1 else ""
    if set_aside:
        said += f"; {set_aside} more made again since others used the machine"
    return replace(found, lo=found.lo / slower, method=found.method + said) if said else found


def _bounded(found: Estimate, lost: Estimate, left: float) -> Estimate:
    """Without infinite ends; with no percentile where more requests than it leaves were not answered in time."""
    lo, value, hi = (min(ms, NEVER_MS) for ms in (found.lo, found.value, found.hi))
    if lost.value > left:
        lo, value, hi = NEVER_MS if lost.lo > left else lo, NEVER_MS, NEVER_MS
    return replace(found, lo=lo, value=value, hi=hi)
