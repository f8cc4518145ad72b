"""Small made-up runs for the search tests: every noun that they need is built here, so that a rename is one edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np

from farthing.core.plan.assemble import assemble
from farthing.core.plan.findings import Facts, Findings
from farthing.core.plan.pricing import Market, Pricing
from farthing.core.plan.verdicts import nearest
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import (
    AccuracyEvidence,
    Artefact,
    BaselineSpec,
    Bill,
    Candidate,
    Dataset,
    Estimate,
    Evaluation,
    Hardware,
    Latency,
    LatencyBound,
    Measurement,
    ModelRef,
    Objective,
    Offer,
    PipelineSpec,
    Plan,
    Provenance,
    Trace,
    Workload,
)

BASE = Candidate(engine="pytorch", variant="torch-module", precision="fp32", instances=2)
INT8 = Candidate(engine="openvino", variant="int8", precision="int8", max_batch=8, instances=2)
FP32 = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=4, instances=2)


def est(value: float, lo: float | None = None, hi: float | None = None, n: int = 12) -> Estimate:
    """An estimate; without ends one that is known exactly."""
    lo, hi = value if lo is None else lo, value if hi is None else hi
    return Estimate(value=value, lo=lo, hi=hi, n=n, method="test")


# --- promises and evidence ------------------------------------------------------------------------------------


def objective(bound_ms: float | None = 50.0, level: float = 0.99, **more: object) -> Objective:
    """A promise of latency at a level, and whatever else is given."""
    bound = None if bound_ms is None else LatencyBound(ms=bound_ms, percentile=level)
    return Objective(latency=bound, **more)  # type: ignore[arg-type]


def evidence(verdict: str = "met", drop: Estimate | None = None, **more: object) -> AccuracyEvidence:
    """A paired comparison on 700 untouched samples."""
    fields: dict[str, object] = {
        "metric": "accuracy", "split": "confirm", "n": 700, "n_differ": 3, "n_worse": 2, "n_better": 1,
        "baseline_frac": est(0.99), "candidate_frac": est(0.99), "verdict": verdict,
        "drop_frac": drop or est(-0.005, -1.0, 0.0025),
    }  # fmt: skip
    return AccuracyEvidence(**{**fields, **more})  # type: ignore[arg-type]


def evaluated(
    c: Candidate, *, alone_ms: Estimate | None = None, at_peak_ms: Estimate | None = None, **more: object
) -> Evaluation:
    """What is known of a candidate; ``alone_ms`` and ``at_peak_ms`` are its p99 without a queue and at the peak."""
    fields: dict[str, object] = {
        "status": "lost",
        "single": () if alone_ms is None else (Latency(percentile=0.99, ms=alone_ms),),
        "at_peak": None if at_peak_ms is None else Latency(percentile=0.99, ms=at_peak_ms),
    }
    return Evaluation(candidate=c, **{**fields, **more})  # type: ignore[arg-type]


def p99_alone(e: Evaluation) -> Estimate | None:
    """p99 of single requests."""
    alone = e.single_at(0.99)
    return None if alone is None else alone.ms


def p99_at_peak(e: Evaluation) -> Estimate | None:
    """p99 at the plan's peak rate."""
    return None if e.at_peak is None else e.at_peak.ms


def nearest_at_p99(evaluations: list[Evaluation]) -> Evaluation | None:
    """Who comes nearest to a bound on p99."""
    return nearest(evaluations, 0.99)


# --- a whole run ----------------------------------------------------------------------------------------------


def offer(
    name: str = "aws/small", term: str = "on_demand", usd_per_hour: float | None = 0.1, vcpus: float | None = 2, **more: object
) -> Offer:  # fmt: skip
    """An offer of two processors at ten cents an hour."""
    fields: dict[str, object] = {"region": "here", "dated": date(2026, 7, 20), "source": "made up for tests"}
    if usd_per_hour is None:
        fields["usd_per_request"] = 1e-6
    return Offer(
        name=name,
        provider="aws",
        term=term,  # type: ignore[arg-type]
        hardware=Hardware(name=name, vcpus=vcpus),
        usd_per_hour=usd_per_hour,
        **{**fields, **more},  # type: ignore[arg-type]
    )


def hours(*rates_rps: float) -> Trace:
    """A trace of whole hours at these rates."""
    return Trace(name="hours", step_s=3600, counts=np.array(rates_rps) * 3600)


def workload(promise: Objective | None = None) -> Workload:
    """A workload of tensors, paid at $1,000 a month."""
    return Workload(
        name="example",
        model=ModelRef(kind="onnx", path="model.onnx"),
        pipeline=PipelineSpec(kind="tensor"),
        holdout=Dataset(kind="tensor", items=(), n=0),
        baseline=BaselineSpec(),
        bill=Bill(offer="aws/small", usd_per_month=1000.0),
        objective=promise or objective(),
    )


def market(**more: object) -> Market:
    """Prices on demand alone."""
    fields: dict[str, object] = {
        "bill_offer": offer(), "terms": (offer(),), "elsewhere": (), "priced_as": "aws/small",
        "bill_usd_per_month": 1000.0,
    }  # fmt: skip
    return Market(**{**fields, **more})  # type: ignore[arg-type]


def findings(**more: object) -> Findings:
    """Baseline 10 requests/s, FP32 40, INT8 chosen at 100 (alone 50); ratios with intervals of a twentieth."""
    alone = replace(INT8, max_batch=1)
    fields: dict[str, object] = {
        "baseline": BASE,
        "chosen": INT8,
        "artefacts": {"int8": artefact("int8", "int8")},
        "curves": {},
        "facts": {},
        "sla_rps": {BASE: 10.0, FP32: 40.0, INT8: 100.0, alone: 50.0},
        "ratios": {INT8: est(10.0, 9.5, 10.5), FP32: est(4.0, 3.8, 4.2)},
        "capacities_rps": {BASE: est(12.0, 11.4, 12.6), INT8: est(120.0, 114.0, 126.0)},
        "confirm": {INT8: evidence()},
        "best_fp32": FP32,
    }
    return Findings(**{**fields, **more})  # type: ignore[arg-type]


def artefact(variant: str, precision: str) -> Artefact:
    """A file that an engine loads."""
    return Artefact(variant=variant, precision=precision, path=variant, sha256="0", size_mib=1.0, engines=("openvino",))  # type: ignore[arg-type]


def pricing(found: Findings | None = None, trace: Trace | None = None, promise: Objective | None = None, **of_market: object) -> Pricing:  # fmt: skip
    """The run at its prices: by default an hour at 100 requests/s and one at 10."""
    return Pricing(
        workload=workload(promise),
        found=found or findings(),
        market=market(**of_market),
        trace=trace or hours(100.0, 10.0),
    )


def curve(times_ms: Mapping[int, Estimate]) -> ServiceCurve:
    """Measured times of batches by their size."""
    return ServiceCurve(sizes=tuple(times_ms), service_ms=tuple(times_ms.values()))


def facts(memory_mib: float = 300.0) -> Facts:
    """Of a build once loaded."""
    return Facts(load_s=0.8, first_inference_s=0.03, child_start_s=1.5, peak_memory_mib=memory_mib)


def measured(c: Candidate, p50: float, p90: float, p99: float) -> Measurement:
    """Latencies of a scenario in ms."""
    values = {"latency_p50_ms": p50, "latency_p90_ms": p90, "latency_p99_ms": p99}
    return Measurement(
        candidate=c,
        scenario="SingleStream",
        batch=1,
        n=400,
        metrics={name: est(value) for name, value in values.items()},
        seed=1,
        hardware="abc",
        taken_at=datetime(2026, 7, 21, tzinfo=UTC),
        quantiles_ms=(p50, p99),
    )


def provenance() -> Provenance:
    """How the run is repeated."""
    return Provenance(
        command="farthing optimize", seed=1, versions={}, hardware=Hardware(name="here"), fingerprint="abc",
        started_at=datetime(2026, 7, 21, tzinfo=UTC), seconds={},
    )  # fmt: skip


def planned(found: Findings | None = None, **more: object) -> Plan:
    """The plan of a run at an hour of 100 requests/s and one of 10."""
    return assemble(
        workload(),
        found or findings(),
        market(**more),
        hours(100.0, 10.0),
        provenance(),
        splits={"confirm": 700},
        assumptions=("this machine stands for aws/small",),
        description="a test",
    )
