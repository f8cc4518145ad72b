"""Element types of the Open Inference Protocol and the bytes that stand for them.

Raw tensors are little-endian and row-major; BYTES elements are each preceded by their length in four bytes
(Open Inference Protocol, *Tensor Data*; Triton's binary tensor extension). BF16 has no NumPy type: such arrays are
kept as the ``uint16`` that hold the two bytes of each element.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.wire.requests import Problem

__all__ = [
    "DATATYPES",
    "Datatype",
    "bf16_from_float32",
    "datatype_of",
    "elements_of",
    "float32_from_bf16",
    "join_elements",
    "raw_array",
    "raw_bytes",
    "split_elements",
]

_LENGTH_BYTES = 4
_BF16_SHIFT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatype:
    """One element type.

    Attributes:
        name: The protocol's word (``FP32``).
        word: NumPy's word as models write it (``float32``), ``bfloat16`` and ``bytes`` besides.
        dtype: Of the arrays that hold it: ``object`` (of ``bytes``) for BYTES, ``uint16`` for BF16.
        size_bytes: Of one element; 0 for BYTES, whose elements differ.
        json_types: Python types of its elements in JSON; a ``bool`` is no number here.
    """

    name: str
    word: str
    dtype: np.dtype[Any]
    size_bytes: int
    json_types: frozenset[type]


def _numbers() -> Iterable[Datatype]:
    whole = frozenset({int})
    for sign in ("uint", "int"):
        for bits in (8, 16, 32, 64):
            name = f"{sign.upper()}{bits}"
            dtype = np.dtype(f"{sign}{bits}")
            yield Datatype(name=name, word=f"{sign}{bits}", dtype=dtype, size_bytes=bits // 8, json_types=whole)
    real = frozenset({int, float})
    for bits in (16, 32, 64):
        dtype = np.dtype(f"float{bits}")
        yield Datatype(name=f"FP{bits}", word=f"float{bits}", dtype=dtype, size_bytes=bits // 8, json_types=real)
    yield Datatype(name="BF16", word="bfloat16", dtype=np.dtype(np.uint16), size_bytes=2, json_types=real)


DATATYPES: dict[str, Datatype] = {
    "BOOL": Datatype(name="BOOL", word="bool", dtype=np.dtype(np.bool_), size_bytes=1, json_types=frozenset({bool})),
    **{datatype.name: datatype for datatype in _numbers()},
    "BYTES": Datatype(name="BYTES", word="bytes", dtype=np.dtype(object), size_bytes=0, json_types=frozenset({str})),
}
"""All element types by the protocol's word."""

_BY_WORD = {datatype.word: datatype for datatype in DATATYPES.values()} | {
    "float": DATATYPES["FP32"],
    "double": DATATYPES["FP64"],
    "string": DATATYPES["BYTES"],
    "object": DATATYPES["BYTES"],
}


def datatype_of(word: str) -> Datatype:
    """The element type that a model's own word stands for (``float32`` → FP32).

    Raises:
        ValueError: when the protocol has none (``complex64``).
    """
    found = _BY_WORD.get(word.removeprefix("tensor(").removesuffix(")"))
    if found is None:
        raise ValueError(f"the Open Inference Protocol has no type for {word}")
    return found


def split_elements(raw: bytes | memoryview, count: int, name: str) -> list[bytes]:
    """Cut the raw form of a BYTES tensor into its elements.

    Args:
        raw: Every element after its length in four little-endian bytes.
        count: Elements that the shape asks for.
        name: Of the tensor, for messages.

    Raises:
        Problem: 400 when lengths do not add up to the bytes there are.
    """
    total, at = len(raw), 0
    if total < count * _LENGTH_BYTES:
        raise Problem(400, f"input {name}: {count:,} BYTES elements need at least {4 * count:,} bytes, got {total:,}")
    found: list[bytes] = []
    for k in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        if start > total or at > total:
            raise Problem(400, f"input {name}: element {k} of {count:,} ends after the {total:,} bytes of the tensor")
        found.append(bytes(raw[start:at]))
    if at != total:
        raise Problem(400, f"input {name}: {total - at:,} bytes follow the last of {count:,} elements")
    return found


def join_elements(elements: Iterable[bytes]) -> bytes:
    """The raw form of a BYTES tensor."""
    parts: list[bytes] = []
    for element in elements:
        parts.append(len(element).to_bytes(_LENGTH_BYTES, "little"))
        parts.append(element)
    return b"".join(parts)


def elements_of(array: NDArray[Any]) -> list[bytes]:
    """Elements of a BYTES array in row-major order; text in it is taken as UTF-8."""
    return [e.encode() if isinstance(e, str) else bytes(e) for e in array.ravel().tolist()]


def raw_array(datatype: Datatype, shape: Sequence[int], raw: bytes | memoryview, name: str) -> NDArray[Any]:
    """Read a raw tensor; aligned numbers are not copied, so that array is read-only and keeps ``raw`` alive.

    Args:
        datatype: Of its elements.
        shape: Checked, dimensions ≥ 0.
        raw: Exactly its bytes.
        name: For messages.

    Raises:
        Problem: 400 when the length is wrong, or a BOOL is neither 0 nor 1.
    """
    count = 1
    for dim in shape:
        count *= dim
    if datatype.size_bytes == 0:
        array = np.empty(count, dtype=object)
        array[:] = split_elements(raw, count, name)
        return array.reshape(shape)
    need = count * datatype.size_bytes
    if len(raw) != need:
        raise Problem(400, f"input {name}: {datatype.name} {list(shape)} needs {need:,} bytes, got {len(raw):,}")
    if datatype.name == "BOOL":
        whole = np.frombuffer(raw, dtype=np.uint8)
        if whole.size and int(whole.max()) > 1:
            raise Problem(400, f"input {name}: a BOOL is 0 or 1, got {int(whole.max())}")
        return whole.view(np.bool_).reshape(shape)
    array = np.frombuffer(raw, dtype=datatype.dtype).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
    return array if sys.byteorder == "little" else array.byteswap()


def raw_bytes(datatype: Datatype, array: NDArray[Any]) -> bytes:
    """The raw form of a tensor, row-major and little-endian."""
    if datatype.size_bytes == 0:
        return join_elements(elements_of(array))
    if array.dtype != datatype.dtype:
        array = array.astype(datatype.dtype)
    return array.tobytes() if sys.byteorder == "little" else array.byteswap().tobytes()


def bf16_from_float32(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to BF16 (to nearest, ties to even); not-a-number stays that."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(_BF16_SHIFT)) & np.uint32(1)))) >> np.uint32(_BF16_SHIFT)
    quiet = (bits >> np.uint32(_BF16_SHIFT)) | np.uint32(0x40)
    found: NDArray[np.uint16] = np.where(np.isnan(array), quiet, rounded).astype(np.uint16)
    return found


def float32_from_bf16(array: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The same numbers in float32, exactly."""
    found: NDArray[np.float32] = (array.astype(np.uint32) << np.uint32(_BF16_SHIFT)).view(np.float32)
    return found
