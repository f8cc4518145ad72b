"""What is refused of a model before any work, with the reason that is true and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from farthing.errors import ModelError
from farthing.models.answers import answer_of
from farthing.models.graph_content import GraphContent, graph_content, is_tensor
from farthing.models.runnable import foreign_operators, too_new
from farthing.nouns import TensorSpec

__all__ = ["check_answers_are_tensors", "check_takeable"]

_ZIPMAP_HINT = 'to_onnx(model, X[:1], options={"zipmap": False}) exports tensors'
_EXPORTED_AGAIN = {
    "opset": "opset {newest} (opset_version={newest} in torch.onnx.export, target_opset={newest} in to_onnx)",
    "IR version": "ir_version {newest}",
    "ai.onnx.ml": 'to_onnx(model, X[:1], target_opset={{"": 17, "ai.onnx.ml": {newest}}})',
}
"""How an export is told the newest version that is taken here, by what is too new."""


def check_takeable(path: Path) -> None:
    """Check what ONNX Runtime and farthing need of a model, as far as the file says it.

    Raises:
        ModelError: when the file is no model, too new for the installed ONNX Runtime, has operators that nobody here
            knows, takes strings, sequences or whole batches only, or gives no tensor.
    """
    content = graph_content(path)
    _check_versions(path, content)
    _check_operators(path, content)
    _check_inputs(path, content)
    if answer_of(content).tensor is None:
        raise ModelError(
            f"{path} gives no tensor: {_listed(content.outputs)}",
            hint="export it again with the tensor of its scores as an output",
        )


def check_answers_are_tensors(path: Path) -> None:
    """Check a model that is run as it is, without being optimised.

    Raises:
        ModelError: when an input or output is a sequence, a map or an optional value, or the file is too new for the
            installed ONNX Runtime.
    """
    content = graph_content(path)
    _check_versions(path, content)
    others = [spec for spec in (*content.inputs, *content.outputs) if not is_tensor(spec)]
    if others:
        zipped = any(node.kind == "ZipMap" for node in content.nodes)
        again = "export it again with tensors"
        raise ModelError(
            f"{path}: {_listed(others)} is no tensor; only tensors are served",
            hint=f"{_ZIPMAP_HINT if zipped else again}; `farthing optimize` writes such a model too",
        )


def _check_versions(path: Path, content: GraphContent) -> None:
    found = too_new(content)
    if found is not None:
        what, version, newest = found
        again = _EXPORTED_AGAIN.get(what, f"{what} {{newest}}").format(newest=newest)
        raise ModelError(
            f"{path} has {what} {version}; the ONNX Runtime that is installed takes up to {newest}",
            hint=f"export it again with {again}, or pip install -U onnxruntime",
        )


def _check_operators(path: Path, content: GraphContent) -> None:
    for domain, kinds in foreign_operators(content).items():
        more = f" and {len(kinds) - 3} more" if len(kinds) > 3 else ""
        raise ModelError(
            f"{path} has operators of {domain} ({', '.join(kinds[:3])}{more}), which ONNX Runtime does not bring",
            hint="export the part that has none of them; pre- and post-processing stay outside the model",
        )


def _check_inputs(path: Path, content: GraphContent) -> None:
    if not content.inputs:
        raise ModelError(f"{path} takes no input: it always gives the same", hint="is this the right file?")
    for spec in content.inputs:
        if not is_tensor(spec):
            raise ModelError(
                f"{path}: its input {spec.name} is a {spec.dtype}, no tensor", hint="export it again with tensors"
            )
        if spec.dtype == "string":
            raise ModelError(
                f"{path}: its input {spec.name} takes strings; models are fed with numbers",
                hint="export the part behind the tokenizer, vectorizer or encoder, and give its numbers as npz",
            )
    _check_batch(path, content.inputs)


def _check_batch(path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Refuse a first dimension that is fixed to more than one sample, where no other dimension is free."""
    sizes = {spec.shape[0] if spec.shape else 1 for spec in inputs}
    size = next(iter(sizes))
    if len(sizes) > 1 or size in (None, 1) or any(d is None for spec in inputs for d in spec.shape):
        return
    raise ModelError(
        f"{path}: its inputs are {_listed(inputs)}: the first dimension is fixed to {size}, so that it cannot take "
        "one request",
        hint="export it again with a free first dimension (dynamic_axes or dynamic_shapes), or with 1 there",
    )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.name} {s.dtype}{_shape(s) if is_tensor(s) else ''}" for s in specs)


def _shape(spec: TensorSpec) -> str:
    return f" ({', '.join('n' if d is None else str(d) for d in spec.shape)})"
