"""The last stage: the choice through ``farthing serve``, as users get it: the rate it keeps, the proof at the plan's.

The rate is worked out from runs that take turns with blocks of the baseline, so that slow drift of the machine falls on
both; each run has arrivals of its own. The proof is run on a server that was started anew.
"""

from __future__ import annotations

from farthing.core.search import sustained
from farthing.core.traffic.batch_queue import HEADROOM_FRAC
from farthing.measure.served import live_server
from farthing.measure.served.proof import WORTH_SAYING_FRAC, prove_at_peak, tail_in_words
from farthing.measure.served.rate import modelled_rps, rate_kept
from farthing.measure.served.repeats import UNSERVED_FRAC, drift_of, repeatable
from farthing.measure.state import RunState, TraceOf
from farthing.measure.under_load import beside_server
from farthing.nouns import Candidate

__all__ = ["serve_as_planned"]

BASELINE_RUNS = 3


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
    slower, taken_s, kept = rate_kept(state, chosen) if why is None else (1.0, 0.0, None)
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
        state.rate_ratio = repeatable(state.ratios[chosen], max(UNSERVED_FRAC, drift_of(state)))
    if state.sla.get(chosen) is None:  # busy cores: the proof has the word
        state.sla[chosen] = modelled_rps(state, chosen) / sustained.HEADROOM
    prove_at_peak(state, chosen, trace_of, slower, kept if why is None else None)
    _share_cut(state, chosen, before)
    base = state.sla[state.baseline]
    state.bench.retire([state.baseline])
    if base is not None:
        state.bench.tell("baseline today", 0, 1, f"{state.baseline.label} at {base:.0f} requests/s")
        found = beside_server(state, state.baseline, base, BASELINE_RUNS, "baseline")
        state.server[state.baseline] = found
        state.bench.tell("baseline today", 1, 1, tail_in_words(found, state.percentile))
    return True


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


def _charge_server(state: RunState, taken_s: float) -> None:
    """Charge what the server takes on each request to everybody: the baseline would be served too.

    A replica's time for a request grows from ``1 / rate`` by it. Rates from trials through servers have
    it already.

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
    beside = {state.baseline, state.best_fp32, state.best_half} if state.tried else set(state.sla)
    for c, rate in state.sla.items():
        if rate is not None and c in beside:
            state.sla[c] = 1 / (1 / rate + taken_s)


def _share_cut(state: RunState, chosen: Candidate, before: float | None) -> None:
    """What the proof took off the choice is taken off all that may stand in for it: they were not proven so."""
    rate = state.sla[chosen]
    share = 1.0 if before is None or rate is None else rate / before
    if share < 1:
        for c, other in state.sla.items():
            if other is not None and c not in (chosen, state.baseline, state.best_fp32, state.best_half):
                state.sla[c] = other * share
