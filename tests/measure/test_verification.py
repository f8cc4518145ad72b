"""A plan's choice measured again beside its yardsticks, on a real workbench with the fake engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from example_plan import met_plan
from small_bench import small_bench

from farthing.core.plan.holding import held
from farthing.measure import verification
from farthing.measure.open_loop import RunSeen
from farthing.measure.workbench import MeasureSettings, Workbench
from farthing.nouns import (
    Artefact,
    Candidate,
    Dataset,
    Estimate,
    Evaluation,
    Plan,
    StandIn,
)

CHOSEN = Candidate(engine="fake", variant="quick", precision="int8", max_batch=4)
BASE = Candidate(engine="fake", variant="torch-module", precision="fp32")
FP32 = Candidate(engine="fake", variant="fp32", precision="fp32", max_batch=4)
ROUNDS = 8


def est(value: float) -> Estimate:
    return Estimate(value=value, lo=0.98 * value, hi=1.02 * value, n=12, method="t")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    def evaluation(c: Candidate, rps: float) -> Evaluation:
        return Evaluation(
            candidate=c, status="lost", capacity_rps=est(rps), ratio=est(1.0), service_ms=((c.max_batch, est(1.2)),)
        )

    evaluations = (evaluation(BASE, 800.0), evaluation(CHOSEN, 3000.0), evaluation(FP32, 3000.0))
    artefacts = tuple(
        Artefact(variant=v, precision="fp32", path=v, sha256="0", size_mib=0.0, engines=("fake",))
        for v in ("quick", "torch-module", "fp32")
    )
    made = met_plan()
    return replace(
        made,
        baseline=evaluations[0],
        chosen=evaluations[1],
        evaluations=evaluations,
        artefacts=artefacts,
        hourly=replace(made.hourly, peak_rps=(200.0, 50.0), planned_replicas=()),
    )


@dataclass
class BesideServer:
    """Stands for the way through a server: the same runs, taken from a schedule (there is no plan.yaml here)."""

    bench: Workbench
    candidate: Candidate
    source: Path
    name: str
    key: str
    deadline_ms: float | None = None
    batch_s: float = 0.0

    def __enter__(self) -> BesideServer:
        return self

    def __exit__(self, *_: object) -> None: ...

    def capacity_rps(self, k: int) -> float:
        return 2500.0

    def run(self, rate_rps: float, n: int, seed: int) -> RunSeen:
        return self.bench.poisson(self.candidate, rate_rps, n, seed)


@pytest.fixture
def bench(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    monkeypatch.setattr(verification, "ROUNDS", ROUNDS)
    monkeypatch.setattr(verification, "ServedPath", BesideServer)
    found = small_bench(dataset, tmp_path, MeasureSettings(block_s=0.02, proof_runs=3), 500.0)
    with found:
        yield found


@pytest.mark.slow
def test_all_rounds_hold_the_choice_and_what_can_be_run_beside_it(bench: Workbench, plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, hourly=replace(plan.hourly, planned_replicas=(2, 1)))
    seen = verification.remeasure(bench, plan, tmp_path)
    assert set(seen.beside_rps) == {FP32}  # the user's own module runs with trust only
    columns = (seen.service_ms, seen.capacity_rps, seen.canary_ms, seen.contended, seen.beside_rps[FP32])
    assert {len(c) for c in columns} == {ROUNDS}
    assert min(seen.service_ms) >= 1.0
    assert min(seen.canary_ms) > 0
    assert seen.server is not None
    assert seen.server.metrics["offered_rps"].value == 100.0  # two replicas at the busiest hour
    assert seen.server.n == 3 * 200  # three runs of two seconds, each with its own arrivals
    assert seen.server.latency(0.99).n == 3
    found = held(replace(plan, canary_ms=est(10.0)), seen, "abc")
    assert [c.unit for c in found.checks] == ["ms", "requests/s", "ms"]
    assert "best FP32" in found.machine_speed.method
    assert "canary kernel" in found.machine_speed.method


@pytest.mark.parametrize(("factor", "rate"), [(1.0, 100.0), (1 / 4, 400.0)])
def test_a_machine_of_many_offers_is_asked_for_all_that_its_share_of_them_takes(
    plan: Plan, factor: float, rate: float
) -> None:
    """A replica of a quarter of this machine that takes 100 requests/s proves itself here at 400."""
    plan = replace(plan, hourly=replace(plan.hourly, planned_replicas=(2, 1)))
    stand_in = StandIn(machine="8 cores", offer="2 cores", capacity_factor=factor)
    assert verification._peak_of_one(replace(plan, stand_in=stand_in)) == rate
    assert verification._peak_of_one(plan) == 100.0


def test_where_nothing_can_be_served_the_peak_is_tried_beside_the_server_and_said_so(
    bench: Workbench, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base install has no server; ``verify`` ended there with an error."""

    def refuse(**_: object) -> None:
        raise AssertionError("a server is started")

    said: list[str] = []
    bench.tell = lambda *line: said.append(str(line[-1]))
    monkeypatch.setattr(verification, "missing", lambda: 'pip install "farthing[serve]"')
    monkeypatch.setattr(verification, "ServedPath", refuse)
    plan = replace(plan, hourly=replace(plan.hourly, planned_replicas=(2, 1)))
    seen = verification.remeasure(bench, plan, tmp_path)
    assert seen.server is not None
    assert seen.server.metrics["offered_rps"].value == 100.0
    assert any(line.startswith("beside the server, not through it: pip install") for line in said)


def test_with_trust_the_baseline_runs_too(bench: Workbench, plan: Plan, tmp_path: Path) -> None:
    bench.trust = True
    assert set(verification.remeasure(bench, plan, tmp_path).beside_rps) == {BASE, FP32}


def test_a_yardstick_that_cannot_be_run_is_left_out(bench: Workbench, plan: Plan, tmp_path: Path) -> None:
    said: list[str] = []
    bench.tell = lambda *line: said.append(str(line[-1]))
    gone = replace(FP32, engine="onnxruntime")
    evaluations = tuple(replace(e, candidate=gone) if e.candidate == FP32 else e for e in plan.evaluations)
    seen = verification.remeasure(bench, replace(plan, evaluations=evaluations), tmp_path)
    assert not seen.beside_rps
    assert any("cannot be run here" in line for line in said)
    assert any("--trust" in line for line in said)


def test_a_plan_that_chose_nothing_is_not_measured(bench: Workbench, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chose nothing"):
        verification.remeasure(bench, replace(plan, chosen=None), tmp_path)
