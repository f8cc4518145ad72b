"""One run from baseline to evidence: screens, gate, race, proof, confirmation. The loops; decisions are core's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from farthing.core.money.trace_cost import replicas_by_hour
from farthing.core.search import gate, racing, space, trials
from farthing.core.search.findings import Facts, Findings
from farthing.core.stats.intervals import ratio_of_blocks
from farthing.core.traffic.batch_queue import ServiceCurve, sla_rps
from farthing.errors import EngineError, MeasureError
from farthing.measure.profiling import profile_all
from farthing.measure.workbench import Workbench
from farthing.nouns import AccuracyEvidence, Candidate, Estimate, Measurement, Profile, Trace
from farthing.plugins import find

__all__ = ["TraceOf", "baseline_score", "measure_baseline", "run"]

TraceOf = Callable[[float], Trace]
"""From the baseline's SLA rate to the arrivals that are priced (they may be inferred from the bill)."""

CONTENDERS = 5
"""At most so many run the race, chosen by interval first."""
TIED_SERVED = 3
"""Candidates that the race could not tell apart, of which so many are tried under load."""
MOST_SERVED = 20_000
"""Requests of one Server run at the most: p99 needs no more."""
CUTS = 6
"""How often a rate is cut by 12 % before the candidate is given up."""
LAYOUT_ROUNDS = 3
"""Rounds that decide between the layouts of the baseline."""
FALLBACKS = 2
"""Builds pre-registered for the confirm split; each pays with Bonferroni."""


@dataclass
class _Run:
    """State of a run while it is going on; :class:`Findings` is made of it at the end."""

    bench: Workbench
    baseline: Candidate
    curves: dict[Candidate, trials.Curve] = field(default_factory=dict)
    facts: dict[Candidate, Facts] = field(default_factory=dict)
    sla: dict[Candidate, float | None] = field(default_factory=dict)
    search: dict[Candidate, AccuracyEvidence] = field(default_factory=dict)
    confirm: dict[Candidate, AccuracyEvidence] = field(default_factory=dict)
    ratios: dict[Candidate, Estimate] = field(default_factory=dict)
    capacities: dict[Candidate, Estimate] = field(default_factory=dict)
    lost: dict[Candidate, str] = field(default_factory=dict)
    failed: dict[Candidate, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    latency: dict[Candidate, Measurement] = field(default_factory=dict)
    server: dict[Candidate, Measurement] = field(default_factory=dict)
    tied: tuple[Candidate, ...] = ()
    best_fp32: Candidate | None = None
    profiles: tuple[Profile, ...] = ()


def run(bench: Workbench, trace_of: TraceOf) -> Findings:
    """Measure the baseline, search, race, prove and confirm.

    Args:
        bench: With the workload, the settings and the journal.
        trace_of: Gives the arrivals once the baseline's SLA rate is known.

    Raises:
        FarthingError: when the baseline itself cannot be built or measured.
    """
    cores = int(bench.hardware.vcpus or 1)
    run_ = _Run(bench=bench, baseline=_fastest_layout(bench, cores))
    _baseline(run_)
    builds = _build_all(run_, cores)
    survivors = _gate(run_, _screen(run_, builds))
    contenders = _contenders(run_, survivors, cores)
    chosen = _race(run_, contenders) if contenders else None
    if chosen is not None:
        chosen = _under_load(run_, chosen, contenders)
    if chosen is None:
        _nearest(run_)
    else:
        _prove(run_, chosen)
        chosen = _confirm(run_, chosen, contenders)
        _serve(run_, chosen, trace_of)
        bench.retire([])
        run_.profiles = profile_all(bench, [run_.baseline, chosen], run_.server)
    return _findings(run_, chosen)


def measure_baseline(bench: Workbench) -> Findings:
    """The baseline alone, in all three scenarios, with its profile.

    Raises:
        FarthingError: when it cannot be built or measured.
    """
    run_ = _Run(bench=bench, baseline=_fastest_layout(bench, int(bench.hardware.vcpus or 1)))
    c = run_.baseline
    _baseline(run_)
    blocks = []
    for k in range(bench.settings.proof_rounds):
        bench.tell("throughput", k, bench.settings.proof_rounds, "all cores loaded")
        blocks.append(bench.throughput(f"baseline/{k}", [c])[c])
    bench.tell("throughput", len(blocks), len(blocks), "")
    offline = bench.offline(c, blocks)
    bench.measurements.append(offline)
    run_.capacities[c] = offline.metrics["throughput_rps"]
    rate = run_.sla[c]
    if rate is not None:
        run_.server[c] = bench.server(c, rate, bench.settings.latency_n)
    run_.profiles = profile_all(bench, [c], run_.server)
    return _findings(run_, None)


def baseline_score(bench: Workbench, baseline: Candidate) -> Estimate | None:
    """The metric of the baseline's own answers on the search split; None without labels."""
    labels = bench.workload.holdout.labels
    if labels is None:
        return None
    truth = [labels[k] for k in bench.splits.search]
    return gate.score(bench.answers(baseline, "search", bench.splits.search), truth, bench.metric)


def _fastest_layout(bench: Workbench, cores: int) -> Candidate:
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


def _baseline(run_: _Run) -> None:
    bench, c = run_.bench, run_.baseline
    bench.tell("baseline", 0, 3, c.label)
    _look(run_, c, sorted({1, c.max_batch}))
    _baseline_rate(run_)
    bench.tell("baseline", 1, 3, "latency of single requests")
    run_.latency[c] = bench.single_stream(c, bench.settings.latency_n)
    bench.tell("baseline", 2, 3, "answers on the search split")
    bench.answers(c, "search", bench.splits.search)
    bench.tell("baseline", 3, 3, f"p99 {run_.latency[c].metrics['latency_p99_ms'].value:.1f} ms")


def _baseline_rate(run_: _Run) -> None:
    """The baseline is priced at its highest stable rate, whatever its latency there.

    Holding it to the promise could only raise its cost: one that barely keeps the bound when idle would look
    arbitrarily dear, and any candidate arbitrarily cheap beside it.
    """
    c = run_.baseline
    run_.sla[c] = _stable_rate(run_, c)
    run_.notes.append(
        "the baseline is priced at its highest stable rate, whatever its latency there; "
        "the promise is held against the plan alone, which favours the baseline"
    )


def _stable_rate(run_: _Run, c: Candidate) -> float | None:
    return _sla_of(run_, run_.curves[replace(c, max_batch=1)].upto(c.max_batch), c.instances, c.max_batch, None)


def _look(run_: _Run, c: Candidate, batches: Sequence[int]) -> None:
    key = replace(c, max_batch=1)
    known = run_.curves.get(key)
    wanted = sorted({*batches, *(known.sizes if known else ())})
    run_.curves[key] = run_.bench.curve(c, wanted)
    run_.facts[key] = run_.bench.facts(c)


def _build_all(run_: _Run, cores: int) -> tuple[Candidate, ...]:
    bench = run_.bench
    engines = {e: find("engines", e).missing() for e in bench.settings.engines}
    run_.skipped.update({f"engine {e}": f"not installed: {pip}" for e, pip in engines.items() if pip})
    wanted = [*bench.settings.variants]
    if bench.workload.model.kind == "torch" and any(e in engines for e in ("pytorch", "torch-compile")):
        wanted.append("torch-module")
    for k, name in enumerate(wanted):
        bench.tell("building", k, len(wanted), name)
        pip = find("variants", name).missing()
        if pip:
            run_.skipped[f"variant {name}"] = f"not installed: {pip}"
            continue
        try:
            bench.build(name)
        except (EngineError, MeasureError) as e:
            run_.skipped[f"variant {name}"] = e.message
    bench.tell("building", len(wanted), len(wanted), f"{len(bench.artefacts)} artefacts")
    return space.builds(bench.artefacts.values(), engines, bench.hardware.isa, cores)


def _screen(run_: _Run, builds: Sequence[Candidate]) -> tuple[Candidate, ...]:
    bench = run_.bench
    screens = []
    todo = [b for b in builds if b != replace(run_.baseline, max_batch=1)]
    for k, build in enumerate(todo):
        bench.tell("screening", k, len(todo), build.build)
        try:
            screens.append(_screen_one(run_, build))
        except (EngineError, MeasureError) as e:
            run_.failed[build] = e.message
        bench.retire([run_.baseline, *builds])
    bench.tell("screening", len(todo), len(todo), f"{len(run_.failed)} could not be run")
    kept = trials.promising(screens)
    best = max((s.ratio.value for s in screens), default=0.0)
    for s in screens:
        if s.candidate not in kept:
            run_.lost[s.candidate] = (
                f"screen: {s.ratio.value:.1f} × the baseline [{s.ratio.lo:.1f}, {s.ratio.hi:.1f}], best {best:.1f} ×"
            )
    full = [s for s in screens if s.candidate.precision == "fp32"]
    run_.best_fp32 = max(full, key=lambda s: s.ratio.value).candidate if full else None
    return kept


def _screen_one(run_: _Run, build: Candidate) -> trials.Screen:
    """Blocks at batch 1 and 8, each beside one of the baseline, so that slow drift cancels."""
    bench = run_.bench
    small, large = build, replace(build, max_batch=8)
    first = bench.throughput(f"screen/{build.label}/{build.precision}", [run_.baseline, small, large])
    second = bench.throughput(f"screen2/{build.label}/{build.precision}", [large, small, run_.baseline])
    _look(run_, build, (1, 8))
    best = max((small, large), key=lambda c: first[c] + second[c])
    pair = [r[best] / r[run_.baseline] for r in (first, second)]
    run_.capacities[best] = _range([first[best], second[best]], "range of 2 blocks")
    return trials.Screen(candidate=build, ratio=_range(pair, "range of 2 interleaved ratios"))


def _range(values: Sequence[float], method: str) -> Estimate:
    return Estimate(value=sum(values) / len(values), lo=min(values), hi=max(values), n=len(values), method=method)


def _gate(run_: _Run, kept: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Accuracy on the search split: builds that are clearly too lossy leave here."""
    bench = run_.bench
    passed = []
    for k, build in enumerate(kept):
        bench.tell("accuracy", k, len(kept), build.build)
        try:
            evidence = _evidence(run_, build, "search", bench.workload.objective.confidence)
        except (EngineError, MeasureError) as e:
            run_.failed[build] = e.message
            continue
        run_.search[build] = evidence
        if evidence.drop_frac.value > bench.workload.objective.max_drop_frac:
            run_.lost[build] = f"accuracy: loses {evidence.drop_frac.value * 100:.2f} points on the search split"
        else:
            passed.append(build)
    bench.tell(
        "accuracy", len(kept), len(kept), f"search {len(bench.splits.search)}: {len(passed)} of {len(kept)} pass"
    )
    return tuple(passed)


def _evidence(run_: _Run, build: Candidate, split: str, confidence: float) -> AccuracyEvidence:
    bench = run_.bench
    rows = bench.splits.search if split == "search" else bench.splits.confirm
    labels = bench.workload.holdout.labels
    return gate.evidence(
        bench.answers(run_.baseline, split, rows),
        bench.answers(replace(build, max_batch=8), split, rows),
        None if labels is None else [labels[k] for k in rows],
        split="search" if split == "search" else "confirm",
        metric=bench.metric,
        objective=replace(bench.workload.objective, confidence=confidence),
        seed=bench.settings.seed,
    )


def _contenders(run_: _Run, survivors: Sequence[Candidate], cores: int) -> tuple[Candidate, ...]:
    """Batch curves and layouts of the survivors; the best SLA rates, by interval, go into the race."""
    bench = run_.bench
    shapes = space.layouts(cores)
    todo = [(b, s) for k, b in enumerate(survivors) for s in (shapes if k < 2 else shapes[:1])]
    for k, (build, (instances, threads)) in enumerate(todo):
        c = replace(build, instances=instances, threads=threads)
        bench.tell("batch sizes", k, len(todo), f"{c.build} {instances}×{threads}")
        try:
            _look(run_, c, _useful_batches(run_, c))
        except (EngineError, MeasureError) as e:
            run_.failed[c] = e.message
            continue
        _sla(run_, c)
    bench.tell("batch sizes", len(todo), len(todo), "")
    rates = {c: r for c, r in run_.sla.items() if r is not None and c != run_.baseline}
    best = max(rates.values(), default=0.0)
    order = sorted(rates, key=lambda c: (-rates[c], c.max_batch))
    near = [c for c in order if rates[c] * (1 + trials.SCREEN_NOISE_FRAC) ** 2 >= best]
    for c in order:
        if c not in near[:CONTENDERS]:
            run_.lost[c] = f"batch sizes: {rates[c]:.0f} requests/s within the promise, best {best:.0f}"
    return tuple(near[:CONTENDERS])


def _useful_batches(run_: _Run, c: Candidate) -> tuple[int, ...]:
    """Batch sizes whose time alone fits the latency bound, judged from the sizes already measured."""
    bound = run_.bench.workload.objective.latency_ms
    sizes = run_.bench.settings.batches
    known = run_.curves.get(replace(c, max_batch=1))
    if bound is None or known is None:
        return sizes
    per_item = known.service_ms[-1].value / known.sizes[-1]
    return tuple(b for b in sizes if b == 1 or b * per_item <= bound)


def _sla(run_: _Run, c: Candidate) -> None:
    known = run_.curves[replace(c, max_batch=1)]
    for batch in known.sizes:
        bound = run_.bench.workload.objective.latency_ms
        run_.sla[replace(c, max_batch=batch)] = _sla_of(run_, known.upto(batch), c.instances, batch, bound)


def _sla_of(run_: _Run, known: trials.Curve, instances: int, batch: int, latency_ms: float | None) -> float | None:
    objective = run_.bench.workload.objective
    service = ServiceCurve(sizes=known.sizes, seconds=known.seconds(), sigma=known.jitter)
    return sla_rps(
        service,
        instances=instances,
        max_batch=batch,
        latency_s=None if latency_ms is None else latency_ms / 1000,
        percentile=objective.percentile,
        seed=run_.bench.settings.seed,
    )


def _race(run_: _Run, contenders: Sequence[Candidate]) -> Candidate | None:
    bench = run_.bench
    weights = {c: _usable_share(run_, c) for c in contenders}
    race = racing.start(weights, looks=bench.settings.looks)
    while turn := racing.running(race):
        bench.tell("racing", race.rounds, race.looks[-1], f"{len(turn)} running")
        shifted = [turn[(k + race.rounds) % len(turn)] for k in range(len(turn))]
        try:
            race = racing.step(race, bench.throughput(f"race/{race.rounds}/{_names(shifted)}", shifted))
        except MeasureError as e:
            race, gone = _without_dead(run_, race, e)
            if not gone:
                raise
    first = racing.leader(race)
    bench.tell("racing", race.looks[-1], race.looks[-1], f"{first.label} leads")
    for d in race.drops:
        run_.lost[d.candidate] = (
            f"race: {(1 - d.ratio.value) * 100:.1f} % behind {d.leader.label} "
            f"[{(1 - d.ratio.hi) * 100:.1f}, {(1 - d.ratio.lo) * 100:.1f}] after {d.after} rounds"
        )
    run_.tied = tuple(c for c in race.running if c != first)
    for c, blocks in race.scores.items():
        raw = [s / race.weights[c] for s in blocks]
        bench.measurements.append(bench.offline(c, raw))
    return first


def _names(order: Sequence[Candidate]) -> str:
    return "+".join(f"{c.label}/{c.precision}" for c in order)


def _without_dead(run_: _Run, race: racing.Race, error: MeasureError) -> tuple[racing.Race, bool]:
    dead = [c for c in race.running if not run_.bench.alive(c)]
    for c in dead:
        run_.failed[c] = error.message
    left = tuple(c for c in race.running if c not in dead)
    return replace(race, running=left), bool(dead) and bool(left)


def _usable_share(run_: _Run, c: Candidate) -> float:
    """Share of the saturated throughput that can be used within the latency bound."""
    known = run_.curves[replace(c, max_batch=1)]
    rate = run_.sla[c]
    assert rate is not None
    return min(1.0, rate / trials.throughput_rps(known, c.max_batch, c.instances))


def _prove(run_: _Run, chosen: Candidate) -> None:
    """Fresh interleaved blocks of baseline, choice, choice without batching and the best full precision."""
    bench, base = run_.bench, run_.baseline
    fp32 = run_.best_fp32
    others = [chosen, replace(chosen, max_batch=1), *([replace(fp32, max_batch=8), fp32] if fp32 else [])]
    lineup = list(dict.fromkeys([base, *others]))
    bench.retire(lineup)
    blocks: dict[Candidate, list[float]] = {c: [] for c in lineup}
    for k in range(bench.settings.proof_rounds):
        bench.tell("proof", k, bench.settings.proof_rounds, "interleaved with the baseline")
        order = lineup if k % 2 == 0 else lineup[::-1]
        for c, rps in bench.throughput(f"proof/{chosen.label}/{chosen.precision}/{k}", order).items():
            blocks[c].append(rps)
    bench.tell("proof", bench.settings.proof_rounds, bench.settings.proof_rounds, "")
    for c in lineup:
        run_.capacities[c] = bench.offline(c, blocks[c]).metrics["throughput_rps"]
        bench.measurements.append(bench.offline(c, blocks[c]))
        if c != base:
            run_.ratios[c] = ratio_of_blocks(blocks[c], blocks[base], confidence=0.95)
    if fp32:
        run_.best_fp32 = max((replace(fp32, max_batch=8), fp32), key=lambda c: run_.ratios[c].value)
        run_.sla[run_.best_fp32] = _stable_rate(run_, run_.best_fp32)
    run_.latency[chosen] = bench.single_stream(chosen, bench.settings.latency_n)


def _confirm(run_: _Run, chosen: Candidate, contenders: Sequence[Candidate]) -> Candidate:
    """The choice on the untouched split; when it fails, the pre-registered next build, paid with Bonferroni."""
    bench = run_.bench
    order = [chosen, *run_.tied, *(c for c in contenders if c not in (chosen, *run_.tied))]
    by_build = {(c.engine, c.variant, c.precision): c for c in reversed(order)}
    registered = sorted(by_build.values(), key=order.index)[:FALLBACKS]
    confidence = 1 - (1 - bench.workload.objective.confidence) / len(registered)
    for k, c in enumerate(registered):
        bench.tell("confirming", k, len(registered), f"{c.build} on {len(bench.splits.confirm)} untouched samples")
        build = _build_of(run_, c)
        run_.confirm[build] = _evidence(run_, build, "confirm", confidence)
        if run_.confirm[build].verdict == "met":
            if c != chosen:
                run_.lost[chosen] = "accuracy: not proven on the confirm split"
                _prove(run_, c)
            bench.tell("confirming", len(registered), len(registered), c.build)
            return c
    bench.tell("confirming", len(registered), len(registered), "not proven")
    return chosen


def _build_of(run_: _Run, c: Candidate) -> Candidate:
    same = [b for b in run_.search if (b.engine, b.variant, b.precision) == (c.engine, c.variant, c.precision)]
    return same[0]


def _under_load(run_: _Run, leader: Candidate, contenders: Sequence[Candidate]) -> Candidate | None:
    """The leader and those tied with it under Poisson arrivals: the one that keeps the promise at the highest rate.

    Where none of them keeps it, the other contenders are tried in turn; None when nobody does. What the queue model
    promised too much is taken off every candidate that was not served itself.
    """
    bench = run_.bench
    if bench.workload.objective.latency_ms is None:
        return leader
    first = [leader, *run_.tied][:TIED_SERVED]
    rest = [c for c in contenders if c not in first]
    modelled = {c: run_.sla[c] or 0.0 for c in (*first, *rest)}
    kept: dict[Candidate, float] = {}
    for k, c in enumerate((*first, *rest)):
        if k >= len(first) and kept:
            break
        bench.retire([run_.baseline, c])
        bench.tell("serving", k, len(first) + len(rest), f"{c.label} at {modelled[c]:.0f} requests/s")
        if _hold(run_, c, modelled[c]):
            kept[c] = (run_.sla[c] or 0.0) / modelled[c]
    if not kept:
        return None
    best = max(kept, key=lambda c: run_.sla[c] or 0.0)
    bench.tell("serving", 1, 1, f"{best.label} keeps {run_.sla[best]:.0f} requests/s")
    run_.tied = tuple(c for c in (leader, *run_.tied) if c != best and c in kept)
    for c, rate in run_.sla.items():
        if rate is not None and c not in modelled and c != run_.baseline:
            run_.sla[c] = rate * min(1.0, max(kept.values()))
    return best


def _hold(run_: _Run, c: Candidate, rate_rps: float) -> bool:
    """Serve at a rate, cut until p99 is within the promise; the rate kept becomes the candidate's, None for none."""
    bench, bound = run_.bench, run_.bench.workload.objective.latency_ms
    for _ in range(CUTS):
        n = min(MOST_SERVED, max(bench.settings.server_n, int(rate_rps * 3)))
        run_.server[c] = bench.server(c, rate_rps, n)
        run_.sla[c] = rate_rps
        if bound is None or run_.server[c].metrics["latency_p99_ms"].hi <= bound:
            return True
        rate_rps *= 0.88
    run_.sla[c] = None
    run_.lost[c] = (
        f"under load: p99 {run_.server[c].metrics['latency_p99_ms'].value:.0f} ms at {rate_rps:.0f} requests/s"
    )
    return False


def _serve(run_: _Run, chosen: Candidate, trace_of: TraceOf) -> None:
    """The choice at the peak rate of one replica of the plan, and the baseline at its own."""
    bench = run_.bench
    _calibrate_baseline(run_)
    trace = trace_of(run_.sla[run_.baseline] or 0.0)
    _, peaks = trace.hourly_rps()
    rate = run_.sla[chosen]
    assert rate is not None
    replicas = replicas_by_hour(peaks, rate, bench.workload.objective.min_replicas)
    per_replica = float((peaks / replicas).max())
    bench.tell("serving", 0, 2, f"{chosen.label} at {per_replica:.0f} requests/s")
    if _hold(run_, chosen, per_replica) and run_.sla[chosen] == per_replica:
        run_.sla[chosen] = rate
    elif run_.sla[chosen] is None:  # it kept this rate before the proof rounds: the machine is busier now
        run_.sla[chosen] = per_replica
        run_.notes.append(f"at the plan's peak rate {chosen.label} missed the promise in the last run: verify it")
    base = run_.sla[run_.baseline]
    bench.tell("serving", 1, 2, f"{run_.baseline.label}, today")
    if base is not None:
        run_.server[run_.baseline] = bench.server(run_.baseline, base, bench.settings.latency_n)
    bench.tell("serving", 2, 2, f"p99 {run_.server[chosen].metrics['latency_p99_ms'].value:.1f} ms")


def _calibrate_baseline(run_: _Run) -> None:
    """The baseline's rate and those of other full-precision candidates, from the screen to the proof rounds.

    The choice's own rate was kept under load and stays; its ratio to the baseline in the same rounds carries it over.
    """
    for c, capacity in run_.capacities.items():
        rate, key = run_.sla.get(c), replace(c, max_batch=1)
        if rate is None or c in run_.server or key not in run_.curves or (c != run_.baseline and c not in run_.ratios):
            continue
        run_.sla[c] = rate * capacity.value / trials.throughput_rps(run_.curves[key], c.max_batch, c.instances)


def _nearest(run_: _Run) -> None:
    """Nothing keeps the bound: measure the quickest candidate so that the answer names a figure."""
    found = [c for c in run_.curves if c != run_.baseline]
    if found:
        quickest = min(found, key=lambda c: run_.curves[c].service_ms[0].value)
        run_.latency[quickest] = run_.bench.single_stream(quickest, run_.bench.settings.latency_n)


def _findings(run_: _Run, chosen: Candidate | None) -> Findings:
    bench = run_.bench
    return Findings(
        baseline=run_.baseline,
        chosen=chosen,
        artefacts=dict(bench.artefacts),
        curves=run_.curves,
        facts=run_.facts,
        sla_rps=run_.sla,
        search=run_.search,
        confirm=run_.confirm,
        ratios=run_.ratios,
        capacities_rps=run_.capacities,
        lost=run_.lost,
        tied=run_.tied,
        failed=run_.failed,
        notes=(*run_.notes, *(f"not tried: {k} ({why})" for k, why in run_.skipped.items())),
        skipped=run_.skipped,
        latency=run_.latency,
        server=run_.server,
        best_fp32=run_.best_fp32,
        profiles=run_.profiles,
        measurements=tuple(bench.measurements),
    )
