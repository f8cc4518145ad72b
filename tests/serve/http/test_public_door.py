"""Who may ask the public listeners, what they do not offer, and how answers may look."""

from __future__ import annotations

import contextlib
import csv
import io

import grpc
import grpc.aio
import numpy as np
import orjson
import pytest
import uvloop
from echo import Recorder, SomeModels, late_models
from echo_models import FewModels, Reader, Running, ask, echo_model, image_model, many_types, request_bytes, running
from grpc_door import LIMITS, Door, fp32

from farthing.errors import InputError
from farthing.machine.clock import MonotonicClock
from farthing.serve.grpc.door import GrpcServer
from farthing.serve.limits import Limits
from farthing.serve.protocol.api_keys import ApiKeys
from farthing.serve.protocol.csv_answers import prefers_csv
from farthing.serve.settings import read_api_keys

KEY, OTHER = "0123456789abcdef-one", "0123456789abcdef-two"
INFER = "/v2/models/echo/infer"
BODY = orjson.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})


# — keys ———————————————————————————————————————————————————————————————————————————————————————————————————————————————


@contextlib.contextmanager
def locked(*keys: str):
    server = Running(FewModels(echo_model()), Limits())
    server.server.api_keys = ApiKeys(keys)
    try:
        yield server
    finally:
        server.stop()


def test_without_a_key_nothing_is_told_but_readiness():
    with locked(KEY, OTHER) as server:
        for path, method in ((INFER, "POST"), ("/invocations", "POST"), ("/v2", "GET"), ("/openapi.json", "GET"),
                             ("/v2/models/echo", "GET"), ("/v2/models/stats", "GET"), ("/v2/repository/index", "POST")):  # fmt: skip
            body = BODY if method == "POST" else b""
            status, headers, _ = ask(server, request_bytes(path, body, method=method))
            assert (status, headers["www-authenticate"]) == (401, "Bearer"), path
            wrong = ("Basic " + KEY, "Bearer " + KEY[:-1], "Bearer " + KEY + "x", f"Bearer {KEY} {KEY}")
            for said in wrong:
                shown = ask(server, request_bytes(path, body, f"Authorization: {said}", method=method))[0]
                assert shown in (401, 403), said
        for path in ("/v2/health/live", "/v2/health/ready", "/ping"):
            assert ask(server, request_bytes(path, method="GET"))[0] == 200
        assert server.heard.answers == 0
        for key in (KEY, OTHER):
            assert ask(server, request_bytes(INFER, BODY, f"Authorization: Bearer {key}"))[0] == 200


def test_a_head_that_was_known_does_not_let_in_who_has_another_key():
    good = request_bytes(INFER, BODY, f"Authorization: Bearer {KEY}")
    bad = request_bytes(INFER, BODY, f"Authorization: Bearer {OTHER}")
    with locked(KEY) as server, server.connect() as sock:
        reader = Reader(sock)
        for raw, status in ((good, 200), (good, 200), (bad, 403)):
            sock.sendall(raw)
            assert reader.answer()[0] == status
        assert len(server.server.heads) == 1


def test_grpc_wants_the_same_key():
    async def run() -> None:
        server = GrpcServer(SomeModels(*late_models()), Recorder(), LIMITS, MonotonicClock(), api_keys=ApiKeys([KEY]))
        door = Door(server, await server.start("127.0.0.1:0"), None, None)
        try:
            for method in ("ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryIndex"):
                for metadata, code in (
                    ((), "UNAUTHENTICATED"),
                    ((("authorization", "Bearer " + OTHER),), "PERMISSION_DENIED"),
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await door(method, fp32() if method == "ModelInfer" else None, metadata=metadata)
                    assert caught.value.code().name == code, method
            for method in ("ServerLive", "ServerReady"):
                await door(method)
            await door("ModelInfer", fp32(), metadata=(("authorization", "Bearer " + KEY),))
            stream = door.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(
                iter([fp32().SerializeToString()]), timeout=10
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code().name == "UNAUTHENTICATED", caught.value.details()
        finally:
            await door.channel.close()
            await server.drain(0)

    uvloop.run(run())


def test_files_of_keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n\n{OTHER}\n")
    path.chmod(0o600)
    assert read_api_keys(path) == (KEY, OTHER)
    for text, mode, said in (
        (KEY, 0o640, "others may read"),
        ("", 0o600, "0 characters"),
        (f"{KEY}\nshort\n", 0o600, "5 characters"),
    ):
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(InputError, match=said):
            read_api_keys(path)


def test_a_served_model_with_keys_that_are_changed(tiny, tmp_path, start_server):
    path = tmp_path / "keys"
    path.write_text(KEY)
    path.chmod(0o600)
    served = start_server(tiny, "--api-key-file", path)
    shown = {"Authorization": f"Bearer {KEY}"}
    assert served.request("GET", "/v2/models/tiny")[0] == 401
    assert served.request("GET", "/v2/models/tiny", None, shown)[0] == 200
    path.write_text(OTHER)
    served.process.send_signal(1)
    served.said("reloaded")
    assert served.request("GET", "/v2/models/tiny", None, shown)[0] == 403
    assert served.request("GET", "/v2/models/tiny", None, {"Authorization": f"Bearer {OTHER}"})[0] == 200


def test_an_open_listener_says_so(tiny, start_server):
    served = start_server(tiny, "--host", "0.0.0.0", "--grpc-port", "none")
    served.said("0.0.0.0 can be reached from other machines, without encryption and without authentication")


# — what is not offered ————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    "path",
    [
        "/v2/systemsharedmemory/status", "/v2/systemsharedmemory/region/r/register", "/v2/cudasharedmemory/unregister",
        "/v2/repository/models/echo/load", "/v2/repository/models/echo/unload", "/v2/models/echo/trace/setting",
        "/v2/models/echo/versions/1/trace/setting", "/v2/models/echo/generate", "/v2/models/echo/versions/1/generate",
        "/v2/models/echo/generate_stream", "/v2/models/echo/versions/1/generate_stream", "/v2/logging",
    ],
)  # fmt: skip
def test_extensions_that_are_not_offered_are_501(path):
    with running(echo_model()) as server:
        assert ask(server, request_bytes(path, b"{}"))[0] == 501
        assert ask(server, request_bytes(path, method="GET"))[0] == 501
        assert ask(server, request_bytes("/v2/systemsharedmemory", method="GET"))[0] == 404


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "shared_memory_region", "shared_memory_byte_size"])
def test_sequences_and_shared_memory_are_501(name):
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32"}
    with running(echo_model()) as server:
        for asked in (
            {"inputs": [{**tensor, "data": [1, 2, 3, 4]}], "parameters": {name: 1}},
            {"inputs": [{**tensor, "parameters": {name: 1}}]},
            {"inputs": [{**tensor, "data": [1, 2, 3, 4]}], "outputs": [{"name": "out_x", "parameters": {name: 1}}]},
        ):
            status, _, text = ask(server, request_bytes(INFER, orjson.dumps(asked)))
            assert (status, name in text.decode()) == (501, True)


# — text/csv ———————————————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/csv", True), ("TEXT/CSV; charset=utf-8", True), ("text/csv, application/json;q=0.9", True),
        ("application/json, text/csv;q=0.5", False), ("text/csv, application/json", True), ("*/*", False),
        ("application/json, text/csv", False), ("text/*", True), ("", False), ("text/csv;q=0", False),
        ("application/json;q=0.1, */*;q=0.5", True), ("image/png", False), ("text/csv;q=x", False),
    ],
)  # fmt: skip
def test_what_is_liked_better(accept, wanted):
    assert prefers_csv(accept) is wanted


def csv_of(server, body, *headers, path="/invocations"):
    status, answered, text = ask(server, request_bytes(path, body, "Accept: text/csv", *headers))
    assert (status, answered["content-type"]) == (200, "text/csv; charset=utf-8"), text
    return list(csv.reader(io.StringIO(text.decode())))


def test_answers_as_csv():
    with running(echo_model()) as server:
        assert csv_of(server, b"1,2,3,4\n5,6,7,8.25\n", "Content-Type: text/csv") == [
            ["1.0", "2.0", "3.0", "4.0"],
            ["5.0", "6.0", "7.0", "8.25"],
        ]
        rows = csv_of(server, orjson.dumps({"instances": [[0.1, 2, 3, 4]] * 3}))
        assert rows == [["0.1", "2.0", "3.0", "4.0"]] * 3
        assert csv_of(server, BODY) == [["1.0", "2.0", "3.0", "4.0"]]  # a request of the protocol too
        assert ask(server, request_bytes(INFER, BODY, "Accept: text/csv"))[1]["content-type"] == "application/json"
        assert ask(server, request_bytes("/invocations", BODY))[1]["content-type"] == "application/json"
    with running(image_model()) as server:
        ((label, index, score),) = csv_of(server, b"12345", "Content-Type: image/png")
        assert (label, index, score) == ("a", "0", "5.0")


def test_csv_of_every_type_and_of_what_is_not_finite():
    model = many_types()
    with running(model) as server:
        inputs = [
            {
                "name": slot.name,
                "datatype": slot.name.removeprefix("in_"),
                "shape": [1, 2],
                "data": {"in_BOOL": [True, False], "in_BYTES": ['a,"b', "é"]}.get(slot.name, [1, 2]),
            }
            for slot in model.inputs
        ]
        ((*cells,),) = csv_of(server, orjson.dumps({"inputs": inputs}))
        assert len(cells) == 2 * len(inputs)
        assert cells[:2] == ["true", "false"] and cells[-2:] == ['a,"b', "é"]
    with running(echo_model()) as server:
        raw = np.array([[np.nan, np.inf, -np.inf, 0.1]], np.float32).tobytes()
        head = orjson.dumps(
            {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}]}
        )
        rows = csv_of(server, head + raw, f"Inference-Header-Content-Length: {len(head)}")
        assert rows == [["nan", "inf", "-inf", "0.1"]]


def test_a_long_answer_as_csv():
    values = np.round(np.random.default_rng(1).normal(size=(8, 4)), 3).astype(np.float32)
    model = echo_model(max_batch=50_000)
    with running(model) as server:
        rows = np.tile(values, (1000, 1))
        found = csv_of(server, orjson.dumps({"instances": rows.tolist()}))
        np.testing.assert_array_equal(np.array(found, dtype=np.float32), rows)
