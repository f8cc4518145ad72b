"""The promise at the plan's peak rate, proven through a server started anew; the plan is cut while it fails."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from farthing.core.money.trace_cost import replicas_by_hour
from farthing.core.search import sustained
from farthing.core.traffic.latency_rate import WARM_UP_FRAC, LatencyRate
from farthing.measure.open_loop import (
    LONGEST_RUN_S,
    RunSeen,
    as_measurement,
    fewest_requests,
    look_by_look,
    requests_at,
)
from farthing.measure.served.path import ServedPath, served_model
from farthing.measure.served.rate import Kept, model_of
from farthing.measure.served.repeats import START_FRAC
from farthing.measure.served.runs import Patience, baseline_block, middle, times_slower
from farthing.measure.state import RunState, TraceOf
from farthing.measure.under_load import beside_server, rates_of, seed_of
from farthing.measure.workbench import Workbench
from farthing.nouns import NEVER_MS, Candidate, Measurement, Trace, percentile_name

__all__ = [
    "WORTH_SAYING_FRAC",
    "fewest_runs",
    "proof_requests",
    "provable_rps",
    "prove_at_peak",
    "tail_in_words",
    "through",
]

WORTH_SAYING_FRAC = 0.02
"""Share of the baseline's time for a request from which on the server's is mentioned."""
_SURE = 0.025


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


def prove_at_peak(state: RunState, chosen: Candidate, trace_of: TraceOf, slower: float, kept: Kept | None) -> None:
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
    return min(rate_rps, first_rps / times_slower(full_rps, now_rps))


def _hi_s(found: Measurement, percentile: float) -> float:
    """Upper end of a proof's percentile; infinite where more were refused or given up than the level allows.

    Those count as answered just too late, which says that the promise failed and nothing of by how much.
    """
    refused_frac = 1 - found.metrics["answered_frac"].value
    hi_ms = found.latency(percentile).hi
    return math.inf if hi_ms >= NEVER_MS or refused_frac > 1 - percentile else hi_ms / 1000


def _allow_for_cuts(state: RunState, c: Candidate, factor: float, proof: _Proof, kept: Kept | None) -> None:
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
    shared = 1.0 if kept is None else min(factor, times_slower(kept.beside_rps, proof.beside_rps))
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
    deadline = state.bench.workload.objective.deadline_s
    return served_model(state.bench, model_of(state, c, deadline), f"{c.key}/proof {k}")


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
        beside.append(baseline_block(state, path.key, number))

    found = through(path, curves, rate, f"proof {k}", state.aside_s, again=k > 0, after=after)
    state.shares = found.metrics["front_frac"].value, found.metrics["generator_frac"].value
    return _Proof(found=found, curve=curve, full_rps=middle([run.full_rps for run in seen]), beside_rps=middle(beside))


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
    patience = Patience(bench)

    def make(times: int) -> None:
        _make_runs(path, rate_rps, stage, seen, times * fewest_runs(bench, rate_rps), patience, after)

    def measured(confidence: float) -> Measurement:
        return as_measurement(
            seen, curves, c, hardware=bench.fingerprint, seconds=bench.clock.monotonic_s() - start_s, aside_s=aside_s,
            confidence=confidence, start_frac=START_FRAC, set_aside=patience.set_aside,
        )  # fmt: skip

    found = look_by_look(bench.workload.objective.latency, level, make, measured, again=again)
    bench.tell("proving", len(seen), len(seen), f"{tail_in_words(found, level)} at {rate_rps:.0f} requests/s")
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
    patience: Patience,
    after: Callable[[RunSeen, int], None] | None,
) -> None:
    """Runs until there are so many; those during which others used the machine are made again, a few times."""
    bench, n = path.bench, proof_requests(path.bench, rate_rps)
    what = f"{path.candidate.label} at {rate_rps:.0f} requests/s through farthing serve"
    for k in itertools.count(len(seen) + patience.set_aside):
        if len(seen) == total:
            return
        bench.tell("proving", len(seen), total, what)
        run = path.run(rate_rps, n, seed_of(bench.seed, stage, k))
        if not patience.again(run, path.key):
            seen.append(run)
            if after is not None:
                after(run, k)


def provable_rps(peak_rps: float, planned_rps: float, percentile: float) -> float:
    """Rate of the proof: the peak of one replica, a higher one where too few requests would come in the time there is.

    A higher rate is harder to keep the promise at.

    Args:
        peak_rps: Highest rate that one replica must take in any hour of the plan.
        planned_rps: Rate that it is planned for.
        percentile: Promised, in (0, 1).
    """
    return max(peak_rps, min(planned_rps, fewest_requests(percentile) / LONGEST_RUN_S))


def tail_in_words(found: Measurement, percentile: float) -> str:
    """The percentile of a measurement as progress says it.

    Args:
        found: Under arrivals.
        percentile: In (0, 1).
    """
    value = found.latency(percentile).value
    return f"{percentile_name(percentile)} {'unbounded' if value >= NEVER_MS else f'{value:.1f} ms'}"
