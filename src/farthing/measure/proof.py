"""The last stages: fresh blocks beside the baseline, and the choice on the untouched split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from farthing.core.stats.intervals import mean_t, ratio_of_blocks
from farthing.core.traffic.batch_queue import saturation_rps
from farthing.measure.scenarios import Reading
from farthing.measure.state import RunState, evidence_of, stable_rate
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, Estimate

__all__ = ["confirm", "measure_nearest", "prove"]

FALLBACKS = 2
"""Builds pre-registered for the confirm split; each pays with Bonferroni."""


def prove(state: RunState, chosen: Candidate) -> None:
    """Fresh interleaved blocks of baseline, choice, choice without batching, the best full and half precision."""
    bench, base = state.bench, state.baseline
    references = [c for c in (state.best_fp32, state.best_half) if c]
    others = [chosen, replace(chosen, max_batch=1), *(at for c in references for at in _both_batches(bench, c))]
    lineup = list(dict.fromkeys([base, *others]))
    bench.retire(lineup)
    blocks: dict[Candidate, list[Reading]] = {c: [] for c in lineup}
    for k in range(bench.settings.proof_rounds):
        bench.tell("proof", k, bench.settings.proof_rounds, "interleaved with the baseline")
        order = lineup if k % 2 == 0 else lineup[::-1]
        for c, reading in bench.round(f"proof/{chosen.key}/{k}", order).items():
            blocks[c].append(reading)
    bench.tell("proof", bench.settings.proof_rounds, bench.settings.proof_rounds, "")
    _take_in(state, blocks)
    state.canary_ms = mean_t([r.canary_ms for r in blocks[chosen]])
    state.best_fp32 = _reference(state, state.best_fp32, chosen)
    state.best_half = _reference(state, state.best_half, chosen)
    state.latency[chosen] = bench.single_stream(chosen, bench.enough(bench.settings.latency_n))


def _both_batches(bench: Workbench, c: Candidate) -> tuple[Candidate, Candidate]:
    """With batches and one request at a time: which of them serves more is seen in the proof rounds."""
    return bench.batch_of(c, 8), replace(c, max_batch=1)


def _reference(state: RunState, c: Candidate | None, chosen: Candidate) -> Candidate | None:
    """The better of its two batch sizes, rated like the baseline: its highest stable rate, whatever its latency."""
    if c is None:
        return None
    best = max(_both_batches(state.bench, c), key=lambda at: state.ratios[at].value)
    if best != chosen:
        state.sla[best] = stable_rate(state, best)
    return best


def _take_in(state: RunState, blocks: Mapping[Candidate, Sequence[Reading]]) -> None:
    """Capacities and ratios of the proof rounds; service times and rates are carried over to the same time.

    What a plan says then belongs to one stretch of time, the one at which the speed of the machine is known. The
    rate that the choice kept under load stays.
    """
    base_rps = [r.rps for r in blocks[state.baseline]]
    times: dict[Candidate, dict[int, Estimate]] = {}
    for c, readings in blocks.items():
        metrics = state.bench.offline(c, readings).metrics
        state.capacities[c] = metrics["throughput_rps"]
        times.setdefault(replace(c, max_batch=1), {})[c.max_batch] = metrics["service_ms"]
        if c != state.baseline:
            state.ratios[c] = ratio_of_blocks([r.rps for r in readings], base_rps, confidence=0.95)
        rate, known = state.sla.get(c), state.curves[replace(c, max_batch=1)]
        if rate is not None and c not in state.tried:
            then_rps = saturation_rps(known, instances=c.instances, max_batch=c.max_batch)
            state.sla[c] = rate * state.capacities[c].value / then_rps
    for key, seen_ms in times.items():
        state.curves[key] = state.curves[key].carried_over(seen_ms)


def confirm(state: RunState, chosen: Candidate, contenders: Sequence[Candidate]) -> Candidate:
    """The choice on the untouched split; when it fails, the pre-registered next build, paid with Bonferroni."""
    bench = state.bench
    order = [chosen, *state.tied, *(c for c in contenders if c not in (chosen, *state.tied))]
    by_build = {(c.engine, c.variant, c.precision): c for c in reversed(order)}
    registered = sorted(by_build.values(), key=order.index)[:FALLBACKS]
    confidence = 1 - (1 - bench.workload.objective.confidence) / len(registered)
    for k, c in enumerate(registered):
        bench.tell("confirming", k, len(registered), f"{c.build} on {len(bench.splits.confirm)} untouched samples")
        build = _build_of(state, c)
        state.confirm[build] = evidence_of(state, build, "confirm", confidence)
        if state.confirm[build].verdict == "met":
            if c != chosen:
                state.lost[chosen] = "accuracy: not proven on the confirm split"
                prove(state, c)
            bench.tell("confirming", len(registered), len(registered), c.build)
            return c
    bench.tell("confirming", len(registered), len(registered), "not proven")
    return chosen


def _build_of(state: RunState, c: Candidate) -> Candidate:
    same = [b for b in state.search if (b.engine, b.variant, b.precision) == (c.engine, c.variant, c.precision)]
    return same[0]


def measure_nearest(state: RunState) -> None:
    """Nothing keeps the bound: measure the quickest candidate so that the answer names a figure."""
    found = [c for c in state.curves if c != state.baseline]
    if found:
        quickest = min(found, key=lambda c: state.curves[c].service_ms[0].value)
        bench = state.bench
        state.latency[quickest] = bench.single_stream(quickest, bench.enough(bench.settings.latency_n))
