"""Cases about the JSON document and the tensors."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

from farthing.conformance.cases import FINE, MALFORMED, REFUSED, Case
from farthing.conformance.target import Target

__all__ = ["binary_cases", "document_cases", "text_cases"]

_Change = Callable[[dict[str, Any], dict[str, Any]], object]
_OTHER = {"FP32": "INT32", "INT64": "FP64"}
_ABSENT = object()


def _put(key: str, value: Any) -> _Change:
    """Change the first input."""

    def change(document: dict[str, Any], first: dict[str, Any]) -> None:
        if value is _ABSENT:
            first.pop(key, None)
        else:
            first[key] = value

    return change


def _top(key: str, value: Any) -> _Change:
    """Change the request."""

    def change(document: dict[str, Any], first: dict[str, Any]) -> None:
        if value is _ABSENT:
            document.pop(key, None)
        else:
            document[key] = value

    return change


def _wrong_documents(target: Target) -> Iterator[tuple[str, _Change]]:
    first = target.inputs[0]
    shape, count = first.shape, first.count
    value: Any
    yield "no inputs", _top("inputs", _ABSENT)
    for name, value in (("null", None), ("an object", {}), ("empty", []), ("a list of numbers", [1, 2])):
        yield f"inputs {name}", _top("inputs", value)
    yield "inputs a list of lists", _top("inputs", [[]])
    for key in ("name", "shape", "datatype", "data"):
        yield f"input without {key}", _put(key, _ABSENT)
    for value in (None, 7, "", "no such input", "x" * 5000, ["a"]):
        yield f"input name {str(value)[:20]!r}", _put("name", value)
    wrong_type = _OTHER.get(first.datatype, "FP32")
    for value in (wrong_type, None, 7, "", "fp32", "FP31", "COMPLEX64"):
        yield f"datatype {value!r}", _put("datatype", value)
    for name, value in (
        ("null", None),
        ("a number", 4),
        ("a text", "[1]"),
        ("empty", []),
        ("negative", [-1, *shape[1:]]),
        ("all negative", [-d for d in shape]),
        ("zero", [0, *shape[1:]]),
        ("huge", [2**62, *shape[1:]]),
        ("beyond 64 bits", [2**64, *shape[1:]]),
        ("whose product overflows to the right count", [*shape[:-1], (2**64 + count) if shape else 2**64]),
        ("with huge factors", [2**32, 2**32, *shape]),
        ("with a fraction", [1.5, *shape[1:]]),
        ("with a text", ["1", *shape[1:]]),
        ("with a boolean", [True, *shape[1:]]),
        ("nested", [shape]),
        ("of another rank", [*shape, 1, 1, 1]),
        ("of a thousand dimensions", [1] * 1000),
        ("one row more than data", [shape[0] + 1, *shape[1:]] if shape else [2]),
    ):
        yield f"shape {name}", _put("shape", value)
    yield from _wrong_values(target)


def _wrong_values(target: Target) -> Iterator[tuple[str, _Change]]:
    values = target.inputs[0].values()
    text = target.inputs[0].datatype == "BYTES"
    other: Any = 1 if text else "1"
    for name, value in (
        ("null", None),
        ("an object", {}),
        ("a number", 1),
        ("empty", []),
        ("one short", values[:-1]),
        ("one long", [*values, values[0]]),
        ("with null", [*values[:-1], None]),
        ("of another type", [*values[:-1], other]),
        ("with an object", [*values[:-1], {}]),
        ("nested unevenly", [values, values[:1]]),
        ("nested too deeply", [[[[[[values]]]]]]),
        ("with a list among values", [*values[:-1], [values[0]]]),
    ):
        yield f"data {name}", _put("data", value)
    if target.inputs[0].datatype not in ("BYTES", "FP64"):
        yield "data beyond the type", _put("data", [*values[:-1], 10**300])
    for name, parameters in (
        ("null", None),
        ("a list", []),
        ("nested", {"a": {"b": 1}}),
        ("with both data and binary_data_size", {"binary_data_size": 4}),
        ("with a negative binary_data_size", {"binary_data_size": -4}),
        ("naming shared memory that there is not", {"shared_memory_region": "r", "shared_memory_byte_size": 4}),
    ):
        yield f"input parameters {name}", _put("parameters", parameters)
    yield "the input twice", lambda document, first: document["inputs"].append(copy.deepcopy(first))
    extra = {"name": "surplus", "shape": [1], "datatype": "FP32", "data": [1.0]}
    yield "an input too many", lambda document, first: document["inputs"].append(extra)
    yield "a thousand inputs", lambda document, first: document["inputs"].extend([extra] * 1000)
    yield "an input missing", lambda document, first: document["inputs"].pop(0)
    yield from _wrong_rest(target)


def _wrong_rest(target: Target) -> Iterator[tuple[str, _Change]]:
    output = target.outputs[0] if target.outputs else "y"
    value: Any
    for name, outputs in (
        ("an object", {}),
        ("a number", 5),
        ("of numbers", [1]),
        ("unknown", [{"name": "no such output"}]),
        ("without a name", [{}]),
        ("twice", [{"name": output}, {"name": output}]),
        ("with binary_data a text", [{"name": output, "parameters": {"binary_data": "yes"}}]),
        ("with a negative classification", [{"name": output, "parameters": {"classification": -1}}]),
        ("with a classification that is a text", [{"name": output, "parameters": {"classification": "three"}}]),
    ):
        yield f"outputs {name}", _top("outputs", outputs)
    for name, parameters in (
        ("a list", []),
        ("a text", "x"),
        ("with a negative timeout", {"timeout": -1}),
        ("with a timeout that is a text", {"timeout": "soon"}),
        ("with a negative priority", {"priority": -1}),
        ("with binary_data_output a number", {"binary_data_output": 3}),
    ):
        yield f"parameters {name}", _top("parameters", parameters)
    for value in (7, True, [], {"a": 1}):
        yield f"id {value!r}", _top("id", value)


def document_cases(target: Target) -> Iterator[Case]:
    """Requests whose document says something wrong."""
    for name, change in _wrong_documents(target):
        document = target.document()
        change(document, document["inputs"][0])
        allowed = MALFORMED | {501 if "shared memory" in name else 413}
        yield Case(name=name, pieces=(target.request(json.dumps(document).encode()),), allowed=allowed)


def text_cases(target: Target) -> Iterator[Case]:
    """Bodies that are no JSON, or not one that may be read."""
    body = target.body()
    first = target.inputs[0]
    number = b"1" if first.datatype != "BYTES" else b'"hello"'
    data = body.rfind(number)
    name = b'"name"'
    deep = 100_000
    for what, raw in (
        ("empty body", b""),
        ("blanks only", b"   \r\n "),
        ("null", b"null"),
        ("a list", b"[]"),
        ("a number", b"42"),
        ("a text", b'"infer"'),
        ("cut off", body[:-3]),
        ("with a trailing comma", body[:-1] + b",}"),
        ("followed by more", body + b"{}"),
        ("followed by a NUL", body + b"\x00"),
        ("after a byte order mark", b"\xef\xbb\xbf" + body),
        ("in UTF-16", body.decode().encode("utf-16")),
        ("with single quotes", body.replace(b'"', b"'")),
        ("with a comment", b"/* hello */" + body),
        ("with bad UTF-8 in a name", body.replace(name, b'"na\xff\xfeme"', 1)),
        ("with an overlong form in UTF-8", body.replace(b"inputs", b"in\xc0\xb0puts", 1)),
        ("with half a surrogate", body.replace(b'"inputs"', b'"id": "\\ud800", "inputs"', 1)),
        ("with a control character in a text", body.replace(b'"inputs"', b'"id": "a\nb", "inputs"', 1)),
        ("with NaN", body[:data] + b"NaN" + body[data + len(number) :]),
        ("with Infinity", body[:data] + b"Infinity" + body[data + len(number) :]),
        ("with -Infinity", body[:data] + b"-Infinity" + body[data + len(number) :]),
        ("with 1e999", body[:data] + b"1e999" + body[data + len(number) :]),
        ("with a hexadecimal number", body[:data] + b"0x1" + body[data + len(number) :]),
        ("with leading zeros", body[:data] + b"007" + body[data + len(number) :]),
        ("with the key inputs twice", body[:-1] + b"," + body[1:]),
        ("with the key name twice", body.replace(name, b'"name": "other", "name"', 1)),
        ("with the key name twice, once escaped", body.replace(name, b'"\\u006eame": "other", "name"', 1)),
        ("of brackets", b"[" * deep),
        ("nested deeply in data", body[:data] + b"[" * deep + number + b"]" * deep + body[data + len(number) :]),
        ("nested deeply in objects", b'{"inputs":' * deep + b"1" + b"}" * deep),
        ("nested deeply in a key that means nothing", body[:-1] + b',"x":' + b"[" * deep + b"]" * deep + b"}"),
    ):
        yield Case(name=f"body {what}", pieces=(target.request(raw),), allowed=MALFORMED | {413})


def binary_cases(target: Target) -> Iterator[Case]:
    """Raw tensors whose lengths or contents are wrong."""
    head, raw = target.binary()
    size = len(target.inputs[0].raw())
    ask = target.binary_request
    yield Case(name="binary, well-formed", pieces=(ask(head, raw),), allowed=FINE)
    for name, request in (
        ("without the tensors", ask(head, b"")),
        ("one byte short", ask(head, raw[:-1])),
        ("one byte long", ask(head, raw + b"\x00")),
        ("twice as long", ask(head, raw + raw)),
        ("header length 0", ask(head, raw, length=0)),
        ("header length negative", ask(head, raw, length="-1")),
        ("header length one short", ask(head, raw, length=len(head) - 1)),
        ("header length one long", ask(head, raw, length=len(head) + 1)),
        ("header length beyond the body", ask(head, raw, length=len(head + raw) + 1)),
        ("header length beyond 64 bits", ask(head, raw, length=2**64 + len(head))),
        ("header length a text", ask(head, raw, length="ten")),
        ("header length with a sign", ask(head, raw, length=f"+{len(head)}")),
        ("header length with a fraction", ask(head, raw, length=f"{len(head)}.0")),
        ("no header length", target.request(head + raw, "Content-Type: application/octet-stream")),
    ):
        yield Case(name=f"binary, {name}", pieces=(request,), allowed=REFUSED)
    shape = target.inputs[0].shape
    for name, changes in (
        ("size one short", {"parameters": {"binary_data_size": size - 1}}),
        ("size one long", {"parameters": {"binary_data_size": size + 1}}),
        ("size negative", {"parameters": {"binary_data_size": -size}}),
        ("size zero", {"parameters": {"binary_data_size": 0}}),
        ("size huge", {"parameters": {"binary_data_size": 2**63}}),
        ("size a text", {"parameters": {"binary_data_size": str(size)}}),
        ("size a fraction", {"parameters": {"binary_data_size": size + 0.5}}),
        ("size a boolean", {"parameters": {"binary_data_size": True}}),
        ("size missing", {"parameters": {}}),
        ("shape twice as large", {"shape": [2 * shape[0], *shape[1:]]}),
        ("shape negative", {"shape": [-1, *shape[1:]]}),
        ("data as well", {"data": target.inputs[0].values()}),
        ("of another datatype", {"datatype": _OTHER.get(target.inputs[0].datatype, "FP32")}),
    ):
        changed, tensors = target.binary(**changes)
        yield Case(name=f"binary, {name}", pieces=(ask(changed, tensors),), allowed=REFUSED)
    if target.inputs[0].datatype == "BYTES" and len(target.inputs) == 1:
        yield from _elements(target)


def _elements(target: Target) -> Iterator[Case]:
    """BYTES elements whose four-byte lengths are wrong."""
    only = target.inputs[0]
    for name, raw in (
        ("length beyond the end", struct.pack("<I", 100) + b"abc"),
        ("length of four gigabytes", struct.pack("<I", 2**32 - 1) + b"abc"),
        ("cut within a length", b"\x03\x00"),
        ("an element too many", (struct.pack("<I", 1) + b"a") * (only.count + 1)),
        ("bytes after the last", struct.pack("<I", 1) + b"ab"),
    ):
        head, _ = target.binary(parameters={"binary_data_size": len(raw)})
        yield Case(name=f"BYTES, {name}", pieces=(target.binary_request(head, raw),), allowed=REFUSED)
