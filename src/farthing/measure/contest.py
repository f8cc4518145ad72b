"""The middle stages: batch sizes and layouts of the survivors, then the race of the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from farthing.core.numerals import ends, number
from farthing.core.search import racing, space, trials
from farthing.core.traffic.batch_queue import saturation_rps
from farthing.errors import EngineError, MeasureError
from farthing.measure.scenarios import Reading
from farthing.measure.state import RunState, look, rate_all
from farthing.nouns import Candidate

__all__ = ["contenders_of", "run_race", "useful_batches"]

CONTENDERS = 5
"""At most so many run the race, chosen by interval first."""


def contenders_of(state: RunState, survivors: Sequence[Candidate], cores: int) -> tuple[Candidate, ...]:
    """Batch curves and layouts of the survivors; the best SLA rates, by interval, go into the race."""
    bench = state.bench
    shapes = space.layouts(cores)
    todo = [(b, s) for k, b in enumerate(survivors) for s in (shapes if k < 2 else shapes[:1])]
    for k, (build, (instances, threads)) in enumerate(todo):
        c = replace(build, instances=instances, threads=threads)
        bench.tell("batch sizes", k, len(todo), f"{c.build} {instances}×{threads}")
        try:
            look(state, c, useful_batches(state, c))
        except (EngineError, MeasureError) as e:
            state.failed[c] = e.message
            continue
        rate_all(state, c)
    bench.tell("batch sizes", len(todo), len(todo), "")
    rates = {c: r for c, r in state.sla.items() if r is not None and c != state.baseline}
    best = max(rates.values(), default=0.0)
    order = sorted(rates, key=lambda c: (-rates[c], c.max_batch))
    near = [c for c in order if rates[c] * (1 + trials.SCREEN_NOISE_FRAC) ** 2 >= best]
    for c in order:
        if c not in near[:CONTENDERS]:
            state.lost[c] = f"batch sizes: {rates[c]:.0f} requests/s within the promise, best {best:.0f}"
    return tuple(near[:CONTENDERS])


def useful_batches(state: RunState, c: Candidate) -> tuple[int, ...]:
    """Batch sizes whose time alone fits the latency bound, judged from the sizes already measured; 1 where requests may
    not share a batch.
    """
    if not state.bench.batching(c).batched:
        return (1,)
    bound = state.bench.workload.objective.latency
    sizes = state.bench.settings.batches
    known = state.curves.get(replace(c, max_batch=1))
    if bound is None or known is None:
        return sizes
    per_item = known.service_ms[-1].value / known.sizes[-1]
    return tuple(b for b in sizes if b == 1 or b * per_item <= bound.ms)


def run_race(state: RunState, contenders: Sequence[Candidate]) -> Candidate | None:
    """Race the contenders on rate within the promise; the leader, whose ties are kept in the state."""
    bench = state.bench
    weights = {c: _usable_share(state, c) for c in contenders}
    race = racing.start(weights, looks=bench.settings.looks)
    readings: dict[Candidate, list[Reading]] = {c: [] for c in contenders}
    while turn := racing.running(race):
        bench.tell("racing", race.rounds, race.looks[-1], f"{len(turn)} running")
        shifted = [turn[(k + race.rounds) % len(turn)] for k in range(len(turn))]
        try:
            seen = bench.round(f"race/{race.rounds}/{_names(shifted)}", shifted)
        except MeasureError as e:
            race, gone = _without_dead(state, race, e)
            if not gone:
                raise
            continue
        for c, reading in seen.items():
            readings[c].append(reading)
        race = racing.step(race, {c: reading.rps for c, reading in seen.items()})
    first = racing.leader(race)
    bench.tell("racing", race.looks[-1], race.looks[-1], f"{first.label} leads")
    for d in race.drops:
        state.lost[d.candidate] = (
            f"race: {number((1 - d.ratio.value) * 100, 1)} % behind {d.leader.label} "
            f"{ends(1 - d.ratio.hi, 1 - d.ratio.lo, 1, scale=100)} after {d.after} rounds"
        )
    state.tied = tuple(c for c in race.running if c != first)
    for c, blocks in readings.items():
        if len(blocks) > 1:
            bench.offline(c, blocks)
    return first


def _names(order: Sequence[Candidate]) -> str:
    return "+".join(c.key for c in order)


def _without_dead(state: RunState, race: racing.Race, error: MeasureError) -> tuple[racing.Race, bool]:
    dead = [c for c in race.running if not state.bench.alive(c)]
    for c in dead:
        state.failed[c] = error.message
    left = tuple(c for c in race.running if c not in dead)
    return replace(race, running=left), bool(dead) and bool(left)


def _usable_share(state: RunState, c: Candidate) -> float:
    """Share of the saturated throughput that can be used within the latency bound."""
    known = state.curves[replace(c, max_batch=1)]
    rate = state.sla[c]
    assert rate is not None
    return min(1.0, rate / saturation_rps(known, instances=c.instances, max_batch=c.max_batch))
