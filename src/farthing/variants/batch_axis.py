"""Frees the batch dimension of an ONNX model that was exported for one batch size, where that is proven safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.models.arithmetic import arithmetic_of
from farthing.models.batch_check import MOST_ALONE, Trial, check_batching
from farthing.models.onnx_files import input_specs, stored_values
from farthing.models.output_sources import explained_outputs
from farthing.nouns import TensorSpec
from farthing.ports import Feeds

__all__ = ["fixed_batch", "free_batch", "run_onnx", "worst_difference"]

TOLERANCE = 1e-3
"""Largest difference of two ways to the same answer, relative to the answer's largest value."""
_LARGEST = 5
"""Batch that is tried; engines try the larger ones when they load the model."""


def fixed_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """Batch size that a model was exported for; None when it is free or the inputs do not agree on one."""
    sizes = {s.shape[0] for s in inputs if s.shape}
    return next(iter(sizes)) if len(sizes) == 1 else None


def run_onnx(path: Path, feeds: Feeds) -> list[NDArray[Any]]:
    """Answers of ONNX Runtime on the CPU, in the model's order."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    answers: list[NDArray[Any]] = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"]).run(
        None, dict(feeds)
    )
    return answers


def worst_difference(want: Sequence[NDArray[Any]], got: Sequence[NDArray[Any]]) -> float:
    """Largest absolute difference relative to the largest value of its output; infinite where shapes differ."""
    if [w.shape for w in want] != [g.shape for g in got]:
        return float("inf")
    wide = [(np.asarray(w, dtype=np.float64), np.asarray(g, dtype=np.float64)) for w, g in zip(want, got)]
    return max(
        (float(np.abs(w - g).max(initial=0) / max(1e-6, np.abs(w).max(initial=0))) for w, g in wide), default=0.0
    )


def free_batch(model: Any, path: Path, examples: Sequence[Feeds]) -> bool:
    """Write ``model`` to ``path`` with a free batch dimension when its answers then stay what they were.

    The first dimension of inputs and outputs becomes free, and so does a leading 1 (the old batch size) in the
    constant targets of Reshape. Answers to batches of samples must equal those to each alone.

    Args:
        model: Exported for batches of one, weights included; it is changed.
        path: Where it is written, and removed again when it fails.
        examples: At least two single samples.

    Returns:
        Whether the file at ``path`` holds a model for any batch size.
    """
    import onnx

    names = [s.name for s in input_specs(model)]
    if fixed_batch(input_specs(model)) != 1 or len(examples) < 2 or not all(n in e for e in examples for n in names):
        return False
    singles = [{n: np.asarray(e[n])[:1] for n in names} for e in examples[:MOST_ALONE]]
    if any(single[n].shape != singles[0][n].shape for single in singles for n in names):
        return False
    onnx.save(model, str(path))
    alone = [run_onnx(path, feeds) for feeds in singles]
    _loosen(model)
    onnx.save(model, str(path))
    if _same(path, singles, alone, [o.name for o in model.graph.output]):
        return True
    path.unlink()
    return False


def _same(
    path: Path, singles: Sequence[Mapping[str, Any]], alone: Sequence[Sequence[Any]], outputs: Sequence[str]
) -> bool:
    """Whether the freed model answers each sample as before, alone and in batches of 2, 3 and 5."""

    def run(rows: Sequence[int]) -> list[NDArray[Any]]:
        return run_onnx(path, {n: np.concatenate([singles[k][n] for k in rows]) for n in singles[0]})

    try:
        if max(worst_difference(a, run([k])) for k, a in enumerate(alone)) > TOLERANCE:
            return False
    except Exception:  # noqa: BLE001 - whatever ONNX Runtime says, the model keeps its batch size
        return False
    trial = Trial(run=run, n=len(singles))
    found = check_batching(
        [trial],
        outputs,
        _LARGEST,
        arithmetic=lambda: arithmetic_of(path, "fp32"),
        now_s=lambda: 0.0,
        explained=explained_outputs(path),
    )
    return found.batched


def _loosen(model: Any) -> None:
    stored = {t.name for t in model.graph.initializer}
    for value in (*(v for v in model.graph.input if v.name not in stored), *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    constants = stored_values(model)
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants:
            _free_target(constants[node.input[1]])


def _free_target(tensor: Any) -> None:
    from onnx import numpy_helper

    target = numpy_helper.to_array(tensor).copy()
    if target.size and target[0] == 1:
        target[0] = 0 if (target == -1).any() else -1
        tensor.CopyFrom(numpy_helper.from_array(target, tensor.name))
