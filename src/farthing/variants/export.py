"""A model as ONNX: exported from PyTorch, or checked as it is."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from farthing.errors import ModelError
from farthing.models.offline import go_offline
from farthing.models.onnx_files import check_external_data, check_onnx, input_specs
from farthing.models.torch_code import PROGRAM, ModuleSignature, as_flat, flatten, user_module
from farthing.nouns import ModelRef, TensorSpec
from farthing.ports import Feeds

__all__ = ["resolve_model"]

TOLERANCE = 1e-3
"""Largest difference of an exported model's answers from the module's, relative to their largest value."""


def resolve_model(ref: ModelRef, out: Path, examples: Sequence[Feeds], *, trust: bool) -> ModelRef:
    """Find or make the ONNX file of a model.

    Args:
        ref: As the user has it.
        out: Folder for ``model.onnx`` and, for a module, ``module/`` with the exported program.
        examples: Inputs of single samples, at least two for a module.
        trust: Whether the user's code may run.

    Raises:
        ModelError: when the model is corrupt, cannot be exported, or the export answers differently.
        TrustError: for a module without trust.
    """
    out.mkdir(parents=True, exist_ok=True)
    if ref.kind == "torch":
        return replace(ref, onnx_path=str(_export(ref, out, examples, trust)))
    source = Path(ref.onnx_path or ref.path)
    file = source / "model.onnx" if source.is_dir() else source
    model = check_onnx(file)
    fixed = [s for s in input_specs(model) if s.shape and s.shape[0] is not None]
    if fixed:
        _note(out, f"input {fixed[0].name} has a fixed batch of {fixed[0].shape[0]}")
    target = out / "model.onnx"
    shutil.copyfile(file, target)
    for data in check_external_data(file):
        side = target.parent / data.relative_to(file.resolve().parent)
        side.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, side)
    return replace(ref, onnx_path=str(target))


def _note(out: Path, text: str) -> None:
    (out / "notes.txt").write_text(text + "\n", encoding="utf-8")


def _export(ref: ModelRef, out: Path, examples: Sequence[Feeds], trust: bool) -> Path:
    go_offline()
    import torch

    if not examples or not examples[0]:
        raise ModelError(f"{ref.path} cannot be exported without its inputs' shape", hint="--example-shape 3,224,224")
    warnings.filterwarnings("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    module = user_module(ref.path, trust=trust)
    names = list(examples[0])
    batch = _pair(examples[:2], names)
    given = tuple(torch.from_numpy(batch[n]) for n in names)
    with torch.inference_mode():
        outputs = list(flatten(module(**dict(zip(names, given))) if _keywords(module, names) else module(*given)))
    flat = as_flat(module, names)
    dims = {n: _dynamic(torch, batch[n]) for n in names}
    shapes = {"inputs": tuple(dims[n] for n in names)}
    try:
        program = torch.export.export(flat, given, dynamic_shapes=shapes, strict=False)
        onnx_program = torch.onnx.export(
            flat,
            given,
            dynamo=True,
            verbose=False,
            input_names=names,
            output_names=[n for n, _ in outputs],
            dynamic_shapes=shapes,
            optimize=True,
        )
    except Exception as e:
        raise ModelError(f"{ref.path} cannot be exported to ONNX: {type(e).__name__}: {_first(e)}") from e
    target = out / "model.onnx"
    onnx_program.save(str(target), external_data=False)
    _save_module(out / "module", program, names, batch, outputs)
    _compare(target, batch, outputs, ref)
    return target


def _keywords(module: Any, names: Sequence[str]) -> bool:
    import inspect

    return all(n in inspect.signature(module.forward).parameters for n in names)


def _pair(examples: Sequence[Feeds], names: Sequence[str]) -> dict[str, Any]:
    """Two samples in one batch (a batch of one would be specialised), cut to the shorter length."""
    two = [examples[0], examples[-1]]
    found = {}
    for n in names:
        arrays = [np.asarray(e[n]) for e in two]
        sizes = tuple(min(a.shape[d] for a in arrays) for d in range(1, arrays[0].ndim))
        found[n] = np.concatenate([a[(slice(0, 1), *(slice(0, s) for s in sizes))] for a in arrays])
    return found


def _dynamic(torch: Any, array: Any) -> dict[int, Any]:
    dims = {0: torch.export.Dim("batch", min=1, max=4096)}
    if array.dtype == np.int64 and array.ndim == 2:
        dims[1] = torch.export.Dim("length", min=2, max=8192)
    return dims


def _save_module(folder: Path, program: Any, names: Sequence[str], batch: dict[str, Any], outputs: list[Any]) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, str(folder / PROGRAM))
    text = [n for n in names if batch[n].dtype == np.int64 and batch[n].ndim == 2]
    ModuleSignature(
        inputs=tuple(
            TensorSpec(
                name=n,
                dtype=str(batch[n].dtype),
                shape=(None, None) if n in text else (None, *batch[n].shape[1:]),
            )
            for n in names
        ),
        outputs=tuple(TensorSpec(name=n, dtype="float32", shape=(None, *t.shape[1:])) for n, t in outputs),
    ).write(folder)


def _compare(path: Path, batch: dict[str, Any], outputs: list[Any], ref: ModelRef) -> None:
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    answers = session.run(None, batch)
    for (name, expected), got in zip(outputs, answers, strict=True):
        want = expected.float().numpy()
        off = float(np.abs(want - got).max() / max(1e-6, np.abs(want).max()))
        if off > TOLERANCE:
            raise ModelError(f"the export of {ref.path} answers differently: {name} is off by {off:.2%} of its range")


def _first(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else ""
