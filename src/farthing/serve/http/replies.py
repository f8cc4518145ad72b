"""HTTP answers as bytes."""

from __future__ import annotations

from http import HTTPStatus

import orjson

from farthing.wire.requests import Problem

__all__ = ["CONTINUE", "JSON", "OCTETS", "encode_problem", "encode_reply"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JSON = b"application/json"
OCTETS = b"application/octet-stream"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def encode_reply(
    date: bytes,
    body: bytes,
    *,
    status: int = 200,
    media_type: bytes = JSON,
    json_bytes: int | None = None,
    close: bool = False,
    old: bool = False,
    extra: bytes = b"",
    head_only: bool = False,
    body_bytes: int | None = None,
) -> bytes:
    """One answer.

    Args:
        date: The ``Date`` header's line.
        body: Of the answer.
        status: Of HTTP.
        media_type: Of the body.
        json_bytes: Length of the JSON part when raw tensors follow it.
        close: The connection ends after it.
        old: The client speaks HTTP/1.0, so that going on must be said.
        extra: More header lines.
        head_only: Answer to HEAD, without the body.
        body_bytes: Of the whole body when ``body`` is only its beginning.
    """
    if json_bytes is not None:
        extra += b"Inference-Header-Content-Length: %d\r\n" % json_bytes
    if close:
        extra += b"Connection: close\r\n"
    elif old:
        extra += b"Connection: keep-alive\r\n"
    return b"%b%bContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        _STATUS_LINES[status],
        date,
        media_type,
        extra,
        len(body) if body_bytes is None else body_bytes,
        b"" if head_only else body,
    )


def encode_problem(
    date: bytes, problem: Problem, *, close: bool, old: bool, allow: str = "", head_only: bool = False
) -> bytes:
    """A problem as ``{"error": message}``."""
    extra = b"Allow: %b\r\n" % allow.encode() if allow else b""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        extra += b"WWW-Authenticate: Bearer\r\n"
    if problem.retry_after_s is not None:
        extra += b"Retry-After: %d\r\n" % max(1, round(problem.retry_after_s))
    body = orjson.dumps({"error": problem.message.encode("utf-8", "replace").decode()})
    return encode_reply(date, body, status=problem.status, close=close, old=old, extra=extra, head_only=head_only)
