"""Bytes to a server and what comes back."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Outcome", "send", "split_answers"]

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_QUIET_S = 0.3
_READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a server did.

    Attributes:
        statuses: Of the final answers in their order, ``100 Continue`` left out.
        bodies: Of those answers.
        ended: The server ended the connection.
    """

    statuses: tuple[int, ...]
    bodies: tuple[bytes, ...]
    ended: bool


def split_answers(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Whole answers at the front of some bytes, and what is left.

    Raises:
        ValueError: when this is no HTTP answer.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            break
        status = _STATUS.match(data, at)
        if status is None:
            raise ValueError(f"no HTTP answer: {data[at : at + 40]!r}")
        code = int(status[1])
        body = _body(data, at, end)
        if body is None:
            break
        start, at = body
        if code >= 200:
            found.append((code, data[start:at]))
    return found, data[at:]


def _body(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Where an answer's body begins and ends; None when it is not all there yet."""
    start = end + 4
    length = _LENGTH.search(data, at, end + 2)
    if length is not None:
        stop = start + int(length[1])
    elif _CHUNKED.search(data, at, end + 2):
        last = data.find(b"0\r\n\r\n", start)
        stop = last + 5 if last >= 0 else len(data) + 1
    else:
        stop = start
    return (start, stop) if stop <= len(data) else None


def send(
    address: tuple[str, int],
    pieces: Sequence[bytes],
    *,
    pause_s: float = 0.0,
    timeout_s: float = 10.0,
    answers: int = 1,
    shut: bool = False,
) -> Outcome:
    """Send pieces and read until the server ends the connection, is quiet after its answers, or the time is over.

    Args:
        address: Host and port.
        pieces: Sent one after another.
        pause_s: Between them.
        timeout_s: For all.
        answers: After so many a short silence is enough.
        shut: Tell the server that no more will come.

    Raises:
        OSError: when there is no connection to be had.
    """
    end_s = time.monotonic() + timeout_s
    with socket.create_connection(address, timeout=timeout_s) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for k, piece in enumerate(pieces):
                if k and pause_s:
                    time.sleep(pause_s)
                sock.sendall(piece)
            if shut:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            end_s = min(end_s, time.monotonic() + _QUIET_S)  # it may have answered before it ended
        data, ended = _read(sock, end_s, answers)
    found = _lenient(data)
    return Outcome(
        statuses=tuple(code for code, _ in found),
        bodies=tuple(body for _, body in found),
        ended=ended,
    )


def _read(sock: socket.socket, end_s: float, answers: int) -> tuple[bytes, bool]:
    """All that comes until the end of the connection (then True), of the time, or of patience after the answers."""
    data = b""
    while (left_s := end_s - time.monotonic()) > 0:
        sock.settimeout(min(left_s, _QUIET_S) if len(_lenient(data)) >= answers else left_s)
        try:
            more = sock.recv(_READ_BYTES)
        except TimeoutError:
            return data, False
        except OSError:
            return data, True
        if not more:
            return data, True
        data += more
    return data, False


def _lenient(data: bytes) -> list[tuple[int, bytes]]:
    try:
        return split_answers(data)[0]
    except ValueError:
        return []
