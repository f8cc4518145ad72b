"""JSON of more than 64 KiB, read strictly in steps and in bounded memory.

A reader that makes everything at once takes thirty times a hostile body (``[],`` again and again) and stops everyone
else meanwhile. Here what Python's values take is counted while they are made and may be twice the body; lists of
numbers stay where they lie (:mod:`farthing.serve.protocol.json.number_lists`), and so do texts that are long or would
be wider in memory than as sent (:mod:`farthing.serve.protocol.json.long_texts`). What is accepted is the same as in
:mod:`farthing.serve.protocol.json.strict`.
"""

from __future__ import annotations

import re
from sys import getsizeof
from typing import Any

import orjson

from farthing.serve.protocol.json.long_texts import LEFT_BYTES, LongText, Measure, from_json, joined, measure
from farthing.serve.protocol.json.number_lists import measured
from farthing.serve.protocol.signatures import shown
from farthing.serve.turns import LONG_BYTES, STEP_BYTES, Steps
from farthing.wire.requests import Problem

__all__ = ["read_long"]

_WHITE = re.compile(rb"[ \t\n\r]*")
_WORD = re.compile(rb"[-+.0-9A-Za-z]{1,400}")
_SHORT_TEXT = re.compile(rb'"([^"\\\x00-\x1f]{0,1000})"')
_TEXT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\.)*+', re.DOTALL)
_LIST, _OBJECT, _QUOTE, _COLON, _COMMA, _LIST_END, _OBJECT_END = b'[{":,]}'
_END = -1
_SPACES = frozenset(b" \t\n\r")
_SPARE = 2
"""Python's values may take so many times the bytes of the body."""
_VALUE_BYTES, _LIST_BYTES, _OBJECT_BYTES, _MEMBER_BYTES = 40, 64, 240, 60
"""About what a number, an empty list and object, and a member of an object take."""
_VALUES_A_STEP = 128
_SHORT_BYTES = 4 * 2**10
"""A text of so many bytes is read at once, and one outside of lists (a name, a parameter) then is Python's own."""
_KEPT_KEYS, _KEPT_KEY_BYTES = 64, 256
"""Keys that objects share."""
_ROUND_BYTES = 15
"""The allocator hands out multiples of 16 bytes."""


def read_long(raw: bytes | bytearray, depth: int, most_values: int, end_bytes: int | None = None) -> Steps[Any]:
    """Parse a document.

    Args:
        raw: UTF-8; it must not change while what was read is used.
        depth: Nesting allowed.
        most_values: Allowed outside of long lists of numbers.
        end_bytes: Of the document, where raw tensors follow it; None for all of ``raw``.

    Returns:
        As :func:`farthing.serve.protocol.json.strict.read_json`, with a
        :class:`~farthing.serve.protocol.json.number_lists.NumberList` in place of each long list of numbers (whose
        values are not checked yet) and a :class:`~farthing.serve.protocol.json.long_texts.LongText` in place of each
        text of more than 64 KiB, and of texts with other characters than ASCII's that are in lists or have more than
        4 KiB.

    Raises:
        Problem: 400 when it is no JSON, has a key twice or is nested too deeply; 413 when it has more values or they
            would take more than twice its bytes.
    """
    reader = _Reader(raw, len(raw) if end_bytes is None else end_bytes, most_values)
    document = yield from reader.value(depth)
    mark = yield from reader.mark()
    if mark != _END:
        raise _no_json("something follows its end", reader.at)
    return document


def _no_json(what: str, at: int) -> Problem:
    return Problem(400, f"the body is no JSON: {what} at byte {at:,}")


class _Reader:
    """Where in a document it is read, and how much memory is left for it."""

    __slots__ = ("_end", "_keys", "_left_bytes", "_most", "_raw", "_values", "at")

    def __init__(self, raw: bytes | bytearray, end: int, most_values: int) -> None:
        self._raw, self._end, self._most = raw, end, most_values
        self._left_bytes = _SPARE * max(end, LONG_BYTES)
        self._keys: dict[bytes, str] = {}
        self._values = 0
        self.at = 0

    def _spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise Problem(
                413,
                f"the values of this JSON of {self._end:,} bytes take more than {_SPARE} times as much memory: "
                "too many short ones that are no lists of numbers",
            )

    def mark(self) -> Steps[int]:
        """The next byte that is no white space, -1 at the end."""
        raw = self._raw
        while True:
            found = _WHITE.match(raw, self.at, min(self.at + STEP_BYTES, self._end))
            assert found is not None
            self.at = found.end()
            if self.at >= self._end:
                return _END
            if raw[self.at] not in _SPACES:
                return raw[self.at]
            yield

    def value(self, depth: int, *, listed: bool = False) -> Steps[Any]:
        """The value that comes next, of a list or not."""
        mark = yield from self.mark()
        self._values += 1
        if self._values % _VALUES_A_STEP == 0:
            if self._values > self._most:
                raise Problem(413, f"the body has more than {self._most:,} values outside of lists of numbers")
            yield
        if mark == _QUOTE:
            return (yield from self._text(listed=listed))
        if mark not in (_LIST, _OBJECT):
            return self._word()
        if depth <= 0:
            raise Problem(400, "the body is nested too deeply")
        if mark == _OBJECT:
            return (yield from self._object(depth - 1))
        numbers = yield from measured(self._raw, self.at, self._end, depth)
        if numbers is None:
            return (yield from self._list(depth - 1))
        self._spend(_OBJECT_BYTES)
        self.at = numbers.stop
        return numbers

    def _word(self) -> Any:
        """A number, ``true``, ``false`` or ``null``."""
        found = _WORD.match(self._raw, self.at, self._end)
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
            found.append((yield from self.value(depth, listed=True)))
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
        stop = yield from self._text_end()
        if stop - start > LONG_BYTES:
            raise Problem(400, f"a key has {stop - start - 1:,} bytes")
        escaped = self._raw.find(b"\\", start, stop) >= 0
        if stop - start > _SHORT_BYTES:
            self._spend((yield from self._measure(start + 1, stop, escaped)).str_bytes)
            return self._read(start + 1, stop, escaped)
        key = self._paid(self._read(start + 1, stop, escaped))
        if stop - start > _KEPT_KEY_BYTES or len(self._keys) >= _KEPT_KEYS:
            return key
        return self._keys.setdefault(bytes(self._raw[start : self.at]), key)

    def _text_end(self) -> Steps[int]:
        """Where the closing quote of the text is that begins here; what follows is next."""
        short = _SHORT_TEXT.match(self._raw, self.at, self._end)
        if short is not None:
            self.at = short.end()
            return self.at - 1
        stop = self.at + 1
        while True:
            found = _TEXT.match(self._raw, stop, min(stop + STEP_BYTES, self._end))
            assert found is not None
            before, stop = stop, found.end()
            if stop < self._end and self._raw[stop] == _QUOTE:
                self.at = stop + 1
                return stop
            if stop == before:
                raise _no_json("a text has no end or holds a control character", stop)
            yield

    def _text(self, *, listed: bool) -> Steps[str | LongText]:
        start = self.at + 1
        stop = yield from self._text_end()
        escaped = self._raw.find(b"\\", start, stop) >= 0
        if stop - start > LONG_BYTES:
            return self._left(start, stop, escaped, -1)
        if stop - start > _SHORT_BYTES:
            found = yield from self._measure(start, stop, escaped)
            if not found.ascii:
                return self._left(start, stop, escaped, found.utf8_bytes)
            return self._paid(self._read(start, stop, escaped))
        text = self._read(start, stop, escaped)
        if listed and not text.isascii() and getsizeof(text) > LEFT_BYTES:
            return self._left(start, stop, escaped, len(text.encode()))
        return self._paid(text)

    def _left(self, start: int, stop: int, escaped: bool, utf8_bytes: int) -> LongText:
        self._spend(LEFT_BYTES)
        return LongText(self._raw, start, stop, escaped, utf8_bytes)

    def _paid(self, text: str) -> str:
        self._spend(getsizeof(text) + _ROUND_BYTES)
        return text

    def _measure(self, start: int, stop: int, escaped: bool) -> Steps[Measure]:
        try:
            return (yield from measure(self._raw, start, stop, escaped=escaped))
        except ValueError as e:
            raise _unreadable(e, start) from e

    def _read(self, start: int, stop: int, escaped: bool) -> str:
        try:
            if stop - start > _SHORT_BYTES:
                return joined(self._raw, start, stop, escaped=escaped)
            return from_json(bytes(self._raw[start:stop]), escaped=escaped)
        except ValueError as e:
            raise _unreadable(e, start) from e


def _unreadable(e: ValueError, at: int) -> Problem:
    return _no_json(f"a text cannot be read ({e})", at)
