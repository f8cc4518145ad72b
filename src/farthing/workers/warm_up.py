"""Inputs for a model that nobody has asked anything yet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.inputs import numpy_dtype
from farthing.wire.dtypes import datatype_of

__all__ = ["guessed", "sample_payload", "sample_tensors"]

FREE_SIDE = 64
"""Stands for a free dimension of numbers (a side of an image)."""
FREE_LENGTH = 16
"""Stands for a free dimension of integers (tokens)."""
IMAGE_SIDE = 224
WORDS_FRAC = 0.25
"""Words of the text, as a share of the longest sequence of tokens."""
MOST_WORDS = 128
"""However long texts may be: what a model of 8,192 tokens is asked for by most."""


def word_of(dtype: str) -> str:
    """An element type in NumPy's word, ``bfloat16`` or ``bytes``, whatever word the engine has for it.

    Raises:
        ValueError: when the protocol has no such type.
        DataError: when NumPy has none.
    """
    try:
        return datatype_of(dtype.removeprefix("torch.")).word
    except ValueError:
        return datatype_of(np.dtype(numpy_dtype(TensorSpec(name="", dtype=dtype, shape=()))).name).word


def guessed(inputs: Sequence[TensorSpec]) -> bool:
    """Whether a dimension beyond the first is free, so that its size in the sample is a guess."""
    return any(dim is None for spec in inputs for dim in spec.shape[1:])


def sample_tensors(inputs: Sequence[TensorSpec], rows: int) -> dict[str, NDArray[Any]]:
    """Zeros for each input, ones for masks; free dimensions get a small size.

    Args:
        inputs: Of the model, types in the words of :func:`word_of`.
        rows: Of the first dimension where that is free.
    """
    return {spec.name: _zeros(spec, rows) for spec in inputs}


def _zeros(spec: TensorSpec, rows: int) -> NDArray[Any]:
    if spec.dtype == "bytes":
        dtype: np.dtype[Any] = np.dtype(object)
    else:
        dtype = np.dtype(np.float32 if spec.dtype == "bfloat16" else spec.dtype)
    free = FREE_SIDE if dtype.kind == "f" else FREE_LENGTH
    shape = tuple((rows if k == 0 else free) if dim is None else dim for k, dim in enumerate(spec.shape))
    if dtype.hasobject:
        return np.full(shape, "", dtype=object)
    return np.full(shape, 1 if "mask" in spec.name else 0, dtype=dtype)


def sample_payload(spec: PipelineSpec, inputs: Sequence[TensorSpec]) -> bytes | str:
    """A black image of the size that the model takes, or a text of a quarter of the longest length (128 words)."""
    if spec.kind == "text":
        return "the " * max(1, min(MOST_WORDS, int(spec.max_length * WORDS_FRAC)))
    from PIL import Image

    chosen = next((i for i in inputs if i.name in spec.input_names[:1]), inputs[0])
    sides = chosen.shape[2:4] if spec.layout == "NCHW" else chosen.shape[1:3]
    height, width = (dim or spec.crop or spec.resize or IMAGE_SIDE for dim in (*sides, None, None)[:2])
    image = io.BytesIO()
    Image.new("RGB", (width, height)).save(image, "PNG")
    return image.getvalue()
