"""The HTTP door over real loopback sockets."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import time
from dataclasses import replace

import numpy as np
import orjson
import pytest
from echo_models import EchoQueue, Reader, ask, echo_model, image_model, many_types, request_bytes, running, text_model

from farthing.serve.limits import Limits
from farthing.wire.requests import Answer, Problem

INFER = "/v2/models/echo/infer"


def body(*values: float) -> bytes:
    return orjson.dumps(
        {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": list(values or (1, 2, 3, 4))}]}
    )


def data_of(answer) -> list[float]:
    status, _, text = answer
    assert status == 200, text
    return json.loads(text)["outputs"][0]["data"]


@pytest.fixture
def server():
    with running(echo_model()) as found:
        yield found


def wait_for(condition, timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


# answers and their order


def test_a_kept_connection_answers_one_after_another(server):
    with server.connect() as sock:
        reader = Reader(sock)
        for k in range(20):
            sock.sendall(request_bytes(INFER, body(k, 0, 0, 0)))
            answer = reader.answer()
            assert data_of(answer)[0] == k
            assert answer[1]["content-type"] == "application/json"
            assert "date" in answer[1]
            assert "connection" not in answer[1]
    assert server.heard.answers == 20
    assert len(server.server.heads) >= 1


def test_what_curl_d_sends_is_read_as_json(server):
    raw = request_bytes(INFER, body(7, 0, 0, 0), "Content-Type: application/x-www-form-urlencoded")
    assert data_of(ask(server, raw))[0] == 7


def test_pipelined_requests_are_answered_in_order_whatever_the_queue_does(server):
    queue = server.models.models[0].queue
    queue.hold = True
    with server.connect() as sock:
        sock.sendall(b"".join(request_bytes(INFER, body(k, 0, 0, 0)) for k in range(50)))
        wait_for(lambda: len(queue.held) == 50)
        shuffled = random.Random(3).sample(queue.held, 50)
        server.call(lambda: [queue.answer(request) for request in shuffled])
        reader = Reader(sock)
        assert [data_of(reader.answer())[0] for _ in range(50)] == list(range(50))


def test_only_so_many_requests_of_a_connection_are_in_flight():
    with running(echo_model(), limits=Limits(pipelined=4)) as server:
        queue = server.models.models[0].queue
        queue.hold = True
        with server.connect() as sock:
            sock.sendall(b"".join(request_bytes(INFER, body(k, 0, 0, 0)) for k in range(200)))
            wait_for(lambda: len(queue.held) == 4)
            time.sleep(0.1)
            assert len(queue.held) == 4
            reader, got = Reader(sock), []
            while len(got) < 200:
                held, queue.held = queue.held, []
                server.call(lambda held=held: [queue.answer(request) for request in reversed(held)])
                got.extend(data_of(reader.answer())[0] for _ in held)
                wait_for(lambda: queue.held or len(got) == 200)
                assert len(queue.held) <= 4
        assert got == list(range(200))


def test_answers_do_not_depend_on_how_the_bytes_are_cut(server):
    with server.connect() as sock:
        sock.sendall(request_bytes(INFER, body()))  # its head is known from here on
        Reader(sock).answer()
    stream = b"".join(
        [
            request_bytes(INFER, body(1, 0, 0, 0)),
            request_bytes("/v2", method="GET"),
            request_bytes(INFER, b"nonsense"),
            request_bytes(INFER, body(2, 0, 0, 0), "Expect: 100-continue"),
            request_bytes("/nope", b"x" * 100),
            request_bytes(INFER, gzip.compress(body(3, 0, 0, 0)), "Content-Encoding: gzip"),
            request_bytes(INFER, body(4, 0, 0, 0), close=True),
        ]
    )
    pick = random.Random(11)
    for _ in range(40):
        cuts = sorted(pick.sample(range(1, len(stream)), pick.choice((0, 1, 3, 9))))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        with server.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(0.0005)
            reader = Reader(sock)
            answers = [reader.answer() for _ in range(8)]
            assert reader.ended()
        assert [a[0] for a in answers] == [200, 200, 400, 100, 200, 404, 200, 200]
        assert [json.loads(answers[k][2])["outputs"][0]["data"][0] for k in (0, 4, 6, 7)] == [1, 2, 3, 4]


def test_a_known_head_is_read_like_any_other(server):
    one = request_bytes(INFER, body(1, 2, 3, 4))
    with server.connect() as sock:
        reader = Reader(sock)
        for piece in (one, one, one + one, one[:-5]):
            sock.sendall(piece)
        time.sleep(0.05)
        sock.sendall(one[-5:] + one)
        assert [data_of(reader.answer()) for _ in range(6)] == [[1, 2, 3, 4]] * 6


def test_binary_tensors_both_ways(server):
    raw = np.arange(4, dtype=np.float32).tobytes()
    head = orjson.dumps(
        {
            "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
            "outputs": [{"name": "out_x", "parameters": {"binary_data": True}}],
        }
    )
    for _ in range(3):
        status, headers, got = ask(
            server, request_bytes(INFER, head + raw, f"Inference-Header-Content-Length: {len(head)}")
        )
        assert status == 200
        assert headers["content-type"] == "application/octet-stream"
        assert got[int(headers["inference-header-content-length"]) :] == raw


def test_http_1_0_ends_unless_told_otherwise(server):
    plain = request_bytes(INFER, body()).replace(b"HTTP/1.1", b"HTTP/1.0")
    with server.connect() as sock:
        sock.sendall(plain)
        reader = Reader(sock)
        assert reader.answer()[1]["connection"] == "close"
        assert reader.ended()
    with server.connect() as sock:
        reader = Reader(sock)
        for _ in range(2):
            sock.sendall(plain.replace(b"Host: test", b"Host: test\r\nConnection: keep-alive"))
            assert reader.answer()[1]["connection"] == "keep-alive"


def test_head_answers_without_a_body(server):
    with server.connect() as sock:
        reader = Reader(sock)
        sock.sendall(request_bytes("/v2", method="HEAD") + request_bytes("/v2", method="GET"))
        status, headers, _ = reader.answer(head_only=True)
        assert status == 200
        assert int(headers["content-length"]) == len(reader.answer()[2])


def test_what_was_asked_before_the_client_stopped_sending_is_answered(server):
    queue = server.models.models[0].queue
    queue.hold = True
    with server.connect() as sock:
        sock.sendall(request_bytes(INFER, body()) * 2)
        sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: len(queue.held) == 2)
        time.sleep(0.05)
        server.call(lambda: [queue.answer(request) for request in queue.held])
        reader = Reader(sock)
        assert [reader.answer()[0] for _ in range(2)] == [200, 200]
        assert reader.ended()


def test_a_client_that_is_gone_wants_nothing_any_more(server):
    queue = server.models.models[0].queue
    queue.hold = True
    with server.connect() as sock:
        sock.sendall(request_bytes(INFER, body()))
        wait_for(lambda: len(queue.held) == 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    wait_for(lambda: server.server.open_connections == 0)
    assert queue.held[0].deadline_s == -np.inf
    server.call(lambda: queue.answer(queue.held[0]))
    assert server.server.held_bytes == 0


# refusals by the head alone


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((f"POST {INFER} HTTP/1.1", f"Content-Length: {2**40}"), 413),
        ((f"POST {INFER} HTTP/1.1",), 411),
        (("POST /nothing HTTP/1.1", "Content-Length: 1000"), 404),
        (("POST /v2/models/none/infer HTTP/1.1", "Content-Length: 1000"), 404),
        ((f"GET {INFER} HTTP/1.1",), 405),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 1000", "Content-Type: text/html"), 415),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 1000", "Content-Encoding: br"), 415),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 1000", "Expect: magic"), 417),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 1000", "X-A: " + "a" * 20_000), 431),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 1000", *(f"X-{k}: a" for k in range(101))), 431),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 10", "Transfer-Encoding: chunked"), 400),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 10", "Content-Length: 10"), 400),
        ((f"POST {INFER} HTTP/1.1", "Content-Length: 10", "Content-Type: a/b", "Content-Type: c/d"), 400),
        ((f"POST {INFER} HTTP/1.0", "Transfer-Encoding: chunked"), 400),
        ((f"POST {INFER} HTTP/2.0", "Content-Length: 10"), 505),
        ((f"POST {INFER} HTTP/1.1", "Transfer-Encoding: gzip, chunked"), 501),
        (("GET /v2 HTTP/1.1", "Content-Length: 10"), 400),
    ],
)
def test_refused_before_the_body(server, lines, status):
    raw = "\r\n".join([lines[0], "Host: test", *lines[1:], "", ""]).encode()
    got, headers, text = ask(server, raw)  # no byte of the body was sent
    assert got == status
    assert json.loads(text)["error"]
    if status == 405:
        assert headers["allow"] == "POST"


class Hurried(EchoQueue):
    """Refuses whatever must be answered within ten seconds."""

    def refuse(self, rows, deadline_s):
        return Problem(503, "not within ten seconds") if deadline_s < time.monotonic() + 10 else None

    def submit(self, request):
        problem = self.refuse(request.rows, request.deadline_s)
        if problem is None:
            super().submit(request)
        else:
            request.reply(request, problem)


def test_a_longer_timeout_of_the_clients_own_counts_instead_of_the_models_deadline():
    model = echo_model()
    model.queue, model.spec = Hurried(), replace(model.spec, deadline_s=0.03)
    document = orjson.loads(body())
    patient = orjson.dumps({**document, "parameters": {"timeout": 60_000_000}})
    with running(model) as server:
        assert ask(server, request_bytes(INFER, patient))[0] == 200
        assert ask(server, request_bytes(INFER, body()))[0] == 503
        # a plain request can bring none: it is refused before its body is read
        head = b"POST /invocations HTTP/1.1\r\nHost: test\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\n"
        assert ask(server, head)[0] == 503


def test_shedding_reads_no_body_and_keeps_the_connection(server):
    queue = server.models.models[0].queue
    queue.full = True
    with server.connect() as sock:
        reader = Reader(sock)
        head, _, rest = request_bytes(INFER, body()).partition(b"\r\n\r\n")
        for _ in range(3):
            sock.sendall(head + b"\r\n\r\n")
            status, headers, _ = reader.answer()
            assert (status, headers["retry-after"]) == (503, "2")
            sock.sendall(rest)
        queue.full = False
        sock.sendall(request_bytes(INFER, body()))
        assert reader.answer()[0] == 200
    assert server.heard.problems == [("http", 503)] * 3
    assert server.heard.answers == 1


def test_expect_is_answered_before_the_body_or_refused(server):
    head, _, rest = request_bytes(INFER, body(), "Expect: 100-continue").partition(b"\r\n\r\n")
    with server.connect() as sock:
        reader = Reader(sock)
        sock.sendall(head + b"\r\n\r\n")
        assert reader.answer()[0] == 100
        sock.sendall(rest)
        assert reader.answer()[0] == 200
    server.models.models[0].queue.full = True
    with server.connect() as sock:
        reader = Reader(sock)
        sock.sendall(head + b"\r\n\r\n")
        assert reader.answer()[0] == 503
        assert reader.ended()


def test_a_model_that_is_not_ready_says_why(server):
    model = server.models.models[0]
    model.state, model.reason = "unavailable", "its worker died"
    for raw in (request_bytes(INFER, body()), request_bytes("/v2/models/echo/ready", method="GET")):
        status, _, text = ask(server, raw)
        assert status == 503
        assert "its worker died" in json.loads(text)["error"]
    server.models.problem = Problem(503, "echo: its worker died")
    assert ask(server, request_bytes("/v2/health/ready", method="GET"))[0] == 503
    assert ask(server, request_bytes("/ping", method="GET"))[0] == 503
    assert ask(server, request_bytes("/v2/health/live", method="GET"))[0] == 200


def test_a_problem_of_the_queue_is_the_answer(server):
    queue = server.models.models[0].queue
    queue.hold = True
    with server.connect() as sock:
        sock.sendall(request_bytes(INFER, body()))
        wait_for(lambda: queue.held)
        server.call(lambda: queue.held[0].reply(queue.held[0], Problem(504, "the deadline passed")))
        status, _, text = Reader(sock).answer()
    assert (status, json.loads(text)) == (504, {"error": "the deadline passed"})


def test_an_answer_that_cannot_be_encoded_is_the_models_fault_alone(server):
    queue = server.models.models[0].queue
    queue.answer = lambda request: request.reply(request, Answer(outputs=[], queue_s=0.0, service_s=0.0, batch_rows=1))
    status, _, text = ask(server, request_bytes(INFER, body()))
    assert (status, json.loads(text)) == (500, {"error": "the model's answer cannot be encoded"})
    assert [str(context["exception"]) for context in server.errors] == ["list index out of range"]
    server.errors.clear()


# bounds


def test_a_chunked_body_is_bounded():
    with running(echo_model(), limits=Limits(body_bytes=1000)) as server:
        head = f"POST {INFER} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        status, _, _ = ask(server, head + b"400\r\n" + b" " * 1024 + b"\r\n")
        assert status == 413


def test_a_bomb_is_not_inflated_beyond_the_bound():
    with running(echo_model(), limits=Limits(body_bytes=2**20)) as server:
        bomb = gzip.compress(bytes(50 * 2**20))
        status, _, text = ask(server, request_bytes(INFER, bomb, "Content-Encoding: gzip"))
        assert status == 413
        assert "inflates" in json.loads(text)["error"]
        assert server.server.held_bytes == 0


def test_all_bodies_together_are_bounded():
    with running(echo_model(), limits=Limits(in_flight_bytes=100_000)) as server:
        with server.connect() as first:
            first.sendall(request_bytes(INFER, b" " * 90_000, length=200_000))
            wait_for(lambda: server.server.held_bytes == 90_000)
            status, headers, _ = ask(server, request_bytes(INFER, b" " * 20_000))
            assert status == 503
            assert headers["retry-after"] == "1"
        wait_for(lambda: server.server.held_bytes == 0)
        assert ask(server, request_bytes(INFER, body()))[0] == 200


def test_connections_beyond_the_limit_are_closed_at_once():
    with running(echo_model(), limits=Limits(connections=2)) as server:
        socks = [server.connect() for _ in range(2)]
        for sock in socks:
            sock.sendall(request_bytes("/v2", method="GET"))
            assert Reader(sock).answer()[0] == 200
        with server.connect() as third:
            assert Reader(third).ended()
        socks[0].close()
        wait_for(lambda: server.server.open_connections == 1)
        assert ask(server, request_bytes("/v2", method="GET"))[0] == 200
        socks[1].close()


def test_a_client_that_does_not_read_is_not_fed_without_end():
    with running(many_types(), limits=Limits(write_s=0.4)) as server, server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = request_bytes("/v2/models/types/config", method="GET")
        sent = threading.Thread(target=_send_all, args=(sock, request * 50_000), daemon=True)
        sent.start()
        wait_for(lambda: server.server.open_connections == 0, 20.0)  # cut off for not reading
        sent.join(10)


def _send_all(sock: socket.socket, raw: bytes) -> None:
    try:
        sock.sendall(raw)
    except OSError:
        return


# slowness


@pytest.fixture
def impatient():
    limits = Limits(head_s=0.2, body_s=0.2, idle_s=0.2, body_floor_bytes=100, body_bytes_per_s=1e6)
    with running(echo_model(), limits=limits) as found:
        yield found


def test_a_slow_head_is_cut_off(impatient):
    with impatient.connect() as sock:
        reader = Reader(sock)
        threading.Thread(target=_drip, args=(sock, request_bytes(INFER, body())), daemon=True).start()
        assert reader.answer()[0] == 408
        assert reader.ended()


def test_a_slow_body_is_cut_off(impatient):
    with impatient.connect() as sock:
        reader = Reader(sock)
        sock.sendall(request_bytes(INFER, b"", length=50_000))
        threading.Thread(target=_drip, args=(sock, b" " * 50_000), daemon=True).start()
        status, headers, _ = reader.answer()
        assert (status, headers["connection"]) == (408, "close")


def test_an_idle_connection_is_closed_and_one_that_waits_is_not(impatient):
    queue = impatient.models.models[0].queue
    queue.hold = True
    with impatient.connect() as idle, impatient.connect() as busy:
        busy.sendall(request_bytes(INFER, body()))
        assert Reader(idle).ended()
        time.sleep(0.3)
        impatient.call(lambda: queue.answer(queue.held[0]))
        assert Reader(busy).answer()[0] == 200


def _drip(sock: socket.socket, raw: bytes) -> None:
    try:
        for k in range(len(raw)):
            sock.sendall(raw[k : k + 1])
            time.sleep(0.02)
    except OSError:
        return


# the drain


def test_draining_finishes_what_was_accepted(server):
    queue = server.models.models[0].queue
    queue.hold = True
    with server.connect() as busy, server.connect() as idle:
        busy.sendall(request_bytes(INFER, body(1, 0, 0, 0)) + request_bytes(INFER, body(2, 0, 0, 0)))
        wait_for(lambda: len(queue.held) == 2)
        done = threading.Thread(target=server.drain)
        done.start()
        assert Reader(idle).ended()
        time.sleep(0.05)
        assert done.is_alive()
        server.call(lambda: [queue.answer(request) for request in queue.held])
        reader = Reader(busy)
        first, second = reader.answer(), reader.answer()
        assert (data_of(first)[0], data_of(second)[0]) == (1, 2)
        assert "connection" not in first[1]
        assert second[1]["connection"] == "close"
        assert reader.ended()
        busy.close()
        done.join(10)
        assert not done.is_alive()


def test_draining_waits_for_a_body_on_its_way(server):
    raw = request_bytes(INFER, body())
    with server.connect() as sock:
        sock.sendall(raw[:-10])
        wait_for(lambda: server.server.open_connections == 1 and server.server.held_bytes > 0)
        done = threading.Thread(target=server.drain)
        done.start()
        time.sleep(0.05)
        sock.sendall(raw[-10:])
        status, headers, _ = Reader(sock).answer()
        assert (status, headers["connection"]) == (200, "close")
    done.join(10)
    assert not done.is_alive()


# addresses


def test_metadata_configuration_index_and_statistics():
    with running(echo_model(), text_model()) as server:

        def get(path: str, method: str = "GET", raw: bytes = b""):
            status, _, text = ask(server, request_bytes(path, raw, method=method))
            assert status == 200, text
            return json.loads(text)

        assert get("/v2")["name"] == "farthing"
        assert get("/v2/models/echo")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        assert get("/v2/models/echo/versions/1") == get("/v2/models/echo")
        assert get("/v2/models/text")["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert get("/v2/models/echo/ready") == {"name": "echo", "ready": True}
        assert get("/v2/models/echo/config")["max_batch_size"] == 8
        assert [m["state"] for m in get("/v2/repository/index", "POST")] == ["READY", "READY"]
        server.models.models[1].state = "loading"
        assert len(get("/v2/repository/index", "POST", b'{"ready":true}')) == 1
        server.models.models[1].state = "ready"
        for _ in range(3):
            ask(server, request_bytes(INFER, body()))
        ask(server, request_bytes(INFER, b"nonsense"))
        stats = get("/v2/models/echo/stats")["model_stats"][0]
        assert (stats["inference_count"], stats["execution_count"]) == (3, 3)
        assert stats["inference_stats"]["fail"]["count"] == 1
        assert len(get("/v2/models/stats")["model_stats"]) == 2
        assert get("/v2/models/%65cho/ready")["ready"]
        assert get("http://test/v2/models/echo/ready?verbose=1")["ready"]


def test_invocations_need_a_choice_when_there_are_several_models():
    with running(echo_model(), text_model(), image_model()) as server:
        raw = orjson.dumps({"inputs": ["hi"]})
        assert ask(server, request_bytes("/invocations", raw))[0] == 400
        status, _, text = ask(server, request_bytes("/invocations", raw, "X-Amzn-SageMaker-Target-Model: text"))
        assert status == 200
        assert json.loads(text)["predictions"][0]["label"] == "a"
        picture = ("X-Amzn-SageMaker-Target-Model: image/1", "Content-Type: image/png")
        assert ask(server, request_bytes("/invocations", b"\x89PNG", *picture))[0] == 200
        wrong = ("X-Amzn-SageMaker-Target-Model: text", "Content-Type: image/png")
        assert ask(server, request_bytes("/invocations", b"\x89PNG", *wrong))[0] == 415
    with running(text_model()) as server:
        plain = request_bytes("/invocations", b"hello", "Content-Type: text/plain; charset=utf-8")
        assert ask(server, plain)[0] == 200
    assert server.heard.answers == 1


def test_the_caller_is_known_by_a_salted_hash_and_its_trace_goes_along(server):
    queue = server.models.models[0].queue
    queue.remember = True
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for key in ("alice", "alice", "bob"):
        headers = (f"Authorization: Bearer {key}", f"traceparent: {trace}")
        assert ask(server, request_bytes(INFER, body(), *headers))[0] == 200
    ask(server, request_bytes(INFER, body()))
    first, again, other, nobody = queue.seen
    assert first.tenant == again.tenant != other.tenant
    assert "alice" not in first.tenant
    assert (nobody.tenant, nobody.trace) == ("", None)
    assert first.trace == trace


def test_the_description_describes_every_address():
    jsonschema = pytest.importorskip("jsonschema")
    with running(echo_model()) as server:
        described = json.loads(ask(server, request_bytes("/openapi.json", method="GET"))[2])
        schemas = {"components": described["components"]}
        for path, item in described["paths"].items():
            address = path.replace("{model}", "echo").replace("{version}", "1")
            for method, operation in item.items():
                if method != "get":
                    continue
                status, _, text = ask(server, request_bytes(address, method="GET"))
                assert status == 200, path
                schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                jsonschema.validate(json.loads(text), {**schema, **schemas})
        request = {**schemas, "$ref": "#/components/schemas/InferRequest"}
        jsonschema.validate(json.loads(body()), request)
        answer = {**schemas, "$ref": "#/components/schemas/InferResponse"}
        jsonschema.validate(json.loads(ask(server, request_bytes(INFER, body()))[2]), answer)


def test_a_large_answer_arrives_whole():
    with running(echo_model()) as server:
        queue = server.models.models[0].queue
        large = np.random.default_rng(0).random((1, 1_000_000)).astype(np.float32)
        queue.answer = lambda request: request.reply(
            request, Answer(outputs=[large], queue_s=0.0, service_s=0.0, batch_rows=1)
        )
        wished = body()[:-1] + b',"parameters":{"binary_data_output":true}}'
        for raw in (wished, wished):
            status, headers, got = ask(server, request_bytes(INFER, raw))
            assert status == 200
            assert got[int(headers["inference-header-content-length"]) :] == large.tobytes()
