"""A model as ONNX: exported from PyTorch, or checked as it is; its batch dimension free where that is safe."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import ModelError
from farthing.machine.offline import go_offline, quiet
from farthing.models.answers import answer_of
from farthing.models.built_here import remember_built_here
from farthing.models.graph_content import graph_content
from farthing.models.onnx_files import check_external_data, check_onnx, input_specs, model_file
from farthing.models.torch_code import PROGRAM, ModuleSignature, as_flat, input_hint, named_answers, user_module
from farthing.nouns import ModelRef, TensorSpec
from farthing.ports import Feeds
from farthing.variants.batch_axis import TOLERANCE, fixed_batch, free_batch, run_onnx, worst_difference
from farthing.variants.tensor_answers import give_tensors

__all__ = ["MODULE_FOLDER", "resolve_model"]

MODULE_FOLDER = "module"
"""Folder beside ``model.onnx`` that holds the exported program."""
_LARGE_BYTES = 1_800_000_000
"""Weights beyond this go into a file of their own: protobuf ends at 2 GiB."""


def resolve_model(ref: ModelRef, out: Path, examples: Sequence[Feeds], *, trust: bool) -> ModelRef:
    """Find or make the ONNX file of a model, and check it.

    Args:
        ref: As the user has it.
        out: Folder for ``model.onnx`` (``model/model.onnx`` where weights lie in a file of their own) and, for a
            module, ``module/`` with the exported program, so that PyTorch can run without the user's source.
        examples: Inputs of single samples, at least two for a module.
        trust: Whether the user's code may run.

    Returns:
        The reference with ``onnx_path``. A model whose batch dimension could not be freed keeps it: its inputs say
        so (their first dimension is a number), and it can only be run in batches of that size.

    Raises:
        ModelError: when the model is missing, corrupt, cannot be exported, or the export answers differently.
        TrustError: for a module without trust.
    """
    go_offline()
    out.mkdir(parents=True, exist_ok=True)
    if ref.kind == "torch":
        return replace(ref, onnx_path=str(_export(ref, out, examples, trust)))
    return replace(ref, onnx_path=str(_adopt(Path(ref.onnx_path or ref.path), out, examples)))


def _adopt(source: Path, out: Path, examples: Sequence[Feeds]) -> Path:
    """Copy an ONNX file, with the tensor of its scores as its first output."""
    import onnx

    file = model_file(source, ("model.onnx", "onnx/model.onnx"))
    content = graph_content(file)
    answer = answer_of(content)
    if not answer.outputs or not answer.changes(content):
        return _copied(file, out, examples)
    check_external_data(file)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        model = onnx.load(file)
        give_tensors(model, answer)
        onnx.save(model, plain)
        return _copied(plain, out, examples)


def _copied(file: Path, out: Path, examples: Sequence[Feeds]) -> Path:
    """Copy an ONNX file with its external data, the batch dimension freed where possible."""
    import onnx

    model = check_onnx(file)
    data = check_external_data(file)
    target = out / "model" / "model.onnx" if data else out / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    if not data and fixed_batch(input_specs(model)) is not None and free_batch(onnx.load(file), target, examples):
        return target
    if file.resolve() != target.resolve():
        shutil.copyfile(file, target)
    for side in data:
        copy = target.parent / side.relative_to(file.resolve().parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if side != copy.resolve():
            shutil.copyfile(side, copy)
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """A batch to export with, and the module's own answers to it by name."""

    feeds: dict[str, NDArray[Any]]
    answers: dict[str, NDArray[Any]]


def _export(ref: ModelRef, out: Path, examples: Sequence[Feeds], trust: bool) -> Path:
    module = user_module(ref.path, trust=trust)
    if not examples or not examples[0]:
        raise ModelError(f"{ref.path} cannot be exported without its inputs' shape", hint="--example-shape 3,224,224")
    pair = _pair(examples)
    try:
        example = _example(module, ref, pair)
        program = _program(module, example.feeds, free=True)
    except ModelError:  # the module's own code may fix the batch
        example = _example(module, ref, {n: a[:1] for n, a in pair.items()})
        program = _program(module, example.feeds, free=False)
    target = _write_onnx(program, example, out)
    _compare(target, module, example, ref)
    folder = out / MODULE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _write_program(program, example, folder, input_specs(check_onnx(target)))
    remember_built_here(folder)
    return target


def _pair(examples: Sequence[Feeds]) -> dict[str, NDArray[Any]]:
    """Two samples in one batch (a batch of one would be specialised), cut to the shorter length."""
    two, found = (examples[0], examples[-1]), {}
    for n in examples[0]:
        arrays = [np.asarray(e[n]) for e in two]
        sizes = tuple(slice(0, min(a.shape[d] for a in arrays)) for d in range(1, arrays[0].ndim))
        found[n] = np.concatenate([a[(slice(0, 1), *sizes)] for a in arrays])
    return found


def _example(module: Any, ref: ModelRef, feeds: dict[str, NDArray[Any]]) -> _Example:
    try:
        answers = named_answers(module, feeds)
    except Exception as e:
        shapes = ", ".join(f"{n} {a.dtype} {a.shape}" for n, a in feeds.items())
        raise ModelError(
            f"{ref.path} does not take {shapes}: {type(e).__name__}: {_first_line(e)}",
            hint=input_hint(module, feeds),
        ) from e
    if not answers:
        raise ModelError(f"{ref.path} returned no tensor")
    return _Example(feeds=feeds, answers=answers)


def _free_dims(array: NDArray[Any]) -> dict[int, Any]:
    """The batch; of token sequences the length as well, where the module allows it."""
    from torch.export import Dim

    dims = {0: Dim("batch", min=1, max=65536)}
    return {**dims, 1: Dim.AUTO} if array.ndim == 2 and np.issubdtype(array.dtype, np.integer) else dims


def _program(module: Any, feeds: dict[str, NDArray[Any]], *, free: bool) -> Any:
    import torch

    given = tuple(torch.from_numpy(a) for a in feeds.values())
    shapes = {"inputs": tuple(_free_dims(a) for a in feeds.values())} if free else None
    try:
        with quiet(), torch.inference_mode(False), torch.no_grad():
            return torch.export.export(as_flat(module, list(feeds)), given, dynamic_shapes=shapes, strict=False)
    except Exception as e:
        raise ModelError(f"the module cannot be exported: {type(e).__name__}: {_first_line(e)}") from e


def _write_onnx(program: Any, example: _Example, out: Path) -> Path:
    import torch

    large = sum(t.numel() * t.element_size() for t in program.state_dict.values()) > _LARGE_BYTES
    target = out / "model" / "model.onnx" if large else out / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with quiet():
            torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=list(example.feeds),
                output_names=list(example.answers),
            ).save(str(target), external_data=large)
    except Exception as e:
        raise ModelError(f"the module cannot be written as ONNX: {type(e).__name__}: {_first_line(e)}") from e
    return target


def _compare(path: Path, module: Any, example: _Example, ref: ModelRef) -> None:
    """Hold the file against the module, at the batch size of the export and, where it is free, at 1 and 3."""
    cases = [example.feeds]
    if fixed_batch(input_specs(check_onnx(path))) is None:
        cases += [{n: np.concatenate([a, a])[:size] for n, a in example.feeds.items()} for size in (1, 3)]
    for feeds in cases:
        try:
            got = run_onnx(path, feeds)
        except Exception as e:
            raise ModelError(f"the export of {ref.path} cannot be run: {_first_line(e)}") from e
        off = worst_difference(list(named_answers(module, feeds).values()), got)
        if off > TOLERANCE:
            raise ModelError(
                f"the export of {ref.path} answers differently: off by {off:.2%} of the range, "
                f"the limit is {TOLERANCE:.2%}"
            )


def _write_program(program: Any, example: _Example, folder: Path, inputs: tuple[TensorSpec, ...]) -> None:
    import torch

    program.example_inputs = None
    with quiet():
        torch.export.save(program, str(folder / PROGRAM))
    free = fixed_batch(inputs) is None
    outputs = tuple(
        TensorSpec(name=n, dtype=str(a.dtype), shape=(None, *a.shape[1:]) if free and a.ndim else a.shape)
        for n, a in example.answers.items()
    )
    ModuleSignature(inputs=inputs, outputs=outputs).write(folder)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
