"""Replicas are real child processes: pinned, ended, watched; a fault in one is an error, never an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from farthing.errors import CandidateCrashed, CandidateOutOfMemory, CandidateTimeout, EngineError, MeasureError
from farthing.measure import scenarios
from farthing.measure.canary import Canary
from farthing.measure.replica import Replica
from farthing.nouns import Candidate, Dataset, PipelineSpec

CANDIDATE = Candidate(engine="fake", variant="fp32", precision="fp32")
N = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "x.npz"
    x = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
    np.savez(path, x=x)
    return Dataset(kind="tensor", items=(str(path), "x"), n=N)


def start(dataset: Dataset, tmp_path: Path, candidate: Candidate = CANDIDATE, **more: Any) -> Replica:
    settings: dict[str, Any] = {
        "options": {},
        "cpus": tuple(sorted(os.sched_getaffinity(0))),
        "memory_limit_mib": 4096,
        "start_timeout_s": 60,
        "run_dir": tmp_path,
        "seed": 0,
        **more,
    }
    return Replica.start(candidate, tmp_path / "none", PipelineSpec(kind="tensor"), dataset, **settings)


@pytest.fixture
def replica(dataset: Dataset, tmp_path: Path) -> Iterator[Replica]:
    with start(dataset, tmp_path, replace(CANDIDATE, instances=2), options={"service_ms": 4.0}) as found:
        yield found


def test_answers_come_back_in_order(replica: Replica) -> None:
    rows = [7, 3, 30, 0, 12]
    expected = np.array([[4.0 * k, 4.0 * k + 2] for k in rows])
    np.testing.assert_array_equal(replica.answers(rows, 2), expected)


def test_all_instances_are_loaded_at_once(replica: Replica) -> None:
    block = replica.offline_block(4, 0.4)
    assert block.n >= 2 * 3 * 4
    assert min(block.service_ms) >= 4.0
    one = 1000 / 4.0 * 4
    assert one < block.rps <= 2 * one


def test_single_stream_is_one_request_at_a_time(replica: Replica) -> None:
    latency_ms = replica.single_stream(20)
    assert latency_ms.shape == (20,)
    assert latency_ms.min() >= 4.0


def test_the_server_scenario_answers_each_request_once_and_batches_what_waits(replica: Replica) -> None:
    run = replica.server(900.0, 400, max_batch=4, seed=1)
    assert sum(run.batches) == 400
    assert max(run.batches) <= 4
    assert max(run.batches) > 1
    assert np.isfinite(run.latency_ms).all()
    assert run.latency_ms.min() >= 4.0


def test_a_server_that_cannot_keep_up_is_cut_short(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, options={"service_ms": 200.0}) as replica:
        run = replica.server(2000.0, 600, max_batch=1, seed=1, limit_s=1.0)
    assert np.isinf(run.latency_ms).any()
    assert sum(run.batches) < 600


def test_instances_are_pinned_to_their_own_cores(dataset: Dataset, tmp_path: Path) -> None:
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    if len(cpus) < 2:
        pytest.skip("one core only")
    with start(dataset, tmp_path, replace(CANDIDATE, instances=2)) as replica:
        pinned = [psutil.Process(c.process.pid).cpu_affinity() for c in replica.children]
    assert pinned == [[cpus[0]], [cpus[1]]]


def test_noise_on_stdout_does_not_reach_the_protocol(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, options={"noise": True}) as replica:
        assert replica.answers([1], 1).shape == (1, 2)
    assert "noise on stderr" in next(tmp_path.glob("*.log")).read_text()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"fault": "segfault"}, CandidateCrashed, "SIGSEGV"),
        ({"fault": "exception"}, MeasureError, "the kernel said no"),
        ({"fault": "memory"}, CandidateOutOfMemory, "limit is 600 MiB"),
        ({"load_fault": "segfault"}, CandidateCrashed, "SIGSEGV"),
        ({"load_fault": "refuse"}, EngineError, "fake cannot run none"),
        ({"load_fault": "hang"}, CandidateTimeout, "did not answer within 3 s"),
    ],
)
def test_faults_are_named_and_leave_no_process(
    dataset: Dataset, tmp_path: Path, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    timeout_s = 3 if options.get("load_fault") == "hang" else 60
    with (
        pytest.raises(error, match=text),
        start(dataset, tmp_path, options=options, memory_limit_mib=600, start_timeout_s=timeout_s) as replica,
    ):
        replica.offline_block(1, 0.2)
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert all(p.status() == psutil.STATUS_ZOMBIE for p in left)


def test_a_hang_while_measuring_is_ended(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, options={"fault": "hang"}) as replica, pytest.raises(CandidateTimeout):
        replica.offline_block(1, 0.1, timeout_s=2.0)


def test_children_end_with_a_killed_parent(dataset: Dataset, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_replica import start
        from farthing.nouns import Dataset
        r = start(Dataset(kind="tensor", items={dataset.items!r}, n={dataset.n}), Path({str(tmp_path)!r}))
        print(r.children[0].process.pid, flush=True)
        time.sleep(60)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert gone
    assert not alive


def test_the_parent_stays_light() -> None:
    script = "import sys, farthing.measure.campaign; print([m for m in ('torch','onnx','openvino','onnxruntime','duckdb','altair') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rounds_measure_each_in_turn_and_mark_what_was_contended(replica: Replica) -> None:
    class Busy(Canary):
        def busy(self) -> bool:
            return True

    quiet = scenarios.run_round([(replica, 1), (replica, 4)], 0.1, Canary())
    assert len(quiet) == 2
    assert quiet[1].rps > quiet[0].rps
    assert all(b.contended for b in scenarios.run_round([(replica, 1)], 0.05, Busy()))


def test_measurements_carry_intervals(replica: Replica) -> None:
    stamp = {"seed": 0, "hardware": "abc"}
    seen = scenarios.server(replica, 300.0, 200, max_batch=4, **stamp)
    assert seen.scenario == "Server"
    assert seen.metrics["latency_p50_ms"].value >= 4.0
    assert len(seen.quantiles_ms) == 101
    off = scenarios.offline(replica.candidate, [10.0, 11.0, 30.0], 0.1, [False, False, True], **stamp)
    assert off.contended
    assert off.metrics["throughput_rps"].hi >= 30.0
