"""One run from baseline to evidence: screens, gate, race, proof, confirmation. The loops; decisions are core's."""

from __future__ import annotations

from dataclasses import replace

from farthing.core.plan.findings import Findings
from farthing.core.search import space
from farthing.errors import InputError, MeasureError
from farthing.measure.baseline_score import baseline_score, guessing
from farthing.measure.contest import contenders_of, run_race
from farthing.measure.graphs.profiling import profile_all
from farthing.measure.proof import confirm, measure_nearest, prove
from farthing.measure.screening import build_all, pass_gate, screen
from farthing.measure.served.as_planned import serve_as_planned
from farthing.measure.served.trials import trial_runs
from farthing.measure.state import RunState, TraceOf, findings_of, look, stable_rate
from farthing.measure.under_load import beside_server, under_load
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, percentile_name

__all__ = ["fastest_layout", "measure_baseline", "run"]

LONGEST_SINGLE_S = 600.0
"""Longest run of single requests that a level above p99 may cause; p99 itself takes as long as it takes."""
LAYOUT_ROUNDS = 3
"""Rounds that decide between the layouts of the baseline."""


def run(bench: Workbench, trace_of: TraceOf) -> Findings:
    """Measure the baseline, search, race, prove and confirm.

    Args:
        bench: With the workload, the settings and the journal.
        trace_of: Gives the arrivals once the baseline's SLA rate is known.

    Raises:
        FarthingError: when the baseline itself cannot be built or measured.
    """
    cores = int(bench.hardware.vcpus or 1)
    state = RunState(bench=bench, baseline=fastest_layout(bench, cores))
    _baseline(state)
    builds = build_all(state, cores)
    survivors = pass_gate(state, screen(state, builds))
    contenders = contenders_of(state, survivors, cores)
    chosen = run_race(state, contenders) if contenders else None
    if chosen is not None:
        with trial_runs(state) as runs:
            chosen = under_load(state, chosen, contenders, runs)
    if chosen is None:
        measure_nearest(state)
    else:
        prove(state, chosen)
        chosen = confirm(state, chosen, contenders)
        if serve_as_planned(state, chosen, trace_of):
            if bench.settings.profiles:
                _profiles(state, chosen)
        else:
            chosen = None
            measure_nearest(state)
    return findings_of(state, chosen)


def _profiles(state: RunState, chosen: Candidate) -> None:
    state.bench.retire([])
    try:
        state.profiles = profile_all(state.bench, [state.baseline, chosen], state.server)
    except MeasureError as e:  # the verdict does not hang on it
        state.notes.append(f"no profiles: {e.message}")


def measure_baseline(bench: Workbench) -> Findings:
    """The baseline alone, in all three scenarios, with its profile.

    Raises:
        FarthingError: when it cannot be built or measured.
    """
    state = RunState(bench=bench, baseline=fastest_layout(bench, int(bench.hardware.vcpus or 1)))
    c = state.baseline
    _baseline(state)
    blocks = []
    for k in range(bench.settings.proof_rounds):
        bench.tell("throughput", k, bench.settings.proof_rounds, "all cores loaded")
        blocks.append(bench.round(f"baseline/{k}", [c])[c])
    bench.tell("throughput", len(blocks), len(blocks), "")
    state.capacities[c] = bench.offline(c, blocks).metrics["throughput_rps"]
    rate = state.sla[c]
    if rate is not None:
        state.server[c] = beside_server(state, c, rate, bench.settings.trial_runs, "baseline")
    state.profiles = profile_all(bench, [c], state.server)
    return findings_of(state, None)


def fastest_layout(bench: Workbench, cores: int) -> Candidate:
    """The baseline in the layout that serves it best here: a saving against a handicapped one would be none."""
    layouts = space.baseline_candidates(bench.workload.baseline, cores)
    bench.tell("baseline", 0, 3, f"building {layouts[0].build}")
    bench.build(layouts[0].variant)
    total = dict.fromkeys(layouts, 0.0)
    for k in range(LAYOUT_ROUNDS):
        for c, rps in bench.throughput(f"layout/{k}", layouts if k % 2 else layouts[::-1]).items():
            total[c] += rps
    best = max(layouts, key=lambda c: total[c])
    bench.retire([best])
    return best


def _baseline(state: RunState) -> None:
    bench, c = state.bench, state.baseline
    bench.tell("baseline", 0, 3, c.label)
    _check_batches(bench, c)
    look(state, c, sorted({1, c.max_batch}))
    _baseline_rate(state)
    bench.tell("baseline", 1, 3, "latency of single requests")
    _check_level(state, c)
    state.latency[c] = bench.single_stream(c, bench.enough(bench.settings.latency_n))
    bench.tell("baseline", 2, 3, "answers on the search split")
    bench.answers(c, "search", bench.splits.search)
    _look_for_guessing(state)
    bench.tell("baseline", 3, 3, f"{percentile_name(bench.level)} {state.latency[c].latency(bench.level).value:.1f} ms")


def _look_for_guessing(state: RunState) -> None:
    said = guessing(state.bench, baseline_score(state.bench, state.baseline))
    if said:
        state.notes.append(said)
        state.bench.tell("baseline", 2, 3, said)


def _check_batches(bench: Workbench, c: Candidate) -> None:
    """Refuse a baseline in batches whose answers are not those of its requests."""
    if c.max_batch > 1 and not (found := bench.batching(c)).batched:
        raise InputError(
            f"the baseline is in batches of {c.max_batch}, but this model answers one request at a time, because "
            f"{found.alone}",
            hint="baseline: {batch: 1}",
        )


def _check_level(state: RunState, c: Candidate) -> None:
    """Refuse a level above p99 before an hour is spent on single requests of the baseline."""
    bench = state.bench
    n, at_p99 = bench.enough(bench.settings.latency_n), bench.settings.latency_n
    each_ms = state.curves[replace(c, max_batch=1)].service_ms[0].value
    if n > at_p99 and n * each_ms > LONGEST_SINGLE_S * 1000:
        raise InputError(
            f"{percentile_name(bench.level)} takes {n:,} requests one at a time, of the baseline at {each_ms:.0f} ms "
            f"each about {n * each_ms / 60_000:.0f} min; the limit is {LONGEST_SINGLE_S / 60:g} min",
            hint=f"promise p99 instead, which takes {at_p99:,}: --p99 …",
        )


def _baseline_rate(state: RunState) -> None:
    """The baseline is priced at its highest stable rate, whatever its latency there.

    Holding it to the promise could only raise its cost: one that barely keeps the bound when idle would look
    arbitrarily dear, and any candidate arbitrarily cheap beside it.
    """
    c = state.baseline
    state.sla[c] = stable_rate(state, c)
    state.notes.append(
        "the baseline is priced at its highest stable rate, whatever its latency there; "
        "the promise is held against the plan alone, which favours the baseline"
    )
