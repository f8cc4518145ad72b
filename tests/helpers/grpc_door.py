"""A gRPC door on a loopback port, and requests for it."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import uvloop
from echo import Recorder, SomeModels, late_models

from farthing.machine.clock import MonotonicClock
from farthing.serve.grpc.door import GrpcServer
from farthing.serve.grpc.messages import INFERENCE_SERVICE, METHODS, message
from farthing.serve.limits import Limits
from farthing.wire.dtypes import DATATYPES, bf16_from_float32, raw_bytes

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


def asked(model: str = "echo-FP32", **more) -> Any:
    return Infer(model_name=model, **more)


def with_tensor(request: Any, shape=(1, 3), name="x", datatype="FP32", raw: bytes | None = None, **contents) -> Any:
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def elements(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(e)) + e for e in elements)


def with_parameter(request: Any, name: str, **choice) -> Any:
    parameter = request.parameters[name]
    for field, value in choice.items():
        setattr(parameter, field, value)
    return request


def with_wish(request: Any, *names: str, **parameters) -> Any:
    for name in names:
        output = request.outputs.add(name=name)
        for key, value in parameters.items():
            output.parameters[key].int64_param = value
    return request


ONE = np.zeros((1, 3), np.float32).tobytes()


StreamResponse = message("inference.ModelStreamInferResponse")


def open_stream(door: Door) -> Any:
    return door.channel.stream_stream(f"/{INFERENCE_SERVICE}/ModelStreamInfer")(timeout=20)
