"""Long bodies of all kinds, and what reading one takes: for the tests, and for the benchmark of the same name.

Memory is counted by tracemalloc, which sees all that Python and its libraries take. How long a step keeps the loop is
taken from the thread's own CPU time, the least of three runs, so that other work on the machine does not count.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator

import orjson
from echo_models import echo_model

from farthing.nouns import TensorSpec
from farthing.serve.limits import Limits
from farthing.serve.protocol.long_requests import infer_in_steps
from farthing.serve.turns import at_once
from farthing.wire.requests import Problem

LIMITS = Limits()
MIB = 2**20
MOST_REFUSED, MOST_TAKEN, STALL_S = 3.0, 6.0, 0.010


def wide_model(dtype: str = "float32"):
    """Any shape of two dimensions."""
    return echo_model(inputs=(TensorSpec(name="x", dtype=dtype, shape=(None, None)),), max_batch=10_000)


def document(data: bytes, shape: list[int], datatype: str = "FP32") -> bytes:
    return b'{"inputs":[{"name":"x","shape":%b,"datatype":"%b","data":%b}]}' % (
        orjson.dumps(shape),
        datatype.encode(),
        data,
    )


def outcome(read: Callable[[], object]) -> object:
    """What was read, or that it was refused."""
    try:
        return read()
    except Problem as problem:
        return problem.status


SIZE = 2 * MIB


def filled(start: bytes, again: bytes, end: bytes) -> bytes:
    """A body of about ``SIZE`` bytes."""
    return start + again * ((SIZE - len(start) - len(end)) // len(again)) + end


def flat(value: bytes, datatype: str) -> bytes:
    count = SIZE // len(value)
    return document(b"[" + value * (count - 1) + value[:-1] + b"]", [1, count], datatype)


def texts(one: bytes, end: bytes = b"", rows: int = 0) -> bytes:
    """A BYTES tensor of the same text again and again, then something else."""
    count = SIZE // (len(one) + 3)
    data = b"[" + b",".join([b'"' + one + b'"'] * count + [end] * (end != b"")) + b"]"
    if rows:
        data = b"[" + b",".join([b"[" + b",".join([b'"' + one + b'"'] * rows) + b"]"] * (count // rows)) + b",[1]]"
        return document(data, [count // rows + 1, rows], "BYTES")
    return document(data, [1, count + (end != b"")], "BYTES")


EMOJI = "😀".encode()
WIDE = b"a" * 60_000 + EMOJI
ESCAPED = b"a\\n" * 10_000 + rb"\ud83d\ude00"
REFUSED = {
    "empty lists": filled(b'{"inputs":[', b"[],", b"[]]}"),
    "empty lists as data": document(filled(b"[", b"[],", b"[]]"), [1, 4]),
    "empty lists alone": filled(b"[", b"[],", b"[]]"),
    "empty objects": filled(b'{"inputs":[', b"{},", b"{}]}"),
    "tiny objects": filled(b"[", b'{"a":1},', b"1]"),
    "keys": b"{" + b",".join(b'"%d":0' % k for k in range(SIZE // 10)) + b"}",
    "tiny texts": document(filled(b"[", b'"ab",', b'""]'), [1, 4]),
    "texts with escapes": document(filled(b"[", b'"\\u0061\\n",', b'""]'), [1, 4]),
    "one text": document(filled(b'["', b"a", b'"]'), [1, 4]),
    "one text that does not end": document(filled(b'["', b"a", b""), [1, 4]),
    "numbers of another shape": document(filled(b"[", b"1,", b"1]"), [1, 4]),
    "more numbers than bytes": document(filled(b"[", b"1,", b"1]"), [1, 2**31 - 1]),
    "rows of another shape": document(filled(b"[", b"[1,2],", b"[1,2]]"), [1, 4]),
    "deep": filled(b"[" * 40, b"[],", b"]"),
    "nested by the end": filled(b"[", b"[" * 30 + b"1" + b"]" * 30 + b",", b"1]"),
    "words": filled(b"[", b"null,", b"null]"),
    "white space": filled(b'{"inputs":', b" \n", b"x}"),
    "a wrong number at the end": flat(b"1,", "FP32")[:-4] + b"x]}]}",
    "a number too large at the end": flat(b"0.1,", "FP32")[:-6] + b"1e99]}]}",
    "numbers as texts": flat(b"1,", "FP32").replace(b"1]", b'"1"]'),
    "wide numbers, wrong at the end": flat(b"1,", "FP64")[:-4] + b"x]}]}",
    "a key twice": filled(b'{"id":"a","id":[', b"1,", b"1]}"),
    "long texts of four bytes a character": texts(WIDE, b"1"),
    "texts of four bytes a character": texts(b"a" * 900 + EMOJI, b"1"),
    "short texts of four bytes a character": texts(b"a" * 40 + EMOJI),
    "tiny texts of four bytes a character": texts(EMOJI),
    "such texts, one too long at the end": texts(WIDE, b'"' + b"a" * 70_000 + b'"'),
    "such texts, one that is none at the end": texts(WIDE, b'"' + b"a" * 70_000 + b'\xff"'),
    "such texts in rows, a number at the end": texts(b"a" * 900 + EMOJI, rows=4),
    "texts in rows, a number at the end": texts(b"a" * 70, rows=4),
    "escaped texts of four bytes a character": texts(ESCAPED, b"1"),
    "keys of four bytes a character": b"{" + b",".join(b'"%d%b":0' % (k, WIDE) for k in range(SIZE // 60_000)) + b"}",
    "one key of four bytes a character": filled(b'{"' + WIDE + b'":[', b"1,", b"1]}"),
    "one long text with escapes": document(filled(b'["', rb"\u4e2d", b'"]'), [1, 1], "BYTES"),
    "raw texts": b"",
    "a long JSON part": b"",
}
RAW_TEXTS = filled(b"", b"\0\0\0\0", b"")
TAKEN = {
    "numbers as FP32": flat(b"1,", "FP32"),
    "fractions as FP32": flat(b"0.12345678,", "FP32"),
    "numbers as FP64": flat(b"1,", "FP64"),
    "fractions as FP64": flat(b"-0.5,", "FP64"),
    "numbers as INT64": flat(b"1,", "INT64"),
    "words as BOOL": flat(b"true,", "BOOL"),
    "rows": document(filled(b"[", b"[0.25,3.5],", b"[0.25,3.5]]"), [190_000, 2]),
}
TAKEN |= {
    "a long JSON part and a raw tensor": b"",
    "texts": texts(b"a" * 60_000),
    "long texts with an emoji": texts(WIDE),
    "texts with an emoji": texts(b"a" * 900 + EMOJI),
    "short texts with an emoji": texts(b"a" * 90 + EMOJI),
    "texts of emojis": texts(EMOJI * 15_000),
    "texts with escapes and an emoji": texts(ESCAPED),
    "short texts with escapes and an emoji": texts(rb"hello\n" * 20 + EMOJI),
    "short texts of ASCII": texts(b"a" * 80),
    "texts for a text model": texts(b"a" * 60_000),
    "texts with an emoji for a text model": texts(WIDE),
    "texts with escapes and an emoji for a text model": texts(ESCAPED),
    "short texts with an emoji for a text model": texts(b"a" * 300 + EMOJI),
}
WORDS = {"BYTES": "bytes", "FP32": "float32", "FP64": "float64", "INT64": "int64", "BOOL": "bool"}


def long_head(end: bytes) -> tuple[bytes, int]:
    """A request of one input in JSON and one in raw bytes, which look like more of the JSON; the JSON's length."""
    count = SIZE // 4
    head = (
        b'{"inputs":[{"name":"y","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},'
        b'{"name":"x","shape":[1,%d],"datatype":"FP32","data":[%b%b]}]}' % (count, b"1.5," * (count - 1) + b"1.5", end)
    )
    return head + b"[[,1,1]]", len(head)


def read(name: str):
    """The steps that read a body of that name, and its size."""
    if name == "raw texts":
        count = len(RAW_TEXTS) // 4
        head = b'{"inputs":[{"name":"x","shape":[1,%d],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}' % (
            count,
            len(RAW_TEXTS),
        )
        body = head + RAW_TEXTS
        return lambda: infer_in_steps(wide_model("bytes"), body, len(head), LIMITS), len(body)
    if "a long JSON part" in name:
        body, head_bytes = long_head(b"x" if name in REFUSED else b"")
        model = echo_model(inputs=[TensorSpec(name=n, dtype="float32", shape=(None, None)) for n in "xy"])
        return lambda: infer_in_steps(model, body, head_bytes, LIMITS), len(body)
    body = TAKEN.get(name) or REFUSED[name]
    if name == "rows":
        rows = body.count(b"[0.25")
        body = body.replace(b"[190000,2]", orjson.dumps([rows, 2]))
        model = echo_model(inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 2)),), max_batch=10**6)
    elif name.endswith("for a text model"):
        count = body.count(b'"a') + body.count(b'"hello')
        body = body.replace(b'"x"', b'"text"').replace(b"[1,%d]" % count, b"[%d]" % count)
        model = echo_model("echo", pipeline="text", max_batch=10_000)
    else:
        found = next((word for key, word in WORDS.items() if b'"%b"' % key.encode() in body[:120]), "float32")
        model = wide_model("bytes" if name in ("tiny texts", "texts with escapes") else found)
        if model.inputs[0].dtype == "bytes":
            body = body.replace(b'"FP32"', b'"BYTES"')
    return lambda: infer_in_steps(model, body, None, LIMITS), len(body)


def peak_of(make: Callable[[], object]) -> tuple[int, object]:
    """Most bytes beyond what there was before, and what came of it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        found = outcome(lambda: at_once(make()))
        return tracemalloc.get_traced_memory()[1] - before, found
    finally:
        tracemalloc.stop()


def longest_step_s(make: Callable[[], Iterator[None]]) -> float:
    """CPU time of the longest step, its end and what is freed then included."""

    def times() -> list[float]:
        steps, found = make(), []
        going = True
        while going:
            begin = time.thread_time()
            try:
                next(steps)
            except (StopIteration, Problem):
                going, steps = False, None
            found.append(time.thread_time() - begin)
        return found

    return max(map(min, zip(*[times() for _ in range(3)], strict=True)))
