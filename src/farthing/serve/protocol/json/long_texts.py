"""Texts of long JSON that stay where they lie until somebody wants them, since Python may take four bytes a character.

One character beyond the BMP (an emoji) makes every other of its text four bytes wide (PEP 393), so that a body of such
texts takes four times its bytes as Python's texts. Whatever reads one does so in pieces, escapes included.
"""

from __future__ import annotations

import base64
import binascii
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from json import decoder as json_decoder

from farthing.serve.turns import STEP_BYTES, Steps
from farthing.wire.requests import Problem

__all__ = ["LEFT_BYTES", "LongText", "Measure", "check_length", "from_json", "joined", "measure"]

LEFT_BYTES = 144
"""What a text takes that is left where it lies."""
_TEXT_BYTES = 80
_PIECE_BYTES = 4 * 2**10
_UNITS = re.compile(
    rb"(?:[^\\\x80-\xff]++|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|\\[^u]"
    rb"|\\u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?![dD][89aAbB])[0-9a-fA-F]{4})*+",
    re.DOTALL,
)
"""Characters that are whole: a piece ends in no escape, sequence of UTF-8 or surrogate pair."""
_BEYOND_BMP = re.compile(rb"[\xf0-\xff]")
_BEYOND_LATIN = re.compile(rb"[\xc4-\xff]")
_NOT_BASE64 = "an image within JSON is base64, and this is not"


def from_json(raw: bytes, *, escaped: bool) -> str:
    """What stands between two quotes.

    Raises:
        ValueError: when it is no UTF-8, an escape is none, or half of a surrogate pair stands alone.
    """
    text = raw.decode()
    if not escaped:
        return text
    try:
        found: str = json_decoder.scanstring(text + '"', 0)[0]  # type: ignore[attr-defined]
    except JSONDecodeError as e:
        raise ValueError(str(e)) from e
    found.encode()  # half a surrogate pair is no character
    return found


def _pieces(raw: bytes | bytearray, start: int, stop: int, *, escaped: bool) -> Iterator[str]:
    """A text in pieces of some thousands of characters.

    Raises:
        ValueError: As :func:`from_json`.
    """
    if not escaped:
        decoder = getincrementaldecoder("utf-8")()
        for at in range(start, stop, _PIECE_BYTES):
            yield decoder.decode(bytes(raw[at : min(at + _PIECE_BYTES, stop)]))
        decoder.decode(b"", final=True)
        return
    at = start
    while at < stop:
        found = _UNITS.match(raw, at, min(at + _PIECE_BYTES, stop))
        assert found is not None
        if found.end() == at:
            raise ValueError("an escape or a byte that is no character")
        yield from_json(found[0], escaped=True)
        at = found.end()


def joined(raw: bytes | bytearray, start: int, stop: int, *, escaped: bool) -> str:
    """As :func:`from_json` of what lies there, with fewer copies.

    Raises:
        ValueError: As there.
    """
    if escaped:
        return "".join(_pieces(raw, start, stop, escaped=True))
    return str(memoryview(raw)[start:stop], "utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How long a text is.

    Attributes:
        utf8_bytes: In UTF-8, without escapes.
        str_bytes: As Python's text, at most.
        ascii: Whether it holds nothing else.
    """

    utf8_bytes: int
    str_bytes: int
    ascii: bool


def measure(raw: bytes | bytearray, start: int, stop: int, *, escaped: bool) -> Steps[Measure]:
    """Read a text once and keep nothing of it.

    Raises:
        ValueError: As :func:`from_json`.
    """
    characters = size_bytes = 0
    width = 1
    for piece in _pieces(raw, start, stop, escaped=escaped):
        utf8 = piece.encode()
        characters += len(piece)
        size_bytes += len(utf8)
        if len(utf8) != len(piece):
            width = max(width, 4 if _BEYOND_BMP.search(utf8) else 2 if _BEYOND_LATIN.search(utf8) else 1)
        yield
    return Measure(utf8_bytes=size_bytes, str_bytes=_TEXT_BYTES + width * characters, ascii=size_bytes == characters)


class LongText:
    """A text that is not copied yet.

    Args:
        raw: The document.
        start: Of its first byte after the quote.
        stop: Of the closing quote.
        escaped: Whether it holds escapes.
        utf8_bytes: In UTF-8, -1 where it was not looked at yet.
    """

    __slots__ = ("_raw", "_start", "_stop", "_utf8_bytes", "escaped")

    def __init__(self, raw: bytes | bytearray, start: int, stop: int, escaped: bool, utf8_bytes: int = -1) -> None:
        self._raw, self._start, self._stop, self.escaped = raw, start, stop, escaped
        self._utf8_bytes = utf8_bytes

    def __repr__(self) -> str:
        return repr(bytes(self._raw[self._start : min(self._start + 20, self._stop)]).decode("utf-8", "replace") + "…")

    def __len__(self) -> int:
        """Bytes as sent."""
        return self._stop - self._start

    @property
    def checked(self) -> bool:
        """Whether it is known to be a text."""
        return self._utf8_bytes >= 0

    def size(self, most_bytes: int, name: str) -> Steps[int]:
        """Check it; its bytes in UTF-8.

        Args:
            most_bytes: Allowed.
            name: Of the text, for messages.

        Raises:
            Problem: 400 when it is no text, 413 when it has more than ``most_bytes``.
        """
        if not self.escaped:
            check_length(len(self), most_bytes, name)
        if not self.checked:
            found = 0
            for piece in self._checked_pieces():
                found += len(piece.encode())
                check_length(found, most_bytes, name)
                yield
            self._utf8_bytes = found
        check_length(self._utf8_bytes, most_bytes, name)
        return self._utf8_bytes

    def utf8(self, most_bytes: int, name: str) -> Steps[bytes]:
        """Its bytes, checked: as :meth:`size`."""
        size = yield from self.size(most_bytes, name)
        if not self.escaped:
            return bytes(memoryview(self._raw)[self._start : self._stop])
        out, at = bytearray(size), 0
        for piece in self._checked_pieces():
            part = piece.encode()
            out[at : at + len(part)] = part
            at += len(part)
            yield
        return bytes(out)

    def text(self, most_bytes: int, name: str) -> Steps[str]:
        """Itself: as :meth:`size`."""
        if self.escaped:
            return (yield from self.utf8(most_bytes, name)).decode()
        yield from self.size(most_bytes, name)
        return joined(self._raw, self._start, self._stop, escaped=False)

    def _checked_pieces(self) -> Iterator[str]:
        try:
            yield from _pieces(self._raw, self._start, self._stop, escaped=self.escaped)
        except ValueError as e:
            raise Problem(400, f"the body is no JSON: a text cannot be read ({e})") from e

    def from_base64(self, most_bytes: int) -> Steps[bytes]:
        """What it stands for.

        Raises:
            Problem: 400 when it is no base64, 413 when it stands for more than ``most_bytes``.
        """
        if not self.escaped and len(self) > 4 * (most_bytes // 3 + 1):
            raise Problem(413, f"an image has more than {most_bytes:,} bytes")
        out, left = bytearray(), b""
        for part in self._wide_parts():
            whole = left + part
            take = max(0, len(whole) - 1) // 4 * 4  # the last ones may be padded
            left = whole[take:]
            out += _decoded(whole[:take], last=False)
            if len(out) > most_bytes:
                raise Problem(413, f"an image has more than {most_bytes:,} bytes")
            yield
        out += _decoded(left, last=True)
        if len(out) > most_bytes:
            raise Problem(413, f"an image has more than {most_bytes:,} bytes")
        return bytes(out)

    def _wide_parts(self) -> Iterator[bytes]:
        """What is said, in parts of one step each."""
        if self.escaped:
            for piece in self._checked_pieces():
                yield piece.encode()
            return
        for at in range(self._start, self._stop, 4 * STEP_BYTES):
            yield bytes(self._raw[at : min(at + 4 * STEP_BYTES, self._stop)])


def check_length(size_bytes: int, most_bytes: int, name: str) -> None:
    """Raise a 413 for a text that is too long."""
    if size_bytes > most_bytes:
        raise Problem(413, f"{name} has {size_bytes:,} bytes; the limit is {most_bytes:,}")


def _decoded(text: bytes, *, last: bool) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise Problem(400, f"{_NOT_BASE64}: {e}") from e
    if not last and len(found) * 4 != len(text) * 3:  # padding belongs to the end
        raise Problem(400, f"{_NOT_BASE64}: padding within")
    return found
