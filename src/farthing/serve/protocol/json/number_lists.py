"""Long lists of numbers within a JSON document, read where they lie, a slice at a time.

Parsed at once a number takes ten times the bytes that it was written with. Such a list is only measured at first (where
it ends, how it is nested); once its type and shape are known its slices are parsed one after the other into an array.
Each slice is cut at a comma and closed with as many brackets as are open, so that it is JSON of its own and the same
parser as for short bodies judges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.serve.turns import STEP_BYTES, Steps
from farthing.wire.requests import Problem

__all__ = ["NumberList", "measured"]

_OTHERS = (b'"', b"{", b"}", b":")
"""What lists of texts and objects have, and those of numbers and words have not."""
_WHITE = b" \t\n\r"
_FEWEST_BYTES = 256
"""Shorter lists are read like everything else."""
_OPEN, _CLOSE, _COMMA = b"[],"


class NumberList:
    """A list, or nested lists, of numbers or booleans that are not parsed yet.

    Args:
        raw: The document.
        start: Of its opening bracket.
        stop: After its closing one.
        shape: Lengths by level if all lists of one level are equally long, else None; not proven before it is read.
        levels: How deeply it is nested, ≥ 1.
    """

    __slots__ = ("_raw", "_start", "levels", "shape", "stop")

    def __init__(
        self, raw: bytes | bytearray, start: int, stop: int, shape: tuple[int, ...] | None, levels: int
    ) -> None:
        self._raw, self._start, self.stop = raw, start, stop
        self.shape, self.levels = shape, levels

    def __repr__(self) -> str:
        return bytes(self._raw[self._start : self._start + 20]).decode("ascii") + "…]"

    def slices(self, dims: tuple[int, ...], name: str) -> Iterator[list[Any]]:
        """The values in row-major order, some thousands at a time.

        Args:
            dims: Length of the lists of each level, as many as there are levels.
            name: Of the input, for messages.

        Raises:
            Problem: 400 when it is no JSON or nested otherwise.
        """
        if len(dims) != self.levels:
            raise _nested_otherwise(dims, name)
        nesting = _Nesting(dims, name)
        at = self._start
        while at < self.stop:
            text, after = self._slice(at)
            if not _is_whole(text, first=at == self._start, last=after == self.stop):
                raise Problem(400, f"the body is no JSON: a value of input {name} is missing")
            yield nesting.values(text)
            at = after

    def _slice(self, at: int) -> tuple[bytes, int]:
        """Text up to a comma, and where the next slice begins."""
        raw, stop = self._raw, self.stop
        if stop - at <= STEP_BYTES:
            return bytes(memoryview(raw)[at:stop]), stop
        comma = raw.rfind(b",", at, at + STEP_BYTES)
        if comma < 0:
            raise Problem(400, f"the body is no JSON: a number has more than {STEP_BYTES:,} characters")
        return bytes(memoryview(raw)[at:comma]), comma + 1


def _is_whole(text: bytes, *, first: bool, last: bool) -> bool:
    """Whether the commas that a slice was cut at stand between two values."""
    begins, ends = text.lstrip(_WHITE)[:1], text.rstrip(_WHITE)[-1:]
    return (first or begins not in (b"", b"]", b",")) and (last or ends not in (b"", b"[", b","))


class _Nesting:
    """Where in the nested lists a slice ends and the next one goes on.

    Args:
        dims: Length of the lists of each level.
        name: Of the input.
    """

    def __init__(self, dims: tuple[int, ...], name: str) -> None:
        self._dims, self._name = dims, name
        self._depth = 0
        self._begun = [0] * len(dims)

    def values(self, text: bytes) -> list[Any]:
        """Values of the next slice.

        Raises:
            Problem: 400.
        """
        before = after = self._depth
        if b"[" in text or b"]" in text:
            after += text.count(b"[") - text.count(b"]")
        try:
            level: list[Any] = [orjson.loads(b"%b%b%b" % (b"[" * before, text, b"]" * after))]
        except orjson.JSONDecodeError as e:
            raise Problem(400, f"the body is no JSON: {str(e)[:200]}") from e
        for k in range(len(self._dims)):
            if set(map(type, level)) - {list}:
                raise _nested_otherwise(self._dims, self._name)
            self._count(k, level, before, after)
            level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
        self._depth = after
        return level

    def _count(self, k: int, level: list[list[Any]], before: int, after: int) -> None:
        """Check the lengths of one level's lists: the first may have begun before, the last may go on."""
        lengths = list(map(len, level))
        if before > k:  # of a list that goes on, the element that goes on as well was counted before
            lengths[0] += self._begun[k] - (before > k + 1)
        self._begun[k] = lengths.pop() if after > k else 0
        if lengths.count(self._dims[k]) != len(lengths) or self._begun[k] > self._dims[k]:
            raise _nested_otherwise(self._dims, self._name)


def _nested_otherwise(dims: tuple[int, ...], name: str) -> Problem:
    return Problem(400, f"input {name}: data is not nested as the shape {list(dims)} says")


def measured(raw: bytes | bytearray, start: int, end_bytes: int, most_levels: int) -> Steps[NumberList | None]:
    """Find where a list of numbers ends and how it is nested.

    Args:
        raw: The document.
        start: Of an opening bracket.
        end_bytes: Where the document ends.
        most_levels: Deeper nesting is refused.

    Returns:
        None when the list is short or holds something else.

    Raises:
        Problem: 400 when it is nested too deeply.
    """
    if _end_of_run(raw, start, min(start + _FEWEST_BYTES, end_bytes)) - start < _FEWEST_BYTES:
        return None
    counts = _Counts(most_levels)
    at = start
    while True:
        end = _end_of_run(raw, at, min(at + STEP_BYTES, end_bytes))
        if end == at:
            return None
        stop = counts.take(raw, at, end)
        if stop:
            break
        at = end
        yield
    if stop - start < _FEWEST_BYTES:
        return None
    shape, levels = counts.shape()
    return NumberList(raw, start, stop, shape, levels)


def _end_of_run(raw: bytes | bytearray, at: int, end: int) -> int:
    """Where something else than numbers, words, commas and brackets comes first, ``end`` where nothing does."""
    for other in _OTHERS:
        found = raw.find(other, at, end)
        end = end if found < 0 else found
    return end


class _Counts:
    """Brackets and commas by level.

    Args:
        most_levels: Deeper nesting is refused.
    """

    def __init__(self, most_levels: int) -> None:
        self._most = most_levels
        self._depth = 0
        self._lists = np.zeros(most_levels + 1, dtype=np.int64)
        self._commas = np.zeros(most_levels + 1, dtype=np.int64)

    def take(self, raw: bytes | bytearray, at: int, end: int) -> int:
        """Count what lies between; where the list has ended, 0 when it goes on."""
        piece = np.frombuffer(raw, np.uint8, end - at, at)
        if raw.find(b"[", at, end) < 0 and raw.find(b"]", at, end) < 0:
            self._commas[self._depth] += np.count_nonzero(piece == _COMMA)
            return 0
        opens = piece == _OPEN
        depth = self._depth + np.cumsum(opens.view(np.int8) - (piece == _CLOSE).view(np.int8), dtype=np.int64)
        over = np.flatnonzero(depth == 0)
        if over.size:
            end = at + int(over[0]) + 1
            piece, opens, depth = piece[: end - at], opens[: end - at], depth[: end - at]
        if int(depth.max()) > self._most:
            raise Problem(400, "the body is nested too deeply")
        self._lists += self._by_level(depth[opens])
        self._commas += self._by_level(depth[piece == _COMMA])
        self._depth = int(depth[-1])
        return end if over.size else 0

    def _by_level(self, depth: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(depth, minlength=self._most + 1)

    def shape(self) -> tuple[tuple[int, ...] | None, int]:
        """Lengths by level (None when they differ or elements are missing), and the number of levels."""
        levels = int(np.count_nonzero(self._lists))
        lists, elements = self._lists[1 : levels + 1], (self._lists + self._commas)[1 : levels + 1]
        if (elements % lists).any() or (elements[:-1] != lists[1:]).any():
            return None, levels
        return tuple((elements // lists).tolist()), levels
