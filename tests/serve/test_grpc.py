"""The gRPC door over real sockets: what it answers, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import random
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import uvloop
from echo import MAX_ROWS, Recorder, SomeModels, late_models
from google.protobuf import descriptor_pb2, descriptor_pool

from farthing.errors import InputError
from farthing.measure.clock import MonotonicClock
from farthing.serve.dtypes import DATATYPES, bf16_from_float32, raw_array, raw_bytes
from farthing.serve.grpc import GrpcServer, server_credentials
from farthing.serve.grpc_calls import Caller, Calls
from farthing.serve.grpc_messages import HEALTH_SERVICE, INFERENCE_SERVICE, METHODS, message
from farthing.serve.limits import Limits
from farthing.serve.requests import Problem

Infer = message("inference.ModelInferRequest")
Code = grpc.StatusCode
LIMITS = Limits(body_bytes=64 * 1024, text_bytes=64, image_bytes=256, tensors=4, dims=4, pipelined=8)


class Door:
    """A running server and a channel to it."""

    def __init__(self, server: GrpcServer, port: int, models: SomeModels, observer: Recorder) -> None:
        self.server, self.port, self.models, self.observer = server, port, models, observer
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1)])

    async def __call__(self, method: str, request: Any = None, *, service: str = INFERENCE_SERVICE, **more) -> Any:
        request_name, response_name = METHODS.get(method, METHODS["ModelInfer"])
        request = message(request_name)() if request is None else request
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        answer = await self.channel.unary_unary(f"/{service}/{method}")(raw, **{"timeout": 20, **more})
        return message(response_name).FromString(answer)


@asynccontextmanager
async def opened(limits: Limits = LIMITS) -> AsyncIterator[Door]:
    models, observer = SomeModels(*late_models()), Recorder()
    server = GrpcServer(models, observer, limits, MonotonicClock())
    door = Door(server, await server.start("127.0.0.1:0"), models, observer)
    try:
        yield door
    finally:
        await door.channel.close()
        await server.drain(0)


def on_door(test: Callable[[Door], Awaitable[None]], limits: Limits = LIMITS) -> None:
    async def run() -> None:
        async with opened(limits) as door:
            await test(door)

    uvloop.run(run())


def raw_request(model: str, array: np.ndarray, datatype: str, **more) -> Any:
    request = Infer(model_name=model, **more)
    request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    request.raw_input_contents.append(raw_bytes(DATATYPES[datatype], array))
    return request


def fp32(rows: int = 1, model: str = "echo-FP32", **more) -> Any:
    return raw_request(model, np.arange(rows * 3, dtype=np.float32).reshape(rows, 3), "FP32", **more)


def sample(datatype: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    if datatype == "BYTES":
        array = np.empty((2, 3), object)
        array[:] = [[b"", b"a\0b", "é".encode()], [b"x" * 300, b"\xff\xfe", b"{}"]]
        return array
    if datatype == "BOOL":
        return rng.random((2, 3)) < 0.5
    if datatype == "BF16":
        return bf16_from_float32(rng.normal(size=(2, 3)).astype(np.float32))
    dtype = DATATYPES[datatype].dtype
    if dtype.kind == "f":
        array = rng.normal(size=(2, 3)).astype(dtype)
        array[0, 0], array[1, 1] = np.nan, np.inf
        return array
    bounds = np.iinfo(dtype)
    return np.array([[bounds.min, bounds.max, 0], [1, 2, 3]], dtype)


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("datatype", list(DATATYPES))
def test_raw_tensors_of_every_type_come_back_bit_by_bit(datatype):
    array = sample(datatype)

    async def test(door: Door) -> None:
        answer = await door("ModelInfer", raw_request(f"echo-{datatype}", array, datatype, id="r-1"))
        assert (answer.model_name, answer.model_version, answer.id) == (f"echo-{datatype}", "1", "r-1")
        output = answer.outputs[0]
        assert (output.name, output.datatype, list(output.shape)) == ("x", datatype, [2, 3])
        back = raw_array(DATATYPES[datatype], (2, 3), answer.raw_output_contents[0], "x")
        assert raw_bytes(DATATYPES[datatype], back) == raw_bytes(DATATYPES[datatype], array)
        request, _ = door.observer.answers[0]
        assert request.protocol == "grpc" and request.rows == 2 and request.size_bytes > 0 and request.id == "r-1"

    on_door(test)


FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@pytest.mark.parametrize("datatype", FIELDS)
@pytest.mark.parametrize("typed_answer", [False, True])
def test_typed_contents_of_every_type_come_back(datatype, typed_answer):
    array = sample(datatype)
    values = array.ravel().tolist()

    async def test(door: Door) -> None:
        request = Infer(model_name=f"echo-{datatype}")
        tensor = request.inputs.add(name="x", datatype=datatype, shape=[2, 3])
        getattr(tensor.contents, FIELDS[datatype]).extend(values)
        if typed_answer:
            request.parameters["binary_data_output"].bool_param = False
        answer = await door("ModelInfer", request)
        if typed_answer:
            assert not answer.raw_output_contents
            back = np.array(list(getattr(answer.outputs[0].contents, FIELDS[datatype])), array.dtype)
            np.testing.assert_array_equal(back, array.ravel())
        else:
            assert answer.raw_output_contents[0] == raw_bytes(DATATYPES[datatype], array)

    on_door(test)


def _request(model: str = "echo-FP32", **more) -> Any:
    return Infer(model_name=model, **more)


def _tensor(request: Any, shape=(1, 3), name="x", datatype="FP32", raw: bytes | None = None, **contents) -> Any:
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def _bytes(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(e)) + e for e in elements)


def _parameter(request: Any, name: str, **choice) -> Any:
    parameter = request.parameters[name]
    for field, value in choice.items():
        setattr(parameter, field, value)
    return request


def _wish(request: Any, *names: str, **parameters) -> Any:
    for name in names:
        output = request.outputs.add(name=name)
        for key, value in parameters.items():
            output.parameters[key].int64_param = value
    return request


ONE = np.zeros((1, 3), np.float32).tobytes()
F3 = [1.0, 2.0, 3.0]
WRONG = {
    "no inputs": _request(),
    "raw too short": _tensor(_request(), raw=ONE[:-1]),
    "raw too long": _tensor(_request(), raw=ONE + b"\0"),
    "raw empty": _tensor(_request(), raw=b""),
    "no contents": _tensor(_request()),
    "typed too few": _tensor(_request(), fp32_contents=F3[:2]),
    "typed too many": _tensor(_request(), fp32_contents=[*F3, 4.0]),
    "typed in the wrong field": _tensor(_request(), int_contents=[1, 2, 3]),
    "typed in two fields": _tensor(_request(), fp32_contents=F3, fp64_contents=F3),
    "raw and typed": _tensor(_request(), raw=ONE, fp32_contents=F3),
    "more raw than inputs": _tensor(_tensor(_request(), raw=ONE), raw=ONE, name="y"),
    "raw without an input": _request(raw_input_contents=[ONE]),
    "fewer raw than inputs": _tensor(_tensor(_request("pair"), (1, 2), "a", raw=ONE[:8]), (1,), "b", "INT64"),
    "duplicate input": _tensor(_tensor(_request(), raw=ONE), raw=ONE),
    "unknown input": _tensor(_request(), name="z", raw=ONE),
    "nameless input": _tensor(_request(), name="", raw=ONE),
    "missing input": _tensor(_request("pair"), (1, 2), "a", raw=ONE[:8]),
    "rows differ": _tensor(
        _tensor(_request("pair"), (1, 2), "a", raw=ONE[:8]), (2,), "b", "INT64", raw=np.zeros(2, np.int64).tobytes()
    ),
    "wrong datatype": _tensor(_request(), datatype="FP64", raw=bytes(24)),
    "unknown datatype": _tensor(_request(), datatype="FP8", raw=bytes(3)),
    "no datatype": _tensor(_request(), datatype="", raw=ONE),
    "no shape": _tensor(_request(), shape=(), raw=ONE),
    "too few dims": _tensor(_request(), shape=(3,), raw=ONE),
    "too many dims": _tensor(_request(), shape=(1, 1, 3), raw=ONE),
    "a million dims": _tensor(_request(), shape=[1] * 16_000, raw=ONE),
    "zero rows": _tensor(_request(), shape=(0, 3), raw=b""),
    "negative dim": _tensor(_request(), shape=(1, -3), raw=ONE),
    "both negative": _tensor(_request(), shape=(-1, -3), raw=ONE),
    "huge dim": _tensor(_request(), shape=(1, 2**62), raw=ONE),
    "dims that overflow": _tensor(_request(), shape=(2**33, 2**31), raw=ONE),
    "too many rows": _tensor(_request(), shape=(MAX_ROWS + 1, 1), raw=bytes(4 * (MAX_ROWS + 1))),
    "fixed dim differs": _tensor(_request("scores"), shape=(1, 3), raw=ONE),
    "unbatched shape differs": _tensor(_request("whole"), shape=(1, 2), raw=bytes(8)),
    "five inputs": _tensor(_tensor(_tensor(_tensor(_tensor(_request(), raw=ONE), raw=ONE), raw=ONE), raw=ONE), raw=ONE),
    "bool of 2": _tensor(_request("echo-BOOL"), datatype="BOOL", raw=b"\0\1\2"),
    "int8 of 300": _tensor(_request("echo-INT8"), datatype="INT8", int_contents=[1, 2, 300]),
    "uint16 of 70000": _tensor(_request("echo-UINT16"), datatype="UINT16", uint_contents=[1, 2, 70_000]),
    "fp16 typed": _tensor(_request("echo-FP16"), datatype="FP16", fp32_contents=F3),
    "bf16 typed": _tensor(_request("echo-BF16"), datatype="BF16", fp32_contents=F3),
    "bytes without length": _tensor(_request("echo-BYTES"), datatype="BYTES", raw=b"abc"),
    "bytes cut": _tensor(_request("echo-BYTES"), datatype="BYTES", raw=_bytes(b"a", b"b", b"cc")[:-1]),
    "bytes with more": _tensor(_request("echo-BYTES"), datatype="BYTES", raw=_bytes(b"a", b"b", b"c", b"d")),
    "bytes of 4 GiB": _tensor(_request("echo-BYTES"), (1, 1), datatype="BYTES", raw=b"\xff\xff\xff\xffabc"),
    "image empty": _tensor(_request("image"), (1,), "image", "BYTES", raw=_bytes(b"")),
    "image beside a tensor": _tensor(
        _tensor(_request("image"), (1,), "image", "BYTES", raw=_bytes(b"a")), (1, 3, 4, 4), raw=bytes(192)
    ),
    "text no utf-8": _tensor(_request("text"), (1,), "text", "BYTES", bytes_contents=[b"\xff"]),
    "text in two columns": _tensor(_request("text"), (1, 2), "text", "BYTES", bytes_contents=[b"a", b"b"]),
    "unknown output": _wish(fp32(), "z"),
    "output twice": _wish(fp32(), "x", "x"),
    "classes of bytes": _wish(raw_request("echo-BYTES", sample("BYTES"), "BYTES"), "x", classification=2),
    "negative classes": _wish(fp32(), "x", classification=-1),
    "sequence": _parameter(fp32(), "sequence_id", int64_param=7),
    "shared memory": _parameter(fp32(), "shared_memory_region", string_param="r"),
    "parameter without value": _parameter(fp32(), "priority"),
    "negative timeout": _parameter(fp32(), "timeout", int64_param=-1),
    "priority a text": _parameter(fp32(), "priority", string_param="high"),
    "priority a fraction": _parameter(fp32(), "priority", double_param=0.5),
    "binary output a number": _parameter(fp32(), "binary_data_output", int64_param=1),
    "long id": fp32(id="x" * 1000),
    "no message": b"\xff\xff\xff",
    "cut message": fp32().SerializeToString()[:-3],
    "text that is no utf-8": b"\x0a\x02\xff\xfe",
}


def test_wrong_requests_are_refused_and_nothing_else_happens():
    async def test(door: Door) -> None:
        for case, request in WRONG.items():
            error = await refused(door("ModelInfer", request))
            assert error.code() == Code.INVALID_ARGUMENT, (case, error)
            assert 0 < len(error.details()) <= 1000, case
            assert "Traceback" not in error.details() and "Exception" not in error.details(), (case, error.details())
        assert not any(model.queue.requests for model in door.models.models)
        assert len(door.observer.failures) == len(WRONG) and not door.observer.answers
        assert {problem.status for _, _, problem, _ in door.observer.failures} == {400}
        await door("ModelInfer", fp32())

    on_door(test)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (fp32(model="nobody"), Code.NOT_FOUND),
        (_request(""), Code.NOT_FOUND),
        (fp32(model_version="9"), Code.NOT_FOUND),
        (_tensor(_request("text"), (1,), "text", "BYTES", bytes_contents=[b"x" * 65]), Code.RESOURCE_EXHAUSTED),
        (_tensor(_request("image"), (1,), "image", "BYTES", raw=_bytes(b"x" * 257)), Code.RESOURCE_EXHAUSTED),
        (_tensor(_request(), (1, 20_000), raw=bytes(80_000)), Code.RESOURCE_EXHAUSTED),
    ],
)
def test_other_refusals_have_their_own_code(request_, code):
    async def test(door: Door) -> None:
        assert (await refused(door("ModelInfer", request_))).code() == code

    on_door(test)


def test_a_compressed_message_is_bounded_after_decompression():
    async def test(door: Door) -> None:
        bomb = _tensor(_request(), (1, 10_000_000), raw=bytes(40_000_000))
        assert len(gzip.compress(bomb.SerializeToString())) < LIMITS.body_bytes
        error = await refused(door("ModelInfer", bomb, compression=grpc.Compression.Gzip))
        assert error.code() == Code.RESOURCE_EXHAUSTED
        answer = await door("ModelInfer", fp32(2), compression=grpc.Compression.Gzip)
        assert list(answer.outputs[0].shape) == [2, 3]

    on_door(test)


def test_problems_of_the_queue_become_codes_and_say_when_to_come_back():
    codes = {
        400: Code.INVALID_ARGUMENT,
        404: Code.NOT_FOUND,
        413: Code.RESOURCE_EXHAUSTED,
        429: Code.RESOURCE_EXHAUSTED,
        500: Code.INTERNAL,
        501: Code.UNIMPLEMENTED,
        503: Code.UNAVAILABLE,
        504: Code.DEADLINE_EXCEEDED,
    }

    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        for status, code in codes.items():
            queue.problem = Problem(status, "so it is", retry_after_s=0.25)
            error = await refused(door("ModelInfer", fp32()))
            assert (error.code(), error.details()) == (code, "so it is")
            assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "250"
        queue.refusal = Problem(503, "full")
        door.observer.failures.clear()
        assert (await refused(door("ModelInfer", fp32()))).details() == "full"
        assert len(queue.requests) == len(codes) and len(door.observer.failures) == 1

    on_door(test)


def test_a_fault_of_the_server_ends_one_call_and_its_words_stay_inside():
    heard = []

    async def test(door: Door) -> None:
        def fails(request: object) -> None:
            raise RuntimeError("the secret path /etc/x")

        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(str(context["exception"])))
        model = door.models["echo-FP32"]
        model.queue.submit, submit = fails, model.queue.submit
        error = await refused(door("ModelInfer", fp32()))
        assert (error.code(), error.details()) == (Code.INTERNAL, "the server failed on this call")
        stream = _stream(door)
        await stream.write(fp32().SerializeToString())
        assert (await refused(stream.read())).code() == Code.INTERNAL
        model.queue.submit = submit
        await door("ModelInfer", fp32())

    on_door(test)
    assert heard == ["the secret path /etc/x"] * 2


def _mutated(raw: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut, doubled, or spliced in from elsewhere."""
    mutable = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(mutable) + 1)
        match rng.randrange(5):
            case 0 if at < len(mutable):
                mutable[at] = rng.randrange(256)
            case 1:
                del mutable[at : at + rng.randint(1, 8)]
            case 2:
                mutable[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                mutable[at:at] = mutable[at : at + rng.randint(1, 40)]
            case _ if at < len(mutable):
                mutable[at] ^= 1 << rng.randrange(8)
    return bytes(mutable)


def test_mutated_requests_are_answered_or_refused_with_a_client_error():
    """Straight at the methods, so that anything but a Problem fails here."""
    rng = random.Random(7)
    seeds = [r if isinstance(r, bytes) else r.SerializeToString() for r in WRONG.values()]
    seeds += [raw_request(f"echo-{d}", sample(d), d, id="r").SerializeToString() for d in DATATYPES]
    found = Counter()

    async def run() -> None:
        models = SomeModels(*late_models())
        calls = Calls(models, Recorder(), LIMITS, MonotonicClock(), None)
        for _ in range(15_000):
            raw = _mutated(rng.choice(seeds), rng)
            try:
                answer = await calls.infer(raw, Caller(left_s=None, metadata={}))
            except Problem as problem:
                found[problem.status] += 1
                continue
            asked = Infer.FromString(raw)
            found[200] += 1
            for tensor, taken in zip(answer.outputs, answer.raw_output_contents):
                raw_array(DATATYPES[tensor.datatype], tuple(tensor.shape), taken, tensor.name)
            assert (asked.id, asked.model_name) == (answer.id, answer.model_name)

    uvloop.run(run())
    assert found.keys() <= {200, 400, 404, 413}, found
    assert found[400] > 5_000 and found[404] > 100 and found[200] > 100, found


def test_deadlines_priority_and_trace_reach_the_queue():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        metadata = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
        await door("ModelInfer", fp32(), timeout=5, metadata=metadata)
        first = queue.requests[-1]
        assert 4 < first.deadline_s - first.arrived_s < 5.2
        assert first.trace == metadata[0][1] and first.priority == 0
        await door(
            "ModelInfer", _parameter(_parameter(fp32(), "timeout", int64_param=2_000_000), "priority", uint64_param=3)
        )
        second = queue.requests[-1]
        assert second.deadline_s - second.arrived_s == pytest.approx(2.0) and second.priority == 3
        await door("ModelInfer", fp32(), timeout=None)
        assert queue.requests[-1].deadline_s == float("inf")

    on_door(test)


def test_callers_are_told_apart_by_a_salted_hash_only():
    async def tenants(salt: bytes | None) -> list[str]:
        models = SomeModels(*late_models())
        server = GrpcServer(models, Recorder(), LIMITS, MonotonicClock(), tenant_salt=salt)
        door = Door(server, await server.start("127.0.0.1:0"), models, Recorder())
        for secret in ("Bearer a", "Bearer b", "Bearer a"):
            await door("ModelInfer", fp32(), metadata=(("authorization", secret),))
        await door("ModelInfer", fp32())
        await door.channel.close()
        await server.drain(0)
        return [request.tenant for request in models["echo-FP32"].queue.requests]

    first, second, again, nobody = uvloop.run(tenants(b"salt"))
    assert first == again != second and nobody == "" and "Bearer" not in first
    assert uvloop.run(tenants(None)) == ["", "", "", ""]
    assert uvloop.run(tenants(b"other"))[0] != first


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
        big = _tensor(_request(), (1, 10_000), raw=bytes(40_000))
        results = await asyncio.gather(*(door("ModelInfer", big) for _ in range(4)), return_exceptions=True)
        failed = [r for r in results if isinstance(r, grpc.aio.AioRpcError)]
        assert len(failed) == 2 and {e.code() for e in failed} == {Code.UNAVAILABLE}
        queue.delay_s = 0
        for _ in range(5):
            await door("ModelInfer", big)

    on_door(test, Limits(body_bytes=64 * 1024, in_flight_bytes=100_000))


def test_outputs_are_those_asked_for_in_their_order():
    async def test(door: Door) -> None:
        request = _tensor(_request("pair"), (2,), "b", "INT64", int64_contents=[5, 6])
        request = _tensor(request, (2, 2), "a", "FP32", fp32_contents=[1, 2, 3, 4])
        assert [o.name for o in (await door("ModelInfer", request)).outputs] == ["a", "b"]
        answer = await door("ModelInfer", _wish(request, "b", "a"))
        assert [o.name for o in answer.outputs] == ["b", "a"]
        assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == [5, 6]

    on_door(test)


def test_classification_names_the_best():
    async def test(door: Door) -> None:
        scores = np.array([[0.1, 0.7, 0.15, 0.05], [0.5, 0.0, 0.5, 0.0]], np.float32)
        answer = await door("ModelInfer", _wish(raw_request("scores", scores, "FP32"), "x", classification=2))
        assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [2, 2])
        found = raw_array(DATATYPES["BYTES"], (2, 2), answer.raw_output_contents[0], "x").tolist()
        assert found == [[b"0.700000:1:dog", b"0.150000:2:emu"], [b"0.500000:0:cat", b"0.500000:2:emu"]]

    on_door(test)


def test_payloads_of_image_and_text_models():
    async def test(door: Door) -> None:
        request = _tensor(_request("text"), (2, 1), "text", "BYTES", bytes_contents=[b"two words", "é".encode()])
        await door("ModelInfer", request)
        taken = door.models["text"].queue.requests[-1]
        assert (taken.payloads, taken.tensors, taken.rows, taken.length) == (["two words", "é"], None, 2, 2)
        answer = await door("ModelInfer", _tensor(_request("image"), (1,), "image", "BYTES", raw=_bytes(b"\x89PNG")))
        assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [4, 0, 1]
        await door("ModelInfer", _tensor(_request("image"), (1, 3, 4, 4), raw=bytes(192)))
        assert door.models["image"].queue.requests[-1].payloads is None

    on_door(test)


def test_what_the_server_says_of_itself():
    async def test(door: Door) -> None:
        assert (await door("ServerLive")).live and (await door("ServerReady")).ready
        server = await door("ServerMetadata")
        assert server.name == "farthing" and "classification" in server.extensions
        ask = message("inference.ModelMetadataRequest")(name="pair")
        metadata = await door("ModelMetadata", ask)
        assert (metadata.name, list(metadata.versions), metadata.platform) == ("pair", ["1"], "fake")
        assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [
            ("a", "FP32", [-1, 2]),
            ("b", "INT64", [-1]),
        ]
        config = (await door("ModelConfig", message("inference.ModelConfigRequest")(name="pair"))).config
        assert config.max_batch_size == MAX_ROWS and config.WhichOneof("scheduling_choice") == "dynamic_batching"
        assert [list(i.dims) for i in config.input] == [[2], []] and config.backend == "fake"
        index = await door("RepositoryIndex")
        assert len(index.models) == len(door.models.models) and {m.state for m in index.models} == {"READY"}

    on_door(test)


def test_statistics_count_requests_rows_and_failures():
    async def test(door: Door) -> None:
        await door("ModelInfer", fp32(3))
        await door("ModelInfer", fp32(2))
        await refused(door("ModelInfer", WRONG["raw too long"]))
        ask = message("inference.ModelStatisticsRequest")
        stats = (await door("ModelStatistics", ask(name="echo-FP32"))).model_stats
        assert len(stats) == 1 and stats[0].inference_count == 5
        assert stats[0].inference_stats.success.count == 2 and stats[0].inference_stats.fail.count == 1
        assert stats[0].inference_stats.compute_infer.ns == 20_000
        assert [(b.batch_size, b.compute_infer.count) for b in stats[0].batch_stats] == [(2, 1), (3, 1)]
        assert len((await door("ModelStatistics")).model_stats) == len(door.models.models)
        error = await refused(door("ModelStatistics", ask(name="nobody")))
        assert error.code() == Code.NOT_FOUND

    on_door(test)


def test_a_model_that_is_not_ready_says_why():
    async def test(door: Door) -> None:
        model = door.models["echo-FP32"]
        model.state, model.reason = "unavailable", "worker died 5 times in 60 s"
        error = await refused(door("ModelInfer", fp32()))
        assert error.code() == Code.UNAVAILABLE and "died 5 times" in error.details()
        ask = message("inference.ModelReadyRequest")
        assert not (await door("ModelReady", ask(name="echo-FP32"))).ready
        assert (await door("ModelReady", ask(name="pair"))).ready
        assert not (await door("ModelReady", ask(name="nobody"))).ready
        assert not (await door("ServerReady")).ready and (await door("ServerLive")).live
        index = await door("RepositoryIndex", message("inference.RepositoryIndexRequest")(ready=True))
        assert "echo-FP32" not in [m.name for m in index.models]

    on_door(test)


@pytest.mark.parametrize(
    "method", ["RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus", "Nothing"]
)
def test_methods_that_are_not_offered(method):
    async def test(door: Door) -> None:
        assert (await refused(door(method, b""))).code() == Code.UNIMPLEMENTED

    on_door(test)


def test_every_method_refuses_what_is_no_message():
    async def test(door: Door) -> None:
        for method in METHODS:
            assert (await refused(door(method, b"\xff\xff\xff"))).code() == Code.INVALID_ARGUMENT, method

    on_door(test)


Health = message("grpc.health.v1.HealthCheckRequest")
Healthy = message("grpc.health.v1.HealthCheckResponse")


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


StreamResponse = message("inference.ModelStreamInferResponse")


def _stream(door: Door) -> Any:
    return door.channel.stream_stream(f"/{INFERENCE_SERVICE}/ModelStreamInfer")(timeout=20)


def test_a_stream_answers_in_order_and_goes_on_after_problems():
    async def test(door: Door) -> None:
        stream = _stream(door)
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
        stream = _stream(door)
        await stream.write(
            _parameter(fp32(), "triton_enable_empty_final_response", bool_param=True).SerializeToString()
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
        stream = _stream(door)
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
        stream = _stream(door)
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
        stream = _stream(door)
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


def test_a_real_server_answers(served):
    """With workers, batching and all."""
    request = raw_request("tiny", np.array([[1, 0, 0, 0], [0, 1, 0, 1]], np.float32), "FP32")
    with grpc.insecure_channel(served.grpc) as channel:
        raw = channel.unary_unary(f"/{INFERENCE_SERVICE}/ModelInfer")(request.SerializeToString(), timeout=20)
    answer = message("inference.ModelInferResponse").FromString(raw)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [1, 2, 10, 12]


def test_it_runs_on_the_standard_loop_as_well():
    async def run() -> None:
        async with opened() as door:
            await door("ModelInfer", fp32())

    asyncio.run(run())


def test_the_messages_live_beside_others_of_the_same_names():
    """What generated classes of a client do on import: their file goes into the default pool."""
    name = "inference.ModelInferRequest"
    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(name="theirs/grpc_service.proto", package="inference", syntax="proto3")
    theirs = file.message_type.add(name="ModelInferRequest")
    theirs.field.add(name="somethingelse", number=1, type=9, label=1)
    pool.Add(file)
    assert [f.name for f in pool.FindMessageTypeByName(name).fields] == ["somethingelse"]
    assert [f.name for f in message(name).DESCRIPTOR.fields][:2] == ["model_name", "model_version"]
    assert message(name) is Infer
