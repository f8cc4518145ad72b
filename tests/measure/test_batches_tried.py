"""A run tries batches only of builds whose requests may share one, and says why of the others."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from farthing.errors import InputError
from farthing.measure.campaign import _check_batches
from farthing.measure.contest import useful_batches
from farthing.measure.proof import _both_batches
from farthing.measure.screening import _one_at_a_time
from farthing.measure.workbench import Workbench
from farthing.models.batch_check import Batching
from farthing.nouns import Candidate, Dataset, PipelineSpec
from farthing.workers.replicas.replica import Replica
from serving.coupled import write_graph

CANDIDATE = Candidate(engine="onnxruntime", variant="fp32", precision="fp32")
MIXED = Batching(alone="output y of a request beside another is not what it is alone")


def replica(path: Path, run_dir: Path) -> Replica:
    """Of a model whose samples are six numbers."""
    data = run_dir / "x.npz"
    np.savez(data, x=np.random.default_rng(3).normal(size=(30, 6)).astype(np.float32))
    return Replica.start(
        CANDIDATE,
        path,
        PipelineSpec(kind="tensor"),
        Dataset(kind="tensor", items=(str(data), "x"), n=30),
        options={},
        cpus=tuple(sorted(os.sched_getaffinity(0)))[:1],
        memory_limit_mib=4096,
        start_timeout_s=60,
        run_dir=run_dir,
        seed=0,
    )


@pytest.mark.parametrize(("name", "batched"), [("rows", True), ("leaning-on-mean", False), ("ranked", False)])
def test_a_replica_shows_whether_its_requests_may_share_a_batch(tmp_path: Path, name: str, batched: bool) -> None:
    with replica(write_graph(name, tmp_path), tmp_path) as one:
        found = one.batching(32, 0)
    assert found.batched is batched
    assert found.sizes == ((2, 3, 32) if batched else ())


class Bench:
    """A workbench that knows what was shown."""

    def __init__(self, shown: dict[str, Batching]) -> None:
        self.shown = shown
        self.settings = SimpleNamespace(batches=(1, 2, 4, 8))
        self.workload = SimpleNamespace(objective=SimpleNamespace(latency=None))

    def batching(self, candidate: Candidate) -> Batching:
        return self.shown[candidate.variant]

    batch_of = Workbench.batch_of


def state(**shown: Batching) -> Any:
    return SimpleNamespace(bench=Bench(shown), curves={})


def candidate(variant: str, **more: Any) -> Candidate:
    return Candidate(engine="onnxruntime", variant=variant, precision="fp32", **more)


def test_batches_are_tried_where_they_are_right_and_nowhere_else() -> None:
    found = state(mixed=MIXED, apart=Batching(sizes=(2, 3, 8), answers=13))
    assert useful_batches(found, candidate("mixed")) == (1,)
    assert useful_batches(found, candidate("apart")) == (1, 2, 4, 8)
    assert [c.max_batch for c in _both_batches(found.bench, candidate("mixed"))] == [1, 1]
    assert [c.max_batch for c in _both_batches(found.bench, candidate("apart"))] == [8, 1]


def test_why_there_are_no_batches_is_said_once() -> None:
    found = state(fp32=MIXED, int8=MIXED)
    assert _one_at_a_time(found, [candidate("fp32"), candidate("int8")]) == [
        "this model answers one request at a time, because output y of a request beside another is not what it is alone"
    ]
    found = state(fp32=MIXED, int8=Batching(alone="an answer changes with the request beside it"))
    assert len(_one_at_a_time(found, [candidate("fp32"), candidate("int8")])) == 1
    found = state(fp32=Batching(sizes=(2,)), int8=MIXED)
    assert _one_at_a_time(found, [candidate("fp32"), candidate("int8")]) == [
        "onnxruntime/int8 fp32: one request at a time, because output y of a request beside another is not what it is "
        "alone"
    ]


def test_a_baseline_in_batches_that_change_its_answers_is_refused() -> None:
    _check_batches(Bench({"mixed": MIXED}), candidate("mixed"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the baseline is in batches of 4, but this model answers one request") as e:
        _check_batches(Bench({"mixed": MIXED}), candidate("mixed", max_batch=4))  # type: ignore[arg-type]
    assert e.value.hint == "baseline: {batch: 1}"
