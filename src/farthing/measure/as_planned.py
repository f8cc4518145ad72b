"""The last stage: the choice through ``farthing serve``, as users get it: the rate it keeps, the proof at the plan's.

The rate is worked out from runs that take turns with blocks of the baseline, so that slow drift of the machine falls on
both; each run has arrivals of its own. The proof is run on a server that was started anew.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from farthing.core.money.trace_cost import replicas_by_hour
from farthing.core.search import sustained
from farthing.core.stats.intervals import ratio_of_blocks, wider
from farthing.core.traffic.batch_queue import HEADROOM_FRAC, saturation_rps
from farthing.core.traffic.latency_rate import WARM_UP_FRAC, LatencyRate, Slowness
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.load.serve.planned import deadline_s
from farthing.measure import live_server
from farthing.measure.open_loop import (
    LONGEST_RUN_S,
    RUN_S,
    RunSeen,
    as_measurement,
    fewest_requests,
    look_by_look,
    requests_at,
)
from farthing.measure.served_path import NAME, ServedPath, served_model, step_of
from farthing.measure.state import RunState, TraceOf, sla_of
from farthing.measure.under_load import beside_server, rates_of, seed_of
from farthing.measure.workbench import Workbench
from farthing.nouns import NEVER_MS, Candidate, Estimate, LocalModel, Measurement, Trace, percentile_name

__all__ = ["aside_of", "model_of", "proof_requests", "provable_rps", "serve_as_planned", "slower_by", "through"]

SEEKING = 2
"""First runs, which only look for the rate and do not count."""
BASELINE_RUNS = 3
AGAIN = 3
"""Runs of one server that are made again because others used the machine, each with what is compared with it."""
WORTH_SAYING_FRAC = 0.02
"""Share of the baseline's time for a request from which on the server's is mentioned."""
REPEAT_FRAC = 0.06
"""Standard deviation of the logarithm of the rate kept over the baseline's between whole runs of one command, beyond
what one run sees: choices among near-ties, processes that start faster or slower (``make bench ONLY=repeat``). What the
baseline's own speed differed by between the stages of the run comes on top."""
DRIFT_WORTH_SAYING_FRAC = 0.06
UNSERVED_FRAC = 0.1
"""The same of a rate that was not found through the server."""
START_FRAC = 0.03
"""Standard deviation of the logarithm of service times between starts of one server, minutes apart: all runs of a proof
are of one. On a host that others share it was 4 to 7 %, theirs included (BENCHMARKS.md, repeat)."""
EASY_RUNS = 3
_SURE = 0.025
_STEP = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The rate that a candidate keeps, in requests/s; and over the baseline's, both in one stretch of time.

    ``beside_rps`` is the baseline's own throughput in that stretch, ``full_rps`` what clients that never rest got from
    the server (0 where nobody looked). ``busy`` when others used the cores meanwhile.
    """

    rate: Estimate
    over_baseline: Estimate
    beside_rps: float
    full_rps: float = 0.0
    busy: bool = False


def serve_as_planned(state: RunState, chosen: Candidate, trace_of: TraceOf) -> bool:
    """Find the rate that the choice keeps in its server, plan with headroom, prove the promise at the plan's peak.

    Args:
        state: After the proof rounds.
        chosen: Who is planned.
        trace_of: Gives the arrivals.

    Returns:
        False when the choice keeps the promise at no rate: nothing is chosen then.
    """
    why = live_server.missing()
    if why is not None:
        state.notes.append(f"the promise was tested beside the server, not through `farthing serve`: {why}")
    slower, taken_s, kept = _rate_kept(state, chosen) if why is None else (1.0, 0.0, None)
    if kept is not None:
        _pool_baseline(state, kept.beside_rps)
    _charge_server(state, taken_s)
    before = state.sla.get(chosen)
    if kept is not None:
        if kept.rate.value > 0:
            state.kept[chosen], state.rate_ratio = kept.rate, kept.over_baseline
            state.sla[chosen] = kept.rate.value / sustained.HEADROOM
        elif not kept.busy:
            state.sla[chosen] = None
            state.lost[chosen] = f"served: keeps the promise at no rate ({state.level})"
            return False
    if state.rate_ratio is None and chosen in state.ratios:  # not served, or on cores too busy to say anything
        state.rate_ratio = repeatable(state.ratios[chosen], max(UNSERVED_FRAC, _drift(state)))
    if state.sla.get(chosen) is None:  # busy cores: the proof has the word
        state.sla[chosen] = _modelled_rps(state, chosen) / sustained.HEADROOM
    _prove_at_peak(state, chosen, trace_of, slower, kept if why is None else None)
    _share_cut(state, chosen, before)
    base = state.sla[state.baseline]
    state.bench.retire([state.baseline])
    if base is not None:
        state.bench.tell("baseline today", 0, 1, f"{state.baseline.label} at {base:.0f} requests/s")
        found = beside_server(state, state.baseline, base, BASELINE_RUNS, "baseline")
        state.server[state.baseline] = found
        state.bench.tell("baseline today", 1, 1, _tail_in_words(found, state.percentile))
    return True


def _tail_in_words(found: Measurement, percentile: float) -> str:
    value = found.latency(percentile).value
    return f"{percentile_name(percentile)} {'unbounded' if value >= NEVER_MS else f'{value:.1f} ms'}"


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


def _rate_kept(state: RunState, c: Candidate) -> tuple[float, float, _Kept]:
    """Factor on the service times that the server's capacity says, what it takes on a request, the rate kept."""
    bench, bound = state.bench, state.bench.workload.objective.latency
    bench.retire([state.baseline])
    with served_model(bench, model_of(state, c, None), f"{c.label}/{c.precision}/rate") as path:
        bench.tell("serving", 0, SEEKING + bench.settings.rate_runs, f"{c.label} through farthing serve")
        slower, full = slower_by(path, state.curves[replace(c, max_batch=1)])
        taken_s = (1 - 1 / slower) / full
        if bound is None:
            return slower, taken_s, _share_of_capacity(state, path)
        return slower, taken_s, _at_bound(state, path, slower, full, bound.ms / 1000)


def _at_bound(state: RunState, path: ServedPath, slower: float, full_rps: float, bound_s: float) -> _Kept:
    bench, c = state.bench, path.candidate
    modelled = (state.sla.get(c) or _modelled_rps(state, c)) * sustained.HEADROOM
    rate = min(modelled, full_rps * (1 - HEADROOM_FRAC))
    n = requests_at(rate, state.percentile)
    curves = rates_of(bench, state.curves[replace(c, max_batch=1)], c, n, slower)
    curve = curves[state.percentile]
    state.aside_s = aside_of(path, curves, full_rps)
    aside_s = state.aside_s.get(state.percentile, 0.0)
    runs: list[tuple[float, float]] = []
    base_rps: list[float] = []
    full: list[float] = []
    busy, patience = False, _Patience(bench)
    total = SEEKING + bench.settings.rate_runs
    for k in itertools.count():
        bench.tell("serving", len(runs), total, f"{c.label} at {rate:.0f} requests/s through farthing serve")
        seen = path.run(rate, n, seed_of(bench.settings.seed, "rate", k))
        beside_rps = _baseline_block(state, path.key, k)
        if patience.again(seen, path.key):
            bench.contention.forget(f"round/{_beside(path.key, k)}")
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
    by_run, fall = kept_by_run(curve, bound_s - aside_s, fit)
    ratio = _no_narrower(ratio_of_blocks(by_run, base_rps[SEEKING:], confidence=0.95), kept)
    found = _kept(state, kept, ratio, base_rps[SEEKING:], busy=busy, fall=fall)
    return replace(found, full_rps=_middle(full[SEEKING:]))


@dataclass(slots=True)
class _Patience:
    """Has runs made again during which others used the machine, a few times; those no longer count as contended."""

    bench: Workbench
    left: int = AGAIN
    set_aside: int = 0

    def again(self, seen: RunSeen, key: str) -> bool:
        """Whether a run of the path of that key is to be made again."""
        if not seen.contended or not self.left:
            return False
        self.left, self.set_aside = self.left - 1, self.set_aside + 1
        self.bench.contention.forget(step_of(key, seen.rate_rps, seen.n, seen.seed))
        return True


def _kept(
    state: RunState,
    rate: Estimate,
    ratio: Estimate,
    base_rps: Sequence[float],
    *,
    busy: bool = False,
    fall: float = 1.0,
) -> _Kept:
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
    return _Kept(
        rate=repeatable(rate, starts),
        over_baseline=repeatable(ratio, math.hypot(starts, _drift(state))),
        beside_rps=float(np.exp(np.log(base_rps).mean())),
        busy=busy,
    )


def between_starts(fall: float) -> float:
    """What another start of the server changes of the rate kept, beyond what it changes of the service time.

    Args:
        fall: By how many per cent the rate kept falls when service takes one per cent longer.
    """
    return START_FRAC * max(0.0, fall - 1)


def _no_narrower(ratio: Estimate, kept: Estimate) -> Estimate:
    """A ratio to the baseline is known no better than the rate itself where that may be none at all."""
    if kept.lo > 0 or not kept.value > 0:
        return ratio
    return replace(ratio, lo=0.0, hi=max(ratio.hi, ratio.value * kept.hi / kept.value))


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
    seen = [path.run(rate, n, seed_of(bench.settings.seed, "easy", k)) for k in range(EASY_RUNS)]
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


def _share_of_capacity(state: RunState, path: ServedPath) -> _Kept:
    """Without a bound: what a server that never rests answers, less the headroom that queues need."""
    full, base_rps = [], []
    runs = state.bench.settings.rate_runs
    for k in range(1, runs + 1):
        state.bench.tell("serving", k - 1, runs, f"{path.candidate.label} with clients that never rest")
        full.append(path.capacity_rps(k) * (1 - HEADROOM_FRAC) * sustained.HEADROOM)
        base_rps.append(_baseline_block(state, path.key, k))
    ratio = ratio_of_blocks(full, base_rps, confidence=0.95)
    value = float(np.exp(np.log(full).mean()))
    state.bench.tell("serving", runs, runs, f"{path.candidate.label} keeps {value:.0f} requests/s")
    rate = replace(ratio, value=value, lo=value * ratio.lo / ratio.value, hi=value * ratio.hi / ratio.value)
    return _kept(state, rate, ratio, base_rps)


def _modelled_rps(state: RunState, c: Candidate) -> float:
    """The queue model's rate within the promise, half of saturation where it knows none."""
    known, bound = state.curves[replace(c, max_batch=1)], state.bench.workload.objective.latency
    found = sla_of(state, known.upto(c.max_batch), c.instances, c.max_batch, None if bound is None else bound.ms)
    return found or saturation_rps(known, instances=c.instances, max_batch=c.max_batch) / 2


def _baseline_block(state: RunState, key: str, k: int) -> float:
    return state.bench.throughput(_beside(key, k), [state.baseline])[state.baseline]


def _beside(key: str, k: int) -> str:
    """Name of a block of the baseline beside a server's run."""
    return f"beside/{key}/{k}"


def kept_by_run(curve: LatencyRate, bound_s: float, fit: Slowness) -> tuple[list[float], float]:
    """Rate kept as each run alone says, to first order; and by how many per cent it falls for each of service time."""
    quicker, middle, slower = (curve.kept_rps(bound_s, fit.value + way * _STEP) for way in (-1, 0, 1))
    if not min(quicker, middle) > 0:
        return [max(middle, 1e-9)] * len(fit.by_run), 1.0
    fall = math.log(quicker / slower) / (2 * _STEP) if slower > 0 else math.log(quicker / middle) / _STEP
    return [middle * math.exp(-fall * (f - fit.value)) for f in fit.by_run], fall


def _middle(rates_rps: Sequence[float]) -> float:
    """Geometric mean of those that were seen (> 0), 0 of none."""
    seen = [rate for rate in rates_rps if rate > 0]
    return float(np.exp(np.log(seen).mean())) if seen else 0.0


def _times_slower(before_rps: float, now_rps: float) -> float:
    """How many times slower something is than it was, ≥ 1; 1 where either was not seen."""
    return max(1.0, before_rps / now_rps) if before_rps > 0 and now_rps > 0 else 1.0


def _pool_baseline(state: RunState, beside_rps: float) -> None:
    """The baseline's rate is that of all stages of this run, since no stage's blocks are the typical ones.

    It is worked out from the blocks beside the server, the stretch of time to which the rate kept belongs.

    Args:
        state: With the baseline's rate from the proof rounds.
        beside_rps: Throughput of the baseline in those blocks, > 0.
    """
    drift, base = state.bench.drifts.get(state.baseline), state.baseline
    if state.sla[base] is not None and drift is not None:
        state.sla[base] = beside_rps * (1 - HEADROOM_FRAC) * drift.typical_over("beside")


def _drift(state: RunState) -> float:
    """Standard error of the logarithm of the baseline's speed as the mean over the stages of this run."""
    drift = state.bench.drifts.get(state.baseline)
    if drift is None:
        return 0.0
    found = drift.between_stages()
    if found > DRIFT_WORTH_SAYING_FRAC:
        state.notes.append(
            f"the baseline's own speed differed by {100 * found:.0f} % (standard deviation) between the stages of this "
            "run while the cores' did not, as memory and caches shared with others do: the saving's interval allows "
            "for it"
        )
    return drift.error(REPEAT_FRAC)


def repeatable(found: Estimate, drift_frac: float = 0.0) -> Estimate:
    """An interval that a repeat of the whole run lies in as well: root of the sum of squares, on logarithms.

    Args:
        found: Positive, with the interval of one run.
        drift_frac: Standard deviation of the logarithm between stages of this run, ≥ 0.

    Returns:
        With half of the value as the interval's own lower end where its runs leave room for none at all: the proof at
        the planned rate has the word then.
    """
    if not found.value > 0:
        return found
    repeats = math.hypot(REPEAT_FRAC, drift_frac)
    known = found if found.lo > 0 else replace(found, lo=found.value / 2)
    said = f"{100 * repeats:.2g} % as standard deviation between repeats of the whole run"
    return wider(known, 1.96 * repeats, 1.96 * repeats, said)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """One proof.

    Attributes:
        found: What its runs say.
        curve: Latency by rate that they were read with.
        full_rps: What clients that never rest got from its server meanwhile, 0 where nobody looked.
        beside_rps: The baseline's throughput between its runs, 0 where there was none.
    """

    found: Measurement
    curve: LatencyRate
    full_rps: float = 0.0
    beside_rps: float = 0.0


def _prove_at_peak(state: RunState, chosen: Candidate, trace_of: TraceOf, slower: float, kept: _Kept | None) -> None:
    """Runs at the peak rate of one replica of the plan; the plan's rate is cut while the promise is not kept there.

    Where the server of the proof is slower than the one that told the rate (clients that never rest get less from it),
    the plan is lowered by as much first: another moment of a machine that others share, or another start.

    Args:
        state: With the rate planned.
        chosen: Who is proven.
        trace_of: Gives the arrivals.
        slower: Factor on the measured service times.
        kept: The rate that was found through a server, None for a proof beside it.
    """
    bound = state.bench.workload.objective.latency
    trace = trace_of(state.sla[state.baseline] or 0.0)
    rate = state.sla[chosen]
    assert rate is not None
    first, at = rate, math.inf

    def of_proof(planned_rps: float) -> float:
        return provable_rps(_peak_of_one(state, trace, planned_rps), planned_rps, state.percentile)

    for k in range(sustained.TRIES):
        if of_proof(rate) >= at:  # replicas that idle: another proof at the same rate would be another try
            break
        with _proof_path(state, chosen, k) if kept is not None else contextlib.nullcontext() as path:
            if path is not None and kept is not None and k == 0:
                rate = _lowered(first, rate, kept.full_rps, path.first_pace_rps(rate))
            at, state.sla[chosen] = of_proof(rate), rate
            proof = _proven(state, chosen, path, at, slower, k)
        state.server[chosen] = proof.found
        if bound is None or proof.found.latency(state.percentile).hi <= bound.ms:
            break
        rate /= sustained.cut(proof.curve, at, _hi_s(proof.found, state.percentile), bound.ms / 1000, k + 1)
        if kept is not None:
            rate = _lowered(first, rate, kept.full_rps, proof.full_rps)
        while at == _peak_of_one(state, trace, rate):  # as many replicas as before take what they took before
            rate /= sustained.LEAST_CUT
    if bound is not None and state.server[chosen].latency(state.percentile).hi > bound.ms:
        state.notes.append(
            f"{chosen.label} missed the promise at the plan's peak rate, tried at up to {sustained.TRIES} rates, the "
            f"last a planned rate of {state.sla[chosen]:.0f} requests/s"
        )
    _allow_for_cuts(state, chosen, first / (state.sla[chosen] or first), proof, kept)
    state.bench.retire([])


def _lowered(first_rps: float, rate_rps: float, full_rps: float, now_rps: float) -> float:
    """A planned rate, or a lower one: the first planned over how many times slower the server is than it was then."""
    return min(rate_rps, first_rps / _times_slower(full_rps, now_rps))


def _hi_s(found: Measurement, percentile: float) -> float:
    """Upper end of a proof's percentile; infinite where more were refused or given up than the level allows.

    Those count as answered just too late, which says that the promise failed and nothing of by how much.
    """
    refused_frac = 1 - found.metrics["answered_frac"].value
    hi_ms = found.latency(percentile).hi
    return math.inf if hi_ms >= NEVER_MS or refused_frac > 1 - percentile else hi_ms / 1000


def _allow_for_cuts(state: RunState, c: Candidate, factor: float, proof: _Proof, kept: _Kept | None) -> None:
    """What proofs took off the plan is part of its intervals, but for what the baseline lost in the same time.

    A ratio belongs to one stretch of time: the baseline that was slower beside the proof is priced at that speed.

    Args:
        state: With the plan's rate as it was proven at last.
        c: Who is planned.
        factor: By which it was lowered, ≥ 1.
        proof: The last.
        kept: The rate that was found, None without a server.
    """
    if factor <= 1:
        return
    shared = 1.0 if kept is None else min(factor, _times_slower(kept.beside_rps, proof.beside_rps))
    for other in {state.baseline, state.best_fp32, state.best_half}:
        if other is not None and other != c and (rate := state.sla.get(other)) is not None:
            state.sla[other] = rate / shared
    if shared > 1 + WORTH_SAYING_FRAC:
        state.notes.append(
            f"the baseline was {100 * (shared - 1):.0f} % slower beside the proof than while the rate was found, as "
            "the machine was: it is priced at that speed"
        )
    if c in state.kept:
        state.kept[c] = sustained.allowing_for_cuts(state.kept[c], factor)
    if state.rate_ratio is not None:
        state.rate_ratio = sustained.allowing_for_cuts(state.rate_ratio, factor / shared)


def _peak_of_one(state: RunState, trace: Trace, rate_rps: float) -> float:
    _, peaks = trace.hourly_rps()
    replicas = replicas_by_hour(peaks, rate_rps, state.bench.workload.objective.min_replicas)
    return float((peaks / replicas).max())


def _proof_path(state: RunState, c: Candidate, k: int) -> ServedPath:
    """A server of its own for each proof, with the deadline that the plan gives requests."""
    deadline = deadline_s(state.bench.workload.objective)
    return served_model(state.bench, model_of(state, c, deadline), f"{c.label}/{c.precision}/proof {k}")


def _proven(state: RunState, c: Candidate, path: ServedPath | None, rate: float, slower: float, k: int) -> _Proof:
    """One proof, with blocks of the baseline between its runs; beside the server where there is no path to one."""
    bench, known = state.bench, state.curves[replace(c, max_batch=1)]
    curves = rates_of(bench, known, c, proof_requests(bench, rate), slower)
    curve = curves[state.percentile]
    if path is None:
        return _Proof(found=beside_server(state, c, rate, bench.settings.proof_runs, f"proof {k}"), curve=curve)
    seen: list[RunSeen] = []
    beside: list[float] = []

    def after(run: RunSeen, number: int) -> None:
        seen.append(run)
        beside.append(_baseline_block(state, path.key, number))

    found = through(path, curves, rate, f"proof {k}", state.aside_s, again=k > 0, after=after)
    state.shares = found.metrics["front_frac"].value, found.metrics["generator_frac"].value
    return _Proof(
        found=found, curve=curve, full_rps=_middle([run.full_rps for run in seen]), beside_rps=_middle(beside)
    )


def proof_requests(bench: Workbench, rate_rps: float) -> int:
    """Requests of one of a proof's runs.

    Args:
        bench: With the settings.
        rate_rps: Of the proof, > 0.
    """
    return requests_at(rate_rps, bench.level, fewest=-(-bench.settings.server_n // bench.settings.proof_runs))


def through(
    path: ServedPath,
    curves: Mapping[float, LatencyRate],
    rate_rps: float,
    stage: str,
    aside_s: Mapping[float, float],
    *,
    again: bool = False,
    after: Callable[[RunSeen, int], None] | None = None,
) -> Measurement:
    """The Server scenario through a server's port: several runs with seeds of their own.

    Where the promise is kept but its interval is too wide to say so, as many runs again are made.

    Args:
        path: To the server.
        curves: Latency by rate of what it serves at each level, of runs of as many requests as these.
        rate_rps: > 0.
        stage: Of the work, for the seeds.
        aside_s: As :func:`aside_of` gives it.
        again: A proof at a higher rate has failed before.
        after: Told each run that counts, and its number.
    """
    bench, c = path.bench, path.candidate
    level = bench.level
    start_s = bench.clock.monotonic_s()
    seen: list[RunSeen] = []
    patience = _Patience(bench)

    def make(times: int) -> None:
        _make_runs(path, rate_rps, stage, seen, times * fewest_runs(bench, rate_rps), patience, after)

    def measured(confidence: float) -> Measurement:
        return as_measurement(
            seen, curves, c, hardware=bench.fingerprint, seconds=bench.clock.monotonic_s() - start_s, aside_s=aside_s,
            confidence=confidence, start_frac=START_FRAC, set_aside=patience.set_aside,
        )  # fmt: skip

    found = look_by_look(bench.workload.objective.latency, level, make, measured, again=again)
    bench.tell("proving", len(seen), len(seen), f"{_tail_in_words(found, level)} at {rate_rps:.0f} requests/s")
    return bench.note(found)


def fewest_runs(bench: Workbench, rate_rps: float) -> int:
    """Runs of a proof's first look: the usual number, up to twice as many where runs are short of requests.

    Of fewer than log 0.025 / log level requests it is likely that none is as late as the level allows: the largest of
    368 is beyond their true p99 with a probability of 97.5 %.

    Args:
        bench: With the settings.
        rate_rps: Of the proof, > 0.
    """
    usual = bench.settings.proof_runs
    counted = proof_requests(bench, rate_rps) * (1 - WARM_UP_FRAC)
    return min(2 * usual, max(usual, math.ceil(math.log(_SURE) / math.log(bench.level) / counted)))


def _make_runs(
    path: ServedPath,
    rate_rps: float,
    stage: str,
    seen: list[RunSeen],
    total: int,
    patience: _Patience,
    after: Callable[[RunSeen, int], None] | None,
) -> None:
    """Runs until there are so many; those during which others used the machine are made again, a few times."""
    bench, n = path.bench, proof_requests(path.bench, rate_rps)
    what = f"{path.candidate.label} at {rate_rps:.0f} requests/s through farthing serve"
    for k in itertools.count(len(seen) + patience.set_aside):
        if len(seen) == total:
            return
        bench.tell("proving", len(seen), total, what)
        run = path.run(rate_rps, n, seed_of(bench.settings.seed, stage, k))
        if not patience.again(run, path.key):
            seen.append(run)
            if after is not None:
                after(run, k)


def slower_by(path: ServedPath, known: ServiceCurve) -> tuple[float, float]:
    """Factor on the measured service times that the server's capacity says, ≥ 1, and that capacity in requests/s.

    Args:
        path: To the server.
        known: Service times of what it serves.
    """
    c, full = path.candidate, path.capacity_rps(0)
    return max(1.0, saturation_rps(known, instances=c.instances, max_batch=c.max_batch) / full), full


def provable_rps(peak_rps: float, planned_rps: float, percentile: float) -> float:
    """Rate of the proof: the peak of one replica, a higher one where too few requests would come in the time there is.

    A higher rate is harder to keep the promise at.

    Args:
        peak_rps: Highest rate that one replica must take in any hour of the plan.
        planned_rps: Rate that it is planned for.
        percentile: Promised, in (0, 1).
    """
    return max(peak_rps, min(planned_rps, fewest_requests(percentile) / LONGEST_RUN_S))


def _charge_server(state: RunState, taken_s: float) -> None:
    """Charge what the server takes on each request to everybody: the baseline would be served too.

    A replica's time for a request grows from ``1 / rate`` by it.

    Args:
        state: With the rates beside the server.
        taken_s: Of a replica's time, ≥ 0.
    """
    base = state.sla[state.baseline]
    if base is not None and taken_s * base > WORTH_SAYING_FRAC:
        state.notes.append(
            f"the server takes {taken_s * 1e6:.0f} µs of a replica on each request, beside {1e6 / base:.0f} µs of the "
            "baseline's model: it is charged to the baseline and to every candidate alike"
        )
    for c, rate in state.sla.items():
        if rate is not None:
            state.sla[c] = 1 / (1 / rate + taken_s)


def _share_cut(state: RunState, chosen: Candidate, before: float | None) -> None:
    """What the proof took off the choice is taken off all that may stand in for it: they were not proven so."""
    rate = state.sla[chosen]
    share = 1.0 if before is None or rate is None else rate / before
    if share < 1:
        for c, other in state.sla.items():
            if other is not None and c not in (chosen, state.baseline, state.best_fp32, state.best_half):
                state.sla[c] = other * share
