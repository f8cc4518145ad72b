"""Compressed bodies, inflated as they come and never beyond a bound."""

from __future__ import annotations

import zlib

from farthing.serve.requests import Problem

__all__ = ["Inflater"]

_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Inflater:
    """One body's decompression.

    Args:
        encoding: ``gzip`` or ``deflate`` (RFC 9110: the zlib form).
        limit_bytes: After which it is refused; no more than this is ever inflated.
    """

    __slots__ = ("_inflate", "_left_bytes", "_limit_bytes")

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        self._inflate = zlib.decompressobj(_WINDOW[encoding])
        self._left_bytes = self._limit_bytes = limit_bytes

    def feed(self, chunk: bytes) -> bytes:
        """Inflate some more.

        Raises:
            Problem: 400 when it is damaged or goes on after its end, 413 beyond the limit.
        """
        try:
            out = self._inflate.decompress(chunk, self._left_bytes + 1)
        except zlib.error as e:
            raise Problem(400, f"the body cannot be inflated: {e}") from e
        self._left_bytes -= len(out)
        if self._left_bytes < 0:
            raise Problem(413, f"the body inflates beyond the limit of {self._limit_bytes:,} bytes")
        if self._inflate.unused_data:
            raise Problem(400, "bytes follow the end of the compressed body")
        return out

    def finish(self) -> None:
        """Raise a 400 when the body ended early."""
        if not self._inflate.eof:
            raise Problem(400, "the compressed body is cut off")
