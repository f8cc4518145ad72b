"""Drives a server with the real kserve client: python kserve_client.py HTTP_ADDRESS GRPC_ADDRESS."""
# ruff: noqa: PT017 - there is no pytest in a client's environment

from __future__ import annotations

import sys
from typing import Any

import grpc
import httpx
from checks import DATATYPES as ALL_DATATYPES
from checks import Checks, same, sample
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

HTTP, GRPC = f"http://{sys.argv[1]}", sys.argv[2]
DATATYPES = [d for d in ALL_DATATYPES if d != "BF16"]  # kserve has no BF16
JSON_DATATYPES = [d for d in DATATYPES if d != "FP16"]
checks = Checks()


def asked(model: str, array: Any, datatype: str, *, binary: bool, name: str = "x", **more: Any) -> InferRequest:
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="r-1", **more)


def grpc_client() -> InferenceGRPCClient:
    return InferenceGRPCClient(GRPC, timeout=20)


def rest_client() -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol="v2", timeout=20))


async def echo_grpc(datatype: str, binary: bool) -> None:
    async with grpc_client() as client:
        array = sample(datatype)
        answer = await client.infer(asked(f"echo-{datatype}", array, datatype, binary=binary))
        assert answer.id == "r-1" and answer.model_name == f"echo-{datatype}"
        same(answer.outputs[0].as_numpy(), array)


async def echo_rest(datatype: str, binary_in: bool, binary_out: bool) -> None:
    async with rest_client() as client:
        array = sample(datatype)
        outputs = [RequestedOutput("x", {"binary_data": binary_out})]
        request = asked(f"echo-{datatype}", array, datatype, binary=binary_in, request_outputs=outputs)
        answer = await client.infer(HTTP, request, model_name=f"echo-{datatype}")
        assert answer.id == "r-1"
        same(answer.outputs[0].as_numpy(), array)


async def all_binary_outputs() -> None:
    async with rest_client() as client:
        request = asked("echo-FP16", sample("FP16"), "FP16", binary=True, parameters={"binary_data_output": True})
        answer = await client.infer(HTTP, request, model_name="echo-FP16")
        same(answer.outputs[0].as_numpy(), sample("FP16"))


async def plain_dict() -> None:
    async with rest_client() as client:
        document = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[1.5, 2.5]]}]}
        answer = await client.infer(HTTP, document, model_name="echo-FP32")
        assert answer.outputs[0].data == [1.5, 2.5]


async def about_grpc() -> None:
    async with grpc_client() as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("echo-FP32")
        assert not await client.is_model_ready("nobody")


async def about_rest() -> None:
    async with rest_client() as client:
        assert await client.is_server_live(HTTP) and await client.is_server_ready(HTTP)
        assert await client.is_model_ready(HTTP, "echo-FP32")


async def errors_grpc() -> None:
    async with grpc_client() as client:
        try:
            await client.infer(asked("nobody", sample("FP32"), "FP32", binary=True))
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.NOT_FOUND
        else:
            raise AssertionError("nothing was raised")


async def errors_rest() -> None:
    async with rest_client() as client:
        for model, status in (("nobody", 404), ("echo-FP64", 400)):
            try:
                await client.infer(HTTP, asked(model, sample("FP32"), "FP32", binary=True), model_name=model)
            except httpx.HTTPStatusError as e:
                assert e.response.status_code == status, e
            else:
                raise AssertionError("nothing was raised")


for datatype in DATATYPES:
    checks(f"grpc {datatype} raw", echo_grpc, datatype, True)
    checks(f"rest {datatype} binary", echo_rest, datatype, True, True)
for datatype in JSON_DATATYPES:
    checks(f"grpc {datatype} typed", echo_grpc, datatype, False)
    checks(f"rest {datatype} json", echo_rest, datatype, False, False)
    checks(f"rest {datatype} json to binary", echo_rest, datatype, False, True)
checks("rest all outputs binary", all_binary_outputs)
checks("rest plain dict", plain_dict)
checks("grpc health and readiness", about_grpc)
checks("rest health and readiness", about_rest)
checks("grpc errors", errors_grpc)
checks("rest errors", errors_rest)
checks.report()
