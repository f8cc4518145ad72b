"""The server and model under test, and one well-formed request for it."""

from __future__ import annotations

import http.client
import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = ["Input", "Target", "read_target"]

SIZES_BYTES: Mapping[str, int] = {
    "BOOL": 1,
    **{f"{sign}INT{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}
_FREE_DIM = 2
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input as the server describes it.

    Attributes:
        name: Of the input.
        datatype: Of its elements.
        dims: −1 where free.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]

    @property
    def shape(self) -> list[int]:
        """A shape of one row that fits."""
        return [(1 if axis == 0 else _FREE_DIM) if dim < 0 else dim for axis, dim in enumerate(self.dims)]

    @property
    def count(self) -> int:
        """Elements of that shape."""
        return math.prod(self.shape)

    def values(self) -> list[Any]:
        """Elements that fit."""
        if self.datatype == "BYTES":
            return ["hello"] * self.count
        return [self.datatype == "BOOL" or 1] * self.count

    def raw(self) -> bytes:
        """The same as raw bytes; an input of BYTES called ``image`` gets a small picture."""
        if self.datatype == "BYTES":
            element = PICTURE if self.name == "image" else b"hello"
            return (struct.pack("<I", len(element)) + element) * self.count
        ones = {"FP16": b"\x00\x3c", "BF16": b"\x80\x3f", "FP32": struct.pack("<f", 1), "FP64": struct.pack("<d", 1)}
        one = ones.get(self.datatype, (1).to_bytes(SIZES_BYTES.get(self.datatype, 1), "little"))
        return one * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to send requests.

    Attributes:
        host: Of the server.
        port: Of the server.
        model: Name.
        inputs: As its metadata say.
        outputs: Names.
        json: Whether the model's inputs can come as JSON (an image's bytes cannot).
    """

    host: str
    port: int
    model: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    json: bool = True

    @property
    def path(self) -> str:
        """Of its infer address."""
        return f"/v2/models/{quote(self.model)}/infer"

    def document(self) -> dict[str, Any]:
        """A well-formed request as JSON."""
        inputs = [{"name": i.name, "shape": i.shape, "datatype": i.datatype, "data": i.values()} for i in self.inputs]
        return {"inputs": inputs}

    def body(self) -> bytes:
        """The same, encoded."""
        return json.dumps(self.document()).encode()

    def binary(self, **changes: Any) -> tuple[bytes, bytes]:
        """A well-formed request with raw tensors: its JSON part and the tensors; ``changes`` go to the first input."""
        raws = [i.raw() for i in self.inputs]
        inputs: list[dict[str, Any]] = [
            {"name": i.name, "shape": i.shape, "datatype": i.datatype, "parameters": {"binary_data_size": len(raw)}}
            for i, raw in zip(self.inputs, raws)
        ]
        inputs[0].update(changes)
        return json.dumps({"inputs": inputs}).encode(), b"".join(raws)

    def request(
        self,
        body: bytes,
        *headers: str,
        method: str = "POST",
        path: str | None = None,
        version: str = "1.1",
        length: str | None = "",
        close: bool = True,
    ) -> bytes:
        """One request as it goes over the wire; ``length`` is its Content-Length, empty for the true one."""
        lines = [f"{method} {path or self.path} HTTP/{version}", f"Host: {self.host}:{self.port}"]
        if length is not None:
            lines.append(f"Content-Length: {length or len(body)}")
        if not any(h.lower().startswith("content-type") for h in headers):
            lines.append("Content-Type: application/json")
        lines.extend(headers)
        if close:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def binary_request(self, head: bytes, raw: bytes, *, length: int | str | None = None, close: bool = True) -> bytes:
        """A request with raw tensors."""
        header = f"Inference-Header-Content-Length: {len(head) if length is None else length}"
        return self.request(head + raw, header, "Content-Type: application/octet-stream", close=close)


def _picture() -> bytes:
    """A white picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\xff\xff")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PICTURE = _picture()


def read_target(address: str, model: str) -> Target:
    """Ask a server for a model's metadata.

    Args:
        address: ``http://host:port``.
        model: Name.

    Raises:
        ValueError: when the address is no such, or the server does not describe the model.
        OSError: when it does not answer.
    """
    parts = urlsplit(address if "//" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{address} is no http://host:port")
    host, port = parts.hostname, parts.port or 80
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"/v2/models/{quote(model)}")
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{address} says {answer.status} to the metadata of {model}: {text[:200]!r}")
    found = json.loads(text)
    inputs = tuple(
        Input(name=i["name"], datatype=i["datatype"], dims=tuple(int(d) for d in i["shape"])) for i in found["inputs"]
    )
    picture = len(inputs) == 1 and inputs[0].datatype == "BYTES" and inputs[0].name == "image"
    outputs = tuple(o["name"] for o in found["outputs"])
    return Target(host=host, port=port, model=model, inputs=inputs, outputs=outputs, json=not picture)
