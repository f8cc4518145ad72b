"""Children are real processes: pinned, watched, ended; a fault in one is an error, never an end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from started_replica import CANDIDATE, start

from farthing.errors import (
    CandidateCrashed,
    CandidateOutOfMemory,
    CandidateTimeout,
    EngineError,
    MeasureError,
)
from farthing.nouns import Dataset
from farthing.workers.replicas.messages import Child
from farthing.workers.replicas.replica import Replica

TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core only")


def processes(replica: Replica) -> list[psutil.Process]:
    return [psutil.Process(child.process.pid) for child in replica.children]


@TWO_CORES
def test_instances_are_pinned_to_their_own_cores_and_told_their_threads(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_CPU_AFFINITY", "0-63")
    first, second = sorted(os.sched_getaffinity(0))[:2]
    with start(dataset, tmp_path, replace(CANDIDATE, instances=2)) as replica:
        assert [p.cpu_affinity() for p in processes(replica)] == [[first], [second]]
        told = processes(replica)[0].environ()
    with start(dataset, tmp_path, replace(CANDIDATE, threads=2)) as replica:
        assert [p.cpu_affinity() for p in processes(replica)] == [[first, second]]
        assert processes(replica)[0].environ()["OMP_NUM_THREADS"] == "2"
    assert [told[k] for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")] == ["1", "1", "1"]
    assert "GOMP_CPU_AFFINITY" not in told
    assert told["HF_HUB_OFFLINE"] == "1"
    assert os.sched_getaffinity(0) >= {first, second}


def test_cores_must_be_enough_and_this_process_s_own(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 4 cores"):
        start(dataset, tmp_path, replace(CANDIDATE, instances=2, threads=2), cpus=(0, 1))
    with pytest.raises(MeasureError, match=r"wants the cores \[4095\], but this process may use"):
        start(dataset, tmp_path, cpus=(4095,))


def test_noise_on_stdout_does_not_reach_the_protocol(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, options={"noise": True}) as replica:
        assert replica.answers([1], 1).shape == (1, 2)
    assert "noise on stderr" in next(tmp_path.glob("*.log")).read_text()


def test_a_file_in_the_working_folder_stands_in_for_no_library(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not the real one')")
    monkeypatch.chdir(tmp_path)
    with start(dataset, tmp_path) as replica:
        assert replica.alive()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"fault": "segfault"}, CandidateCrashed, r"fake fp32 b1 1×1 died \(killed by SIGSEGV\)"),
        ({"fault": "memory"}, CandidateOutOfMemory, "limit is 600 MiB"),
        ({"load_fault": "segfault", "noise": True}, CandidateCrashed, "SIGSEGV.*noise on stderr"),
        ({"load_fault": "refuse"}, EngineError, "fake cannot run none"),
        ({"load_fault": "hang"}, CandidateTimeout, "did not answer within 2 s"),
    ],
)
def test_faults_are_named_and_leave_no_process(
    dataset: Dataset, tmp_path: Path, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    timeout_s = 2 if options.get("load_fault") == "hang" else 60
    with (
        pytest.raises(error, match=text),
        start(dataset, tmp_path, options=options, memory_limit_mib=600, start_timeout_s=timeout_s) as replica,
    ):
        replica.offline_block(1, 0.2)
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


@pytest.mark.parametrize(
    ("program", "noise", "how", "hint"),
    [
        ("farthing.workers.replicas.child", b"", r"\); it said nothing$", "leave it out: --engines"),
        ("farthing.workers.replicas.child", b"one\ntwo\n", r"\): one \| two$", "its output is in "),
        ("platform", b"", r"\); it said nothing$", None),
    ],
)
def test_how_to_go_on_without_one_that_died(
    tmp_path: Path, program: str, noise: bytes, how: str, hint: str | None
) -> None:
    """What said nothing has no output to read; only a candidate can be left out."""
    child = Child("it", cpus=(), threads=1, log=tmp_path / "it.log", program=program)
    os.kill(child.process.pid, signal.SIGTERM)
    child.process.wait()
    child.log.write_bytes(noise)
    error = child.crashed()
    child.dismiss()
    assert re.search(how, error.message)
    assert (error.hint is None) == (hint is None)
    assert hint is None or str(error.hint).startswith(hint)


@TWO_CORES
def test_a_fault_in_one_instance_ends_the_others(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, replace(CANDIDATE, instances=2)) as replica:
        os.kill(replica.children[1].process.pid, signal.SIGKILL)
        with pytest.raises(CandidateCrashed, match="killed by SIGKILL"):
            replica.offline_block(1, 5.0)
        assert not any(child.alive() for child in replica.children)
        with pytest.raises(CandidateCrashed):
            replica.single_stream(1)


@TWO_CORES
def test_memory_counts_for_all_instances_together(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, replace(CANDIDATE, instances=2)) as replica:
        together = replica.start_memory_mib
    with pytest.raises(CandidateOutOfMemory):
        start(dataset, tmp_path, replace(CANDIDATE, instances=2), memory_limit_mib=together * 0.6).single_stream(1000)


def test_a_hang_while_measuring_is_ended(dataset: Dataset, tmp_path: Path) -> None:
    with (
        start(dataset, tmp_path, options={"fault": "hang"}) as replica,
        pytest.raises(CandidateTimeout, match="within 1 s"),
    ):
        replica.offline_block(1, 0.1, timeout_s=1.0)


def test_slow_work_that_shows_life_is_not_ended(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path, options={"service_ms": 400.0}) as replica:
        assert replica.single_stream(7, timeout_s=2.0).min() >= 400.0


@TWO_CORES
def test_after_an_error_of_the_engine_the_next_answer_is_not_the_old_one(dataset: Dataset, tmp_path: Path) -> None:
    options = {"fault": "exception", "fault_after": 4}
    with start(dataset, tmp_path, replace(CANDIDATE, instances=2), options=options) as replica:
        with pytest.raises(MeasureError, match="RuntimeError: the kernel said no"):
            replica.offline_block(1, 0.2)
        assert replica.alive()
        assert replica.peak_memory_mib() > 0
        assert "RuntimeError" in next(tmp_path.glob("*-0.log")).read_text()


def test_an_answer_of_the_wrong_shape_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with (
        start(dataset, tmp_path, options={"fault": "shape"}) as replica,
        pytest.raises(MeasureError, match=r"a batch of 2 was answered with the shape \(3, 2\)"),
    ):
        replica.answers([0, 1], 2)


def test_a_log_that_cannot_be_written_is_named(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasureError, match="cannot be started"):
        start(dataset, tmp_path / "file" / "run")


def test_children_are_gone_after_close(dataset: Dataset, tmp_path: Path) -> None:
    with start(dataset, tmp_path) as replica:
        child = processes(replica)[0]
    replica.close()
    assert not child.is_running()
    assert not replica.alive()


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background it is ignored
sys.path.insert(0, {here!r})
from pathlib import Path
from started_replica import start
from farthing.nouns import Dataset
dataset = Dataset(kind="tensor", items={items!r}, n={n})
with start(dataset, Path({run_dir!r}), options={{"service_ms": 50.0}}) as replica:
    print(replica.children[0].process.pid, flush=True)
    replica.offline_block(1, 600.0)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_children_end_with_their_parent(dataset: Dataset, tmp_path: Path, sent: signal.Signals) -> None:
    script = SCRIPT.format(
        here=str(Path(__file__).parents[2] / "helpers"), items=dataset.items, n=dataset.n, run_dir=str(tmp_path)
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    os.killpg(parent.pid, sent)  # as the terminal does
    _, said = parent.communicate(timeout=30)
    assert ("KeyboardInterrupt" in said) == (sent == signal.SIGINT)
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert gone
    assert not alive


def test_peak_memory_is_the_child_s_own(dataset: Dataset, tmp_path: Path) -> None:
    ballast = np.ones(100_000_000)
    with start(dataset, tmp_path) as replica:
        assert replica.peak_memory_mib() < ballast.nbytes / 2**20 / 2


def test_the_parent_stays_light() -> None:
    script = """
    import sys
    import farthing.workers.replicas.builder, farthing.machine.hardware, farthing.workers.replicas.replica, farthing.measure.scenarios
    heavy = ("altair", "duckdb", "nncf", "onnx", "onnxruntime", "openvino", "pyarrow", "torch", "transformers")
    print([m for m in heavy if m in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
