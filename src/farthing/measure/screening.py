"""The first stages: build every variant, screen every build beside the baseline, pass the accuracy gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from farthing.core.numerals import ends, loses
from farthing.core.search import space, trials
from farthing.errors import EngineError, MeasureError
from farthing.measure.state import RunState, evidence_of, look
from farthing.nouns import Candidate, Estimate
from farthing.plugins import find

__all__ = ["build_all", "pass_gate", "screen", "screen_one"]


def build_all(state: RunState, cores: int) -> tuple[Candidate, ...]:
    """Build every variant that can be built here; one candidate for each engine, artefact and precision."""
    bench = state.bench
    engines = {e: find("engines", e).missing() for e in bench.settings.engines}
    state.skipped.update({f"engine {e}": f"not installed: {pip}" for e, pip in engines.items() if pip})
    wanted = [*bench.settings.variants]
    if bench.workload.model.kind == "torch" and any(e in engines for e in ("pytorch", "torch-compile")):
        wanted.append("torch-module")
    wanted += [v for v in (state.baseline.variant,) if v not in wanted]
    for k, name in enumerate(wanted):
        bench.tell("building", k, len(wanted), name)
        pip = find("variants", name).missing()
        if pip:
            state.skipped[f"variant {name}"] = f"not installed: {pip}"
            continue
        try:
            bench.build(name)
        except (EngineError, MeasureError) as e:
            state.skipped[f"variant {name}"] = e.message
    bench.tell("building", len(wanted), len(wanted), f"{len(bench.artefacts)} artefacts")
    return space.builds(bench.artefacts.values(), engines, bench.hardware.isa, cores)


def screen(state: RunState, builds: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Try every build for a moment beside the baseline; the promising ones, best first."""
    bench = state.bench
    screens = []
    own = replace(state.baseline, max_batch=1)
    for k, build in enumerate(builds):
        bench.tell("screening", k, len(builds), build.build)
        try:
            screens.append(screen_one(state, build))
        except (EngineError, MeasureError) as e:
            state.failed[build] = e.message
        bench.retire([state.baseline, *builds])
    bench.tell("screening", len(builds), len(builds), f"{len(state.failed)} could not be run")
    state.notes.extend(_one_at_a_time(state, [s.candidate for s in screens]))
    kept = trials.promising(screens)
    best = max((s.ratio.value for s in screens), default=0.0)
    for s in screens:
        if s.candidate not in kept:
            state.lost[s.candidate] = (
                f"screen: {s.ratio.value:.1f} × the baseline {ends(s.ratio.lo, s.ratio.hi, 1)}, best {best:.1f} ×"
            )
    others = [s for s in screens if s.candidate != own]
    state.best_fp32 = _fastest(s for s in others if s.candidate.precision == "fp32")
    state.best_half = _fastest(s for s in others if _is_half(state, s.candidate))
    return kept


def _one_at_a_time(state: RunState, builds: Sequence[Candidate]) -> list[str]:
    """A sentence for each reason why builds do not share batches; where none does, one with the first reason."""
    reasons: dict[str, list[str]] = {}
    for build in builds:
        found = state.bench.batching(build)
        if not found.batched:
            reasons.setdefault(found.alone, []).append(f"{build.build} {build.precision}")
    if reasons and sum(map(len, reasons.values())) == len(builds):
        return [f"this model answers one request at a time, because {next(iter(reasons))}"]
    return [f"{', '.join(names)}: one request at a time, because {why}" for why, names in reasons.items()]


def _fastest(screens: Iterable[trials.Screen]) -> Candidate | None:
    best = max(screens, key=lambda s: s.ratio.value, default=None)
    return best.candidate if best else None


def _is_half(state: RunState, c: Candidate) -> bool:
    """Whether it computes in BF16 or FP16 throughout; the float rest of a quantized model may run in BF16 too."""
    artefact = state.bench.artefacts.get(c.variant)
    return c.precision in ("bf16", "fp16") and artefact is not None and artefact.precision != "int8"


def screen_one(state: RunState, build: Candidate) -> trials.Screen:
    """Blocks at batch 1 and 8, each beside one of the baseline, so that slow drift cancels.

    The baseline's own build is one of them: in batches it may be the answer. A build whose requests may not share a
    batch is tried one request at a time.
    """
    bench = state.bench
    small, large = build, bench.batch_of(build, 8)
    lineup = list(dict.fromkeys([state.baseline, small, large]))
    first = bench.throughput(f"screen/{build.key}", lineup)
    second = bench.throughput(f"screen2/{build.key}", lineup[::-1])
    look(state, build, (1, large.max_batch))
    best = max((small, large), key=lambda c: first[c] + second[c])
    pair = [r[best] / r[state.baseline] for r in (first, second)]
    state.capacities[best] = _range([first[best], second[best]], "range of 2 blocks")
    return trials.Screen(candidate=build, ratio=_range(pair, "range of 2 interleaved ratios"))


def _range(values: Sequence[float], method: str) -> Estimate:
    return Estimate(value=sum(values) / len(values), lo=min(values), hi=max(values), n=len(values), method=method)


def pass_gate(state: RunState, kept: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Accuracy on the search split: builds that are clearly too lossy leave here."""
    bench = state.bench
    passed = []
    for k, build in enumerate(kept):
        bench.tell("accuracy", k, len(kept), build.build)
        try:
            evidence = evidence_of(state, build, "search", bench.workload.objective.confidence)
        except (EngineError, MeasureError) as e:
            state.failed[build] = e.message
            continue
        state.search[build] = evidence
        if evidence.drop_frac.value > bench.workload.objective.max_drop_frac:
            state.lost[build] = f"accuracy: {loses(evidence.drop_frac.value)} on the search split"
        else:
            passed.append(build)
    bench.tell(
        "accuracy", len(kept), len(kept), f"search {len(bench.splits.search)}: {len(passed)} of {len(kept)} pass"
    )
    return tuple(passed)
