"""What the server takes before it says no; all hold before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what clients may send and keep open.

    Attributes:
        body_bytes: Of one request, after decompression.
        head_bytes: Request line and headers together.
        headers: Number of them.
        json_depth: Nesting of the JSON part.
        values: Of the JSON part outside of lists of numbers, and elements of a BYTES tensor, where a body has more than
            64 KiB.
        dims: Of one tensor.
        tensors: Inputs or requested outputs named in one request.
        text_bytes: Of one text.
        image_bytes: Of one encoded image (pixels are bounded by the pipeline's own ``max_pixels``).
        connections: Open at the same time; more are closed at once.
        pipelined: Requests that one connection may have in flight.
        in_flight_bytes: Bodies held by all connections together.
        head_s: From the first byte of a head to its end.
        body_s: From the end of the head to the end of a body of up to ``body_floor_bytes``…
        body_bytes_per_s: …and the slowest rate beyond it.
        body_floor_bytes: See ``body_s``.
        idle_s: A connection without a request is closed after so long.
        write_s: A client that does not read its answer for so long is cut off.
    """

    body_bytes: int = 64 * 2**20
    head_bytes: int = 16 * 2**10
    headers: int = 100
    json_depth: int = 32
    values: int = 32 * 2**10
    dims: int = 8
    tensors: int = 64
    text_bytes: int = 64 * 2**10
    image_bytes: int = 32 * 2**20
    connections: int = 4096
    pipelined: int = 64
    in_flight_bytes: int = 1 * 2**30
    head_s: float = 10.0
    body_s: float = 20.0
    body_bytes_per_s: float = 16 * 2**10
    body_floor_bytes: int = 256 * 2**10
    idle_s: float = 75.0
    write_s: float = 30.0
