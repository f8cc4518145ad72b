"""A server within another program: opened and closed, as often as one likes, and no signal is caught."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from driven_pool import until
from real_server import write_slow, write_tiny

from farthing.errors import InputError
from farthing.load.serve.models import served_models
from farthing.load.wishes import read_wishes
from farthing.machine.clock import MonotonicClock
from farthing.serve.server import Server
from farthing.serve.settings import ServerSettings
from farthing.store.artefacts import check_artefact

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ROW, ANSWER = [1.0, 0.0, 0.0, 0.0], [1.0, 2.0]
Loop = Callable[[Coroutine[Any, Any, Any]], Any]


def server_of(path: Path, lines: list[str] | None = None, *, port: int = 0, **settings: Any) -> Server:
    """One worker that answers one row at a time."""
    wishes = read_wishes({"instances": "1", "max_batch": "1"})
    read = functools.partial(served_models, [path], cores=1, check=check_artefact, wishes=wishes)
    return Server(
        read(),
        ServerSettings(port=port, grpc_port=None, metrics_port=None, **settings),
        MonotonicClock(),
        memory_budget_mib=4096.0,
        read=read,
        say=[].append if lines is None else lines.append,
    )


def infer(address: str, name: str, row: list[float]) -> tuple[int, list[float]]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, len(row)], "data": row}
    asked = urllib.request.Request(f"{address}/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode())
    with urllib.request.urlopen(asked, timeout=60) as response:
        return response.status, json.loads(response.read())["outputs"][0]["data"]


async def ask(server: Server, name: str = "tiny", row: list[float] = ROW) -> tuple[int, list[float]]:
    return await asyncio.to_thread(infer, server.addresses.http, name, row)


def port_of(server: Server) -> int:
    port = urlsplit(server.addresses.http).port
    assert port is not None
    return port


def run(main: Coroutine[Any, Any, Any], loop: Loop = uvloop.run) -> Any:
    return loop(asyncio.wait_for(main, 120))


@pytest.mark.parametrize("loop", [uvloop.run, asyncio.run])
def test_it_answers_until_it_is_closed_and_its_port_is_free_again(tmp_path: Path, loop: Loop) -> None:
    lines: list[str] = []

    async def main() -> None:
        server = server_of(write_tiny(tmp_path / "tiny.onnx"), lines)
        await server.open()
        assert server.models.not_ready() is None
        assert await ask(server) == (200, ANSWER)
        port = port_of(server)
        await server.close()
        assert server.models.not_ready() is not None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)):
            pass
        await server.close()  # once more does no harm

    run(main(), loop)
    assert lines[0].startswith("ready: http://127.0.0.1:")
    assert sum(line.startswith("stopping") for line in lines) == 1


def test_twice_in_one_process_on_the_same_port(tmp_path: Path) -> None:
    path, port, before = write_tiny(tmp_path / "tiny.onnx"), 0, gc.get_threshold()
    frozen = gc.get_freeze_count()
    for _ in range(2):

        async def main(port: int) -> int:
            async with server_of(path, port=port) as server:
                assert await ask(server) == (200, ANSWER)
                assert gc.get_threshold() != before
                return port_of(server)

        port = run(main(port))
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() <= frozen


def test_two_at_the_same_time_share_the_collector(tmp_path: Path) -> None:
    path, before = write_tiny(tmp_path / "tiny.onnx"), gc.get_threshold()

    async def main() -> None:
        async with server_of(path) as one:
            async with server_of(path) as other:
                assert [await ask(one), await ask(other)] == [(200, ANSWER)] * 2
            assert gc.get_threshold() != before
            assert await ask(one) == (200, ANSWER)

    run(main())
    assert gc.get_threshold() == before


def test_requests_that_were_accepted_are_answered_by_a_close(tmp_path: Path) -> None:
    async def main() -> None:
        async with server_of(write_slow(tmp_path / "slow.onnx", layers=300)) as server:
            queue = server.models.find("slow").queue
            asked = [asyncio.create_task(ask(server, "slow", [0.5] * 1024)) for _ in range(4)]
            await until(lambda: queue.waiting >= 3)
            await server.close()
            assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 4

    run(main())


def test_after_the_grace_connections_are_cut(tmp_path: Path) -> None:
    lines: list[str] = []

    async def main() -> None:
        server = server_of(write_tiny(tmp_path / "tiny.onnx"), lines, grace_s=0.2)
        await server.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.1)
        await server.close()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()

    run(main())
    assert "1 connections were cut off" in lines


@pytest.mark.parametrize("loop", [uvloop.run, asyncio.run])
def test_no_signal_is_caught(tmp_path: Path, loop: Loop) -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        async with server_of(write_tiny(tmp_path / "tiny.onnx")):
            assert [signal.getsignal(number) for number in SIGNALS] == before

    run(main(), loop)


def test_it_may_be_opened_off_the_main_thread_where_no_signal_can_be_caught(tmp_path: Path) -> None:
    found: list[Any] = []

    async def main() -> None:
        async with server_of(write_tiny(tmp_path / "tiny.onnx")) as server:
            found.append(await ask(server))

    thread = threading.Thread(target=lambda: run(main(), asyncio.run))
    thread.start()
    thread.join(120)
    assert found == [(200, ANSWER)]


def test_a_taken_port_leaves_nothing_open(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.onnx")

    async def main() -> None:
        async with server_of(path) as first:
            second = server_of(path, port=port_of(first))
            with pytest.raises(InputError, match="cannot listen on"):
                await second.open()
            assert second.models.known() == ()
            await second.close()
            assert await ask(first) == (200, ANSWER)

    run(main())


def test_a_server_is_opened_once_and_may_be_closed_unopened(tmp_path: Path) -> None:
    async def main() -> None:
        server = server_of(write_tiny(tmp_path / "tiny.onnx"))
        await server.close()
        await server.open()
        with pytest.raises(ValueError, match="opened once"):
            await server.open()
        assert await ask(server) == (200, ANSWER)
        await server.close()
        with pytest.raises(ValueError, match="opened once"):
            await server.open()

    run(main())


def test_closed_while_it_loads(tmp_path: Path) -> None:
    lines: list[str] = []

    async def main() -> None:
        server = server_of(write_slow(tmp_path / "slow.onnx", layers=200), lines)
        opening = asyncio.create_task(server.open())
        await until(lambda: server.addresses.http != "")
        await server.close()
        await opening
        assert server.models.not_ready() is not None

    run(main())
    assert not any(line.startswith("ready") for line in lines)
