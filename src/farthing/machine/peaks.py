"""Measured peaks of the machine, one pinned thread, in a process of its own.

Arithmetic: the best rate that any installed engine reaches on large matrix products and convolutions. Theory to
hold it against, in operations a cycle and core: FP32 32 on AVX2 or Zen 4 (two 256-bit FMA units), 64 with two
512-bit FMA units (Xeon, Zen 5); BF16 and INT8 2 × and 4 × of that with AVX-512 BF16 and VNNI (64 and 128 on
Zen 4), 1024 and 2048 with AMX. Times the clock under load, which virtual machines do not tell; hence measured.

Bandwidth: the best of a STREAM-like copy, an addition and a read-only product over arrays far larger than the
last-level cache. Bytes are counted as STREAM counts them (McCalpin, https://www.cs.virginia.edu/stream/): what the
program reads and writes, not the lines that a write first fetches.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from farthing.codec import from_plain, to_plain
from farthing.errors import CandidateTimeout, MeasureError
from farthing.machine.peak_kernels import Kernel, kernels
from farthing.nouns import MachinePeaks

__all__ = ["best_bandwidth_gb_per_s", "last_level_cache_bytes", "machine_peaks"]

_GRACE_S = 60.0
"""Time for imports, compilation and one slow run on top of what was asked for."""
_THREAD_SETTINGS = ("MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SINGLE_THREAD = dict.fromkeys(_THREAD_SETTINGS, "1")
_QUIET = {"OPENVINO_TELEMETRY": "0", "HF_HUB_OFFLINE": "1"}
_CACHED_BYTES = 128 * 1024
"""Size of one of three arrays that fit into any second-level cache of a server."""


def machine_peaks(cpus: Sequence[int], seconds: float = 6.0) -> MachinePeaks:
    """Peaks of one thread pinned to the first of ``cpus``.

    Args:
        cpus: Processors that may be used, at least one.
        seconds: Time to spend on timing, > 0; imports and compilation come on top (about 3 s).

    Raises:
        MeasureError: when the child fails; the message is its last line.
        CandidateTimeout: when it does not end.
    """
    if not cpus or seconds <= 0:
        raise ValueError(f"machine_peaks: cpus {tuple(cpus)} must not be empty, seconds {seconds} must be > 0")
    command = [sys.executable, "-m", "farthing.machine.peaks", str(cpus[0]), str(seconds)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE_S,
            check=False,
            env={**os.environ, **_SINGLE_THREAD, **_QUIET},
        )
    except subprocess.TimeoutExpired as problem:
        raise CandidateTimeout(
            f"measuring the machine's peaks took longer than {seconds + _GRACE_S:g} s",
            hint="the machine is very busy; the same command (without --fresh) resumes where this one stopped",
        ) from problem
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MeasureError(f"the machine's peaks could not be measured (exit {done.returncode}): {last}")
    return from_plain(MachinePeaks, json.loads(done.stdout.strip().splitlines()[-1]))


def last_level_cache_bytes(cpu: int) -> int | None:
    """Size of the largest cache that a processor reaches; None when the system does not say."""
    folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/cache")
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = []
    for entry in folder.glob("index*/size"):
        text = entry.read_text().strip()
        if text[:-1].isdigit() and text[-1:] in units:
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes, default=None)


def _best_s(run: Callable[[], object], seconds: float) -> float:
    """Shortest of all runs that fit into ``seconds``, after one to warm up; at least three."""
    run()
    best, end, n = float("inf"), time.perf_counter() + seconds, 0
    while n < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        n += 1
    return best


def best_bandwidth_gb_per_s(array_bytes: int, seconds: float) -> float:
    """Best rate of copy (2 arrays), addition (3) and read-only product (2) over arrays of that size, in GB/s."""
    n = max(1, array_bytes // 4)
    a, b, c = (np.ones(n, np.float32) for _ in range(3))
    runs: tuple[tuple[int, Callable[[], object]], ...] = (
        (2, lambda: np.copyto(a, b)),
        (3, lambda: np.add(b, c, out=a)),
        (2, lambda: np.dot(b, c)),
    )
    return max(arrays * 4 * n / _best_s(run, seconds / len(runs)) for arrays, run in runs) / 1e9


def _onnxruntime_run(kernel: Kernel) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(kernel.model, options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.random.default_rng(1).standard_normal(kernel.shape).astype(np.float32)}
    return lambda: session.run(None, feeds)


def _openvino_run(core: Any, kernel: Kernel, precision: str) -> Callable[[], object]:
    import io

    model = core.read_model(io.BytesIO(kernel.model))
    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = core.compile_model(model, "CPU", config).create_infer_request()
    x = np.random.default_rng(1).standard_normal(kernel.shape).astype(np.float32)
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)


def _torch_bf16_runs() -> list[tuple[float, Callable[[], object]]]:
    """Where OpenVINO is not installed: PyTorch's BF16 kernels, if the processor has a unit for them."""
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return []
    torch.set_num_threads(1)
    a = torch.ones(1024, 1024, dtype=torch.bfloat16)
    x = torch.ones(1, 128, 28, 28, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    w = torch.ones(128, 128, 3, 3, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    return [
        (2.0 * 1024**3, lambda: a @ a),
        (2.0 * 128 * 128 * 9 * 28**2, lambda: torch.nn.functional.conv2d(x, w, padding=1)),
    ]


def _arithmetic_runs() -> dict[str, list[tuple[float, Callable[[], object]]]]:
    """Operations and run of every kernel on every installed engine, by precision."""
    plain, int8 = tuple(kernels(int8=False)), tuple(kernels(int8=True))
    runs: dict[str, list[tuple[float, Callable[[], object]]]] = {"fp32": [], "bf16": [], "int8": []}
    if importlib.util.find_spec("onnxruntime") is not None:
        runs["fp32"] += [(k.flops, _onnxruntime_run(k)) for k in plain]
        runs["int8"] += [(k.flops, _onnxruntime_run(k)) for k in int8]
    if importlib.util.find_spec("openvino") is not None:
        import openvino

        core = openvino.Core()
        runs["fp32"] += [(k.flops, _openvino_run(core, k, "f32")) for k in plain]
        runs["int8"] += [(k.flops, _openvino_run(core, k, "f32")) for k in int8]
        if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            runs["bf16"] += [(k.flops, _openvino_run(core, k, "bf16")) for k in plain]
    elif importlib.util.find_spec("torch") is not None:
        runs["bf16"] += _torch_bf16_runs()
    return runs


def _measure(cpu: int, seconds: float) -> MachinePeaks:
    runs = _arithmetic_runs()
    share_s = 0.7 * seconds / sum(map(len, runs.values()))
    best = {
        precision: max((flops / _best_s(run, share_s) / 1e9 for flops, run in of_precision), default=None)
        for precision, of_precision in runs.items()
    }
    if best["fp32"] is None:
        raise MeasureError("no engine is installed to measure the machine's peaks with")
    cache = last_level_cache_bytes(cpu)
    large = min(256 * 2**20, max(64 * 2**20, 4 * (cache or 0)))
    return MachinePeaks(
        fp32_gflops=best["fp32"],
        bf16_gflops=best["bf16"],
        int8_gops=best["int8"],
        memory_gb_per_s=best_bandwidth_gb_per_s(large, 0.2 * seconds),
        cache_gb_per_s=best_bandwidth_gb_per_s(_CACHED_BYTES, 0.1 * seconds),
        cache_mib=None if cache is None else cache / 2**20,
    )


def main(arguments: Sequence[str]) -> int:
    """Print the peaks as one line of JSON: processor and seconds are the two arguments."""
    cpu, seconds = int(arguments[0]), float(arguments[1])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    print(json.dumps(to_plain(_measure(cpu, seconds))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
