"""The gRPC door over real sockets: what it answers."""

from __future__ import annotations

import grpc
import grpc.aio
import numpy as np
import pytest
import uvloop
from echo import MAX_ROWS, Recorder, SomeModels, late_models
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_door import (
    LIMITS,
    Code,
    Door,
    Infer,
    asked,
    elements,
    fp32,
    on_door,
    raw_request,
    refused,
    sample,
    with_parameter,
    with_tensor,
    with_wish,
)

from farthing.machine.clock import MonotonicClock
from farthing.serve.grpc.door import GrpcServer
from farthing.serve.grpc.messages import INFERENCE_SERVICE, message
from farthing.wire.dtypes import DATATYPES, raw_array, raw_bytes


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


def test_deadlines_priority_and_trace_reach_the_queue():
    async def test(door: Door) -> None:
        queue = door.models["echo-FP32"].queue
        metadata = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
        await door("ModelInfer", fp32(), timeout=5, metadata=metadata)
        first = queue.requests[-1]
        assert 4 < first.deadline_s - first.arrived_s < 5.2
        assert first.trace == metadata[0][1] and first.priority == 0
        await door(
            "ModelInfer",
            with_parameter(with_parameter(fp32(), "timeout", int64_param=2_000_000), "priority", uint64_param=3),
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


def test_outputs_are_those_asked_for_in_their_order():
    async def test(door: Door) -> None:
        request = with_tensor(asked("pair"), (2,), "b", "INT64", int64_contents=[5, 6])
        request = with_tensor(request, (2, 2), "a", "FP32", fp32_contents=[1, 2, 3, 4])
        assert [o.name for o in (await door("ModelInfer", request)).outputs] == ["a", "b"]
        answer = await door("ModelInfer", with_wish(request, "b", "a"))
        assert [o.name for o in answer.outputs] == ["b", "a"]
        assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == [5, 6]

    on_door(test)


def test_classification_names_the_best():
    async def test(door: Door) -> None:
        scores = np.array([[0.1, 0.7, 0.15, 0.05], [0.5, 0.0, 0.5, 0.0]], np.float32)
        answer = await door("ModelInfer", with_wish(raw_request("scores", scores, "FP32"), "x", classification=2))
        assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [2, 2])
        found = raw_array(DATATYPES["BYTES"], (2, 2), answer.raw_output_contents[0], "x").tolist()
        assert found == [[b"0.700000:1:dog", b"0.150000:2:emu"], [b"0.500000:0:cat", b"0.500000:2:emu"]]

    on_door(test)


def test_payloads_of_image_and_text_models():
    async def test(door: Door) -> None:
        request = with_tensor(asked("text"), (2, 1), "text", "BYTES", bytes_contents=[b"two words", "é".encode()])
        await door("ModelInfer", request)
        taken = door.models["text"].queue.requests[-1]
        assert (taken.payloads, taken.tensors, taken.rows, taken.length) == (["two words", "é"], None, 2, 2)
        answer = await door("ModelInfer", with_tensor(asked("image"), (1,), "image", "BYTES", raw=elements(b"\x89PNG")))
        assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [4, 0, 1]
        await door("ModelInfer", with_tensor(asked("image"), (1, 3, 4, 4), raw=bytes(192)))
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
        await refused(door("ModelInfer", with_tensor(asked(), raw=b"too short")))
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


def test_a_real_server_answers(served):
    """With workers, batching and all."""
    request = raw_request("tiny", np.array([[1, 0, 0, 0], [0, 1, 0, 1]], np.float32), "FP32")
    with grpc.insecure_channel(served.grpc) as channel:
        raw = channel.unary_unary(f"/{INFERENCE_SERVICE}/ModelInfer")(request.SerializeToString(), timeout=20)
    answer = message("inference.ModelInferResponse").FromString(raw)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [1, 2, 10, 12]


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
