"""Arrays that need no pipeline: stacked, checked, in the model's type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.inputs import chosen_inputs, describe, fits, numpy_dtype

__all__ = ["TensorBatches", "TensorPipeline"]


class TensorPipeline:
    """Opens tensor pipelines."""

    def open(self, spec: PipelineSpec) -> TensorBatches:
        """Make a pipeline ready for batches."""
        return TensorBatches(spec=spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBatches:
    """Stacks samples, each a mapping of arrays by name.

    Attributes:
        spec: Its ``input_names`` say which inputs are filled.
    """

    spec: PipelineSpec

    def lengths(self, payloads: Sequence[Any]) -> None:
        """None: all samples have the shape that the model wants."""

    def __call__(self, payloads: Sequence[Any], inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
        """Stack one batch.

        Args:
            payloads: One mapping a sample: input's name → array without the batch dimension. A single array of
                another name goes to a single input.
            inputs: The model's inputs.

        Raises:
            DataError: when an array is missing, too long, or does not fit its input.
        """
        if not payloads:
            raise DataError("a batch without samples")
        chosen = chosen_inputs(inputs, self.spec.input_names)
        for k, payload in enumerate(payloads):
            size = sum(array.nbytes for array in payload.values())
            if size > self.spec.max_payload_bytes:
                raise DataError(
                    f"sample {k} of the batch has {size:,} bytes; the limit is {self.spec.max_payload_bytes:,}"
                )
        return {spec.name: _stacked(payloads, spec, _source(payloads[0], spec, chosen)) for spec in chosen}


def _source(payload: Mapping[str, NDArray[Any]], spec: TensorSpec, chosen: Sequence[TensorSpec]) -> str:
    """Name of the array that fills an input."""
    if spec.name in payload:
        return spec.name
    if len(chosen) == 1 and len(payload) == 1:
        return next(iter(payload))
    raise DataError(
        f"no array for the model's input {describe(spec)}; there are {', '.join(payload) or 'none'}",
        hint="name the arrays of the npz file as the model names its inputs",
    )


def _stacked(payloads: Sequence[Mapping[str, NDArray[Any]]], spec: TensorSpec, source: str) -> NDArray[Any]:
    dtype = np.dtype(numpy_dtype(spec))
    arrays = [np.asarray(payload[source]) for payload in payloads]
    shape = (len(arrays), *arrays[0].shape)
    if any(array.shape != arrays[0].shape for array in arrays) or not fits(spec, shape):
        shapes = sorted({array.shape for array in arrays})
        raise DataError(
            f"samples of {source} have the shape {', '.join(map(str, shapes))}, "
            f"but the model's input is {describe(spec)}"
        )
    kind = arrays[0].dtype
    if kind != dtype and not np.can_cast(kind, dtype, casting="same_kind"):
        raise DataError(f"{source} has the type {kind}, but the model's input is {describe(spec)}")
    batch = np.empty(shape, dtype=dtype)
    for k, array in enumerate(arrays):
        batch[k] = array
    return batch
