"""Made-up requests for a model that nobody has asked anything yet: random tensors, texts and images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.inputs import numpy_dtype

__all__ = ["GUESSES", "Guess", "random_images", "random_tensors", "random_texts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What a model's inputs do not say.

    Attributes:
        side: Size of a free dimension of floating-point numbers (a side of an image).
        length: Size of a free dimension of anything else (tokens).
        below: Whole numbers lie below (the size of a vocabulary), ≥ 2.
    """

    side: int
    length: int
    below: int


GUESSES = (
    Guess(side=64, length=16, below=1000),
    Guess(side=32, length=8, below=1000),
    Guess(side=64, length=16, below=100),
    Guess(side=32, length=8, below=30),
    Guess(side=64, length=16, below=10),
    Guess(side=16, length=16, below=3),
    Guess(side=128, length=128, below=1000),
    Guess(side=224, length=12, below=100),
    Guess(side=5, length=5, below=2),
)
"""Tried one after the other: what a model does not take it refuses."""
_WORDS = ("the", "cat", "price", "of", "seven", "houses", "no", "yes", "blue", "when", "running", "42", "x", "very")
_PIECES = 256
"""Words that are drawn from a tokenizer's vocabulary."""
_SCALES = ("normal", "unit", "bytes", "normal", "small", "large")
"""What the numbers of a request look like, request by request: a batch holds all kinds."""
_IMAGE_SIDE, _GRAIN = 224, 7


def random_tensors(
    inputs: Sequence[TensorSpec], n: int, guess: Guess, rng: np.random.Generator
) -> list[dict[str, NDArray[Any]]]:
    """Single requests, first dimension 1: floating-point numbers of several scales, masks of several lengths.

    Args:
        inputs: Of the model, in any engine's words.
        n: Requests.
        guess: Sizes of free dimensions and of vocabularies.
        rng: Random numbers.

    Raises:
        DataError: when NumPy has no such type.
    """
    return [{spec.name: _tensor(spec, k, guess, rng) for spec in inputs} for k in range(n)]


def _tensor(spec: TensorSpec, k: int, guess: Guess, rng: np.random.Generator) -> NDArray[Any]:
    word = spec.dtype.removeprefix("torch.").removeprefix("tensor(").removesuffix(")")
    if word in ("bytes", "string"):
        return rng.choice(np.array(_WORDS, dtype=object), _shape(spec, guess.length))
    dtype = np.dtype(np.float32 if word == "bfloat16" else numpy_dtype(spec))
    shape = _shape(spec, guess.side if dtype.kind == "f" else guess.length)
    if "mask" in spec.name:
        return _mask(shape, k, rng).astype(dtype)
    if dtype.kind == "f":
        return _numbers(shape, _SCALES[k % len(_SCALES)], rng).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    return _whole(spec.name, shape, dtype, guess, rng)


def _shape(spec: TensorSpec, free: int) -> tuple[int, ...]:
    return tuple((1 if axis == 0 else free) if dim is None else dim for axis, dim in enumerate(spec.shape))


def _mask(shape: tuple[int, ...], k: int, rng: np.random.Generator) -> NDArray[Any]:
    """Ones in front, of a length of its own for each request; every third request's at the end."""
    width = shape[-1] if len(shape) > 1 else 1
    places = np.arange(width) if k % 3 else np.arange(width)[::-1]
    return np.broadcast_to(places < rng.integers(1, width + 1), shape)


def _numbers(shape: tuple[int, ...], scale: str, rng: np.random.Generator) -> NDArray[Any]:
    if scale in ("unit", "bytes"):
        return rng.random(shape) * (1.0 if scale == "unit" else 255.0)
    return rng.standard_normal(shape) * {"normal": 1.0, "small": 0.1, "large": 30.0}[scale]


def _whole(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], guess: Guess, rng: np.random.Generator
) -> NDArray[Any]:
    """Token ids as a rule; types of segments are 0, positions count, lengths fit the length."""
    if dtype.itemsize == 1:
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    if "type" in name:
        return np.zeros(shape, dtype=dtype)
    if "position" in name and len(shape) > 1:
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
    if "length" in name or name.endswith("len"):
        return rng.integers(1, guess.length + 1, shape).astype(dtype)
    return rng.integers(0, guess.below, shape).astype(dtype)


def random_texts(spec: PipelineSpec, n: int, rng: np.random.Generator) -> list[str]:
    """Texts of words of the tokenizer's own vocabulary, from one word up to a few dozen, each of another length."""
    words = _vocabulary(spec, rng)
    longest = max(2, min(40, spec.max_length - 2))
    counts = np.unique(np.geomspace(1, longest, 2 * n).astype(int))
    return [" ".join(rng.choice(words, int(counts[(k * 5 + 1) % counts.size]))) for k in range(n)]


def _vocabulary(spec: PipelineSpec, rng: np.random.Generator) -> list[str]:
    """Some whole words that the tokenizer knows, and a few of English."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(spec.tokenizer))
    except Exception as e:  # the library raises bare Exception
        raise DataError(f"{spec.tokenizer} is no readable tokenizer.json: {e}") from e
    ids = rng.permutation(tokenizer.get_vocab_size())[: 8 * _PIECES]
    pieces = (str(tokenizer.id_to_token(int(k)) or "").lstrip("Ġ▁") for k in ids)
    return [*_WORDS, *[piece for piece in pieces if piece.isalnum()][:_PIECES]]


def random_images(spec: PipelineSpec, inputs: Sequence[TensorSpec], n: int, rng: np.random.Generator) -> list[bytes]:
    """Coarse colours of several brightnesses, of the size that the model takes."""
    from PIL import Image

    height, width = _sides(spec, inputs)
    found = []
    for k in range(n):
        coarse = rng.integers(0, 64 * (k % 4 + 1), (_GRAIN, _GRAIN, 3)).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(out, "PNG")
        found.append(out.getvalue())
    return found


def _sides(spec: PipelineSpec, inputs: Sequence[TensorSpec]) -> tuple[int, int]:
    chosen = next((i for i in inputs if i.name in spec.input_names[:1]), inputs[0])
    sides = chosen.shape[2:4] if spec.layout == "NCHW" else chosen.shape[1:3]
    height, width = (dim or spec.crop or spec.resize or _IMAGE_SIDE for dim in (*sides, None, None)[:2])
    return height, width
