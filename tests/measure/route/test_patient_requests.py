"""End points that are busy: what they ask for is waited for, by all threads together, and not for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from farthing.errors import MeasureError
from farthing.measure.route.patient_requests import LONGEST_WAIT_S, Patient, asked_wait_s, wait_s
from farthing.testing import FakeClock

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
Answer = tuple[int, dict[str, str], dict[str, Any] | list[Any]]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("0", 0), ("7", 7), ("1.5", 1.5), ("Mon, 30 Nov 2026 12:00:09 GMT", 9),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0), ("Mon, 30 Nov 2026 13:00:30 +0100", 30),
        ("-3", None), ("soon", None), ("1,5", None), ("nan", None), ("", None),
    ],
)  # fmt: skip
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert asked_wait_s(text, NOW) == seconds


@pytest.mark.parametrize(
    ("tries", "status", "asked", "wait"),
    [
        (1, 429, 7.0, 7.0), (9, 429, 7.0, 7.0), (1, 503, 2.0, 2.0), (1, 429, None, 0.5), (3, 429, None, 2.0),
        (20, 429, None, 30.0), (1, 500, None, 0.5), (2, 500, None, 1.0), (3, 500, None, None), (3, None, None, None),
        (1, None, None, 0.5), (1, 400, None, None), (1, 401, 5.0, None), (1, 404, None, None), (3, 503, None, None),
        (1, 500, 5.0, 0.5), (1, 429, 0.0, 0.5), (3, 429, 0.0, 2.0), (1, 503, 0.0, 0.5), (9, 503, 0.0, 30.0),
        (2, 429, 0.01, 1.0), (1, 429, 0.5, 0.5), (5000, 429, 0.0, 30.0), (5000, 429, None, 30.0),
    ],
)  # fmt: skip
def test_when_to_try_again(tries: int, status: int | None, asked: float | None, wait: float | None) -> None:
    assert wait_s(tries, status, asked) == wait


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[int], Answer]], str]]:
    started: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[int], Answer]) -> str:
        lock, seen = threading.Lock(), [0]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    seen[0] += 1
                    status, headers, document = answer(seen[0])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def patient(url: str, clock: FakeClock) -> Patient:
    return Patient("large", url, {}, 5.0, clock)


def test_it_waits_as_long_as_it_is_asked_to(serve: Callable[..., str]) -> None:
    clock = FakeClock()
    url = serve(lambda k: (429, {"Retry-After": "20"}, {}) if k <= 6 else (200, {}, {"ok": k}))
    reply = patient(url, clock).post("/x", {"a": 1})
    assert reply.document == {"ok": 7}
    assert clock.now_s == 120
    assert reply.took_s == 0  # waits are no time of the model


def test_it_does_not_wait_for_ever(serve: Callable[..., str]) -> None:
    clock = FakeClock()
    with pytest.raises(MeasureError, match=r"asks to wait 3,600 s .* the limit is 300 s") as e:
        patient(serve(lambda k: (429, {"Retry-After": "3600"}, {})), clock).post("/x", {})
    assert clock.now_s == 0
    assert "the same command later" in str(e.value.hint)
    with pytest.raises(MeasureError, match=r"asks to wait 90 s .* after 270 s of waiting"):
        patient(serve(lambda k: (429, {"Retry-After": "90"}, {})), clock).post("/x", {})
    assert clock.now_s <= LONGEST_WAIT_S
    with pytest.raises(MeasureError, match="is busy"):
        patient(serve(lambda k: (429, {}, {})), clock).post("/x", {})


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "asked", ["0", "0.0", "1e-9", "Thu, 01 Jan 2015 00:00:00 GMT", "Mon, 30 Nov 2026 11:00:00 +0000"]
)
def test_no_pause_asked_for_is_no_leave_to_ask_for_ever(
    serve: Callable[..., str], status: int, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.measure.route.patient_requests.datetime", At)
    clock, seen = FakeClock(), []
    url = serve(lambda k: (seen.append(k), (status, {"Retry-After": asked}, {}))[1])
    with pytest.raises(MeasureError, match=rf"is busy \({status}.* the limit is 300 s"):
        patient(url, clock).post("/x", {})
    assert LONGEST_WAIT_S - 30 < clock.now_s <= LONGEST_WAIT_S
    assert len(seen) <= 20
    soon = serve(lambda k: (status, {"Retry-After": asked}, {}) if k <= 4 else (200, {}, {"ok": k}))
    assert patient(soon, FakeClock()).post("/x", {}).document == {"ok": 5}


class At(datetime):
    """A day that does not move."""

    @classmethod
    def now(cls, tz: Any = None) -> At:
        return cls(2026, 11, 30, 12, tzinfo=tz)


def test_errors_are_tried_three_times_and_refusals_once(serve: Callable[..., str]) -> None:
    for status, tries in ((500, 3), (400, 1), (401, 1)):
        seen: list[int] = []
        url = serve(lambda k, status=status, seen=seen: (seen.append(k), (status, {}, {"error": "no"}))[1])
        with pytest.raises(MeasureError, match=f"does not answer: {status}"):
            patient(url, FakeClock()).post("/x", {})
        assert len(seen) == tries
    with pytest.raises(MeasureError, match="list instead of an object"):
        patient(serve(lambda k: (200, {}, [])), FakeClock()).post("/x", {})


def test_threads_wait_together(serve: Callable[..., str]) -> None:
    clock, asked_at_s = FakeClock(), []

    def answer(k: int) -> Answer:
        asked_at_s.append(clock.now_s)
        return (429, {"Retry-After": "60"}, {}) if k == 1 else (200, {}, {})

    shared = patient(serve(answer), clock)
    shared.post("/x", {})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shared.post("/x", {}), range(8)))
    assert asked_at_s[0] == 0
    assert min(asked_at_s[1:]) == 60


def test_a_redirect_is_not_followed(serve: Callable[..., str]) -> None:
    seen: list[int] = []
    elsewhere = serve(lambda k: (seen.append(k), (200, {}, {}))[1])
    with pytest.raises(MeasureError, match="does not answer: 302"):
        patient(serve(lambda k: (302, {"Location": f"{elsewhere}/x"}, {})), FakeClock()).post("/x", {})
    assert not seen
