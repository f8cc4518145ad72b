"""Long ``ModelInferRequest`` messages: their values stay where they lie, only the rest is parsed.

The parser makes an object of each field: a message of many tiny inputs, parameters or texts would take a hundred times
its bytes, and everyone's time. So the wire format is walked in steps first (protobuf.dev, *Encoding*): raw tensors and
packed contents are remembered by their place, texts of ``bytes_contents`` cut out within bounds, and what is left must
be short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.serve.limits import Limits
from farthing.serve.turns import LONG_BYTES, STEP_BYTES, Steps
from farthing.wire.requests import Problem

__all__ = ["Bulk", "Contents", "array_of_packed", "bulk_of"]

_INPUTS, _OUTPUTS, _RAW = 5, 6, 7
"""Fields of a request; ``contents`` of an input is its fifth as well."""
_CONTENTS, _BYTES_CONTENTS = 5, 8
_NAMES = {
    1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents", 5: "uint64_contents",
    6: "fp32_contents", 7: "fp64_contents", 8: "bytes_contents",
}  # fmt: skip
_FLOATS: dict[str, np.dtype[Any]] = {"fp32_contents": np.dtype("<f4"), "fp64_contents": np.dtype("<f8")}
_VARINT, _FIXED64, _SPAN, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10
_SHORT_INPUT = 4096
_FIELDS_A_STEP = 256
_MOST_TIMES = 5
_ELEMENT_BYTES, _SPARE = 64, 4
"""About what a short element takes, and how many times the message all of them may take."""
_SPANS_A_TENSOR, _SPAN_BYTES = 64, 256
"""Pieces that packed numbers may come in (encoders write one), and about what the place of each takes."""
_FLOATS_A_STEP = 64 * 2**10


@dataclass(slots=True)
class Contents:
    """Typed contents of one input.

    Attributes:
        name: Of the field that holds them, empty before one was found.
        spans: Packed numbers.
        elements: Of ``bytes_contents``.
    """

    name: str = ""
    spans: list[memoryview] = field(default_factory=list)
    elements: list[bytes] = field(default_factory=list)

    def belong_to(self, name: str) -> None:
        """Raise a 400 when they belong to another field as well."""
        if self.name not in ("", name):
            raise Problem(400, f"an input has {self.name} and {name}; send one of them")
        self.name = name


@dataclass(slots=True)
class Bulk:
    """Values of a message that were not parsed.

    Attributes:
        rest: The message without them.
        raw: ``raw_input_contents``.
        contents: By the input's index.
    """

    rest: bytes
    raw: list[memoryview] = field(default_factory=list)
    contents: dict[int, Contents] = field(default_factory=dict)


def _wrong(what: str) -> Problem:
    return Problem(400, f"these bytes are no inference.ModelInferRequest: {what}")


def _varint(view: memoryview, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for k in range(min(_MOST_VARINT_BYTES, stop - at)):
        byte = view[at + k]
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value, at + k + 1
    raise _wrong("a number has no end")


def _fields(view: memoryview, at: int, stop: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, wire type, where a field begins, where its value begins and ends."""
    while at < stop:
        begin = at
        tag, at = _varint(view, at, stop)
        wire, start = tag & 7, at
        if wire == _VARINT:
            _, at = _varint(view, at, stop)
        elif wire == _SPAN:
            size, start = _varint(view, at, stop)
            at = start + size
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise _wrong(f"wire type {wire}")
        if at > stop or tag >> 3 == 0:
            raise _wrong("a field ends after its message")
        yield tag >> 3, wire, begin, start, at


class _Walk:
    """Walks a message and keeps what is to be parsed, within bounds.

    Args:
        view: The message.
        limits: Bounds.
    """

    def __init__(self, view: memoryview, limits: Limits) -> None:
        self._view, self._limits = view, limits
        self._kept_bytes = self._elements = self._spans = self._seen = 0

    def pauses(self) -> bool:
        """Whether others may do something now."""
        self._seen += 1
        return self._seen % _FIELDS_A_STEP == 0

    def kept(self, begin: int, end: int) -> memoryview:
        """A field that is parsed."""
        self._keep(end - begin)
        return self._view[begin:end]

    def _keep(self, size_bytes: int) -> None:
        """Count what is parsed."""
        self._kept_bytes += size_bytes
        if self._kept_bytes > LONG_BYTES:
            raise Problem(
                413,
                f"what a request says beside raw tensors, packed contents and bytes_contents has more than "
                f"{LONG_BYTES:,} bytes",
            )

    def message(self) -> Steps[Bulk]:
        """All of it."""
        rest = bytearray()
        bulk = Bulk(b"")
        counts = {_INPUTS: 0, _OUTPUTS: 0}
        for number, wire, begin, start, end in _fields(self._view, 0, len(self._view)):
            if self.pauses():
                yield
            if number == _RAW and wire == _SPAN:
                bulk.raw.append(self._view[start:end])
            elif number == _INPUTS and wire == _SPAN and end - start > _SHORT_INPUT:
                contents = bulk.contents[counts[_INPUTS]] = Contents()
                rest += _framed(_INPUTS, (yield from self._input(contents, start, end)))
            else:
                rest += self.kept(begin, end)
            counts[number] = counts.get(number, 0) + 1
            if max(len(bulk.raw), counts[_INPUTS], counts[_OUTPUTS]) > self._limits.tensors:
                raise Problem(400, f"a request has at most {self._limits.tensors} inputs and outputs")
        bulk.rest = bytes(rest)
        return bulk

    def _input(self, contents: Contents, at: int, stop: int) -> Steps[bytearray]:
        rest = bytearray()
        for number, wire, begin, start, end in _fields(self._view, at, stop):
            if self.pauses():
                yield
            if number == _CONTENTS and wire == _SPAN:
                inner = yield from self._contents(contents, start, end)
                if inner:  # the parser makes one message of all of them
                    self._keep(start - begin)
                    rest += _framed(_CONTENTS, inner)
            else:
                rest += self.kept(begin, end)
        return rest

    def _contents(self, contents: Contents, at: int, stop: int) -> Steps[bytearray]:
        rest = bytearray()
        for number, wire, begin, start, end in _fields(self._view, at, stop):
            if self.pauses():
                yield
            name = _NAMES.get(number, "")
            if not name or wire != _SPAN:
                rest += self.kept(begin, end)
                continue
            contents.belong_to(name)
            if number == _BYTES_CONTENTS:
                self._count_element(stop - at)
                contents.elements.append(bytes(self._view[start:end]))
            else:
                self._count_span()
                contents.spans.append(self._view[start:end])
        return rest

    def _count_span(self) -> None:
        self._spans += 1
        most = min(_SPANS_A_TENSOR * self._limits.tensors, len(self._view) // _SPAN_BYTES)
        if self._spans > most:
            raise Problem(
                413,
                f"packed contents come in more than {most:,} pieces; beyond {LONG_BYTES:,} bytes there are at most "
                f"{_SPANS_A_TENSOR * self._limits.tensors:,}, one for each {_SPAN_BYTES} bytes",
            )

    def _count_element(self, size_bytes: int) -> None:
        self._elements += 1
        most = min(self._limits.values, _SPARE * len(self._view) // _ELEMENT_BYTES)
        if self._elements > most:
            raise Problem(
                413,
                f"bytes_contents of {size_bytes:,} bytes holds more than {most:,} elements; in more than "
                f"{LONG_BYTES:,} bytes there are at most {self._limits.values:,}, one for each "
                f"{_ELEMENT_BYTES // _SPARE} bytes",
            )


def _framed(number: int, content: bytes | bytearray) -> bytes:
    """A message within a message."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | _SPAN]) + bytes(length) + bytes([size]) + content


def bulk_of(raw: bytes, limits: Limits) -> Steps[Bulk]:
    """Tell the values of a message from the rest.

    Raises:
        Problem: 400 when it is none or has too many inputs, 413 when there is too much beside the values, or too many
            short elements.
    """
    return (yield from _Walk(memoryview(raw), limits).message())


def array_of_packed(
    contents: Contents, dtype: np.dtype[Any], count: int, name: str, size_bytes: int
) -> Steps[NDArray[Any]]:
    """The numbers of packed contents.

    Args:
        contents: With spans.
        dtype: Of the input.
        count: Wanted.
        name: Of the input, for messages.
        size_bytes: Of the message.

    Raises:
        Problem: 400 when there are more or fewer, one does not fit the type or they are no numbers; 413 when they take
            more than five times the message (whole numbers below 128 as INT64).
    """
    if contents.name in _FLOATS:
        return (yield from _floats(contents, count, name))
    found = 0
    for piece in _all_pieces(contents):
        found += int(np.count_nonzero(piece < 0x80))
        yield
    _check(found, count, contents, name)
    if count * dtype.itemsize > _MOST_TIMES * size_bytes:
        raise Problem(
            413,
            f"input {name}: {count:,} values of {dtype} take more than {_MOST_TIMES} times the {size_bytes:,} bytes "
            "that they came in; send raw_input_contents",
        )
    array = np.empty(count, dtype=dtype)
    at = 0
    for piece in _all_pieces(contents):
        values = _fitting(_decoded(piece), contents.name, dtype, name)
        array[at : at + values.size] = values
        at += values.size
        yield
    return array


def _floats(contents: Contents, count: int, name: str) -> Steps[NDArray[Any]]:
    """Numbers of fixed length; those in one piece are not copied."""
    dtype = _FLOATS[contents.name]
    if any(len(span) % dtype.itemsize for span in contents.spans):
        raise _wrong(f"{contents.name} ends within a number")
    _check(sum(map(len, contents.spans)) // dtype.itemsize, count, contents, name)
    pieces = [np.frombuffer(span, dtype) for span in contents.spans if len(span)]
    if len(pieces) == 1:
        return pieces[0]
    array, at = np.empty(count, dtype=dtype), 0
    for piece in pieces:
        for begin in range(0, piece.size, _FLOATS_A_STEP):
            part = piece[begin : begin + _FLOATS_A_STEP]
            array[at : at + part.size] = part
            at += part.size
            yield
    return array


def _check(found: int, count: int, contents: Contents, name: str) -> None:
    if found != count:
        raise Problem(400, f"input {name} needs {count:,} values in {contents.name}, got {found:,}")


def _fitting(values: NDArray[np.uint64], field_name: str, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Varints as the field's type says, then checked for the input's own, which may be narrower."""
    if field_name == "uint64_contents":
        return values
    if field_name == "bool_contents":
        return np.not_equal(values, 0)
    if field_name == "int64_contents":
        return values.view(np.int64)
    wide = values.astype(np.uint32) if field_name == "uint_contents" else values.astype(np.uint32).view(np.int32)
    bounds = np.iinfo(dtype)
    if wide.size and (int(wide.min()) < bounds.min or int(wide.max()) > bounds.max):
        raise Problem(400, f"input {name}: {dtype} goes from {bounds.min} to {bounds.max}, got a value outside")
    return wide


def _all_pieces(contents: Contents) -> Iterator[NDArray[np.uint8]]:
    for span in contents.spans:
        if len(span):
            yield from _pieces(span)


def _pieces(span: memoryview) -> Iterator[NDArray[np.uint8]]:
    """Bytes of whole numbers, some thousands at a time."""
    whole, at = np.frombuffer(span, dtype=np.uint8), 0
    while at < whole.size:
        piece = whole[at : at + STEP_BYTES]
        ends = np.flatnonzero(piece < 0x80)
        if not ends.size:
            raise _wrong("a number has no end")
        piece = piece[: int(ends[-1]) + 1]
        if at + piece.size < whole.size and whole.size - at <= STEP_BYTES:
            raise _wrong("a number has no end")
        yield piece
        at += piece.size


def _decoded(piece: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Varints: seven bits a byte, the lowest first; the last byte of each has no eighth bit."""
    starts = np.concatenate([[0], np.flatnonzero(piece < 0x80)[:-1] + 1])
    lengths = np.diff(np.append(starts, piece.size))
    if int(lengths.max()) > _MOST_VARINT_BYTES:
        raise _wrong("a number has more than 10 bytes")
    place = np.arange(piece.size) - np.repeat(starts, lengths)
    parts = (piece & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    found: NDArray[np.uint64] = np.bitwise_or.reduceat(parts, starts)
    return found
