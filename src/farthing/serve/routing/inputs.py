"""What a client sent to a route, as one of its tiers takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import TensorSpec
from farthing.wire.requests import LiveModel, Request

__all__ = ["Fitted", "Taking", "common_inputs", "fitted_to", "takes_texts", "taking", "text_of"]

_TEXTS = ((None,), (None, 1))
"""Shapes of a tensor that holds a text a row."""

Fitted = tuple[Sequence[NDArray[Any]] | None, Sequence[bytes | str] | None, int, Any]
"""Inputs of some rows: tensors, payloads, length and shape key (:class:`~farthing.wire.requests.Request`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What a model takes of a route's requests.

    Attributes:
        payloads: Images or texts, for its own pipeline.
        bytes_shape: Of its one tensor of texts, ``(None,)`` or ``(None, 1)``, where it takes payloads in that; None
            where it does not.
        tensors: The same tensors as the route.
        most_tokens: Where its pipeline cuts texts.
    """

    payloads: bool
    bytes_shape: tuple[int | None, ...] | None
    tensors: bool
    most_tokens: int


def taking(model: LiveModel, route: LiveModel) -> Taking:
    """What a model takes of a route's requests."""
    kind = route.spec.pipeline.kind
    same = kind != "tensor" and model.spec.pipeline.kind == kind
    return Taking(
        payloads=same,
        bytes_shape=None if same or not takes_texts(model) else model.inputs[0].shape,
        tensors=bool(route.inputs) and model.inputs == route.inputs and model.batched == route.batched,
        most_tokens=model.spec.pipeline.max_length,
    )


def takes_texts(model: LiveModel) -> bool:
    """Whether its one tensor holds a text a row."""
    return len(model.inputs) == 1 and model.inputs[0].dtype == "bytes" and model.inputs[0].shape in _TEXTS


def common_inputs(models: Sequence[LiveModel]) -> tuple[TensorSpec, ...]:
    """Tensors that all models take alike; where each takes a text a row, texts; none where they differ."""
    first = models[0].inputs
    if all(model.inputs == first for model in models):
        return first
    return (TensorSpec(name="text", dtype="bytes", shape=(None,)),) if all(map(takes_texts, models)) else ()


def fitted_to(request: Request, rows: tuple[int, ...] | None, takes: Taking) -> Fitted | None:
    """Some rows of a request for a model, None when it takes no such requests.

    Args:
        request: A client's, checked for the route.
        rows: Which, None for all.
        takes: What the model takes.
    """
    if request.payloads is None:
        tensors = request.tensors
        if tensors is not None and not takes.tensors:
            return _texts_of(request, rows, takes)
        if tensors is None:
            return None
        if rows is not None:
            index = np.array(rows)
            tensors = [tensor[index] for tensor in tensors]
        return (tensors, None, request.length, request.shape_key)
    payloads = request.payloads if rows is None else [request.payloads[row] for row in rows]
    if takes.payloads:
        length = request.length
        return (None, payloads, length if length < takes.most_tokens else takes.most_tokens, None)
    if takes.bytes_shape is None:
        return None
    texts = np.empty(len(payloads), dtype=object)
    texts[:] = [p.encode("utf-8", "replace") if isinstance(p, str) else p for p in payloads]
    return ([_shaped(texts, takes.bytes_shape)], None, 0, None)


def _texts_of(request: Request, rows: tuple[int, ...] | None, takes: Taking) -> Fitted | None:
    """Texts that came as a tensor of one a row, for a model that takes them in another shape or one request a row."""
    tensors = request.tensors
    if takes.bytes_shape is None or not tensors or len(tensors) != 1 or tensors[0].dtype.char != "O":
        return None
    texts = tensors[0].reshape(-1)
    return ([_shaped(texts if rows is None else texts[list(rows)], takes.bytes_shape)], None, 0, None)


def _shaped(texts: NDArray[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
    return texts.reshape(-1, *([1] * (len(shape) - 1)))


def text_of(request: Request, row: int) -> str | None:
    """The text of a row (of a tensor of one text a row, too), None when it has none."""
    if request.payloads is not None:
        payload = request.payloads[row]
        return payload if isinstance(payload, str) else None
    tensors = request.tensors
    if not tensors or len(tensors) != 1 or tensors[0].dtype.char != "O" or tensors[0].size != request.rows:
        return None
    element = tensors[0].reshape(-1)[row]
    try:
        return element if isinstance(element, str) else bytes(element).decode()
    except UnicodeDecodeError:
        return None
