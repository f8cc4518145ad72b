"""The second listener answers operators, refuses lured browsers, and lets nobody administer without the token."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from live_page_server import Models
from made_up_traffic import RealClock, live_model, request
from made_up_traffic import answer as answered_with

from farthing.errors import EngineError
from farthing.serve.admin.control import Control
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.requests import Problem

TOKEN = "correct-horse-battery"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"


class Repository:
    """Loads what it is told to."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    async def load_named(self, name):
        if name == "gone":
            raise Problem(404, "the sources that are served have no model 'gone'")
        if name == "broken":
            raise EngineError("onnxruntime cannot load broken", hint="another engine")
        self.done.append(("load", name))
        return (live_model(name, "2"),)

    async def unload(self, name, version=None):
        self.done.append(("unload", name, version or ""))


class Listener:
    """A control listener with one ready model, and raw requests to it."""

    def __init__(self, **options) -> None:
        self.models = Models(live_model())
        self.metrics = Metrics(RealClock())
        self.decided: list[tuple[str, dict]] = []
        self.admin = Repository()
        options = {"admin": self.admin, "token": TOKEN} | options
        decided = lambda what, evidence: self.decided.append((what, dict(evidence)))  # noqa: E731
        self.control = Control(self.models, self.metrics, decided=decided, **options)

    def ask(self, *raw: bytes | str) -> list[tuple[int, dict[str, str], bytes]]:
        """Send each request on a connection of its own; status, headers in small letters, body."""

        async def all_of_them():
            port = await self.control.start("127.0.0.1", 0)
            try:
                return [await exchange(port, one if isinstance(one, bytes) else one.encode()) for one in raw]
            finally:
                await self.control.close()

        return asyncio.run(all_of_them())

    def one(self, raw: bytes | str):
        return self.ask(raw)[0]


async def exchange(port: int, raw: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    writer.write_eof()
    try:
        answer = await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        answer = b""
    writer.close()
    if not answer:
        return 0, {}, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split(" ")[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


def get(path: str, host: str = "127.0.0.1:8002") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"


def post(path: str, said: object = None, headers: str = BEARER) -> str:
    body = "" if said is None else json.dumps(said)
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"


def test_every_page_is_there_and_nothing_is_cached_or_framed():
    listener = Listener()
    listener.metrics.answered(request(listener.models.models[0]), answered_with())
    page, metrics, live, cost, ready = listener.ask(
        *map(get, ("/", "/metrics", "/live.json", "/cost.json?x=1", "/ready"))
    )
    assert [a[0] for a in (page, metrics, live, cost, ready)] == [200] * 5
    assert page[1]["content-type"] == "text/html; charset=utf-8"
    policy = page[1]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page[1]["x-frame-options"] == "DENY"
    assert {a[1]["cache-control"] for a in (page, metrics, live, cost, ready)} == {"no-store"}
    assert {a[1]["x-content-type-options"] for a in (page, metrics, live, cost, ready)} == {"nosniff"}
    assert metrics[1]["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'nv_inference_request_success{model="resnet",version="1"} 1\n' in metrics[2]
    assert json.loads(live[2])["models"][0]["name"] == "resnet"
    assert json.loads(cost[2])["models"][0]["requests"] == 1
    assert json.loads(ready[2]) == {"ready": True, "reasons": []}


def test_readiness_names_all_reasons():
    listener = Listener()
    a, b = live_model("a"), live_model("b", "2")
    a.state, a.reason, b.state = "unavailable", "worker died 5 times", "loading"
    listener.models.models = (a, b)
    status, _, body = listener.one(get("/ready"))
    assert status == 503
    assert json.loads(body)["reasons"] == ["a version 1: worker died 5 times", "b version 2: loading"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.7:8002", "localhost", "LOCALHOST:8002", "[::1]:8002", "[::1]", "ops.example:8002"]
)
def test_addresses_and_known_names_may_ask(host):
    assert Listener(names=["Ops.Example"]).one(get("/ready", host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8002",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "a:b:c",
        "[evil]",
        "127.0.0.1@evil",
    ],
)
def test_foreign_names_are_refused_for_pages_and_admin(host):
    listener = Listener()
    raw = post("/admin/models/resnet/unload").replace("Host: localhost", f"Host: {host}")
    assert [a[0] for a in listener.ask(get("/live.json", host), raw)] == [403, 403]
    assert listener.admin.done == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("GET /ready HTTP/1.1\r\n\r\n", 400),
        ("GET /ready HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("POST /ready HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
        (f"GET /ready HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 20_000}\r\n\r\n", 431),
        (f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (f"POST /admin/log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n{'a' * 70_000}", 413),
        ("POST /admin/log HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        ("GET /ready HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
        ("GET /ready HTTP/1.1\r\nHost: localhost\r\n", 0),
        ("", 0),
    ],
)
def test_what_is_not_a_proper_request_is_refused(raw, status):
    assert Listener().one(raw)[0] == status


def test_head_has_no_body():
    status, headers, body = Listener().one("HEAD /live.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


def test_a_slow_client_is_cut_off(monkeypatch):
    monkeypatch.setattr("farthing.serve.admin.control._CALL_S", 0.1)
    listener = Listener()

    async def slow():
        port = await listener.control.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HT")
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await listener.control.close()
        return said

    assert asyncio.run(slow()) == b""


def test_too_many_clients_are_closed_at_once_and_others_go_on():
    listener = Listener()

    async def crowd():
        port = await listener.control.start("127.0.0.1", 0)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
        await asyncio.sleep(0.2)
        refused = await exchange(port, get("/ready").encode())
        idle[0][1].close()
        await asyncio.sleep(0.2)
        served = await exchange(port, get("/ready").encode())
        for _, writer in idle:
            writer.close()
        await listener.control.close()
        return refused[0], served[0]

    assert asyncio.run(crowd()) == (0, 200)


def test_admin_loads_unloads_swaps_and_says_so_in_the_ledger():
    listener = Listener()
    listener.models.models = (live_model("resnet", "1"), live_model("other", "1"))
    answers = listener.ask(
        post("/admin/models/resnet/load"),
        post("/admin/models/resnet/unload", {"version": "1"}),
        post("/admin/models/resnet/unload"),
        post("/admin/models/resnet/swap", {}),
    )
    assert [a[0] for a in answers] == [200] * 4
    assert [json.loads(a[2]) for a in answers] == [
        {"loaded": ["2"]},
        {"unloaded": "1"},
        {"unloaded": "all"},
        {"loaded": ["2"], "unloaded": ["1"]},
    ]
    assert listener.admin.done == [
        ("load", "resnet"),
        ("unload", "resnet", "1"),
        ("unload", "resnet", ""),
        ("load", "resnet"),
        ("unload", "resnet", "1"),
    ]
    assert [what for what, _ in listener.decided] == ["admin_load", "admin_unload", "admin_unload", "admin_swap"]
    assert listener.decided[0][1] == {"model": "resnet", "loaded": ["2"]}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (post("/admin/models/resnet/load", headers=""), 401),
        (post("/admin/models/resnet/load", headers="Authorization: Basic Zm9vOmJhcg==\r\n"), 401),
        (post("/admin/models/resnet/load", headers="Authorization: Bearer\r\n"), 401),
        (post("/admin/models/resnet/load", headers="Authorization: Bearer wrong\r\n"), 403),
        (post("/admin/models/resnet/load", headers=BEARER + BEARER), 400),
        (post("/admin/models/gone/load"), 404),
        (post("/admin/models/broken/load"), 409),
        (post("/admin/models/resnet/explode"), 404),
        (post("/admin/models/a/b/load"), 404),
        (post("/admin/models/resnet/unload", {"version": 1}), 400),
        (post("/admin/models/resnet/unload", {"versoin": "1"}), 400),
        (post("/admin/models/resnet/load", ["x"]), 400),
        (post("/admin/log", {"level": "loud"}), 400),
        (get("/admin/log").replace("\r\n\r\n", f"\r\n{BEARER}\r\n"), 405),
        (get("/admin/log"), 401),
    ],
)
def test_admin_refuses(raw, status):
    listener = Listener()
    found, _, body = listener.one(raw)
    assert found == status
    assert set(json.loads(body)) == {"error"}
    assert listener.admin.done == []
    assert listener.decided == []


@pytest.mark.parametrize("options", [{"token": None}, {"admin": None}])
def test_without_a_token_there_is_no_admin(options):
    assert Listener(**options).one(post("/admin/models/resnet/load"))[0] == 404


def test_the_log_level_can_be_set_while_serving():
    logger = logging.getLogger("farthing")
    before = logger.level
    try:
        assert Listener().one(post("/admin/log", {"level": "debug"}))[0] == 200
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)
