"""Drives a server with the real tritonclient: python triton_client.py HTTP_ADDRESS GRPC_ADDRESS."""
# ruff: noqa: PT017 - there is no pytest in a client's environment

from __future__ import annotations

import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from checks import DATATYPES, Checks, same, sample
from tritonclient.utils import InferenceServerException

HTTP, GRPC = sys.argv[1:3]
JSON_DATATYPES = [d for d in DATATYPES if d not in ("FP16", "BF16")]
checks = Checks()
http = tritonclient.http.InferenceServerClient(HTTP, concurrency=8)
grpc = tritonclient.grpc.InferenceServerClient(GRPC)


def given(module: Any, datatype: str, array: Any = None, **more: Any) -> Any:
    array = sample(datatype) if array is None else array
    tensor = module.InferInput("x", list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, **more)


def echo(client: Any, module: Any, datatype: str, **more: Any) -> None:
    result = client.infer(f"echo-{datatype}", [given(module, datatype)], **more)
    same(result.as_numpy("x"), sample(datatype))


def echo_http(datatype: str, binary_in: bool, binary_out: bool, **more: Any) -> None:
    wanted = [tritonclient.http.InferRequestedOutput("x", binary_data=binary_out)]
    tensor = given(tritonclient.http, datatype, binary_data=binary_in)
    result = http.infer(f"echo-{datatype}", [tensor], outputs=wanted, request_id="r-1", **more)
    same(result.as_numpy("x"), sample(datatype))
    assert result.get_response()["id"] == "r-1"


def refused(call: Any, *args: Any, words: str = "", **more: Any) -> InferenceServerException:
    try:
        call(*args, **more)
    except InferenceServerException as e:
        assert words in e.message(), e.message()
        return e
    raise AssertionError("nothing was raised")


for datatype in DATATYPES:
    checks(f"http {datatype} by default", echo, http, tritonclient.http, datatype)
    checks(f"http {datatype} binary", echo_http, datatype, True, True)
    checks(f"grpc {datatype}", echo, grpc, tritonclient.grpc, datatype)
for datatype in JSON_DATATYPES:
    checks(f"http {datatype} json", echo_http, datatype, False, False)
    checks(f"http {datatype} json to binary", echo_http, datatype, False, True)
    checks(f"http {datatype} binary to json", echo_http, datatype, True, False)
for algorithm in ("gzip", "deflate"):
    for sent in (True, False):
        compressed = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
        checks(f"http {algorithm} {sent}", lambda s=sent, c=compressed: echo_http("FP32", s, s, **c))
    checks(f"grpc {algorithm}", lambda a=algorithm: echo(grpc, tritonclient.grpc, "FP32", compression_algorithm=a))


def about(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("pair") and client.is_model_ready("pair", "1")
    assert not client.is_model_ready("nobody")


def metadata_http() -> None:
    server = http.get_server_metadata()
    assert server["name"] == "farthing" and "binary_tensor_data" in server["extensions"]
    model = http.get_model_metadata("pair")
    assert [(t["name"], t["datatype"], t["shape"]) for t in model["inputs"]] == [
        ("a", "FP32", [-1, 2]),
        ("b", "INT64", [-1]),
    ]
    assert model["versions"] == ["1"] and model["platform"]
    config = http.get_model_config("pair")
    assert config["max_batch_size"] == 8 and config["input"][0]["data_type"] == "TYPE_FP32"
    assert any(m["name"] == "pair" and m["state"] == "READY" for m in http.get_model_repository_index())


def metadata_grpc() -> None:
    assert grpc.get_server_metadata().name == "farthing"
    assert grpc.get_server_metadata(as_json=True)["name"] == "farthing"
    model = grpc.get_model_metadata("pair")
    assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [("a", "FP32", [-1, 2]), ("b", "INT64", [-1])]
    config = grpc.get_model_config("pair").config
    assert config.max_batch_size == 8 and [list(i.dims) for i in config.input] == [[2], []]
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert config.instance_group[0].kind == config.instance_group[0].KIND_CPU
    index = grpc.get_model_repository_index()
    assert any(m.name == "pair" and m.state == "READY" for m in index.models)


def statistics() -> None:
    before = http.get_inference_statistics("pair")["model_stats"][0]["inference_count"]
    grpc.infer("pair", pair(tritonclient.grpc)[0])
    http.infer("pair", pair(tritonclient.http)[0])
    after = http.get_inference_statistics("pair")["model_stats"][0]
    assert after["inference_count"] == before + 4
    same_stats = grpc.get_inference_statistics("pair").model_stats[0]
    assert same_stats.inference_count == after["inference_count"]
    assert same_stats.inference_stats.success.count == after["inference_stats"]["success"]["count"]
    assert len(grpc.get_inference_statistics().model_stats) == len(http.get_inference_statistics()["model_stats"]) > 10


def pair(module: Any) -> tuple[list[Any], Any, Any]:
    a, b = np.arange(4, dtype=np.float32).reshape(2, 2), np.array([7, 8])
    inputs = [module.InferInput("b", [2], "INT64"), module.InferInput("a", [2, 2], "FP32")]
    inputs[0].set_data_from_numpy(b)
    inputs[1].set_data_from_numpy(a)
    return inputs, a, b


def send_pair(client: Any, module: Any) -> None:
    inputs, a, b = pair(module)
    result = client.infer("pair", inputs, model_version="1")
    same(result.as_numpy("a"), a)
    same(result.as_numpy("b"), b)
    one = client.infer("pair", inputs, outputs=[module.InferRequestedOutput("b")])
    assert one.as_numpy("a") is None
    same(one.as_numpy("b"), b)


def classes(client: Any, module: Any) -> None:
    scores = np.array([[0.1, 0.7, 0.15, 0.05]], dtype=np.float32)
    wanted = [module.InferRequestedOutput("x", class_count=2)]
    result = client.infer("scores", [given(module, "FP32", scores)], outputs=wanted).as_numpy("x")
    assert result.shape == (1, 2)
    words = [e.decode() if isinstance(e, bytes) else e for e in result[0]]
    assert [w.split(":")[1:] for w in words] == [["1", "dog"], ["2", "emu"]], words
    assert abs(float(words[0].split(":")[0]) - 0.7) < 1e-5


def payloads(client: Any, module: Any) -> None:
    texts = np.array([[b"two words"], [b"one"]], dtype=object)
    tensor = module.InferInput("text", [2, 1], "BYTES").set_data_from_numpy(texts)
    same(client.infer("text", [tensor]).as_numpy("size")[:, 0], np.array([9, 3], dtype=np.float32))
    picture = np.array([b"\x89PNG\r\n\x00\xff"], dtype=object)
    tensor = module.InferInput("image", [1], "BYTES").set_data_from_numpy(picture)
    same(client.infer("image", [tensor]).as_numpy("size")[:, 0], np.array([8], dtype=np.float32))


def errors(client: Any, module: Any) -> None:
    good = [given(module, "FP32")]
    refused(client.infer, "nobody", good, words="nobody")
    refused(client.infer, "echo-FP32", good, model_version="9")
    refused(client.infer, "echo-FP64", good, words="FP64")
    refused(client.infer, "pair", good, words="x")
    refused(client.infer, "scores", good, words="shape")
    refused(client.infer, "echo-FP32", [*good, *good], words="twice")
    refused(client.infer, "echo-FP32", good, sequence_id=7, sequence_start=True, words="sequence")
    refused(client.infer, "echo-FP32", good, outputs=[module.InferRequestedOutput("z")], words="z")
    refused(client.load_model, "pair")
    refused(client.unload_model, "pair")


def parameters(client: Any, module: Any) -> None:
    good = [given(module, "FP32")]
    client.infer(
        "echo-FP32",
        good,
        priority=1,
        timeout=5_000_000,
        headers={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"},
    )
    client.infer("echo-FP32", good, parameters={"mine": "text", "number": 3, "flag": True})


def many(client: Any, module: Any) -> None:
    if module is tritonclient.http:
        running = [client.async_infer("echo-FP32", [given(module, "FP32")]) for _ in range(20)]
        results = [r.get_result() for r in running]
    else:
        found: queue.Queue[Any] = queue.Queue()
        for _ in range(20):
            client.async_infer("echo-FP32", [given(module, "FP32")], lambda result, error: found.put(error or result))
        results = [found.get(timeout=20) for _ in range(20)]
    for result in results:
        same(result.as_numpy("x"), sample("FP32"))


for name, client, module in (("http", http, tritonclient.http), ("grpc", grpc, tritonclient.grpc)):
    checks(f"{name} health and readiness", about, client)
    checks(f"{name} two inputs", send_pair, client, module)
    checks(f"{name} classification", classes, client, module)
    checks(f"{name} images and texts", payloads, client, module)
    checks(f"{name} errors", errors, client, module)
    checks(f"{name} parameters", parameters, client, module)
    checks(f"{name} async_infer", many, client, module)
checks("http metadata", metadata_http)
checks("grpc metadata", metadata_grpc)
checks("statistics", statistics)


def client_timeout() -> None:
    error = refused(grpc.infer, "slow", [given(tritonclient.grpc, "FP32")], client_timeout=0.1)
    assert "DEADLINE_EXCEEDED" in str(error.status()), error.status()


def stream() -> None:
    found: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(GRPC) as client:
        client.start_stream(lambda result, error: found.put((result, error)))
        for k in range(20):
            array = np.full((1, 3), k, dtype=np.float32)
            client.async_stream_infer("echo-FP32", [given(tritonclient.grpc, "FP32", array)], request_id=str(k))
        for k in range(20):
            result, error = found.get(timeout=20)
            assert error is None, error
            assert result.get_response().id == str(k)
            same(result.as_numpy("x"), np.full((1, 3), k, dtype=np.float32))
        client.async_stream_infer("nobody", [given(tritonclient.grpc, "FP32")])
        result, error = found.get(timeout=20)
        assert result is None and "nobody" in error.message()
        client.async_stream_infer("echo-FP32", [given(tritonclient.grpc, "FP32")], enable_empty_final_response=True)
        result, error = found.get(timeout=20)
        assert error is None and result.get_response().parameters["triton_final_response"].bool_param
        client.stop_stream()


checks("grpc client timeout", client_timeout)
checks("grpc stream", stream)


async def http_aio() -> None:
    async with tritonclient.http.aio.InferenceServerClient(HTTP) as client:
        assert await client.is_server_ready()
        for datatype in DATATYPES:
            result = await client.infer(f"echo-{datatype}", [given(tritonclient.http.aio, datatype)])
            same(result.as_numpy("x"), sample(datatype))


async def grpc_aio() -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(GRPC) as client:
        assert await client.is_server_ready()
        for datatype in DATATYPES:
            result = await client.infer(f"echo-{datatype}", [given(tritonclient.grpc.aio, datatype)])
            same(result.as_numpy("x"), sample(datatype))


async def grpc_aio_stream() -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(GRPC) as client:

        async def requests() -> Any:
            for k in range(10):
                array = np.full((1, 3), k, dtype=np.float32)
                yield {
                    "model_name": "echo-FP32",
                    "inputs": [given(tritonclient.grpc.aio, "FP32", array)],
                    "request_id": str(k),
                }

        count = 0
        async for result, error in client.stream_infer(requests()):
            assert error is None and result.get_response().id == str(count)
            count += 1
        assert count == 10


checks("http.aio", http_aio)
checks("grpc.aio", grpc_aio)
checks("grpc.aio stream", grpc_aio_stream)
http.close()
grpc.close()
checks.report()
