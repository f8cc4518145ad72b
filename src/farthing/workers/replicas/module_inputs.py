"""Inputs of a PyTorch module that is not exported yet: names from ``forward``, shapes from the first sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from farthing.errors import ModelError
from farthing.nouns import ModelRef, PipelineSpec, TensorSpec
from farthing.ports import Pipeline

__all__ = ["module_inputs"]

_TEXT = ("input_ids", "attention_mask", "token_type_ids")
_USUAL_TEXT = 2
"""Ids and mask; token types only where ``forward`` cannot do without."""


def module_inputs(
    spec: PipelineSpec, model: ModelRef, pipeline: Pipeline, payload: Any, parameters: Mapping[str, bool]
) -> tuple[TensorSpec, ...]:
    """What a module takes, so that its pipeline can make examples to export it with.

    Args:
        spec: The pipeline's settings; ``input_names`` win over the names in ``forward``.
        model: With ``example_shape`` where the user gave one.
        pipeline: Opened.
        payload: What a client would send first.
        parameters: Of ``forward`` in order, and whether it cannot do without; empty where it takes ``*args``.

    Raises:
        DataError: when the sample cannot be made a tensor.
        ModelError: when arrays and parameters have other names.
    """
    if spec.kind == "text":
        return tuple(
            TensorSpec(name=n, dtype="int64", shape=(None, None)) for n in spec.input_names or _text(parameters)
        )
    if spec.kind == "image":
        name = (*spec.input_names, *parameters, "images")[0]
        shape = model.example_shape or _image_shape(name, pipeline, payload)
        return (TensorSpec(name=name, dtype="float32", shape=(None, *shape)),)
    return _arrays(spec, model, payload, parameters)


def _text(parameters: Mapping[str, bool]) -> tuple[str, ...]:
    """Names of the inputs that a text fills: the usual ones that ``forward`` knows, or its only one."""
    known = tuple(n for n in _TEXT if n in parameters)
    if known:
        return tuple(n for k, n in enumerate(_TEXT) if n in known and (k < _USUAL_TEXT or parameters[n]))
    needed = tuple(n for n, required in parameters.items() if required)
    return needed or _TEXT[:_USUAL_TEXT]


def _image_shape(name: str, pipeline: Pipeline, payload: Any) -> tuple[int, ...]:
    """Shape of the first image after resizing and cropping."""
    free = TensorSpec(name=name, dtype="float32", shape=(None, None, None, None))
    return tuple(pipeline([payload], [free])[name].shape[1:])


def _arrays(
    spec: PipelineSpec, model: ModelRef, payload: Mapping[str, Any], parameters: Mapping[str, bool]
) -> tuple[TensorSpec, ...]:
    needed = [n for n, required in parameters.items() if required]
    if len(payload) == 1:
        (array,) = payload.values()
        name = (*spec.input_names, *needed, *parameters, *payload)[0]
        shape = model.example_shape or array.shape
        return (TensorSpec(name=name, dtype=_dtype(array), shape=(None, *shape)),)
    names = spec.input_names or tuple(n for n in parameters if n in payload) or tuple(payload)
    unfilled = [n for n in needed if n not in names]
    if set(names) != set(payload) or unfilled:
        raise ModelError(
            f"{model.path} takes {', '.join(parameters) or '*args'}; the data has the arrays {', '.join(payload)}",
            hint="name the arrays of the npz file as forward() names its parameters",
        )
    return tuple(TensorSpec(name=n, dtype=_dtype(payload[n]), shape=(None, *payload[n].shape)) for n in names)


def _dtype(array: Any) -> str:
    """PyTorch's usual type for an array's: single precision, and whole numbers of 64 bits."""
    kind = np.asarray(array).dtype
    if kind.kind == "f":
        return "float32"
    return "int64" if kind.kind == "i" else str(kind)
