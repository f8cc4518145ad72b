"""What replicas measure: all instances at once, one request at a time, a common schedule; answers in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from started_replica import CANDIDATE, PAIR, N, start

from farthing.nouns import Dataset, PipelineSpec
from farthing.testing import FakeClock
from farthing.workers.replicas.answering import Line
from farthing.workers.replicas.child import Instance
from farthing.workers.replicas.replica import Replica
from farthing.workers.replicas.schedule import Schedule


def test_a_start_is_itemised(pair: Replica) -> None:
    assert pair.load_s >= 0
    assert pair.first_inference_s >= 0.002
    assert pair.child_start_s > 0
    assert 10 < pair.start_memory_mib <= pair.peak_memory_mib()
    assert pair.device_memory_mib() is None
    assert pair.alive()


@pytest.mark.parametrize(("rows", "batch"), [([7, 3, 30, 0, 12], 2), ([5], 4), (list(range(N)), 16)])
def test_answers_come_back_in_order(pair: Replica, rows: list[int], batch: int) -> None:
    expected = np.array([[4.0 * k, 4.0 * k + 2] for k in rows], dtype=np.float32)
    found = pair.answers(rows, batch)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, expected)


def test_no_files_are_left_but_logs(pair: Replica) -> None:
    pair.answers([1, 2], 2)
    pair.server(500.0, 5, max_batch=2, seed=0)
    assert {p.suffix for p in pair._run_dir.iterdir()} == {".log"}


def test_answers_need_samples(pair: Replica) -> None:
    with pytest.raises(ValueError, match="no samples"):
        pair.answers([], 2)


def test_offline_loads_all_instances_and_runs_at_least_three_batches(pair: Replica) -> None:
    block = pair.offline_block(4, 0.0)
    assert block.n == PAIR * 3 * 4
    assert len(block.service_ms) == PAIR * 3
    assert min(block.service_ms) >= 2.0
    assert 0 < block.pipeline_frac < 1
    assert block.rps <= 2 * 4 / 0.002


def test_single_stream_is_one_request_at_a_time(pair: Replica) -> None:
    latency_ms = pair.single_stream(60)
    assert latency_ms.shape == (60,)
    assert latency_ms.min() >= 2.0


@pytest.mark.parametrize(("instances", "max_batch"), [(1, 1), (PAIR, 4)])
def test_the_server_answers_each_request_once_and_none_before_its_service_time(
    dataset: Dataset, tmp_path: Path, instances: int, max_batch: int
) -> None:
    rate_rps = 0.5 * instances / 0.002  # half loaded when requests come one by one
    candidate = replace(CANDIDATE, instances=instances)
    with start(dataset, tmp_path, candidate, options={"service_ms": 2.0}) as replica:
        run = replica.server(rate_rps, 300, max_batch=max_batch, seed=1, most_waiting=300)
    assert run.stable
    assert sum(run.batches) == 300
    assert min(run.batches) >= 1
    assert max(run.batches) <= max_batch
    assert run.latency_ms.shape == (300,)
    assert np.isfinite(run.latency_ms).all()
    assert run.latency_ms.min() >= 2.0
    assert run.offered_rps == rate_rps
    assert run.achieved_rps > 0


def test_what_waits_becomes_the_next_batch(pair: Replica) -> None:
    run = pair.server(20_000.0, 200, max_batch=8, seed=1, most_waiting=300)
    assert max(run.batches) == 8
    assert run.latency_ms[-1] > run.latency_ms[0] - 1000


@pytest.mark.parametrize("limit", [{"most_waiting": 20}, {"limit_s": 0.5}])
def test_a_server_that_cannot_keep_up_is_given_up(dataset: Dataset, tmp_path: Path, limit: dict[str, float]) -> None:
    with start(dataset, tmp_path, options={"service_ms": 100.0}) as replica:
        run = replica.server(1000.0, 2000, max_batch=1, seed=1, **limit)  # type: ignore[arg-type]
    assert not run.stable
    answered = np.isfinite(run.latency_ms)
    assert answered.sum() == sum(run.batches) < 100
    assert np.isinf(run.latency_ms[-1])
    assert run.achieved_rps < 100


def test_a_server_needs_a_rate(pair: Replica) -> None:
    with pytest.raises(ValueError, match="rate_rps must be > 0"):
        pair.server(0.0, 10, max_batch=1, seed=0)


def test_operators_come_from_the_engine(pair: Replica) -> None:
    seen = pair.operators(2, 3)
    (found,) = seen.times
    assert (found.kind, found.share_frac) == ("Mul", 1.0)
    assert seen.input_shapes == {"x": (2, 2)}


def test_two_workers_share_a_schedule_without_gap_or_overlap(tmp_path: Path) -> None:
    path = tmp_path / "schedule"
    with Schedule.create(path, np.arange(10.0), 100) as one, Schedule.open(path) as other:
        taken = [one.take(4), other.take(3), one.take(8), other.take(8)]
        assert taken == [(0, 4), (4, 3), (7, 3), (10, 0)]
        one.finish(0, 4)
        assert np.isinf(other.latency_s()[4:]).all()
        assert np.isfinite(other.latency_s()[:4]).all()
        assert not one.given_up


def test_a_schedule_is_given_up_by_all_when_too_many_wait(tmp_path: Path) -> None:
    path = tmp_path / "schedule"
    with Schedule.create(path, np.arange(10.0), 9) as one, Schedule.open(path) as other:
        assert one.take(4) == (0, 0)
        assert other.given_up
        assert other.take(4) == (0, 0)


def instance(dataset: Dataset, folder: Path) -> Instance:
    from farthing.codec import to_plain

    spec = {
        "candidate": to_plain(CANDIDATE),
        "dataset": to_plain(dataset),
        "pipeline": to_plain(PipelineSpec(kind="tensor")),
        "artefact": str(folder),
        "options": {"service_ms": 0.0},
        "seed": 3,
        "index": 0,
    }
    with (folder / "line").open("wb") as sink:
        import os

        return Instance(spec, Line(os.dup(sink.fileno()), FakeClock()))


@pytest.mark.parametrize("grouped", [False, True])
def test_batches_are_whole_and_leave_no_payload_out_for_good(dataset: Dataset, tmp_path: Path, grouped: bool) -> None:
    seen = instance(dataset, tmp_path)
    if grouped:
        seen._lengths = list(range(N))
    counts = np.zeros(N)
    for _ in range(60):
        batches = seen.batches(16)
        assert [len(b) for b in batches] == [16, 16]
        rows = [r for b in batches for r in b]
        assert len(set(rows)) == 32
        counts[rows] += 1
        if grouped:
            first, second = sorted(batches, key=min)
            assert max(first) < min(second)
    assert counts.min() > 20
    assert [len(b) for b in seen.batches(64)] == [64]
