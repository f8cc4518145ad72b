"""The rate that a choice keeps within the promise through its server, in turns with blocks of the baseline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from farthing.core.search import sustained
from farthing.core.stats.intervals import ratio_of_blocks
from farthing.core.traffic.batch_queue import HEADROOM_FRAC, saturation_rps
from farthing.core.traffic.latency_rate import LatencyRate
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.measure.open_loop import RUN_S, fewest_requests, requests_at
from farthing.measure.served.path import NAME, ServedPath, served_model, step_of
from farthing.measure.served.repeats import between_starts, drift_of, no_narrower, repeatable
from farthing.measure.served.runs import Patience, baseline_block, beside_key, middle
from farthing.measure.state import RunState, sla_of
from farthing.measure.under_load import rates_of, seed_of
from farthing.nouns import Candidate, Estimate, LocalModel

__all__ = ["Kept", "aside_of", "model_of", "modelled_rps", "rate_kept", "slower_by"]

SEEKING = 1
"""First runs, which only look for the rate that the trials found and do not count."""
EASY_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The rate that a candidate keeps, in requests/s; and over the baseline's, both in one stretch of time.

    ``beside_rps`` is the baseline's own throughput in that stretch, ``full_rps`` what clients that never rest got from
    the server (0 where nobody looked). ``busy`` when others used the cores meanwhile.
    """

    rate: Estimate
    over_baseline: Estimate
    beside_rps: float
    full_rps: float = 0.0
    busy: bool = False


def model_of(state: RunState, c: Candidate, deadline: float | None) -> LocalModel:
    """A candidate as the server gets it from a plan.

    Args:
        state: With its measured curve and facts.
        c: Who.
        deadline: Default of a request in seconds; None lets late answers come, so that latencies are whole.
    """
    bench, key = state.bench, replace(c, max_batch=1)
    known, facts = state.curves[key], state.facts.get(key)
    return LocalModel(
        name=NAME,
        path=((bench.root or bench.out) / bench.artefacts[c.variant].path).absolute(),
        candidate=c,
        pipeline=bench.workload.pipeline,
        classes=bench.workload.holdout.classes or (),
        deadline_s=deadline,
        memory_mib=facts.peak_memory_mib if facts else None,
        service_ms={size: e.value for size, e in zip(known.sizes, known.service_ms)},
    )


def rate_kept(state: RunState, c: Candidate) -> tuple[float, float, Kept]:
    """Factor on the service times that the server's capacity says, what it takes on a request, the rate kept."""
    bench, bound = state.bench, state.bench.workload.objective.latency
    bench.retire([state.baseline])
    with served_model(bench, model_of(state, c, None), f"{c.key}/rate") as path:
        bench.tell("serving", 0, SEEKING + bench.settings.rate_runs, f"{c.label} through farthing serve")
        slower, full = slower_by(path, state.curves[replace(c, max_batch=1)])
        taken_s = (1 - 1 / slower) / full
        if bound is None:
            return slower, taken_s, _share_of_capacity(state, path)
        return slower, taken_s, _at_bound(state, path, slower, full, bound.ms / 1000)


def _at_bound(state: RunState, path: ServedPath, slower: float, full_rps: float, bound_s: float) -> Kept:
    bench, c = state.bench, path.candidate
    modelled = (state.sla.get(c) or modelled_rps(state, c)) * sustained.HEADROOM
    rate = min(modelled, full_rps * (1 - HEADROOM_FRAC))
    n = requests_at(rate, state.percentile)
    curves = rates_of(bench, state.curves[replace(c, max_batch=1)], c, n, slower)
    curve = curves[state.percentile]
    state.aside_s = aside_of(path, curves, full_rps)
    aside_s = state.aside_s.get(state.percentile, 0.0)
    runs: list[tuple[float, float]] = []
    base_rps: list[float] = []
    full: list[float] = []
    busy, patience = False, Patience(bench)
    total = SEEKING + bench.settings.rate_runs
    for k in itertools.count():
        bench.tell("serving", len(runs), total, f"{c.label} at {rate:.0f} requests/s through farthing serve")
        seen = path.run(rate, n, seed_of(bench.seed, "rate", k))
        beside_rps = baseline_block(state, path.key, k)
        if patience.again(seen, path.key):
            bench.contention.forget(f"round/{beside_key(path.key, k)}")
            continue
        busy = busy or seen.contended
        runs.append((rate, seen.tail_s(state.percentile) - aside_s))
        base_rps.append(beside_rps)
        full.append(seen.full_rps)
        if len(runs) == total:
            break
        rate = sustained.next_rate(curve, runs, bound_s - aside_s)
    fit = curve.fit(runs[SEEKING:])
    kept = curve.kept(bound_s - aside_s, fit)
    bench.tell("serving", total, total, f"{c.label} keeps {kept.value:.0f} requests/s")
    by_run, fall = sustained.kept_by_run(curve, bound_s - aside_s, fit)
    ratio = no_narrower(ratio_of_blocks(by_run, base_rps[SEEKING:], confidence=0.95), kept)
    found = _kept(state, kept, ratio, base_rps[SEEKING:], busy=busy, fall=fall)
    return replace(found, full_rps=middle(full[SEEKING:]))


def _kept(
    state: RunState,
    rate: Estimate,
    ratio: Estimate,
    base_rps: Sequence[float],
    *,
    busy: bool = False,
    fall: float = 1.0,
) -> Kept:
    """Both with what repeats of the whole run differ by.

    Args:
        state: With the baseline's drift.
        rate: Kept.
        ratio: Over the baseline's.
        base_rps: Blocks of the baseline.
        busy: Whether others used the cores.
        fall: By how many per cent the rate kept falls when service takes one per cent longer, ≥ 0: what another start
            of the server changes beyond the one per cent is no part of ``REPEAT_FRAC``.
    """
    starts = between_starts(fall)
    return Kept(
        rate=repeatable(rate, starts),
        over_baseline=repeatable(ratio, math.hypot(starts, drift_of(state))),
        beside_rps=float(np.exp(np.log(base_rps).mean())),
        busy=busy,
    )


def aside_of(path: ServedPath, curves: Mapping[float, LatencyRate], full_rps: float) -> dict[float, float]:
    """What a request waits for beside the queue (protocol, the system's scheduler) at each level, from easy runs.

    Args:
        path: To the server.
        curves: Latency by rate of what it serves.
        full_rps: What clients that never rest get from it.

    Returns:
        Seconds by level, ≥ 0, at most half of the promised latency.
    """
    bench, rate = path.bench, sustained.EASY_FRAC * full_rps
    n = min(requests_at(rate, bench.level), max(fewest_requests(bench.level), round(rate * RUN_S / 2)))
    seen = [path.run(rate, n, seed_of(bench.seed, "easy", k)) for k in range(EASY_RUNS)]
    quiet = [run for run in seen if not run.contended] or seen
    for run in seen:
        if run not in quiet:
            bench.contention.forget(step_of(path.key, run.rate_rps, run.n, run.seed))
    bound = bench.workload.objective.latency
    most_s = math.inf if bound is None else bound.ms / 2000
    found = {level: float(np.median([run.tail_s(level) for run in quiet])) for level in curves}
    return {
        level: min(most_s, max(0.0, tail_s - curves[level].latency_s(rate, 0.0)))
        for level, tail_s in found.items()
        if math.isfinite(tail_s)
    }


def _share_of_capacity(state: RunState, path: ServedPath) -> Kept:
    """Without a bound: what a server that never rests answers, less the headroom that queues need."""
    full, base_rps = [], []
    runs = state.bench.settings.rate_runs
    for k in range(1, runs + 1):
        state.bench.tell("serving", k - 1, runs, f"{path.candidate.label} with clients that never rest")
        full.append(path.capacity_rps(k) * (1 - HEADROOM_FRAC) * sustained.HEADROOM)
        base_rps.append(baseline_block(state, path.key, k))
    ratio = ratio_of_blocks(full, base_rps, confidence=0.95)
    value = float(np.exp(np.log(full).mean()))
    state.bench.tell("serving", runs, runs, f"{path.candidate.label} keeps {value:.0f} requests/s")
    rate = replace(ratio, value=value, lo=value * ratio.lo / ratio.value, hi=value * ratio.hi / ratio.value)
    return _kept(state, rate, ratio, base_rps)


def modelled_rps(state: RunState, c: Candidate) -> float:
    """The queue model's rate within the promise, half of saturation where it knows none."""
    known, bound = state.curves[replace(c, max_batch=1)], state.bench.workload.objective.latency
    found = sla_of(state, known.upto(c.max_batch), c.instances, c.max_batch, None if bound is None else bound.ms)
    return found or saturation_rps(known, instances=c.instances, max_batch=c.max_batch) / 2


def slower_by(path: ServedPath, known: ServiceCurve) -> tuple[float, float]:
    """Factor on the measured service times that the server's capacity says, ≥ 1, and that capacity in requests/s.

    Args:
        path: To the server.
        known: Service times of what it serves.
    """
    c, full = path.candidate, path.capacity_rps(0)
    return max(1.0, saturation_rps(known, instances=c.instances, max_batch=c.max_batch) / full), full
