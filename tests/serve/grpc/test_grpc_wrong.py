"""The gRPC door over real sockets: what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections import Counter

import grpc
import grpc.aio
import numpy as np
import pytest
import uvloop
from echo import MAX_ROWS, Recorder, SomeModels, late_models
from grpc_door import (
    LIMITS,
    ONE,
    Code,
    Door,
    Infer,
    asked,
    elements,
    fp32,
    on_door,
    open_stream,
    raw_request,
    refused,
    sample,
    with_parameter,
    with_tensor,
    with_wish,
)

from farthing.machine.clock import MonotonicClock
from farthing.serve.grpc.calls import Caller, Calls
from farthing.serve.grpc.messages import METHODS
from farthing.wire.dtypes import DATATYPES, raw_array
from farthing.wire.requests import Problem

F3 = [1.0, 2.0, 3.0]
WRONG = {
    "no inputs": asked(),
    "raw too short": with_tensor(asked(), raw=ONE[:-1]),
    "raw too long": with_tensor(asked(), raw=ONE + b"\0"),
    "raw empty": with_tensor(asked(), raw=b""),
    "no contents": with_tensor(asked()),
    "typed too few": with_tensor(asked(), fp32_contents=F3[:2]),
    "typed too many": with_tensor(asked(), fp32_contents=[*F3, 4.0]),
    "typed in the wrong field": with_tensor(asked(), int_contents=[1, 2, 3]),
    "typed in two fields": with_tensor(asked(), fp32_contents=F3, fp64_contents=F3),
    "raw and typed": with_tensor(asked(), raw=ONE, fp32_contents=F3),
    "more raw than inputs": with_tensor(with_tensor(asked(), raw=ONE), raw=ONE, name="y"),
    "raw without an input": asked(raw_input_contents=[ONE]),
    "fewer raw than inputs": with_tensor(with_tensor(asked("pair"), (1, 2), "a", raw=ONE[:8]), (1,), "b", "INT64"),
    "duplicate input": with_tensor(with_tensor(asked(), raw=ONE), raw=ONE),
    "unknown input": with_tensor(asked(), name="z", raw=ONE),
    "nameless input": with_tensor(asked(), name="", raw=ONE),
    "missing input": with_tensor(asked("pair"), (1, 2), "a", raw=ONE[:8]),
    "rows differ": with_tensor(
        with_tensor(asked("pair"), (1, 2), "a", raw=ONE[:8]), (2,), "b", "INT64", raw=np.zeros(2, np.int64).tobytes()
    ),
    "wrong datatype": with_tensor(asked(), datatype="FP64", raw=bytes(24)),
    "unknown datatype": with_tensor(asked(), datatype="FP8", raw=bytes(3)),
    "no datatype": with_tensor(asked(), datatype="", raw=ONE),
    "no shape": with_tensor(asked(), shape=(), raw=ONE),
    "too few dims": with_tensor(asked(), shape=(3,), raw=ONE),
    "too many dims": with_tensor(asked(), shape=(1, 1, 3), raw=ONE),
    "a million dims": with_tensor(asked(), shape=[1] * 16_000, raw=ONE),
    "zero rows": with_tensor(asked(), shape=(0, 3), raw=b""),
    "negative dim": with_tensor(asked(), shape=(1, -3), raw=ONE),
    "both negative": with_tensor(asked(), shape=(-1, -3), raw=ONE),
    "huge dim": with_tensor(asked(), shape=(1, 2**62), raw=ONE),
    "dims that overflow": with_tensor(asked(), shape=(2**33, 2**31), raw=ONE),
    "too many rows": with_tensor(asked(), shape=(MAX_ROWS + 1, 1), raw=bytes(4 * (MAX_ROWS + 1))),
    "fixed dim differs": with_tensor(asked("scores"), shape=(1, 3), raw=ONE),
    "unbatched shape differs": with_tensor(asked("whole"), shape=(1, 2), raw=bytes(8)),
    "five inputs": with_tensor(
        with_tensor(with_tensor(with_tensor(with_tensor(asked(), raw=ONE), raw=ONE), raw=ONE), raw=ONE), raw=ONE
    ),
    "bool of 2": with_tensor(asked("echo-BOOL"), datatype="BOOL", raw=b"\0\1\2"),
    "int8 of 300": with_tensor(asked("echo-INT8"), datatype="INT8", int_contents=[1, 2, 300]),
    "uint16 of 70000": with_tensor(asked("echo-UINT16"), datatype="UINT16", uint_contents=[1, 2, 70_000]),
    "fp16 typed": with_tensor(asked("echo-FP16"), datatype="FP16", fp32_contents=F3),
    "bf16 typed": with_tensor(asked("echo-BF16"), datatype="BF16", fp32_contents=F3),
    "bytes without length": with_tensor(asked("echo-BYTES"), datatype="BYTES", raw=b"abc"),
    "bytes cut": with_tensor(asked("echo-BYTES"), datatype="BYTES", raw=elements(b"a", b"b", b"cc")[:-1]),
    "bytes with more": with_tensor(asked("echo-BYTES"), datatype="BYTES", raw=elements(b"a", b"b", b"c", b"d")),
    "bytes of 4 GiB": with_tensor(asked("echo-BYTES"), (1, 1), datatype="BYTES", raw=b"\xff\xff\xff\xffabc"),
    "image empty": with_tensor(asked("image"), (1,), "image", "BYTES", raw=elements(b"")),
    "image beside a tensor": with_tensor(
        with_tensor(asked("image"), (1,), "image", "BYTES", raw=elements(b"a")), (1, 3, 4, 4), raw=bytes(192)
    ),
    "text no utf-8": with_tensor(asked("text"), (1,), "text", "BYTES", bytes_contents=[b"\xff"]),
    "text in two columns": with_tensor(asked("text"), (1, 2), "text", "BYTES", bytes_contents=[b"a", b"b"]),
    "unknown output": with_wish(fp32(), "z"),
    "output twice": with_wish(fp32(), "x", "x"),
    "classes of bytes": with_wish(raw_request("echo-BYTES", sample("BYTES"), "BYTES"), "x", classification=2),
    "negative classes": with_wish(fp32(), "x", classification=-1),
    "sequence": with_parameter(fp32(), "sequence_id", int64_param=7),
    "shared memory": with_parameter(fp32(), "shared_memory_region", string_param="r"),
    "parameter without value": with_parameter(fp32(), "priority"),
    "negative timeout": with_parameter(fp32(), "timeout", int64_param=-1),
    "priority a text": with_parameter(fp32(), "priority", string_param="high"),
    "priority a fraction": with_parameter(fp32(), "priority", double_param=0.5),
    "binary output a number": with_parameter(fp32(), "binary_data_output", int64_param=1),
    "long id": fp32(id="x" * 1000),
    "no message": b"\xff\xff\xff",
    "cut message": fp32().SerializeToString()[:-3],
    "text that is no utf-8": b"\x0a\x02\xff\xfe",
}


def test_wrong_requests_are_refused_and_nothing_else_happens():
    async def test(door: Door) -> None:
        for case, request in WRONG.items():
            error = await refused(door("ModelInfer", request))
            wanted = Code.UNIMPLEMENTED if case in ("sequence", "shared memory") else Code.INVALID_ARGUMENT
            assert error.code() == wanted, (case, error)
            assert 0 < len(error.details()) <= 1000, case
            assert "Traceback" not in error.details() and "Exception" not in error.details(), (case, error.details())
        assert not any(model.queue.requests for model in door.models.models)
        assert len(door.observer.failures) == len(WRONG) and not door.observer.answers
        assert {problem.status for _, _, problem, _ in door.observer.failures} == {400, 501}
        await door("ModelInfer", fp32())

    on_door(test)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (fp32(model="nobody"), Code.NOT_FOUND),
        (asked(""), Code.NOT_FOUND),
        (fp32(model_version="9"), Code.NOT_FOUND),
        (with_tensor(asked("text"), (1,), "text", "BYTES", bytes_contents=[b"x" * 65]), Code.RESOURCE_EXHAUSTED),
        (with_tensor(asked("image"), (1,), "image", "BYTES", raw=elements(b"x" * 257)), Code.RESOURCE_EXHAUSTED),
        (with_tensor(asked(), (1, 20_000), raw=bytes(80_000)), Code.RESOURCE_EXHAUSTED),
    ],
)
def test_other_refusals_have_their_own_code(request_, code):
    async def test(door: Door) -> None:
        assert (await refused(door("ModelInfer", request_))).code() == code

    on_door(test)


def test_a_compressed_message_is_bounded_after_decompression():
    async def test(door: Door) -> None:
        bomb = with_tensor(asked(), (1, 10_000_000), raw=bytes(40_000_000))
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
        stream = open_stream(door)
        await stream.write(fp32().SerializeToString())
        assert (await refused(stream.read())).code() == Code.INTERNAL
        model.queue.submit = submit
        await door("ModelInfer", fp32())

    on_door(test)
    assert heard == ["the secret path /etc/x"] * 2


def mutated(raw: bytes, rng: random.Random) -> bytes:
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
            raw = mutated(rng.choice(seeds), rng)
            try:
                answer = await calls.infer(raw, Caller(left_s=None, metadata={}))
            except Problem as problem:
                found[problem.status] += 1
                continue
            sent = Infer.FromString(raw)
            found[200] += 1
            for tensor, taken in zip(answer.outputs, answer.raw_output_contents):
                raw_array(DATATYPES[tensor.datatype], tuple(tensor.shape), taken, tensor.name)
            assert (sent.id, sent.model_name) == (answer.id, answer.model_name)

    uvloop.run(run())
    assert found.keys() <= {200, 400, 404, 413, 501}, found
    assert found[400] > 5_000 and found[404] > 100 and found[200] > 100, found


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
