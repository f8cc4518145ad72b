"""A workbench of a workload without a model: for stages whose measurements are made up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import this_machine
from farthing.measure.workbench import MeasureSettings, Workbench
from farthing.nouns import (
    BaselineSpec,
    Bill,
    Dataset,
    LatencyBound,
    ModelRef,
    Objective,
    PipelineSpec,
    Splits,
    Workload,
)
from farthing.store.journal import Journal

__all__ = ["small_bench"]


def small_bench(dataset: Dataset, folder: Path, settings: MeasureSettings, bound_ms: float) -> Workbench:
    """Not opened yet.

    Args:
        dataset: Four samples at least.
        folder: For its journal.
        settings: How much is measured.
        bound_ms: The promised p99.
    """
    workload = Workload(
        name="small",
        model=ModelRef(kind="onnx", path="none"),
        pipeline=PipelineSpec(kind="tensor"),
        holdout=dataset,
        baseline=BaselineSpec(engine="fake"),
        bill=Bill(offer="aws/m7i.large", replicas=1),
        objective=Objective(latency=LatencyBound(ms=bound_ms)),
    )
    return Workbench(
        workload=workload,
        splits=Splits(calibrate=(), search=(0, 1), confirm=(2, 3)),
        settings=settings,
        hardware=this_machine(),
        fingerprint="abc",
        out=folder,
        journal=Journal(folder / "work" / "journal.jsonl", {}),
        clock=MonotonicClock(),
        tell=lambda *_: None,
        started_at=datetime.now(UTC),
    )
