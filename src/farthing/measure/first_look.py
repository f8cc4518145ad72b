"""The first minutes of a run: the baseline and a few builds, screened for a moment, so that a wide answer comes soon.

Every step goes through the journal under the key that the search gives it, so that the search which follows takes it
from there: a first look costs it next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from farthing.core.plan.findings import Findings
from farthing.core.search import space
from farthing.errors import EngineError, FarthingError, MeasureError, StoreError
from farthing.measure.baseline_score import baseline_score, guessing
from farthing.measure.campaign import fastest_layout
from farthing.measure.contest import useful_batches
from farthing.measure.screening import screen_one
from farthing.measure.served.live_server import missing
from farthing.measure.served.path import served_model
from farthing.measure.served.rate import model_of, slower_by
from farthing.measure.state import RunState, evidence_of, findings_of, look, rate_all, stable_rate
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, Estimate
from farthing.plugins import find

__all__ = ["FIRST_LOOK_S", "Glimpse", "glimpse"]

FIRST_LOOK_S = 150.0
"""After so long the look has all its builds; half a minute is left for answers, batches and the price."""
_BUILDS_UNTIL, _SCREENS_UNTIL, _BATCHES_UNTIL = 0.4, 0.75, 0.9
"""Shares of that time after which no build, no screen and no further batch size is begun."""
_GATED = 2
"""Builds whose answers are compared, the quickest first."""
_QUICK_BUILDS = ("fp32", "int8-dynamic")
"""Variants that need no calibration: built at once."""
_PASSES = 4.0
"""Calibration runs over its samples about so often, in full precision, with what it collects."""
_STAGE, _STEPS = "first look", 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What was seen.

    Attributes:
        findings: Of the baseline and of the builds looked at.
        left_out: Variants that would have taken too long to build.
        seconds: That it took.
        score: The baseline's metric on the search split, None without labels.
        doubt: What to ask where the baseline is no better than guessing, else empty.
    """

    findings: Findings
    left_out: tuple[str, ...]
    seconds: float
    score: Estimate | None
    doubt: str


@dataclass
class _Look:
    """A look while it goes on."""

    state: RunState
    started_s: float
    limit_s: float
    left_out: list[str] = field(default_factory=list)

    @property
    def bench(self) -> Workbench:
        return self.state.bench

    def before(self, share: float) -> bool:
        """Whether less than this share of the time has gone."""
        return self.bench.elapsed_s() - self.started_s < share * self.limit_s


def glimpse(bench: Workbench, limit_s: float = FIRST_LOOK_S) -> Glimpse:
    """Measure the baseline, look at builds as long as there is time, compare answers of the quickest.

    Args:
        bench: With the workload, the settings and the journal.
        limit_s: When to stop beginning things, > 0.

    Raises:
        FarthingError: when the baseline itself cannot be built or measured.
    """
    try:
        return _glimpse(bench, limit_s)
    finally:
        bench.drifts.clear()  # the search takes the same blocks from the journal and counts them itself


def _glimpse(bench: Workbench, limit_s: float) -> Glimpse:
    started_s = bench.elapsed_s()
    cores = int(bench.hardware.vcpus or 1)
    bench.tell(_STAGE, 0, _STEPS, "the baseline")
    state = RunState(bench=bench, baseline=fastest_layout(bench, cores))
    at = _Look(state=state, started_s=started_s, limit_s=limit_s)
    look(state, state.baseline, sorted({1, state.baseline.max_batch}))
    state.sla[state.baseline] = stable_rate(state, state.baseline)
    _screen_builds(at, cores)
    bench.tell(_STAGE, 2, _STEPS, "answers of the baseline")
    score = baseline_score(bench, state.baseline)
    passed = _gate(at)
    bench.tell(_STAGE, 3, _STEPS, "batches")
    for k, build in enumerate(passed):
        _batches(at, build, further=k == 0)
    chosen = _best(state)
    bench.retire([state.baseline])
    if chosen is not None:
        bench.tell(_STAGE, 4, _STEPS, f"what a server adds to {chosen.label}")
        _charge_server(state, chosen)
    bench.tell(_STAGE, _STEPS, _STEPS, f"{_builds(len(state.ratios))} looked at")
    return Glimpse(
        findings=findings_of(state, chosen),
        left_out=tuple(at.left_out),
        seconds=bench.elapsed_s() - started_s,
        score=score,
        doubt=guessing(bench, score),
    )


def _builds(n: int) -> str:
    return "1 build" if n == 1 else f"{n} builds"


def _screen_builds(at: _Look, cores: int) -> None:
    """Build what is quickly built, and screen each build at once."""
    bench, state = at.bench, at.state
    engines = {e: find("engines", e).missing() for e in bench.settings.engines}
    for variant in bench.settings.variants:
        if find("variants", variant).missing():
            continue
        if not _in_time(at, variant):
            at.left_out.append(variant)
            continue
        bench.tell(_STAGE, 1, _STEPS, f"building {variant}")
        try:
            artefact = bench.build(variant)
        except (EngineError, MeasureError) as e:
            state.skipped[f"variant {variant}"] = e.message
            continue
        _screen(at, space.builds([artefact], engines, bench.hardware.isa, cores))


def _in_time(at: _Look, variant: str) -> bool:
    """Whether a variant can be built before screens must end; one that the journal has always can."""
    if f"build/{variant}" in at.bench.journal or variant in _QUICK_BUILDS:
        return True
    one_ms = at.state.curves[replace(at.state.baseline, max_batch=1)].service_ms[0].value
    takes_s = _PASSES * len(at.bench.splits.calibrate) * one_ms / 1000
    return at.before(_BUILDS_UNTIL) and at.before(_SCREENS_UNTIL - takes_s / at.limit_s)


def _screen(at: _Look, builds: Sequence[Candidate]) -> None:
    bench, state = at.bench, at.state
    for build in builds:
        if not at.before(_SCREENS_UNTIL):
            return
        bench.tell(_STAGE, 1, _STEPS, build.build)
        try:
            state.ratios[build] = screen_one(state, build).ratio
        except (EngineError, MeasureError) as e:
            state.failed[build] = e.message
        bench.retire([state.baseline])


def _gate(at: _Look) -> list[Candidate]:
    """The quickest builds whose answers lose no more than is allowed, as far as the search split tells.

    The answers of one build are compared in any case, those of others as long as there is time.
    """
    bench, state = at.bench, at.state
    passed: list[Candidate] = []
    for k, build in enumerate(sorted(state.ratios, key=lambda c: -state.ratios[c].value)):
        if len(passed) == _GATED or (k and not at.before(1.0)):
            break
        bench.tell(_STAGE, 2, _STEPS, f"answers of {build.build}")
        try:
            evidence = evidence_of(state, build, "search", bench.workload.objective.confidence)
        except (EngineError, MeasureError) as e:
            state.failed[build] = e.message
            continue
        state.search[build] = evidence
        if evidence.drop_frac.value <= bench.workload.objective.max_drop_frac:
            passed.append(build)
    return passed


def _batches(at: _Look, build: Candidate, *, further: bool) -> None:
    """Rates within the promise at the batch sizes that are known, and at further ones while there is time."""
    state = at.state
    try:
        for size in useful_batches(state, build) if further else ():
            if at.before(_BATCHES_UNTIL):
                look(state, build, (size,))
    except (EngineError, MeasureError) as e:
        state.failed[build] = e.message
    rate_all(state, build)


def _best(state: RunState) -> Candidate | None:
    rates = {c: rate for c, rate in state.sla.items() if rate is not None and c != state.baseline}
    return max(rates, key=lambda c: rates[c], default=None)


def _charge_server(state: RunState, chosen: Candidate) -> None:
    """Take off everybody's rate what ``farthing serve`` takes on a request, by clients that never rest for a second.

    It is next to nothing for a model of milliseconds, and most of the cost of one of microseconds.
    """
    if missing() is not None:
        return
    key = f"{chosen.key}/rate"
    try:
        with served_model(state.bench, model_of(state, chosen, None), key) as path:
            slower, full_rps = slower_by(path, state.curves[replace(chosen, max_batch=1)])
    except StoreError:  # a full disk is no fault of the candidate
        raise
    except FarthingError as e:
        state.notes.append(f"not seen through the server: {e.message}")
        return
    taken_s = (1 - 1 / slower) / full_rps
    state.sla = {c: None if rate is None else 1 / (1 / rate + taken_s) for c, rate in state.sla.items()}
