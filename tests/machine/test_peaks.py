"""Measured peaks: structure, models and faults; no timing is asserted beyond what any machine keeps."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
import pytest

from farthing.errors import MeasureError
from farthing.machine import peaks
from farthing.machine.peak_kernels import kernels
from farthing.machine.peaks import last_level_cache_bytes, machine_peaks


@pytest.mark.parametrize("int8", [False, True])
def test_kernels_run_and_their_answers_neither_vanish_nor_explode(int8: bool) -> None:
    for kernel in kernels(int8=int8):
        session = onnxruntime.InferenceSession(kernel.model, providers=["CPUExecutionProvider"])
        x = np.random.default_rng(1).standard_normal(kernel.shape).astype(np.float32)
        (y,) = session.run(None, {"x": x})
        assert y.shape == kernel.shape
        assert 0.1 < y.std() < 10, kernel.name
        assert kernel.flops > 1e8


def test_int8_kernels_are_run_as_integers(tmp_path: object) -> None:
    onnx = pytest.importorskip("onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = f"{tmp_path}/optimised.onnx"
    kernel = next(k for k in kernels(int8=True) if k.name.startswith("conv"))
    onnxruntime.InferenceSession(kernel.model, options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert "QLinearConv" in kinds
    assert "Conv" not in kinds


@pytest.mark.slow
def test_peaks_of_this_machine_are_ordered() -> None:
    cpu = max(os.sched_getaffinity(0))
    found = machine_peaks([cpu], seconds=1.5)
    assert found.fp32_gflops > 1
    assert found.int8_gops is not None
    assert found.memory_gb_per_s > 0.5
    assert found.cache_gb_per_s is not None


def test_peaks_refuse_an_empty_list_of_processors() -> None:
    with pytest.raises(ValueError, match="cpus"):
        machine_peaks([])


def test_a_processor_that_is_not_there_is_an_error_with_the_childs_words() -> None:
    with pytest.raises(MeasureError, match="Invalid argument"):
        machine_peaks([9999], seconds=0.1)


def test_cache_size_is_read_or_unknown() -> None:
    size = last_level_cache_bytes(0)
    assert size is None or size >= 2**18
    assert last_level_cache_bytes(9999) is None


def test_bandwidth_counts_what_the_program_reads_and_writes() -> None:
    assert peaks.best_bandwidth_gb_per_s(2**16, 0.02) > 0.5
