"""Compressed bodies, inflated in steps and never beyond a bound."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from farthing.serve.turns import LONG_BYTES, Steps
from farthing.wire.requests import Problem

__all__ = ["inflated"]

_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def inflated(
    body: bytes | bytearray, encoding: str, limit_bytes: int, hold: Callable[[int], object]
) -> Steps[bytes | bytearray]:
    """One body's decompression.

    Args:
        body: As sent.
        encoding: ``gzip`` or ``deflate`` (RFC 9110: the zlib form).
        limit_bytes: After which it is refused; no more than this is ever inflated.
        hold: Told of bytes that are held in addition.

    Raises:
        Problem: 400 when it is damaged, cut off or goes on after its end, 413 beyond the limit.
    """
    inflate = zlib.decompressobj(_WINDOW[encoding])
    out, at = bytearray(), 0
    while not inflate.eof:
        given = inflate.unconsumed_tail or bytes(body[at : at + LONG_BYTES])
        if not inflate.unconsumed_tail:
            at += len(given)
        try:
            piece = inflate.decompress(given, LONG_BYTES)
        except zlib.error as e:
            raise Problem(400, f"the body cannot be inflated: {e}") from e
        if not piece and not inflate.eof and at >= len(body) and not inflate.unconsumed_tail:
            raise Problem(400, "the compressed body is cut off")
        hold(len(piece))
        out += piece
        if len(out) > limit_bytes:
            raise Problem(413, f"the body inflates beyond the limit of {limit_bytes:,} bytes")
        if not inflate.eof:
            yield
    if inflate.unused_data or at < len(body):
        raise Problem(400, "bytes follow the end of the compressed body")
    return bytes(out) if len(out) <= LONG_BYTES else out
