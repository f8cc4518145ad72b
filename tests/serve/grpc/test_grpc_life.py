"""The gRPC door over real sockets: health, streams, bounds, those who leave, and its end."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import grpc
import grpc.aio
import numpy as np
import pytest
import uvloop
from echo import Recorder, SomeModels, late_models
from grpc_door import (
    LIMITS,
    Code,
    Door,
    StreamResponse,
    asked,
    fp32,
    on_door,
    open_stream,
    opened,
    raw_request,
    refused,
    with_parameter,
    with_tensor,
)

from farthing.errors import InputError
from farthing.machine.clock import MonotonicClock
from farthing.serve.grpc.door import GrpcServer, server_credentials
from farthing.serve.grpc.messages import HEALTH_SERVICE, INFERENCE_SERVICE, message
from farthing.serve.limits import Limits

Health = message("grpc.health.v1.HealthCheckRequest")
Healthy = message("grpc.health.v1.HealthCheckResponse")


def test_a_client_that_leaves_or_waits_no_longer_withdraws_its_request():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        queue.delay_s = 0.3
        error = await refused(door("ModelInfer", fp32(), timeout=0.1))
        assert error.code() == Code.DEADLINE_EXCEEDED
        call = door.channel.unary_unary(f"/{INFERENCE_SERVICE}/ModelInfer")(fp32().SerializeToString())
        while len(queue.requests) < 2:
            await asyncio.sleep(0.01)
        call.cancel()
        while queue.waiting:
            await asyncio.sleep(0.01)
        assert queue.requests[1].deadline_s == -float("inf")
        assert door.observer.failures[-1][2].status == 499
        assert len(door.observer.failures) == 2 and not door.observer.answers

    on_door(test)


def test_bytes_in_flight_are_bounded_and_given_back():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        queue.delay_s = 0.2
        big = with_tensor(asked(), (1, 10_000), raw=bytes(40_000))
        results = await asyncio.gather(*(door("ModelInfer", big) for _ in range(4)), return_exceptions=True)
        failed = [r for r in results if isinstance(r, grpc.aio.AioRpcError)]
        assert len(failed) == 2 and {e.code() for e in failed} == {Code.UNAVAILABLE}
        queue.delay_s = 0
        for _ in range(5):
            await door("ModelInfer", big)

    on_door(test, Limits(body_bytes=64 * 1024, in_flight_bytes=100_000))


def test_health_check_and_watch():
    async def test(door: Door) -> None:
        check = door.channel.unary_unary(f"/{HEALTH_SERVICE}/Check")
        for service in ("", INFERENCE_SERVICE):
            answer = Healthy.FromString(await check(Health(service=service).SerializeToString()))
            assert answer.status == Healthy.SERVING
        assert (await refused(check(Health(service="other").SerializeToString()))).code() == Code.NOT_FOUND
        watch = door.channel.unary_stream(f"/{HEALTH_SERVICE}/Watch")(Health().SerializeToString())
        assert Healthy.FromString(await watch.read()).status == Healthy.SERVING
        door.models["pair"].state = "unavailable"
        assert Healthy.FromString(await watch.read()).status == Healthy.NOT_SERVING
        other = door.channel.unary_stream(f"/{HEALTH_SERVICE}/Watch")(Health(service="other").SerializeToString())
        assert Healthy.FromString(await other.read()).status == Healthy.SERVICE_UNKNOWN

    on_door(test)


def test_a_stream_answers_in_order_and_goes_on_after_problems():
    async def test(door: Door) -> None:
        stream = open_stream(door)
        sent = []
        door.models["echo-FP32"].queue.delay_s = 0.05
        for k in range(30):
            sent.append(str(k))
            model = "echo-FP32" if k % 3 == 0 else "scores"
            array = np.full((1, 4), k, np.float32)
            request = raw_request(model, array, "FP32" if k != 7 else "FP64", id=str(k))
            await stream.write(request.SerializeToString() if k != 11 else b"\xff\xff\xff")
        await stream.done_writing()
        answers = [StreamResponse.FromString(raw) async for raw in stream]
        assert len(answers) == 30
        for k, answer in enumerate(answers):
            if k in (7, 11):
                assert answer.error_message and not answer.infer_response.raw_output_contents
                continue
            assert answer.infer_response.id == str(k) and not answer.error_message
            assert np.frombuffer(answer.infer_response.raw_output_contents[0], np.float32).tolist() == [k] * 4
        assert await stream.code() == Code.OK

    on_door(test)


def test_a_stream_marks_final_responses_when_asked():
    async def test(door: Door) -> None:
        stream = open_stream(door)
        await stream.write(
            with_parameter(fp32(), "triton_enable_empty_final_response", bool_param=True).SerializeToString()
        )
        answer = StreamResponse.FromString(await stream.read())
        assert answer.infer_response.parameters["triton_final_response"].bool_param is True
        await stream.write(fp32().SerializeToString())
        assert not StreamResponse.FromString(await stream.read()).infer_response.parameters
        await stream.done_writing()

    on_door(test)


def test_a_stream_takes_a_bounded_number_at_the_same_time():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        queue.delay_s = 0.1
        most = 0
        stream = open_stream(door)
        for _ in range(40):
            await stream.write(fp32().SerializeToString())
        await stream.done_writing()
        count = 0
        async for _ in stream:
            most, count = max(most, queue.waiting), count + 1
        assert count == 40 and most <= LIMITS.pipelined

    on_door(test)


def test_a_client_that_cuts_its_stream_withdraws_its_requests():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        queue.delay_s = 0.3
        stream = open_stream(door)
        for _ in range(3):
            await stream.write(fp32().SerializeToString())
        while queue.waiting < 3:
            await asyncio.sleep(0.01)
        stream.cancel()
        while queue.waiting:
            await asyncio.sleep(0.01)
        assert [r.deadline_s for r in queue.requests] == [-float("inf")] * 3
        assert [problem.status for _, _, problem, _ in door.observer.failures] == [499] * 3
        await door("ModelInfer", fp32())

    on_door(test)


def test_a_drain_answers_what_was_taken_and_refuses_the_rest():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        queue.delay_s = 0.3
        stream = open_stream(door)
        await stream.write(fp32(id="streamed").SerializeToString())
        calls = [asyncio.create_task(door("ModelInfer", fp32())) for _ in range(5)]
        while queue.waiting < 6:
            await asyncio.sleep(0.01)
        drained = asyncio.create_task(door.server.drain(5.0))
        await asyncio.sleep(0.05)
        late = asyncio.create_task(refused(door("ModelInfer", fp32())))
        assert len(await asyncio.gather(*calls)) == 5
        assert StreamResponse.FromString(await stream.read()).infer_response.id == "streamed"
        assert await stream.read() is grpc.aio.EOF and await stream.code() == Code.OK
        assert (await late).code() == Code.UNAVAILABLE
        await asyncio.wait_for(drained, 3)
        await door.server.drain(0)

    on_door(test)


def test_a_taken_port_is_refused():
    async def test(door: Door) -> None:
        other = GrpcServer(door.models, door.observer, LIMITS, MonotonicClock())
        with pytest.raises(InputError, match=str(door.port)):
            await other.start(f"127.0.0.1:{door.port}")

    on_door(test)


def test_metadata_are_bounded():
    async def test(door: Door) -> None:
        metadata = tuple((f"name-{k}", "x" * 1000) for k in range(30))
        assert (await refused(door("ModelInfer", fp32(), metadata=metadata))).code() == Code.RESOURCE_EXHAUSTED
        await door("ModelInfer", fp32(), metadata=metadata[:3])

    on_door(test)


def test_calls_are_bounded_over_all_connections():
    async def test(door: Door) -> None:
        door.models["echo-FP32"].queue.delay_s = 0.2
        results = await asyncio.gather(*(door("ModelInfer", fp32()) for _ in range(5)), return_exceptions=True)
        codes = [r.code() for r in results if isinstance(r, grpc.aio.AioRpcError)]
        assert codes == [Code.RESOURCE_EXHAUSTED] * 2

    on_door(test, Limits(connections=3))


def test_it_speaks_tls(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]
    command = ["openssl", *made, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)

    async def run() -> None:
        server = GrpcServer(SomeModels(*late_models()), Recorder(), LIMITS, MonotonicClock())
        credentials = server_credentials(key.read_bytes(), certificate.read_bytes())
        port = await server.start("127.0.0.1:0", credentials)
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost")]
        path = f"/{INFERENCE_SERVICE}/ServerLive"
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", trusted, options=options) as channel:
            assert await channel.unary_unary(path)(b"", timeout=20) == b"\x08\x01"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert (await refused(channel.unary_unary(path)(b"", timeout=5))).code() == Code.UNAVAILABLE
        await server.drain(0)

    uvloop.run(run())


def test_it_runs_on_the_standard_loop_as_well():
    async def run() -> None:
        async with opened() as door:
            await door("ModelInfer", fp32())

    asyncio.run(run())
