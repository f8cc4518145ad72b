"""Files of earlier versions stay readable, whatever is added to the nouns: golden ones are never written anew."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farthing.codec import from_plain
from farthing.load.plans import load_plan
from farthing.load.schema import read_document
from farthing.nouns import Estimate, LatencyBound, Measurement, Workload
from farthing.render.plan.report import report_html
from farthing.store.journal import Journal
from farthing.store.measurements import read_measurements

V1, V2, V3 = (Path(__file__).parents[1] / "golden" / version for version in ("v1", "v2", "v3"))


def test_plan() -> None:
    plan = load_plan(V1 / "plan.yaml")
    assert plan.verdict.outcome == "met"
    assert plan.chosen is not None
    assert plan.chosen.candidate.label == "onnxruntime int8-dynamic b8 2×1"
    assert plan.saving_frac is not None
    assert plan.offers[0].key == "aws/m7i.large@us-east-1:on_demand"
    assert plan.workload in report_html(plan)


def test_measurements() -> None:
    (found,) = read_measurements(V1 / "measurements.parquet")
    assert found.candidate.label == "e v in int8 b4 2×1"
    assert found.metrics["throughput_rps"].value == 5
    assert found.metrics["throughput_rps"].hi == float("inf")
    assert found.taken_at == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_journal(tmp_path: Path) -> None:
    path = shutil.copy(V1 / "journal.jsonl", tmp_path)

    def again() -> Estimate:
        raise AssertionError("measured again")

    with Journal(Path(path), {"seed": 0, "settings": {"rounds": 8}}) as journal:
        assert journal.resumed == 3
        assert journal.once("score", Estimate, again).n == 9
        assert journal.once("single/a", Measurement, again).n == 100
        assert journal.once("service/a", list[float], again) == [1.5, 2.5]


def test_resolved_workload() -> None:
    workload = from_plain(Workload, read_document(V1 / "workload.json", "workload-resolved"))
    assert (workload.holdout.n, workload.objective.latency) == (360, LatencyBound(ms=50))


def test_plan_2() -> None:
    """A promise at p99.9, with figures of that level."""
    plan = load_plan(V2 / "plan.yaml")
    assert plan.objective.latency == LatencyBound(ms=100, percentile=0.999)
    assert plan.chosen is not None
    assert plan.chosen.at_peak is not None
    assert (plan.chosen.at_peak.name, plan.chosen.at_peak.ms.value) == ("p99.9", 40)
    assert [x.name for x in plan.chosen.single] == ["p50", "p90", "p99", "p99.9"]
    assert "p99.9 of a replica" in report_html(plan)


def test_plan_3() -> None:
    """The plan of version 2, its evidence in files beside it."""
    plan, before = load_plan(V3), load_plan(V2 / "plan.yaml")
    assert [e.candidate for e in plan.evaluations] == [e.candidate for e in before.evaluations]
    assert plan.chosen is not None
    assert before.chosen is not None
    assert plan.chosen.quantiles_ms == pytest.approx(before.chosen.quantiles_ms)
    assert plan.hourly.planned_replicas == before.hourly.planned_replicas
    assert plan.objective.latency == LatencyBound(ms=100, percentile=0.999)
    assert "p99.9 of a replica" in report_html(plan)


def test_resolved_workload_2() -> None:
    workload = from_plain(Workload, read_document(V2 / "workload.json", "workload-resolved"))
    assert workload.objective.latency == LatencyBound(ms=100, percentile=0.999)
