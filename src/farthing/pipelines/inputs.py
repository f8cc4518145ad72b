"""Which of a model's inputs a pipeline fills, and whether they can take what it makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from farthing.errors import DataError
from farthing.nouns import TensorSpec

__all__ = ["chosen_inputs", "describe", "fits", "numpy_dtype"]

_ALIASES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "f32": "float32",
    "f16": "float16",
    "f64": "float64",
    "i64": "int64",
    "i32": "int32",
    "u8": "uint8",
    "i8": "int8",
    "boolean": "bool",
}


def numpy_dtype(spec: TensorSpec) -> DTypeLike:
    """NumPy's type for an input; engines' own words (``tensor(float)``, ``f32``) are understood.

    Raises:
        DataError: when NumPy has no such type (``bfloat16``).
    """
    word = spec.dtype.removeprefix("tensor(").removesuffix(")").removeprefix("torch.")
    try:
        return np.dtype(_ALIASES.get(word, word))
    except TypeError as e:
        raise DataError(f"input {spec.name} has the type {spec.dtype}, which a pipeline cannot make") from e


def describe(spec: TensorSpec) -> str:
    """For messages: ``images float32 (n, 3, 224, 224)``."""
    return f"{spec.name} {spec.dtype} ({', '.join('n' if d is None else str(d) for d in spec.shape)})"


def chosen_inputs(inputs: Sequence[TensorSpec], names: Sequence[str]) -> list[TensorSpec]:
    """Pick the inputs that a pipeline fills: the named ones in their order, else all.

    Raises:
        DataError: when the model has no input of a name.
    """
    if not names:
        return list(inputs)
    by_name = {spec.name: spec for spec in inputs}
    for name in names:
        if name not in by_name:
            known = ", ".join(describe(spec) for spec in inputs)
            raise DataError(f"the model has no input {name!r}", hint=f"inputs.input_names: it has {known}")
    return [by_name[name] for name in names]


def fits(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    """Whether an array of that shape can go into an input; the batch dimension is not compared."""
    if not spec.shape:
        return True
    return len(spec.shape) == len(shape) and all(
        want is None or want == have for want, have in zip(spec.shape[1:], shape[1:], strict=True)
    )
