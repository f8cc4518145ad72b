"""Protobuf's wire format, walked over a memory map: a gigabyte of weights costs neither time nor memory.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

__all__ = ["Buffer", "MalformedError", "Span", "fields", "first", "numbers", "text", "varint"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Buffer = mmap.mmap | bytes
Span = tuple[int, int]
"""Where the bytes of a message start and stop."""


class MalformedError(Exception):
    """The bytes are no protobuf message."""


def varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """Number at a place, and where it stops.

    Raises:
        MalformedError: when it is cut off or longer than ten bytes.
    """
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise MalformedError(f"a number is cut off at byte {at:,}")


def fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Fields of one message: ``(number, value, start, stop)``; value for varints, start and stop for bytes.

    Raises:
        MalformedError: when a field ends after the message or has a wire type that is not known.
    """
    while at < end:
        tag, at = varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        value, start, stop = 0, at, at
        if wire == _VARINT:
            value, stop = varint(data, at, end)
        elif wire == _BYTES:
            length, start = varint(data, at, end)
            stop = start + length
        elif wire in (_FIXED64, _FIXED32):
            stop = at + (8 if wire == _FIXED64 else 4)
        else:
            raise MalformedError(f"unknown wire type {wire} at byte {at:,}")
        if number == 0 or stop > end:
            raise MalformedError(f"a field of {stop - start:,} bytes at byte {start:,} ends after the data ({end:,})")
        yield number, value, start, stop
        at = stop


def first(data: Buffer, span: Span, number: int) -> Span | None:
    """Bytes of the first field of a number, None when there is none."""
    return next(((start, stop) for k, _, start, stop in fields(data, *span) if k == number), None)


def text(data: Buffer, span: Span | None) -> str:
    """Bytes as a text, empty when there are none."""
    return "" if span is None else bytes(data[span[0] : span[1]]).decode("utf-8", "replace")


def numbers(data: Buffer, start: int, stop: int) -> list[int]:
    """Numbers in the bytes of a field of a repeated integer, whether it is packed or one of many."""
    found = []
    while start < stop:
        one, start = varint(data, start, stop)
        found.append(one)
    return found
