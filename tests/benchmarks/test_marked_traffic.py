"""The checking client of the fault benchmark finds wrong, lost and refused answers: a judge that cannot fail is none."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from serving.client import MarkedTraffic, Tally, open_loop, saturate

REFUSAL = b'HTTP/1.1 503 Busy\r\nContent-Length: 16\r\n\r\n{"error":"busy"}'
BROKEN = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}"


def answer(marks: np.ndarray, *, hang_up: bool = False) -> bytes:
    y, mark = np.zeros((marks.size, 8), dtype=np.float32), marks.astype(np.float32)
    outputs = [
        {"name": name, "shape": [marks.size, -1], "datatype": "FP32", "parameters": {"binary_data_size": a.nbytes}}
        for name, a in (("y", y), ("mark", mark))
    ]
    head = json.dumps({"outputs": outputs}).encode()
    body = head + y.tobytes() + mark.tobytes()
    lines = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nInference-Header-Content-Length: {len(head)}\r\n"]
    return (lines[0] + ("Connection: close\r\n" if hang_up else "") + "\r\n").encode() + body


def marks_of(request: bytes) -> np.ndarray:
    head, _, body = request.partition(b"\r\n\r\n")
    size = next(int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.lower().startswith(b"inference-header"))
    return np.frombuffer(body[size:], dtype=np.float32).reshape(-1, 64)[:, 0]


def served(respond, requests: int, *, connections: int = 1, loyal: int = 0) -> Tally:
    """Tally of ``requests`` closed-loop requests against a server whose every answer ``respond(n, marks)`` makes."""
    tally, seen = Tally(), 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(r.split(b":")[1]) for r in head.split(b"\r\n") if r.lower().startswith(b"content-length")
                )
                request = head + await reader.readexactly(length)
                seen += 1
                reply = respond(seen, marks_of(request))
                if reply is None:
                    break
                writer.write(reply)
                if b"Connection: close" in reply:
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        traffic = MarkedTraffic(tally)
        await saturate(traffic, lambda: port, connections=connections, go_on=lambda: seen < requests, loyal=loyal)
        server.close()

    asyncio.run(run())
    return tally


def test_right_answers_are_counted_with_their_latency():
    tally = served(lambda n, marks: answer(2 * marks), 50, connections=4)
    assert tally.right == len(tally.latencies_s) >= 50
    assert (tally.wrong, tally.failed, tally.raced) == (0, 0, 0)


@pytest.mark.parametrize(
    "spoil", [lambda m: 2 * m + 2, lambda m: np.roll(2 * m, 1) if m.size > 1 else 0 * m, lambda m: 2 * m[:-1]]
)
def test_the_row_of_another_is_wrong(spoil):
    tally = served(lambda n, marks: answer(spoil(marks) if n % 5 == 0 else 2 * marks), 50)
    assert tally.wrong == 10
    assert tally.right == 40
    assert tally.examples


def test_errors_fail_and_refusals_do_not():
    replies = {1: BROKEN, 2: REFUSAL}
    tally = served(lambda n, marks: replies.get(n, answer(2 * marks)), 10)
    assert tally.statuses == {500: 1, 503: 1}
    assert tally.failed == 1
    assert tally.right == 8


def test_an_answer_cut_off_is_lost():
    tally = served(lambda n, marks: None if n == 1 else answer(2 * marks), 5)
    assert tally.lost == 1  # the connection was new: nothing excuses it


def test_a_kept_connection_closed_before_the_answer_is_tried_again():
    tally = served(lambda n, marks: None if n == 3 else answer(2 * marks), 6)
    assert (tally.raced, tally.lost) == (1, 0)
    assert tally.right == 5


def test_a_server_that_hangs_up_is_connected_to_again():
    tally = served(lambda n, marks: answer(2 * marks, hang_up=n % 2 == 0), 10)
    assert (tally.right, tally.failed) == (10, 0)


def test_marks_do_not_repeat():
    seen: list[float] = []
    served(lambda n, marks: seen.extend(marks) or answer(2 * marks), 200, connections=8)
    assert len(set(seen)) == len(seen)


def test_an_open_loop_sends_at_its_rate():
    sent: list[float] = []

    async def run() -> None:
        async def ask(connection, scheduled_s):
            sent.append(scheduled_s)
            connection.close()
            return connection

        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        await open_loop(ask, server.sockets[0].getsockname()[1], rps=400, seconds=0.5, seed=1)
        server.close()

    asyncio.run(run())
    assert len(sent) == 200
    assert sorted(sent) == sent
