"""Answers as ``text/csv``: a line for each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.serve.protocol.oip_answers import json_values
from farthing.serve.protocol.sagemaker import best_of, named_classes
from farthing.serve.protocol.signatures import Signature, Wish
from farthing.serve.turns import Steps
from farthing.wire.dtypes import Datatype, elements_of, float32_from_bf16
from farthing.wire.requests import Problem

__all__ = ["CSV", "csv_in_steps", "prefers_csv"]

CSV = b"text/csv; charset=utf-8"
_VALUES_A_STEP = 4096
_JSON, _CSV = "application/json", "text/csv"


def prefers_csv(accept: str) -> bool:
    """Whether a client would rather have ``text/csv`` than JSON (RFC 9110, section 12.5.1).

    Of two that it likes alike the one that it names first; JSON where it names none.
    """
    liked: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(accept.lower().split(",")):
        kind, _, parameters = part.partition(";")
        liked.setdefault(kind.strip(), (_weight(parameters), -place))
    as_csv = _liked(liked, _CSV)
    return as_csv[0] > 0 and as_csv > _liked(liked, _JSON)


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _liked(liked: dict[str, tuple[float, int]], kind: str) -> tuple[float, int, bool]:
    for name in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if name in liked:
            weight, place = liked[name]
            return weight, place, kind == _JSON
    return 0.0, -len(liked), kind == _JSON


def csv_in_steps(signature: Signature, wishes: Sequence[Wish], outputs: Sequence[NDArray[Any]]) -> Steps[list[bytes]]:
    """One line a row without a head: label, index and score of a classifier's best class, else the outputs' values.

    Args:
        signature: Of the model.
        wishes: Which outputs, in this order.
        outputs: One for each of the model's.

    Raises:
        Problem: 400 when an output holds bytes that are no text.
    """
    names = named_classes(signature, outputs)
    if names is not None:
        best = [best_of(row, names) for row in outputs[0]]
        return [_line([b["label"], b["index"], str(b["score"])]) for b in best]
    batched = signature.model.has_rows
    parts: list[bytes] = []
    for row in range(len(outputs[0]) if batched else 1):
        first = True
        for wish in wishes:
            slot = signature.outputs[wish.index]
            flat = (outputs[wish.index][row] if batched else outputs[wish.index]).reshape(-1)
            for at in range(0, flat.size, _VALUES_A_STEP):
                cells = _cells(slot.datatype, flat[at : at + _VALUES_A_STEP], slot.name)
                parts.append(cells if first else b"," + cells)
                first = False
                if flat.size > _VALUES_A_STEP:
                    yield
        parts.append(b"\n")
        if row % 64 == 63:
            yield
    return parts


def _cells(datatype: Datatype, values: NDArray[Any], name: str) -> bytes:
    if datatype.name == "BYTES":
        try:
            return _line([element.decode() for element in elements_of(values)])[:-1]
        except UnicodeDecodeError as e:
            raise Problem(400, f"output {name} holds bytes that are no text") from e
    wide = float32_from_bf16(values) if datatype.name == "BF16" else values
    if wide.dtype.kind == "f" and not np.isfinite(wide).all():
        return ",".join(wide.astype(str)).encode()
    return json_values(datatype, values, name)[1:-1]


def _line(cells: Sequence[object]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()
