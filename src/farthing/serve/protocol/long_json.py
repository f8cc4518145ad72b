"""JSON of more than 64 KiB, read strictly in steps and in bounded memory.

A reader that makes everything at once takes thirty times a hostile body (``[],`` again and again) and stops everyone
else meanwhile. Here what Python's values take is counted while they are made and may be twice the body; lists of
numbers stay where they lie (:mod:`farthing.serve.protocol.number_lists`), and so do long texts. What is accepted is
the same as in :mod:`farthing.serve.protocol.strict_json`.
"""

from __future__ import annotations

import base64
import binascii
import re
from codecs import getincrementaldecoder
from json import JSONDecodeError
from json import decoder as json_decoder
from typing import Any

import orjson

from farthing.serve.protocol.number_lists import measured
from farthing.serve.protocol.signatures import shown
from farthing.serve.requests import Problem
from farthing.serve.turns import LONG_BYTES, STEP_BYTES, Steps

__all__ = ["LongText", "read_long"]

_WHITE = re.compile(rb"[ \t\n\r]*")
_WORD = re.compile(rb"[-+.0-9A-Za-z]{1,400}")
_SHORT_TEXT = re.compile(rb'"([^"\\\x00-\x1f]{0,1000})"')
_TEXT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\.)*+', re.DOTALL)
_NOT_BASE64 = "an image within JSON is base64, and this is not"
_LIST, _OBJECT, _QUOTE, _COLON, _COMMA, _LIST_END, _OBJECT_END = b'[{":,]}'
_END = -1
_SPACES = frozenset(b" \t\n\r")
_SPARE = 2
"""Python's values may take so many times the bytes of the body."""
_VALUE_BYTES, _TEXT_BYTES, _LIST_BYTES, _OBJECT_BYTES, _MEMBER_BYTES = 40, 64, 64, 240, 60
"""About what a number, an empty text, list and object, and a member of an object take."""
_VALUES_A_STEP = 128
_LONGEST_ESCAPED = 512 * 2**10
"""A text with escapes that takes more is only kept where it may be an image's base64."""


class LongText:
    """A text of more than 64 KiB that is not copied yet.

    Args:
        raw: The document.
        start: Of its first byte after the quote.
        stop: Of the closing quote.
        escaped: Whether it holds escapes.
    """

    __slots__ = ("_raw", "_start", "_stop", "escaped")

    def __init__(self, raw: bytes | bytearray, start: int, stop: int, escaped: bool) -> None:
        self._raw, self._start, self._stop, self.escaped = raw, start, stop, escaped

    def __repr__(self) -> str:
        return repr(bytes(self._raw[self._start : self._start + 20]).decode("utf-8", "replace") + "…")

    def __len__(self) -> int:
        """Bytes as sent."""
        return self._stop - self._start

    def utf8(self) -> Steps[bytes]:
        """Its bytes, checked.

        Raises:
            Problem: 400 when they are no UTF-8, 413 when it holds escapes.
        """
        if self.escaped:
            raise Problem(413, f"a text with escapes has {len(self):,} bytes; the limit is {_LONGEST_ESCAPED:,}")
        decoder = getincrementaldecoder("utf-8")()
        try:
            for at in range(self._start, self._stop, LONG_BYTES):
                decoder.decode(bytes(self._raw[at : min(at + LONG_BYTES, self._stop)]))
                yield
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as e:
            raise Problem(400, f"the body is no JSON: a text is no UTF-8: {e.reason}") from e
        return bytes(memoryview(self._raw)[self._start : self._stop])

    def from_base64(self, most_bytes: int) -> Steps[bytes]:
        """What it stands for.

        Raises:
            Problem: 400 when it is no base64, 413 when it stands for more than ``most_bytes``.
        """
        if not self.escaped and len(self) > 4 * (most_bytes // 3 + 1):
            raise Problem(413, f"an image has more than {most_bytes:,} bytes")
        out, left = bytearray(), b""
        for at in range(self._start, self._stop, LONG_BYTES):
            left += bytes(self._raw[at : min(at + LONG_BYTES, self._stop)])
            text = left.replace(b"\\/", b"/") if self.escaped else left
            last = at + LONG_BYTES >= self._stop
            take = len(text) if last else max(0, len(text) // 4 * 4 - (4 if text.endswith(b"\\") else 0))
            left = text[take:]
            out += _decoded(text[:take], last=last)
            if len(out) > most_bytes:
                raise Problem(413, f"an image has more than {most_bytes:,} bytes")
            yield
        return bytes(out)


def _decoded(text: bytes, *, last: bool) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise Problem(400, f"{_NOT_BASE64}: {e}") from e
    if not last and len(found) * 4 != len(text) * 3:  # padding belongs to the end
        raise Problem(400, f"{_NOT_BASE64}: padding within")
    return found


def read_long(raw: bytes | bytearray, depth: int, most_values: int) -> Steps[Any]:
    """Parse a document.

    Args:
        raw: UTF-8; it must not change while what was read is used.
        depth: Nesting allowed.
        most_values: Allowed outside of long lists of numbers.

    Returns:
        As :func:`farthing.serve.protocol.strict_json.read_json`, with a
        :class:`~farthing.serve.protocol.number_lists.NumberList` in place of each long list of numbers (whose values
        are not checked yet) and a :class:`LongText` in place of each long text.

    Raises:
        Problem: 400 when it is no JSON, has a key twice or is nested too deeply; 413 when it has more values or they
            would take more than twice its bytes.
    """
    reader = _Reader(raw, most_values)
    document = yield from reader.value(depth)
    mark = yield from reader.mark()
    if mark != _END:
        raise _no_json("something follows its end", reader.at)
    return document


def _no_json(what: str, at: int) -> Problem:
    return Problem(400, f"the body is no JSON: {what} at byte {at:,}")


class _Reader:
    """Where in a document it is read, and how much memory is left for it."""

    __slots__ = ("_keys", "_left_bytes", "_most", "_raw", "_values", "at")

    def __init__(self, raw: bytes | bytearray, most_values: int) -> None:
        self._raw, self._left_bytes, self._most = raw, _SPARE * max(len(raw), LONG_BYTES), most_values
        self._keys: dict[bytes, str] = {}
        self._values = 0
        self.at = 0

    def _spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise Problem(
                413,
                f"the values of this body of {len(self._raw):,} bytes take more than {_SPARE} times as much memory: "
                "too many short ones that are no lists of numbers",
            )

    def mark(self) -> Steps[int]:
        """The next byte that is no white space, -1 at the end."""
        raw = self._raw
        while True:
            found = _WHITE.match(raw, self.at, self.at + STEP_BYTES)
            assert found is not None
            self.at = found.end()
            if self.at >= len(raw):
                return _END
            if raw[self.at] not in _SPACES:
                return raw[self.at]
            yield

    def value(self, depth: int) -> Steps[Any]:
        """The value that comes next."""
        mark = yield from self.mark()
        self._values += 1
        if self._values % _VALUES_A_STEP == 0:
            if self._values > self._most:
                raise Problem(413, f"the body has more than {self._most:,} values outside of lists of numbers")
            yield
        if mark == _QUOTE:
            return (yield from self._text())
        if mark not in (_LIST, _OBJECT):
            return self._word()
        if depth <= 0:
            raise Problem(400, "the body is nested too deeply")
        if mark == _OBJECT:
            return (yield from self._object(depth - 1))
        numbers = yield from measured(self._raw, self.at, depth)
        if numbers is None:
            return (yield from self._list(depth - 1))
        self._spend(_OBJECT_BYTES)
        self.at = numbers.stop
        return numbers

    def _word(self) -> Any:
        """A number, ``true``, ``false`` or ``null``."""
        found = _WORD.match(self._raw, self.at)
        if found is None:
            raise _no_json("a value is missing", self.at)
        try:
            value = orjson.loads(found[0])
        except orjson.JSONDecodeError as e:
            raise _no_json(f"{shown(found[0].decode('ascii'))} is no value", self.at) from e
        self._spend(_VALUE_BYTES)
        self.at = found.end()
        return value

    def _list(self, depth: int) -> Steps[list[Any]]:
        self._spend(_LIST_BYTES)
        found: list[Any] = []
        self.at += 1
        if (yield from self.mark()) == _LIST_END:
            self.at += 1
            return found
        while True:
            found.append((yield from self.value(depth)))
            self._spend(8)
            mark = yield from self.mark()
            self.at += 1
            if mark == _LIST_END:
                return found
            if mark != _COMMA:
                raise _no_json("a list goes on without a comma", self.at - 1)

    def _object(self, depth: int) -> Steps[dict[str, Any]]:
        self._spend(_OBJECT_BYTES)
        found: dict[str, Any] = {}
        self.at += 1
        mark = yield from self.mark()
        if mark == _OBJECT_END:
            self.at += 1
            return found
        while True:
            if mark != _QUOTE:
                raise _no_json("an object goes on without a key", self.at)
            key = yield from self._key()
            if key in found:
                raise Problem(400, f"the body is no JSON: the key {shown(key)} is there twice")
            if (yield from self.mark()) != _COLON:
                raise _no_json("a key has no colon", self.at)
            self.at += 1
            found[key] = yield from self.value(depth)
            self._spend(_MEMBER_BYTES)
            mark = yield from self.mark()
            self.at += 1
            if mark == _OBJECT_END:
                return found
            if mark != _COMMA:
                raise _no_json("an object goes on without a comma", self.at - 1)
            mark = yield from self.mark()

    def _key(self) -> Steps[str]:
        start = self.at
        key = yield from self._text()
        if isinstance(key, LongText):
            raise Problem(400, f"a key has {len(key):,} bytes")
        return self._keys.setdefault(bytes(self._raw[start : self.at]), key) if len(self._keys) < 64 else key

    def _text(self) -> Steps[str | LongText]:
        short = _SHORT_TEXT.match(self._raw, self.at)
        if short is not None:
            return self._kept(short[1], short.end(), escaped=False)
        start = stop = self.at + 1
        while True:
            found = _TEXT.match(self._raw, stop, stop + STEP_BYTES)
            assert found is not None
            before, stop = stop, found.end()
            if self._raw[stop : stop + 1] == b'"':
                break
            if stop == before:
                raise _no_json("a text has no end or holds a control character", stop)
            yield
        escaped = self._raw.find(b"\\", start, stop) >= 0
        if stop - start > (_LONGEST_ESCAPED if escaped else LONG_BYTES):
            self._spend(_OBJECT_BYTES)
            self.at = stop + 1
            return LongText(self._raw, start, stop, escaped)
        return self._kept(bytes(self._raw[start:stop]), stop + 1, escaped=escaped)

    def _kept(self, raw: bytes, after: int, *, escaped: bool) -> str:
        try:
            text = raw.decode()
            if escaped:
                text = json_decoder.scanstring(text + '"', 0)[0]  # type: ignore[attr-defined]
                text.encode()  # half a surrogate pair is no character
        except (UnicodeError, JSONDecodeError) as e:
            raise _no_json(f"a text cannot be read ({e})", self.at) from e
        self._spend(_TEXT_BYTES + len(raw))
        self.at = after
        return text
