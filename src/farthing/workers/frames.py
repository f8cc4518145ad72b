"""What travels between the server and a worker: a fixed head, a small JSON header, raw tensor bytes. No pickle.

A frame is ``head | header | body``. The head has 32 bytes (:data:`HEAD`); the header is JSON padded with spaces so
that the body begins at a multiple of 64 bytes from the start of the frame; each tensor in the body begins at such a
multiple too, so that a receive buffer that is aligned to 64 bytes already holds aligned tensors. The sender hands
over a list of buffers and copies none but tiny ones: requests' arrays go to the kernel as they are. One side speaks
at a time: a frame is answered before the next one is sent, hence a buffer never holds more than one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from socket import socket
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.wire.dtypes import elements_of, join_elements, split_elements
from farthing.wire.requests import Problem

__all__ = ["Frame", "FrameError", "Inbox", "Kind", "Part", "frame", "packed", "send_all", "sent", "unpacked"]

ALIGN_BYTES = 64
HEAD = struct.Struct("<IIIIQQ")
"""Mark, kind, number, bytes of the header, bytes of the body, nanoseconds."""
HEAD_BYTES = HEAD.size
MARK = 0x46524731
LARGEST_HEADER_BYTES = 64 * 2**20
LARGEST_BODY_BYTES = 16 * 2**30
SCRATCH_BYTES = 256 * 2**10
JOINED_BYTES = 32 * 2**10
"""Pieces of a tensor that is smaller are joined: quicker than many tiny buffers."""
BUFFERS_A_CALL = 512
"""Buffers handed to one ``sendmsg``; Linux takes 1,024."""
KNOWN_HEADERS = 1024
"""Headers kept read, by their bytes; the same ones come again and again."""
KNOWN_HEADER_BYTES = 1024
_PADDING = bytes(ALIGN_BYTES)

Part = bytes | memoryview


class Kind(IntEnum):
    """What a frame is; each command has one answer or ``FAILED``."""

    LOAD = 1
    LOADED = 2
    WARM = 3
    WARMED = 4
    BATCH = 5
    RESULT = 6
    FAILED = 7
    CHECK = 8
    CHECKED = 9


_KINDS = {kind.value: kind for kind in Kind}


class FrameError(Exception):
    """The other side sent bytes that are no frame."""


@dataclass(slots=True, eq=False)
class Frame:
    """One received frame.

    Attributes:
        kind: What it is.
        number: Of the command that it is or answers.
        nanos: Time the work took, 0 where that means nothing.
        header: JSON, decoded; shared between frames, so never changed.
        body: Raw bytes, shape ``(n,)``; valid until the inbox receives again unless the inbox gives its buffers away.
    """

    kind: Kind
    number: int
    nanos: int
    header: Any
    body: NDArray[np.uint8]


def frame(kind: Kind, number: int, header: Any, body: Sequence[Part] = (), nanos: int = 0) -> list[Part]:
    """The buffers of one frame, for ``sendmsg`` or ``writelines``; the parts of the body are not copied."""
    text = orjson.dumps(header)
    padded = len(text) + -(HEAD_BYTES + len(text)) % ALIGN_BYTES
    size = sum(map(len, body))
    head = HEAD.pack(MARK, kind, number, padded, size, nanos)
    if size <= JOINED_BYTES:
        return [b"".join((head, text.ljust(padded), *body))]
    return [head + text.ljust(padded), *body]


def packed(tensors: Sequence[Sequence[NDArray[Any]]]) -> tuple[list[list[Any]], list[Part]]:
    """Lay tensors out in a body.

    Args:
        tensors: Each as its pieces, joined along the first dimension; pieces of one tensor have the same type and
            the same shape beyond the first dimension. Object arrays hold ``bytes`` or ``str``.

    Returns:
        The layout (type, shape, offset and bytes of each) and the buffers.
    """
    layout: list[list[Any]] = []
    parts: list[Part] = []
    at = 0
    for pieces in tensors:
        if at % ALIGN_BYTES:  # never in front of the first
            parts.append(_PADDING[at % ALIGN_BYTES :])
            at += -at % ALIGN_BYTES
        first = pieces[0]
        if len(pieces) > 1 and len(pieces) * first.nbytes <= JOINED_BYTES and not first.dtype.hasobject:
            first = np.concatenate(pieces)
            pieces = [first]
        raw = [_raw(piece) for piece in pieces if piece.size]
        shape = first.shape if len(pieces) == 1 else (sum(len(piece) for piece in pieces), *first.shape[1:])
        nbytes = sum(map(len, raw))
        layout.append(["bytes" if first.dtype.hasobject else first.dtype.str, shape, at, nbytes])
        parts += raw
        at += nbytes
    return layout, parts


def _raw(array: NDArray[Any]) -> Part:
    if array.dtype.hasobject:
        return join_elements(elements_of(array))
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array.data.cast("B") if array.dtype.kind not in "mM" else array.tobytes()


def unpacked(layout: Sequence[Sequence[Any]], body: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """The tensors of a body, as views on it; texts become object arrays of ``bytes``.

    Raises:
        FrameError: when layout and body do not fit each other.
    """
    try:
        return [_tensor(word, shape, body[at : at + nbytes]) for word, shape, at, nbytes in layout]
    except (TypeError, ValueError, Problem) as e:
        raise FrameError(f"tensors do not fit their frame: {e}") from e


def _tensor(word: str, shape: Sequence[int], raw: NDArray[np.uint8]) -> NDArray[Any]:
    if word == "bytes":
        array = np.empty(math.prod(shape), dtype=object)
        array[:] = split_elements(raw.data, array.size, "of a frame")
        return array.reshape(shape)
    dtype = np.dtype(word)
    if dtype.hasobject:
        raise ValueError(f"a tensor of the type {word}")
    return raw.view(dtype).reshape(shape)


def _aligned(nbytes: int) -> NDArray[np.uint8]:
    """Memory that begins at a multiple of 64 bytes and is not filled."""
    whole = np.empty(nbytes + ALIGN_BYTES, dtype=np.uint8)
    start = -whole.ctypes.data % ALIGN_BYTES
    return whole[start : start + nbytes]


class Inbox:
    """Puts one frame at a time together.

    Args:
        gives_away: Frames keep their memory for good (the server's end); else a frame's body is only valid until
            the next one is received, and nothing is copied (the worker's end).
    """

    def __init__(self, *, gives_away: bool = False) -> None:
        self._gives_away = gives_away
        self._filled = self._needed = 0
        self._head = (0, 0, 0, 0, 0, 0)
        self._headers: dict[bytes, Any] = {}
        self._use(_aligned(SCRATCH_BYTES))

    def _use(self, buffer: NDArray[np.uint8]) -> None:
        self._buffer, self._view = buffer, buffer.data

    def space(self) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._filled :] if self._filled else self._view

    def took(self, n: int) -> Frame | None:
        """Say that ``n`` bytes have come; the frame when it is whole.

        Raises:
            FrameError: when they are no frame, or more than one.
        """
        self._filled += n
        if not self._needed:
            if self._filled < HEAD_BYTES:
                return None
            self._measure()
        if self._filled < self._needed:
            return None
        if self._filled > self._needed:
            raise FrameError(f"{self._filled - self._needed:,} bytes came after the end of a frame")
        return self._finished()

    def _measure(self) -> None:
        self._head = HEAD.unpack_from(self._view)
        mark, _, _, header_bytes, body_bytes, _ = self._head
        if mark != MARK or header_bytes > LARGEST_HEADER_BYTES or body_bytes > LARGEST_BODY_BYTES:
            raise FrameError(f"no frame begins with {self._buffer[:HEAD_BYTES].tobytes().hex()}")
        self._needed = HEAD_BYTES + header_bytes + body_bytes
        if self._needed > len(self._buffer):
            larger = _aligned(self._needed)
            larger[: self._filled] = self._buffer[: self._filled]
            self._use(larger)

    def _finished(self) -> Frame:
        _, kind, number, header_bytes, _, nanos = self._head
        at, end = HEAD_BYTES + header_bytes, self._needed
        raw = self._view[HEAD_BYTES:at].tobytes()
        body = self._buffer[at:end]
        try:
            header = self._headers[raw] if raw in self._headers else self._read(raw)
            found = Frame(_KINDS[kind], number, nanos, header, body)
        except (KeyError, ValueError) as e:
            raise FrameError(f"a frame of kind {kind} cannot be read: {e}") from e
        self._filled = self._needed = 0
        if self._gives_away:
            if end > SCRATCH_BYTES // 4:
                self._use(_aligned(SCRATCH_BYTES))
            else:
                found.body = body.copy()
        return found

    def _read(self, raw: bytes) -> Any:
        header = orjson.loads(raw)
        if len(raw) <= KNOWN_HEADER_BYTES:
            if len(self._headers) >= KNOWN_HEADERS:
                self._headers.clear()
            self._headers[raw] = header
        return header

    def receive(self, sock: socket) -> Frame | None:
        """Wait for a whole frame on a blocking socket; None when the other side has closed it.

        Raises:
            FrameError: as :meth:`took`.
        """
        while True:
            n = sock.recv_into(self.space())
            if n == 0:
                return None
            found = self.took(n)
            if found is not None:
                return found


def sent(parts: list[Part], n: int) -> list[Part]:
    """What is left of some buffers once ``n`` bytes have gone."""
    for k, part in enumerate(parts):
        if n < len(part):
            return [memoryview(part)[n:], *parts[k + 1 :]]
        n -= len(part)
    return []


def send_all(sock: socket, parts: list[Part]) -> None:
    """Send buffers on a blocking socket.

    Raises:
        OSError: when the other side is gone.
    """
    while parts:
        parts = sent(parts, sock.sendmsg(parts[:BUFFERS_A_CALL]))
