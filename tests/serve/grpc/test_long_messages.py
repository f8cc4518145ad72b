"""Long gRPC messages: the same answers as short ones, in bounded memory, and no step that keeps the loop."""

from __future__ import annotations

import random
from itertools import pairwise

import grpc.aio
import numpy as np
import pytest
from echo_models import echo_model
from grpc_door import Infer, on_door, raw_request
from kinds_of_bodies import MIB, STALL_S, longest_step_s, outcome, peak_of, wide_model

from farthing.nouns import TensorSpec
from farthing.serve.grpc.calls import parsed
from farthing.serve.grpc.long_messages import _decoded, bulk_of
from farthing.serve.grpc.tensors import Values, decode_in_steps, decode_message
from farthing.serve.limits import Limits
from farthing.wire.dtypes import datatype_of, join_elements

LIMITS = Limits()
FIELDS = {
    "bool": "bool_contents", "int8": "int_contents", "int16": "int_contents", "int32": "int_contents",
    "int64": "int64_contents", "uint8": "uint_contents", "uint32": "uint_contents", "uint64": "uint64_contents",
    "float32": "fp32_contents", "float64": "fp64_contents", "bytes": "bytes_contents",
}  # fmt: skip


def in_steps(model, raw):
    """Read a message as the door reads a long one."""
    bulk = yield from bulk_of(raw, LIMITS)
    message = parsed(Infer, bulk.rest)
    return (yield from decode_in_steps(model, message, Values(bulk.raw, bulk.contents, len(raw)), LIMITS))


def asked(word: str, values, shape, *, typed: bool) -> bytes:
    request = Infer(model_name="echo", id="7")
    tensor = request.inputs.add(name="x", datatype=datatype_of(word).name, shape=shape)
    if typed:
        getattr(tensor.contents, FIELDS[word]).extend(values)
    else:
        request.raw_input_contents.append(np.asarray(values, dtype=datatype_of(word).dtype).tobytes())
    return request.SerializeToString()


def values_of(word: str, n: int) -> list[object]:
    rng = random.Random(word)
    if word == "bytes":
        return [rng.randbytes(rng.choice((0, 30, 40))) for _ in range(n)]
    if word == "bool":
        return [rng.random() < 0.5 for _ in range(n)]
    if word.startswith("float"):
        return [float(np.float32(rng.uniform(-9, 9))) for _ in range(n)]
    info = np.iinfo(word)
    return [rng.choice((0, 1, 200 if info.max > 200 else 7, int(info.min), int(info.max))) for _ in range(n)]


@pytest.mark.parametrize("word", FIELDS)
@pytest.mark.parametrize("typed", [True, False])
def test_values_are_those_of_the_parser(word, typed):
    if word == "bytes" and not typed:
        return
    n = 6000
    model, raw = wide_model(word), asked(word, values_of(word, n), [2, n // 2], typed=typed)
    (short, _), (long, _) = decode_message(model, Infer.FromString(raw), LIMITS), _all(in_steps(model, raw))
    assert (short.tensors[0] == long.tensors[0]).all()
    assert short.tensors[0].dtype == long.tensors[0].dtype
    assert (short.id, short.rows, short.shape_key) == (long.id, long.rows, long.shape_key)


def _all(steps):
    found = outcome(lambda: _ended(steps))
    assert not isinstance(found, int), found
    return found


def _ended(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_varints_are_decoded_whatever_their_length():
    wanted = [0, 1, 127, 128, 2**32, 2**63, 2**64 - 1]
    raw = b"".join(_varint(v) for v in wanted) + b"\x80\x80\x00" + b"\x81\x00"
    assert _decoded(np.frombuffer(raw, np.uint8)).tolist() == [*wanted, 0, 1]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_mutated_long_messages_are_read_or_refused_alike():
    rng, kinds = random.Random(5), set()
    for word in ("float32", "int64", "int8", "bytes", "bool"):
        model = wide_model(word)
        for typed in (True, word == "bytes"):
            whole = asked(word, values_of(word, 3000), [3, 1000], typed=typed)
            for _ in range(60):
                raw = bytearray(whole)
                for _ in range(rng.choice((0, 1, 2))):
                    raw[rng.choice((rng.randrange(60), rng.randrange(len(raw))))] = rng.randrange(256)
                said = bytes(raw)
                long = outcome(lambda: _ended(in_steps(model, said)))  # noqa: B023 - called at once
                try:
                    short = outcome(lambda: decode_message(model, Infer.FromString(said), LIMITS))  # noqa: B023
                except Exception:  # noqa: BLE001 - the parser's own
                    short = 400
                kinds.add(isinstance(long, int))
                if isinstance(long, int):
                    assert long in (413, 501) or isinstance(short, int), said[:80]
                elif not isinstance(short, int):
                    np.testing.assert_array_equal(short[0].tensors[0], long[0].tensors[0])
    assert kinds == {True, False}


def hostile(name: str) -> bytes:
    size = 2 * MIB
    tag = {"inputs": b"\x2a\x00", "outputs": b"\x32\x00", "raw tensors": b"\x3a\x00", "parameters": b"\x22\x00"}.get(
        name
    )
    if tag:
        return tag * (size // 2)
    head = b"\x0a\x01x\x12\x05BYTES\x1a\x02\x01\x04" if name == "texts" else b"\x0a\x01x\x12\x05INT64\x1a\x02\x01\x04"
    inner = {
        "texts": b"\x2a" + _varint(size) + b"\x42\x00" * (size // 2),
        "shape": b"\x1a" + _varint(size) + b"\x01" * size,
        "parameters of an input": b"\x22\x00" * (size // 2),
        "small numbers": b"\x2a" + _varint(size + 4) + b"\x1a" + _varint(size) + b"\x01" * size,
        "single numbers": b"\x2a" + _varint(size) + b"\x18\x01" * (size // 2),
        "empty spans": b"\x2a" + _varint(size) + b"\x1a\x00" * (size // 2),
        "spans of one number": b"\x2a" + _varint(size // 3 * 3) + b"\x1a\x01\x01" * (size // 3),
        "empty contents": b"\x2a\x00" * (size // 2),
        "contents of a number": b"\x2a\x02\x18\x01" * (size // 4),
        "contents of a span": b"\x2a\x03\x1a\x01\x01" * (size // 5),
    }[name]
    return b"\x2a" + _varint(len(head + inner)) + head + inner


HOSTILE = ("inputs", "outputs", "raw tensors", "parameters", "texts", "shape", "parameters of an input",
           "small numbers", "single numbers", "empty spans", "spans of one number", "empty contents",
           "contents of a number", "contents of a span")  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "empty contents" else name for name in HOSTILE]
)
def test_a_refused_message_takes_three_times_its_bytes_at_most_and_no_time_of_others(name):
    raw = hostile(name)
    model = wide_model("bytes" if name == "texts" else "int64")
    peak, found = peak_of(lambda: in_steps(model, raw))
    assert found in (400, 413)
    assert peak + len(raw) <= 3 * len(raw), f"{(peak + len(raw)) / len(raw):.1f} times"
    assert longest_step_s(lambda: in_steps(model, raw)) <= STALL_S


@pytest.mark.parametrize(("word", "typed"), [("float32", True), ("int64", True), ("int32", True), ("float32", False)])
def test_an_accepted_message_takes_six_times_its_bytes_at_most_and_no_time_of_others(word, typed):
    n = 400_000
    raw = asked(word, [200 + k % 9000 for k in range(n)], [1, n], typed=typed)
    model = wide_model(word)
    peak, found = peak_of(lambda: in_steps(model, raw))
    assert not isinstance(found, int), found
    assert peak + len(raw) <= 6 * len(raw)
    assert longest_step_s(lambda: in_steps(model, raw)) <= STALL_S


def in_spans(word: str, spans: list[bytes], count: int) -> bytes:
    """A message whose packed contents come in pieces, each of them in contents of its own."""
    tag = bytes([8 * {"float32": 6, "float64": 7, "int64": 3}[word] + 2])
    parts = b"".join(
        b"\x2a" + _varint(len(field)) + field for field in (tag + _varint(len(span)) + span for span in spans)
    )
    head = Infer(inputs=[{"name": "x", "datatype": datatype_of(word).name, "shape": [1, count]}]).inputs[0]
    inner = head.SerializeToString() + parts
    return b"\x2a" + _varint(len(inner)) + inner


@pytest.mark.parametrize("word", ["float32", "float64", "int64"])
def test_packed_numbers_may_come_in_pieces(word):
    values = np.arange(400_000).astype(word)
    whole = values.tobytes() if word != "int64" else b"".join(map(_varint, values.tolist()))
    cuts = [0, 8, 8, 16, len(whole) // 16 * 8, len(whole)] if word != "int64" else [0, 1, 1, 128, len(whole)]
    raw = in_spans(word, [whole[a:b] for a, b in pairwise(cuts)], values.size)
    peak, found = peak_of(lambda: in_steps(wide_model(word), raw))
    np.testing.assert_array_equal(found[0].tensors[0].ravel(), values)
    assert peak + len(raw) <= 6 * len(raw)
    short, _ = decode_message(wide_model(word), Infer.FromString(raw), LIMITS)
    np.testing.assert_array_equal(short.tensors[0], found[0].tensors[0])
    assert longest_step_s(lambda: in_steps(wide_model(word), raw)) <= STALL_S


def test_a_piece_ends_with_a_number():
    whole = np.arange(400_000, dtype=np.float32).tobytes()
    raw = in_spans("float32", [whole[:10], whole[10:]], 400_000)
    assert outcome(lambda: _ended(in_steps(wide_model(), raw))) == 400


def test_floats_of_many_mebibytes_in_two_pieces_are_put_together_in_steps():
    half = np.zeros(8 * MIB, np.float32).tobytes()
    raw = in_spans("float32", [half, half], 16 * MIB)
    assert _all(in_steps(wide_model(), raw))[0].tensors[0].shape == (1, 16 * MIB)
    assert longest_step_s(lambda: in_steps(wide_model(), raw)) <= STALL_S


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("last", ["é", b"\xff", b"a" * 70_000])
def test_texts_of_four_bytes_a_character_keep_to_the_bounds(typed, last):
    texts = [b"a" * 60_000 + "😀".encode()] * 34 + [last.encode() if isinstance(last, str) else last]
    request = Infer(model_name="echo")
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
    if typed:
        tensor.contents.bytes_contents.extend(texts)
    else:
        request.raw_input_contents.append(join_elements(texts))
    raw = request.SerializeToString()
    del request, tensor
    model = echo_model("echo", pipeline="text", max_batch=64)
    peak, found = peak_of(lambda: in_steps(model, raw))
    if isinstance(last, str):
        assert found[0].payloads == [one.decode() for one in texts]
        assert peak + len(raw) <= 6 * len(raw), f"{(peak + len(raw)) / len(raw):.2f} times"
    else:
        assert found in (400, 413)
        assert peak + len(raw) <= 3 * len(raw), f"{(peak + len(raw)) / len(raw):.2f} times"
    assert longest_step_s(lambda: in_steps(model, raw)) <= STALL_S


def test_long_messages_through_the_door():
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    async def test(door) -> None:
        request = raw_request("echo-FP32", values, "FP32")
        request.parameters["note"].string_param = "x" * 62_000
        answer = await door("ModelInfer", request)  # of less than 64 KiB
        assert answer.raw_output_contents[0] == values.tobytes()
        request.parameters["note"].string_param = "x" * 70_000
        assert (await _refused(door, request)).code().name == "RESOURCE_EXHAUSTED"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await door("ModelInfer", hostile("inputs"))
        assert caught.value.code().name == "INVALID_ARGUMENT"
        assert "at most 4 inputs" in caught.value.details()
        answer = await door("ModelInfer", raw_request("echo-FP32", values, "FP32"))
        assert answer.raw_output_contents[0] == values.tobytes()

    on_door(test, Limits(text_bytes=64, image_bytes=256, tensors=4, dims=4, pipelined=8))


async def _refused(door, request):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door("ModelInfer", request)
    return caught.value


def test_a_long_tensor_through_the_door():
    model = echo_model("echo", (TensorSpec(name="x", dtype="float32", shape=(None, None)),))
    n = 100_000
    raw = asked("float32", range(n), [1, n], typed=True)
    (request, _) = _all(in_steps(model, raw))
    assert request.tensors[0].shape == (1, n)
    assert float(request.tensors[0][0, -1]) == n - 1
