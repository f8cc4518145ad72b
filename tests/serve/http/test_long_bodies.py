"""Bodies of more than 64 KiB: what they take of memory, and how long anybody waits for them."""

from __future__ import annotations

import base64
import gzip
import json
import random
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from echo_models import Reader, ask, echo_model, image_model, many_types, request_bytes, running, text_model
from kinds_of_bodies import (
    LIMITS,
    MIB,
    MOST_REFUSED,
    MOST_TAKEN,
    REFUSED,
    STALL_S,
    TAKEN,
    document,
    long_head,
    longest_step_s,
    outcome,
    peak_of,
    read,
    wide_model,
)
from onnx import TensorProto, helper

from farthing.nouns import TensorSpec
from farthing.serve.http.connection import Connection
from farthing.serve.http.inflating import inflated
from farthing.serve.limits import Limits
from farthing.serve.protocol.json.long_bodies import read_long
from farthing.serve.protocol.json.long_texts import LongText
from farthing.serve.protocol.json.number_lists import NumberList
from farthing.serve.protocol.json.strict import read_json
from farthing.serve.protocol.long_answers import answer_in_steps, predictions_in_steps
from farthing.serve.protocol.long_requests import infer_in_steps
from farthing.serve.protocol.oip import decode_infer
from farthing.serve.protocol.oip_answers import encode_answer
from farthing.serve.protocol.sagemaker import decode_invocation, encode_predictions, invocation_in_steps
from farthing.serve.protocol.signatures import signature_of
from farthing.serve.turns import at_once
from farthing.wire.dtypes import datatype_of
from farthing.wire.requests import Problem

# — the same as for short bodies ———————————————————————————————————————————————————————————————————————————————————————


def plain(found: object) -> object:
    """A document with its long lists and texts put in."""
    if isinstance(found, NumberList):
        if found.shape is None:
            return orjson.loads(bytes(found._raw[found._start : found.stop]))
        flat = [v for values in found.slices(found.shape, "x") for v in values]
        return np.array(flat, dtype=object).reshape(found.shape).tolist()
    if isinstance(found, LongText):
        return at_once(found.text(10**9, "x"))
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return [plain(value) for value in found] if isinstance(found, list) else found


def documents(rng: random.Random) -> Iterator[bytes]:
    """JSON of all kinds, much of it with long lists of numbers."""

    def value(depth: int) -> object:
        kind = rng.choice(["list", "object", "text", "number", "numbers", "nested", "word"] if depth else ["number"])
        if kind == "list":
            return [value(depth - 1) for _ in range(rng.randrange(6))]
        if kind == "object":
            return {
                rng.choice(["a", "b:c", "é", 'q"', "d\\"]) + str(k): value(depth - 1) for k in range(rng.randrange(5))
            }
        if kind == "text":
            return "".join(rng.choice('ab"\\\n\té😀:,[]{}') for _ in range(rng.choice((0, 3, 40, 2000))))
        if kind == "numbers":
            return [
                rng.choice([rng.random(), rng.randrange(10**6), -1, True]) for _ in range(rng.choice((3, 300, 9000)))
            ]
        if kind == "nested":
            rows, width = rng.choice(((3, 5), (40, 60), (1, 5000), (3000, 1)))
            return [[rng.randrange(1000) for _ in range(width)] for _ in range(rows)]
        return rng.choice([1.5, 2, None, True, "", -3e-7])

    for k in range(160):
        made = value(4)
        yield orjson.dumps(made) if rng.random() < 0.5 else json.dumps(made, indent=1, ensure_ascii=k % 2 > 0).encode()


def test_documents_are_read_as_short_ones_are():
    rng = random.Random(1)
    roomy = 10**9
    for raw in documents(rng):
        padded = raw + b" " * (30 * len(raw))  # room for its values
        found = at_once(read_long(padded, 32, roomy))
        assert plain(found) == read_json(raw, 32), raw[:300]


def test_what_is_no_json_for_short_bodies_is_none_for_long_ones():
    rng = random.Random(2)
    seen = {True: 0, False: 0}
    for raw in documents(rng):
        for _ in range(4):
            broken = bytearray(raw)
            for _ in range(rng.choice((1, 2))):
                at = rng.randrange(len(broken))
                broken[at : at + rng.randrange(2)] = rng.choice(
                    [b",", b"]", b"[", b"", b'"', b"0", b"\x01", b"-", b"e", b"\\"]
                )
            said = bytes(broken) + b" " * (30 * len(broken))
            short = outcome(lambda: read_json(bytes(broken), 32))  # noqa: B023 - called at once
            try:
                long = plain(at_once(read_long(said, 32, 10**9)))
            except (Problem, orjson.JSONDecodeError):  # lists within lists may be valid JSON that has no shape
                assert short == 400 or ragged(short), broken[:200]
                seen[False] += 1
            else:
                assert long == short, broken[:300]
                seen[True] += 1
    assert min(seen.values()) > 50


def ragged(found: object) -> bool:
    """Whether lists of numbers of different lengths or depths lie beside each other somewhere."""
    if isinstance(found, dict):
        return any(map(ragged, found.values()))
    if not isinstance(found, list):
        return False
    kinds = {len(v) if isinstance(v, list) else None for v in found}
    return len(kinds) > 1 or kinds == {0} or any(map(ragged, found))


def numbers_of(rng: random.Random, word: str, count: int) -> list[object]:
    datatype = datatype_of(word)
    if datatype.name == "BOOL":
        return [rng.random() < 0.5 for _ in range(count)]
    if float in datatype.json_types:
        return [round(rng.uniform(-9, 9), rng.randrange(4)) for _ in range(count)]
    return [rng.randrange(100) for _ in range(count)]


@pytest.mark.parametrize("word", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_values_are_those_of_short_bodies_whatever_is_wrong_with_them(word):
    rng = random.Random(word)
    model, name = wide_model(word), datatype_of(word).name
    kept = 0
    for k in range(120):
        rows, width = rng.choice(((1, 7), (3, 400), (900, 2), (1, 9000), (50, 50)))
        flat = numbers_of(rng, word, rows * width)
        data = orjson.dumps([flat[r * width : (r + 1) * width] for r in range(rows)] if k % 2 else flat)
        raw = bytearray(document(data, [rows, width], name))
        if k % 3 == 0:
            at = rng.randrange(50, len(raw))
            raw[at : at + 1] = rng.choice([b"]", b"[", b",", b"9", b"1e999", b"", b"true", b"null", b'"a"'])
        said = bytes(raw)
        short = outcome(lambda: decode_infer(model, said, None, LIMITS))  # noqa: B023
        long = outcome(lambda: at_once(infer_in_steps(model, said, None, LIMITS)))  # noqa: B023
        if isinstance(short, int) or isinstance(long, int):
            assert short == long or {short, long} == {400, 413}, said[:200]
            continue
        kept += 1
        assert long.shape_key == short.shape_key and long.rows == short.rows
        np.testing.assert_array_equal(long.tensors[0], short.tensors[0])
        assert long.tensors[0].dtype == short.tensors[0].dtype
    assert kept > 60


@pytest.mark.parametrize(
    "raw",
    [
        b"[1,2,,3]", b"[,1]", b"[1,]", b"[[1,2],[3,4]", b"[[1,2],3,4]", b"[[1],[2,3,4]]", b"[[],[1,2,3,4]]",
        b"[[1,2],[],[3,4]]", b"[1 2,3]", b"[01,2]", b"[1,2]]", b"[-,1]", b"[tru,1]", b"[[[1,2,3,4]]]",
    ],
)  # fmt: skip
def test_wrong_lists_are_refused_wherever_they_are_cut(raw, monkeypatch):
    model = echo_model(inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 2)),))
    monkeypatch.setattr("farthing.serve.protocol.json.number_lists._FEWEST_BYTES", 8)
    for step in range(2, 30):
        monkeypatch.setattr("farthing.serve.protocol.json.number_lists.STEP_BYTES", step)
        body = document(raw.replace(b"1", b"1.000000"), [2, 2])
        assert outcome(lambda: at_once(infer_in_steps(model, body + b" " * 9000, None, LIMITS))) == 400  # noqa: B023
        good = document(b"[[1, 2 ],\n[ 3,4]]", [2, 2]) + b" " * 9000
        if step > 6:
            found = at_once(infer_in_steps(model, good, None, LIMITS))
            np.testing.assert_array_equal(found.tensors[0], [[1, 2], [3, 4]])


def test_plain_requests_and_tables_are_the_same_in_steps():
    model = echo_model()
    rows = np.round(np.random.default_rng(0).normal(size=(8, 4)), 3)
    table = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    bodies = [
        ("application/json", orjson.dumps({"instances": rows.tolist()})),
        ("application/json", orjson.dumps({"inputs": {"x": rows.tolist()}})),
        ("application/json", orjson.dumps({"instances": [{"x": row} for row in rows.tolist()]})),
        ("text/csv", (table + "\n\n \n").encode()),
        ("text/csv", table.replace("\n", "\r\n").encode()),
        ("text/csv", table.replace(",", ";").encode()),
        ("text/csv", (table + "\n1,2").encode()),
        ("application/json", orjson.dumps({"instances": [*rows.tolist(), [1, 2]]})),
        ("text/plain", b"hello"),
    ]
    for kind, raw in bodies:
        padded = raw if kind != "application/json" else raw + b" " * 40_000
        short = outcome(lambda: decode_invocation(model, raw, kind, None, LIMITS))  # noqa: B023
        long = outcome(lambda: at_once(invocation_in_steps(model, padded, kind, None, LIMITS)))  # noqa: B023
        if isinstance(short, int):
            assert short == long, raw[:100]
        else:
            assert short[1] == long[1]
            np.testing.assert_array_equal(short[0].tensors[0], long[0].tensors[0])


def test_texts_and_images_in_steps():
    texts = ["a" * 50_000, "b\n" * 1000, "é😀" * 3000, "ok"]
    raw = orjson.dumps({"inputs": [{"name": "text", "shape": [4], "datatype": "BYTES", "data": texts}]})
    model = text_model()
    assert at_once(infer_in_steps(model, raw, None, LIMITS)).payloads == texts
    too_long = raw.replace(b"a" * 50_000, b"a" * 70_000)
    assert outcome(lambda: at_once(infer_in_steps(model, too_long, None, LIMITS))) == 413
    picture = random.Random(3).randbytes(300_001)
    encoded = base64.b64encode(picture).decode()
    for text in (orjson.dumps(encoded), orjson.dumps(encoded).replace(b"/", b"\\/")):
        body = b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%b]}]}' % text
        assert at_once(infer_in_steps(image_model(), body, None, LIMITS)).payloads == [picture]
        for wrong in (body.replace(b'"]', b'="]'), body.replace(b'"]', b'$"]'), body[:5000] + b"=" + body[5001:]):
            assert outcome(lambda: at_once(infer_in_steps(image_model(), wrong, None, LIMITS))) == 400  # noqa: B023


def spelled(rng: random.Random, text: str) -> bytes:
    """As JSON, some of its characters escaped."""
    if rng.random() < 0.3:
        return orjson.dumps(text)
    return (
        b'"'
        + b"".join(json.dumps(c).encode()[1:-1] if c in '"\\\n\t' or rng.random() < 0.1 else c.encode() for c in text)
        + b'"'
    )


def test_texts_of_all_widths_are_read_as_short_ones_are():
    rng = random.Random(11)
    alphabets = ("ab", "abé", "日本a", "a😀\n", '\\"/\n', "é日😀\\")
    text, tensor = text_model(), wide_model("bytes")
    for k in range(120):
        said = ["".join(rng.choices(rng.choice(alphabets), k=rng.choice((0, 7, 90, 3000, 14_000)))) for _ in range(4)]
        values = b"[" + b",".join(spelled(rng, one) for one in said) + b"]"
        for model, raw in (
            (text, document(values, [4], "BYTES").replace(b'"x"', b'"text"')),
            (tensor, document(values, [1, 4], "BYTES")),
        ):
            if k % 4 == 0:
                at = rng.randrange(len(raw))
                raw = raw[:at] + rng.choice((b"\xff", b"\x80", b"\\", b"\\ud83d", b"\\ude00x")) + raw[at:]
            padded = raw + b" " * 400_000
            short = outcome(lambda: decode_infer(model, raw, None, LIMITS))  # noqa: B023 - called at once
            long = outcome(lambda: at_once(infer_in_steps(model, padded, None, LIMITS)))  # noqa: B023
            if isinstance(short, int):
                assert short == long, raw[:200]
            elif model is text:
                assert long.payloads == short.payloads
                assert k % 4 == 0 or long.payloads == said
                assert long.length == short.length
            else:
                np.testing.assert_array_equal(long.tensors[0], short.tensors[0])
                if k % 4:
                    assert long.tensors[0].ravel().tolist() == [one.encode() for one in said]


def test_names_and_parameters_may_be_wide():
    wide = "é😀" * 2000
    body = document(b"[1,2]", [1, 2])[:-1] + orjson.dumps({"parameters": {wide: wide}, "id": "😀" * 256})[1:-1].join(
        (b",", b"}")
    )
    assert at_once(infer_in_steps(wide_model(), body + b" " * 70_000, None, LIMITS)).id == "😀" * 256


def test_a_text_of_a_tensor_has_the_limit_of_a_text():
    limits = Limits(text_bytes=70_000)
    for one, status in (("a" * 70_000, 0), ("a" * 70_001, 413), ("é" * 35_000, 0), ("é" * 35_001, 413)):
        for said in (orjson.dumps([one]), json.dumps([one]).encode(), orjson.dumps([one]).replace(b"a", b"\\u0061")):
            body = document(said, [1, 1], "BYTES")
            found = outcome(lambda: at_once(infer_in_steps(wide_model("bytes"), body, None, limits)))  # noqa: B023
            assert found == status if status else found.tensors[0].tolist() == [[one.encode()]]


def test_a_single_wide_text_may_stand_alone():
    body = orjson.dumps({"inputs": "é😀" * 2000}) + b" " * 70_000
    request, plain = at_once(invocation_in_steps(text_model(), body, "application/json", None, LIMITS))
    assert plain and request.payloads == ["é😀" * 2000]


def test_a_long_json_part_ends_where_its_header_says_and_is_not_kept():
    (body, head_bytes), model = long_head(b""), wide_model()
    inputs = tuple(replace(model.inputs[0], name=name) for name in "xy")
    model = echo_model(inputs=inputs)
    request = at_once(infer_in_steps(model, body, head_bytes, LIMITS))
    assert (request.tensors[0] == 1.5).all()
    assert request.tensors[1].tobytes() == body[head_bytes:]
    assert not signature_of(model).headers
    for cut in (-20, -3, -2, -1, 1, 2, 8):
        found = outcome(lambda: at_once(infer_in_steps(model, body, head_bytes + cut, LIMITS)))  # noqa: B023
        assert found in (400, 413)


@pytest.mark.parametrize("tail", [b'"', b"1", b"]", b"}", b" ", b"e5", b"e", b"]]}", b"\\n"])
def test_what_follows_a_document_is_none_of_it(tail):
    rng = random.Random(12)
    for raw in islice(documents(rng), 40):
        for end in (len(raw), len(raw) - 1, rng.randrange(len(raw)), 0):
            said = raw[:end] + tail * 20
            alone = outcome(lambda: plain(at_once(read_long(raw[:end], 32, 10**9))))  # noqa: B023 - called at once
            assert outcome(lambda: plain(at_once(read_long(said, 32, 10**9, end)))) == alone  # noqa: B023


def test_answers_are_written_alike_in_steps():
    rng = np.random.default_rng(4)
    model = many_types()
    signature = signature_of(model)
    outputs = [
        np.array([[b"a", b"\xc3\xa9"]] * 5000, dtype=object)
        if slot.datatype.name == "BYTES"
        else rng.integers(0, 2, size=(5000, 2)).astype(slot.datatype.dtype)
        for slot in signature.outputs
    ]
    parts, size = at_once(answer_in_steps(signature, signature.all_json, "id", outputs, {"a": "b"}))
    assert (b"".join(parts), size) == encode_answer(signature, signature.all_json, "id", outputs, {"a": "b"})
    joined = b"".join(at_once(predictions_in_steps(signature, outputs)))
    assert orjson.loads(joined) == orjson.loads(encode_predictions(signature, outputs))


def test_inflating_in_steps():
    raw = random.Random(5).randbytes(300_000) + bytes(900_000)
    held: list[int] = []
    assert at_once(inflated(gzip.compress(raw), "gzip", MIB * 2, held.append)) == raw
    assert sum(held) == len(raw)
    for body, status in ((gzip.compress(raw)[:-9], 400), (gzip.compress(raw) + b"x", 400), (b"nonsense", 400)):
        assert outcome(lambda: at_once(inflated(body, "gzip", MIB * 2, held.append))) == status  # noqa: B023
    assert outcome(lambda: at_once(inflated(gzip.compress(raw), "gzip", MIB, held.append))) == 413


# — memory and stalls ——————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_body_takes_three_times_its_bytes_at_most(name):
    make, size = read(name)
    peak, found = peak_of(make)
    assert found in (400, 413), found
    assert peak + size <= MOST_REFUSED * size + 64 * 1024, f"{(peak + size) / size:.2f} times"


@pytest.mark.parametrize("name", TAKEN)
def test_an_accepted_body_takes_six_times_its_bytes_at_most(name):
    make, size = read(name)
    peak, found = peak_of(make)
    assert not isinstance(found, int), found
    assert peak + size <= MOST_TAKEN * size, f"{(peak + size) / size:.2f} times"


@pytest.mark.parametrize("name", [*REFUSED, *TAKEN])
def test_no_step_of_reading_keeps_the_loop(name):
    assert longest_step_s(read(name)[0]) <= STALL_S


def test_no_step_of_writing_keeps_the_loop():
    model = wide_model()
    signature = signature_of(model)
    outputs = [np.random.default_rng(0).normal(size=(4, 250_000)).astype(np.float32)]
    for make in (
        lambda: answer_in_steps(signature, signature.all_json, "", outputs),
        lambda: predictions_in_steps(signature, outputs),
    ):
        assert longest_step_s(make) <= STALL_S


def test_the_benchmark_finds_these_bodies():
    benchmarks = Path(__file__).parents[3] / "benchmarks"
    script = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[1] + '/long_bodies.py')"
    done = subprocess.run([sys.executable, "-c", script, benchmarks], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# — through the door ———————————————————————————————————————————————————————————————————————————————————————————————————


def test_long_bodies_through_the_door():
    values = np.round(np.random.default_rng(1).normal(size=(3, 40_000)), 4).astype(np.float32)
    with running(wide_model()) as server:
        path = "/v2/models/echo/infer"
        body = document(orjson.dumps(values.tolist()), [3, 40_000])
        packed = request_bytes(path, gzip.compress(body), "Content-Encoding: gzip")
        for raw in (request_bytes(path, body), packed):
            status, _, text = ask(server, raw)
            assert status == 200, text[:300]
            np.testing.assert_array_equal(np.float32(orjson.loads(text)["outputs"][0]["data"]), values.ravel())
        status, _, text = ask(server, request_bytes("/invocations", orjson.dumps({"instances": values.tolist()})))
        np.testing.assert_array_equal(np.float32(orjson.loads(text)["predictions"]), values)
        for hostile in REFUSED.values():
            if hostile:
                assert ask(server, request_bytes(path, hostile))[0] in (400, 413)
        assert server.server.held_bytes == 0
        assert server.heard.answers == 3


def chunked(path: str, body: bytes, size: int) -> bytes:
    pieces = b"".join(
        b"%x\r\n%b\r\n" % (len(body[k : k + size]), body[k : k + size]) for k in range(0, len(body), size)
    )
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + pieces + b"0\r\n\r\n"


@pytest.mark.parametrize("pipelined", [1, 2, 64])
def test_rows_of_long_requests_come_to_their_end_however_few_may_be_in_flight(pipelined):
    body = document(orjson.dumps([0.5] * 20_000), [1, 20_000])
    path = "/v2/models/echo/infer"
    row = [chunked(path, body, 5000), request_bytes(path, body), request_bytes("/v2", method="GET")] * 4
    with running(wide_model(), limits=Limits(pipelined=pipelined)) as server, server.connect() as sock:
        sock.settimeout(60)
        writer = threading.Thread(target=sock.sendall, args=(b"".join(row),))
        writer.start()
        reader = Reader(sock)
        answers = [reader.answer() for _ in row]
        writer.join()
    assert [answer[0] for answer in answers] == [200] * len(row)
    assert all(len(answer[2]) > 20_000 for k, answer in enumerate(answers) if k % 3 < 2)


@pytest.mark.parametrize("size", [1, 2])
def test_a_body_of_tiny_chunks_takes_no_more_than_its_bytes(size):
    count = MIB // 4 // size
    body = document(orjson.dumps([0.5] * count), [1, count])
    raw = chunked("/v2/models/echo/infer", body, size)
    with running(wide_model()) as server:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            status, _, text = ask(server, raw)
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert status == 200, text[:300]
    assert peak - 2 * len(text) <= 6 * len(body), f"{peak / len(body):.1f} times"  # the client holds the answer twice


@pytest.mark.parametrize(
    "raw", [chunked("/v2/models/echo/infer", b"1" * 60_000, 1), request_bytes("/v2", method="GET") * 9000]
)
def test_no_turn_of_parsing_keeps_the_loop(raw, monkeypatch):
    """Chunks of one byte, and a row of requests, in one read of 256 KiB."""
    took: list[float] = []

    def timed(method):
        def run(self, *args):
            begin = time.thread_time()
            method(self, *args)
            took.append(time.thread_time() - begin)

        return run

    monkeypatch.setattr(Connection, "_feed_rest", timed(Connection._feed_rest))
    monkeypatch.setattr(Connection, "data_received", timed(Connection.data_received))
    longest = []
    for _ in range(3):
        took.clear()
        with running(wide_model()) as server, server.connect() as sock:
            sock.sendall(raw[: 256 * 1024])
            end = time.monotonic() + 20
            while time.monotonic() < end and not (server.call(lambda: idle(server)) and took):
                time.sleep(0.01)
        longest.append(max(took))
        assert len(took) > 1
    assert min(longest) <= STALL_S


def idle(server) -> bool:
    """Whether all that came was looked at."""
    return all(not connection._unfed for connection in server.server._connections)


def resident_kib(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(field))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("inline", ["never", "always"])
def test_the_process_of_a_server_stays_small(tmp_path, start_server, inline):
    """Resident memory, which no library can hide, of a server that is asked with eight MiB."""
    served = start_server(write_mean(tmp_path / "mean.onnx"), "--inline", inline, "--grpc-port", "none")
    pid, path = served.process.pid, "/v2/models/mean/infer"
    eight = 8 * MIB
    value = b"0.12345678,"
    count = eight // len(value)
    good = document(b"[" + value * (count - 1) + value[:-1] + b"]", [1, count])
    bad = [
        b'{"inputs":[' + b"[]," * (eight // 3) + b"[]]}",
        document(b"[" + b"1," * (eight // 2) + b"x]", [1, eight // 2 + 1]),
        document(b'["' + b"a" * eight + b'"]', [1, 4]),
    ]
    small = document(b"[1,2,3,4]", [1, 4])
    assert served.request("POST", path, small)[0] == 200
    assert served.request("POST", path, good)[0] == 200  # what is made once is there
    for body, times in [(good, 6), *((b, 3) for b in bad)]:
        before = resident_kib(pid, "VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        status, answer = served.request("POST", path, body)
        assert (status == 200) is (body is good), answer
        if body is good:
            assert answer["outputs"][0]["data"] == pytest.approx([0.12345678], rel=1e-3)
        more = resident_kib(pid, "VmHWM") - before
        assert more * 1024 <= times * len(body) + MIB, f"{more * 1024 / len(body):.1f} times"


def write_mean(path: Path) -> Path:
    """x: n × m → y: n × 1, the mean of each row."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", d]) for n, d in (("x", "m"), ("y", 1)))
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)
    graph = helper.make_graph([node], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
