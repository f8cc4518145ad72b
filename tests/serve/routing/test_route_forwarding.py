"""Tiers behind URLs: both protocols, and everything that a place can do wrong."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from small_route import cascade, margin_of, route_of, rung, tier, write_tier

from farthing.core.route.served import UpstreamModel
from farthing.serve.routing.calls import Charged, Gone
from farthing.serve.routing.http_client import HttpClient, Unreachable
from farthing.serve.routing.tier_protocols import protocol_of
from farthing.serve.routing.upstreams import UpstreamQueue, upstream_model
from farthing.store.routes import write_route
from farthing.wire.requests import Answer, LiveModel, Problem, Request

SURE, UNSURE = [5.0, 0.0, 0.0, 9.0], [0.1, 0.0, 0.05, 9.0]
CLASSES = ("book flight", "pay bill", "out of scope")


class Clock:
    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Elsewhere:
    """An HTTP server whose answers a test decides.

    Attributes:
        seen: Path, headers and body of each POST.
        answer: Makes status and body of an answer to a POST; None closes the connection.
        pages: Answers to GET by path.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, bytes]] = []
        self.answer: Callable[[bytes], tuple[int, bytes] | None] = lambda body: (200, b"{}")
        self.pages: dict[str, Any] = {}
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                page = owner.pages.get(self.path)
                self._send(404 if page is None else 200, json.dumps(page or {"error": "none"}).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.seen.append((self.path, self.headers, body))
                found = owner.answer(body)
                if found is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                else:
                    self._send(*found)

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    there = Elsewhere()
    yield there
    there.close()


def run(main: Any) -> Any:
    return uvloop.run(asyncio.wait_for(main, 30))


def spec_of(url: str, kind: Any = "openai", **more: Any) -> UpstreamModel:
    more.setdefault("classes", CLASSES)
    return UpstreamModel(name="large", origin=Path("r"), max_batch=8, kind=kind, url=url, remote_name="there", **more)


async def opened(spec: UpstreamModel) -> tuple[LiveModel, UpstreamQueue]:
    model = upstream_model(spec, protocol_of, Clock())
    queue = model.queue
    assert isinstance(queue, UpstreamQueue)
    await queue.open(model)
    return model, queue


def ask(model: LiveModel, **more: Any) -> asyncio.Future[Answer | Problem]:
    future: asyncio.Future[Answer | Problem] = asyncio.get_running_loop().create_future()
    request = Request(
        model=model, reply=lambda _, outcome: future.set_result(outcome), arrived_s=time.monotonic(), **more
    )
    model.queue.submit(request)
    return future


def chat(said: str) -> Callable[[bytes], tuple[int, bytes]]:
    return lambda body: (200, json.dumps({"choices": [{"message": {"content": said}}]}).encode())


# — chat ———————————————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("said", ["pay bill", " Pay Bill. ", '"PAY BILL"'])
def test_the_class_that_a_chat_model_names(elsewhere: Elsewhere, said: str) -> None:
    elsewhere.answer = chat(said)

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url + "/v1"))
        answer = await ask(model, payloads=["i want to pay"])
        assert isinstance(answer, Answer)
        assert answer.outputs[0].tolist() == [[0.0, 1.0, 0.0]]
        assert answer.service_s > 0
        queue.close("end")

    run(main())
    path, _, body = elsewhere.seen[0]
    told = json.loads(body)
    assert path == "/v1/chat/completions"
    assert told["model"] == "there"
    assert told["temperature"] == 0
    assert "book flight, pay bill, out of scope" in told["messages"][0]["content"]
    assert told["messages"][1] == {"role": "user", "content": "i want to pay"}


def test_rows_go_to_a_chat_model_one_by_one(elsewhere: Elsewhere) -> None:
    elsewhere.answer = lambda body: chat(json.loads(body)["messages"][1]["content"])(body)

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url))
        answer = await ask(model, payloads=["out of scope", "book flight"], rows=2)
        assert isinstance(answer, Answer)
        assert answer.outputs[0].argmax(axis=1).tolist() == [2, 0]
        queue.close("end")

    run(main())


def using(said: str, tokens: tuple[int, int]) -> tuple[int, bytes]:
    used = dict(zip(("prompt_tokens", "completion_tokens"), tokens, strict=True))
    return 200, json.dumps({"choices": [{"message": {"content": said}}], "usage": used}).encode()


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        (["pay bill"], (8, 2)),
        (["pay bill", "book flight"], (19, 4)),
        (["what"], (4, 2)),
        (["what", "pay bill"], (12, 4)),
    ],
)
def test_tokens_that_a_chat_model_used(elsewhere: Elsewhere, texts: list[str], tokens: tuple[int, int]) -> None:
    """As many as characters in; they are told of answers that name no class, too."""

    def answer(body: bytes) -> tuple[int, bytes]:
        text = json.loads(body)["messages"][1]["content"]
        return using(text, (len(text), 2))

    elsewhere.answer = answer

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url))
        outcome = await ask(model, payloads=texts, rows=len(texts))
        assert isinstance(outcome, Charged if "what" in texts else Answer)
        assert outcome.tokens == tokens
        queue.close("end")

    run(main())


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "x", "completion_tokens": 1}, [1, 2], {"prompt_tokens": 1}]
)
def test_a_chat_model_that_does_not_say_what_it_used(elsewhere: Elsewhere, usage: Any) -> None:
    said = {"choices": [{"message": {"content": "pay bill"}}], "usage": usage}
    elsewhere.answer = lambda body: (200, json.dumps(said).encode())

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url))
        answer = await ask(model, payloads=["x"])
        assert isinstance(answer, Answer)
        assert answer.tokens is None
        queue.close("end")

    run(main())


def test_the_key_comes_from_the_environment(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere.answer = chat("pay bill")
    monkeypatch.setenv("A_KEY", "secret")

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url, options={"key_env": "A_KEY"}))
        assert isinstance(await ask(model, payloads=["x"]), Answer)
        queue.close("end")
        _, none = await opened(spec_of(elsewhere.url, options={"key_env": "NO_KEY"}))
        assert none.down is not None
        assert "NO_KEY" in none.down
        none.close("end")

    run(main())
    assert elsewhere.seen[0][1]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (chat("no idea"), 500),
        (lambda body: (200, b'{"choices": []}'), 500),
        (lambda body: (200, b"<html>"), 500),
        (lambda body: (200, b"[1]"), 500),
        (lambda body: (429, b"slow down"), 503),
        (lambda body: (503, b"full"), 503),
        (lambda body: (504, b"late"), 504),
        (lambda body: (500, b"broken"), 500),
        (lambda body: (404, b"who"), 500),
        (lambda body: (301, b"there"), 500),
        (lambda body: None, 503),
    ],
    ids=["class", "empty", "html", "list", "429", "503", "504", "500", "404", "301", "closed"],
)
def test_answers_that_are_none(elsewhere: Elsewhere, answer: Any, status: int) -> None:
    elsewhere.answer = answer

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url))
        outcome = await ask(model, payloads=["x"])
        assert isinstance(outcome, Problem)
        assert outcome.status == status
        queue.close("end")

    run(main())


# — time, numbers, coming and going ————————————————————————————————————————————————————————————————————————————————


def test_a_slow_place_is_given_up_at_the_earlier_of_both_bounds(elsewhere: Elsewhere) -> None:
    elsewhere.answer = lambda body: time.sleep(1.0) or chat("pay bill")(body)

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url, timeout_s=0.1))
        start = time.monotonic()
        outcome = await ask(model, payloads=["x"])
        assert isinstance(outcome, Problem)
        assert outcome.status == 504
        outcome = await ask(model, payloads=["x"], deadline_s=time.monotonic() + 0.05)
        assert isinstance(outcome, Problem)
        assert outcome.status == 504
        assert time.monotonic() - start < 0.9
        assert queue.down is None
        queue.close("end")

    run(main())


def test_no_more_at_a_time_than_it_may_take(elsewhere: Elsewhere) -> None:
    at_once, most, lock = [0], [0], threading.Lock()

    def answer(body: bytes) -> tuple[int, bytes]:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1
        return chat("pay bill")(body)

    elsewhere.answer = answer

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url, concurrency=3, max_waiting=10))
        asked = [ask(model, payloads=["x"]) for _ in range(20)]
        assert queue.waiting == 10
        outcomes = [await one for one in asked]
        assert [isinstance(o, Answer) for o in outcomes] == [True] * 13 + [False] * 7
        assert {o.status for o in outcomes if isinstance(o, Problem)} == {503}
        queue.close("end")

    run(main())
    assert most[0] == 3


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(elsewhere: Elsewhere) -> None:
    async def main() -> None:
        client = HttpClient(elsewhere.url)
        elsewhere.pages["/"] = {}
        assert (await client.ask("GET", "/")).status == 200
        (kept,) = client._kept
        kept._transport.abort()
        assert (await client.ask("GET", "/")).status == 200
        client.close()

    run(main())


def test_nothing_is_sent_twice_once_it_may_have_been_read(elsewhere: Elsewhere) -> None:
    elsewhere.answer = lambda body: None

    async def main() -> None:
        client = HttpClient(elsewhere.url)
        with pytest.raises(Unreachable):
            await client.ask("POST", "/x", b"{}")
        client.close()

    run(main())
    assert len(elsewhere.seen) == 1


def test_a_place_that_is_down_is_found_again() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

    async def main() -> None:
        spec = spec_of(f"http://127.0.0.1:{port}", "open_inference")
        model, queue = await opened(spec)
        assert queue.down is not None
        outcome = await ask(model, tensors=[np.zeros((1, 4), np.float32)])
        assert isinstance(outcome, Problem)
        assert isinstance(outcome, Gone)
        there = await asyncio.to_thread(_json_only, port)
        while queue.down is not None:
            await asyncio.sleep(0.02)
        assert model.outputs[0].shape == (None, 3)
        assert queue.times_down == 1
        queue.close("end")
        there.shutdown()
        there.server_close()

    run(main())


# — the Open Inference Protocol ————————————————————————————————————————————————————————————————————————————————————


def _described(name: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": shape}


PAGES = {
    "/v2": {"name": "other", "extensions": []},
    "/v2/models/there": {"inputs": [_described("x", [-1, 4])], "outputs": [_described("logits", [-1, 3])]},
    "/v2/models/there/ready": {"ready": True},
}


def _json_only(port: int) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(PAGES[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def test_a_server_without_binary_tensors_gets_json(elsewhere: Elsewhere) -> None:
    elsewhere.pages = PAGES
    said = {"outputs": [{**_described("logits", [2, 3]), "data": [1.0, 2.0, None, 4.0, 5.0, 6.0]}]}
    elsewhere.answer = lambda body: (200, json.dumps(said).encode())

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url, "open_inference", classes=()))
        answer = await ask(model, tensors=[np.float32([SURE, UNSURE])], rows=2, id="mine", priority=3)
        assert isinstance(answer, Answer)
        assert np.array_equal(answer.outputs[0], np.float32([[1, 2, np.nan], [4, 5, 6]]), equal_nan=True)
        queue.close("end")

    run(main())
    told = json.loads(elsewhere.seen[0][2])
    assert told["id"] == "mine"
    assert told["parameters"]["priority"] == 3
    assert 0 < told["parameters"]["timeout"] <= 30e6
    assert told["inputs"][0]["data"] == pytest.approx([*SURE, *UNSURE])


@pytest.mark.parametrize(
    "said",
    [
        {"outputs": []},
        {"outputs": [{**_described("logits", [1, 3]), "data": [1.0]}]},
        {"outputs": [{**_described("logits", [1, 3]), "data": ["a", "b", "c"]}]},
        {"outputs": [{**_described("logits", [1, 3]), "parameters": {"binary_data_size": 12}}]},
        {"outputs": [{**_described("logits", [1, 3]), "datatype": "FP99", "data": [1, 2, 3]}]},
        {},
    ],
    ids=["none", "short", "words", "no bytes", "type", "empty"],
)
def test_answers_that_cannot_be_read_are_the_place_s_fault(elsewhere: Elsewhere, said: Any) -> None:
    elsewhere.pages = PAGES
    elsewhere.answer = lambda body: (200, json.dumps(said).encode())

    async def main() -> None:
        model, queue = await opened(spec_of(elsewhere.url, "open_inference", classes=()))
        outcome = await ask(model, tensors=[np.float32([SURE])])
        assert isinstance(outcome, Problem)
        assert outcome.status == 500
        queue.close("end")

    run(main())


# — a whole server —————————————————————————————————————————————————————————————————————————————————————————————————


def test_a_route_over_another_server_that_goes_away(tmp_path: Path, start_server: Any) -> None:
    from test_route_serving import ask as ask_server

    write_tier(tmp_path / "there" / "large.onnx", 1000.0)
    write_tier(tmp_path / "small.onnx", 0.0)
    quiet = ("--port", 0, "--grpc-port", "none", "--metrics-port", "none")
    there = start_server(tmp_path / "there" / "large.onnx", ports=quiet)
    large = tier("large", there.url, kind="open_inference", model="large", usd_per_request=2e-6)
    route = route_of([tier("small"), large], [rung(cascade("small", "large"))], margin_of("small"))
    served = start_server(write_route(route, tmp_path / "route.yaml"), "--expose-cost", ports=quiet)
    status, headers, answer = ask_server(served, "auto", [UNSURE, SURE])
    assert (status, headers["farthing-route-tier"]) == (200, "large, small")
    assert answer["outputs"][0]["data"][0] == pytest.approx(1000.1)
    assert ask_server(served, "large", [SURE])[0] == 200
    there.process.kill()
    there.process.wait()
    status, _, answer = ask_server(served, "auto", [UNSURE])
    assert status == 503
    assert "does not answer" in answer["error"]
    assert ask_server(served, "auto", [SURE])[0] == 200
    assert served.ready()


@pytest.mark.parametrize(
    ("details", "share", "paid"),
    [
        ({"cached_tokens": 80}, 1.0, 100),
        ({"cached_tokens": 80}, 0.1, 28),
        ({}, 0.1, 100),
        ({"cached_tokens": 200}, 0.1, None),
    ],
)
def test_cached_tokens_count_as_the_share_that_they_cost(
    elsewhere: Elsewhere, details: dict[str, int], share: float, paid: float | None
) -> None:
    used = {"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": details}
    said = {"choices": [{"message": {"content": "pay bill"}}], "usage": used}
    elsewhere.answer = lambda body: (200, json.dumps(said).encode())

    async def main() -> None:
        model, queue = await opened(replace(spec_of(elsewhere.url), cached_token_frac=share))
        answer = await ask(model, payloads=["x"])
        assert isinstance(answer, Answer)
        assert answer.tokens == (None if paid is None else (pytest.approx(paid), 2))
        queue.close("end")

    run(main())
