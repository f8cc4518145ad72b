"""The hand-made census and the fuzzer, against this server and against servers that deserve to fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from echo_models import echo_model, image_model, many_types, running, text_model

from farthing.conformance.__main__ import main
from farthing.conformance.fuzz import fuzz
from farthing.conformance.mutations import Mutator
from farthing.conformance.runner import census, run_census
from farthing.conformance.target import Input, Target, read_target

TARGET = Target(
    host="127.0.0.1", port=1, model="echo", inputs=(Input(name="x", datatype="FP32", dims=(-1, 4)),), outputs=("out_x",)
)


@pytest.fixture
def server():
    with running(echo_model(), many_types(), text_model(), image_model()) as found:
        yield found


def address(server) -> str:
    return "http://{}:{}".format(*server.address)


def test_the_census_is_large_and_every_case_has_a_name():
    names = [case.name for case in census(TARGET)]
    assert len(names) >= 200
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", ["echo", "types", "text", "image"])
def test_every_case_is_answered_as_it_should_be(server, model):
    findings = run_census(read_target(address(server), model), timeout_s=10.0)
    assert [finding for finding in findings if not finding.good] == []
    assert server.server.held_bytes == 0


def test_the_runner_is_a_program(server, capsys):
    assert main([address(server), "--model", "image", "--fuzz", "200"]) == 0
    out = capsys.readouterr().out
    assert "as they should be" in out
    assert "200 fuzzed requests" in out
    assert main([address(server), "--model", "none"]) == 2
    assert main(["http://127.0.0.1:1", "--model", "none"]) == 2


@pytest.mark.parametrize("model", ["echo", "types", "text", "image"])
def test_fuzzed_requests_are_answered_or_refused(server, model):
    """A hundred thousand in all."""
    report = fuzz(read_target(address(server), model), 25_000, seed=2)
    assert report.good, report
    assert report.accepted > 500
    assert report.refused > 5000
    assert server.server.held_bytes == 0


@pytest.mark.slow
@pytest.mark.parametrize("model", ["echo", "types", "text", "image"])
def test_a_million_fuzzed_requests(server, model):
    report = fuzz(read_target(address(server), model), 250_000, seed=77)
    assert report.good, report


def test_equal_seeds_make_equal_mutants():
    one, other, third = Mutator(TARGET, 5), Mutator(TARGET, 5), Mutator(TARGET, 6)
    first = [next(one) for _ in range(200)]
    assert first == [next(other) for _ in range(200)]
    assert first != [next(third) for _ in range(200)]


@contextmanager
def stub(answer: bytes) -> Iterator[tuple[str, int]]:
    """A server that gives every connection the same answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(0.05)
                try:
                    sock.recv(1 << 16)
                    sock.sendall(answer)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "wrongly accepted"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}", "server error"),
        (b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\n{}", "no reason"),
        (b"", "no answer"),
    ],
)
def test_servers_that_deserve_it_fail(answer, verdict):
    with stub(answer) as (host, port):
        target = Target(host=host, port=port, model="echo", inputs=TARGET.inputs, outputs=TARGET.outputs)
        cases = [
            case for case in census(target) if not case.name.startswith(("fine", "HTTP", "smuggling", "compression"))
        ]
        findings = run_census(target, cases[:60], timeout_s=1.0)
        assert {finding.verdict for finding in findings} == {verdict}
        report = fuzz(target, 60, seed=1, heads_frac=0.0)
        assert not report.good
