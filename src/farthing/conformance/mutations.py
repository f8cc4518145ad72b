"""Seeded changes of well-formed requests: of their structure and of their bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from farthing.conformance.target import Target

__all__ = ["Mutant", "Mutator"]

_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 255, 256, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**40),
    *(0.5, -0.0, 1e-320, 1e38, 3.5e38, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "1", "NaN", "é", "\x00", "\ud800", "a" * 300, [], {}, [[]], [1], {"a": 1}, [None], [{}], [[1], [2]]),
)
_WORDS = ("FP32", "FP64", "FP16", "BF16", "INT64", "INT32", "UINT8", "BOOL", "BYTES", "STRING", "fp32", "")
_KEYS = ("name", "shape", "datatype", "data", "inputs", "outputs", "parameters", "id", "binary_data_size", "x")
_PARAMETERS = (
    *("timeout", "priority", "binary_data_output", "binary_data", "classification", "binary_data_size"),
    *("sequence_id", "sequence_start", "shared_memory_region", "content_type", "custom"),
)
_TOKENS = (
    *(b"NaN", b"Infinity", b"-", b"null", b"true", b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u0000"),
    *(b"\\ud800", b"\x00", b"\xff", b"\xc0\x80", b"\xf0\x9f\x92\xa9", b"1e999", b"-0", b"00", b"9" * 30, b"\r\n\r\n"),
)
_HEAD_TOKENS = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\xff", b",", b"chunked", b"Transfer-Encoding: chunked\r\n"),
    *(
        b"Content-Length: 5\r\n",
        b"Host: a\r\n",
        b"HTTP/1.0",
        b"HTTP/9.9",
        b"%00",
        b"/",
        b"?",
        b"#",
        b"Expect: 100-continue\r\n",
    ),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Inference-Header-Content-Length: 7\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
    ),
)
_DEPTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One changed request.

    Attributes:
        raw: As it goes over the wire.
        body: Its JSON body; None where no referee can judge (raw tensors, changed heads).
        framed: The head is sound, so that the connection goes on after it.
        doomed: It is malformed whatever else it says.
    """

    raw: bytes
    body: bytes | None = None
    framed: bool = True
    doomed: bool = False


class Mutator:
    """Makes mutants of a target's request.

    Args:
        target: Whose.
        seed: Equal seeds make equal mutants.
        heads_frac: Share of mutants whose head is changed (they need a connection each).
    """

    def __init__(self, target: Target, seed: int, *, heads_frac: float = 0.05) -> None:
        self._target, self._heads_frac = target, heads_frac
        self._random = Random(seed)  # noqa: S311 - nothing secret
        self._document = target.document()
        self._body = target.body()
        self._kinds: list[Callable[[], Mutant]] = [self._binary, self._binary_bytes]
        if target.json:
            self._kinds += [self._structure, self._structure, self._bytes, self._bytes, self._values]

    def __next__(self) -> Mutant:
        """One more."""
        if self._random.random() < self._heads_frac:
            return self._head()
        return self._random.choice(self._kinds)()

    def _wrapped(self, body: bytes) -> Mutant:
        return Mutant(raw=self._target.request(body, close=False), body=body)

    def _structure(self) -> Mutant:
        """Members of the document exchanged, dropped, doubled, renamed."""
        document: Any = copy.deepcopy(self._document)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            self._change(document)
        return self._wrapped(json.dumps(document).encode())

    def _change(self, document: dict[str, Any]) -> None:
        pick = self._random
        holder = self._holder(document)
        if isinstance(holder, dict):
            key = pick.choice([*holder, pick.choice(_KEYS)])
            action = pick.randrange(5)
            if action == 0:
                holder.pop(key, None)
            elif action == 1 and key in holder:
                holder[pick.choice(_KEYS)] = holder.pop(key)
            elif action == 2:
                holder["parameters"] = {pick.choice(_PARAMETERS): pick.choice(_ODD)}
            elif action == 3 and key == "datatype":
                holder[key] = pick.choice(_WORDS)
            else:
                holder[key] = self._odd()
        else:
            self._change_list(holder)

    def _change_list(self, holder: list[Any]) -> None:
        pick, at = self._random, self._random.randrange(len(holder) + 1)
        action = pick.randrange(4)
        if action == 0 and holder:
            del holder[at - 1]
        elif action == 1 and holder:
            holder.insert(at, copy.deepcopy(pick.choice(holder)))
        elif action == 2:
            holder.insert(at, self._odd())
        elif holder:
            holder[at - 1] = self._odd()

    def _odd(self) -> Any:
        found = copy.deepcopy(self._random.choice(_ODD))
        for _ in range(self._random.choice((0, 0, 0, 0, 1, 2, _DEPTH))):
            found = [found]
        return found

    def _holder(self, document: Any) -> Any:
        """A random list or object of the document."""
        holder = document
        while True:
            inner = [
                m for m in (holder.values() if isinstance(holder, dict) else holder) if isinstance(m, (list, dict))
            ]
            if not inner or self._random.random() < 0.3:
                return holder
            holder = self._random.choice(inner)

    def _values(self) -> Mutant:
        """Values and shape only: several rows, nested or flat, some of them odd."""
        document = copy.deepcopy(self._document)
        pick = self._random
        for given, described in zip(document["inputs"], self._target.inputs):
            rows = pick.choice((1, 1, 2, 3)) if described.dims and described.dims[0] < 0 else 1
            given["data"] = given["data"] * rows
            if rows > 1:
                given["shape"] = [rows, *given["shape"][1:]]
            for _ in range(pick.choice((0, 0, 1, 2))):
                given["data"][pick.randrange(len(given["data"]))] = pick.choice(_ODD[:24])
            if pick.random() < 0.3:
                given["data"] = [given["data"]]
        return self._wrapped(json.dumps(document).encode())

    def _bytes(self) -> Mutant:
        return self._wrapped(self._garble(self._body, _TOKENS))

    def _garble(self, raw: bytes, tokens: tuple[bytes, ...]) -> bytes:
        """Bytes flipped, cut, doubled, exchanged or put in."""
        pick, found = self._random, bytearray(raw)
        for _ in range(pick.choice((1, 1, 1, 2, 4, 8))):
            at = pick.randrange(len(found) + 1) if found else 0
            action = pick.randrange(6)
            if action == 0 and at < len(found):
                found[at] ^= 1 << pick.randrange(8)
            elif action == 1:
                del found[at : at + pick.choice((1, 1, 2, 8, 64))]
            elif action == 2:
                found[at:at] = pick.choice(tokens)
            elif action == 3:
                start = pick.randrange(len(found) + 1)
                found[at:at] = found[start : start + pick.choice((1, 4, 16, 64))]
            elif action == 4 and at < len(found):
                found[at] = pick.randrange(256)
            else:
                token = pick.choice(tokens)
                found[at : at + len(token)] = token
        return bytes(found)

    def _binary(self) -> Mutant:
        """Raw tensors whose sizes do not agree: always malformed."""
        head, raw = self._target.binary()
        pick = self._random
        action = pick.randrange(4)
        length: int | str | None = None
        if action == 0:
            raw = raw[: pick.randrange(len(raw))]
        elif action == 1:
            raw += pick.randbytes(pick.choice((1, 2, 7, 64)))
        elif action == 2:
            length = len(head) + pick.choice((-1, 1, -len(head), 2**40, len(raw) + 1))
        else:
            size = len(self._target.inputs[0].raw()) + pick.choice((-1, 1, 4, 2**33))
            head, raw = self._target.binary(parameters={"binary_data_size": size})
        return Mutant(raw=self._target.binary_request(head, raw, length=length, close=False), doomed=True)

    def _binary_bytes(self) -> Mutant:
        """The JSON part or the tensors garbled, lengths kept right."""
        head, raw = self._target.binary()
        if self._random.random() < 0.5:
            head = self._garble(head, _TOKENS)
        else:
            raw = self._garble(raw, _TOKENS)
        return Mutant(raw=self._target.binary_request(head, raw, close=False))

    def _head(self) -> Mutant:
        raw = self._target.request(self._body)
        end = raw.index(b"\r\n\r\n")
        return Mutant(raw=self._garble(raw[: end + 4], _HEAD_TOKENS) + raw[end + 4 :], framed=False)
