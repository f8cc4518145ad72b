"""``text/csv``: lines of comma-separated numbers, long ones read where they lie, a slice at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from farthing.serve.turns import STEP_BYTES, Steps
from farthing.wire.requests import Problem

__all__ = ["CsvNumbers", "measured_csv", "number"]

_SLICE_BYTES = STEP_BYTES // 4
"""Cells are read one by one, which takes longer than a list in JSON."""


def number(cell: str, *, whole: bool) -> int | float:
    """The number in a cell.

    Raises:
        ValueError: when it is none, or not finite.
    """
    if "_" in cell:
        raise ValueError(f"{cell!r} is no number")
    value = int(cell) if whole else float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite")
    return value


class CsvNumbers:
    """A table that is not parsed yet (:class:`farthing.serve.protocol.json.long_values.Values`).

    Args:
        raw: The body.
        shape: Lines that are not blank, cells of the first of them.
        whole: Whether the model wants whole numbers.
    """

    __slots__ = ("_raw", "_whole", "shape")

    def __init__(self, raw: bytes | bytearray, shape: tuple[int, int], *, whole: bool) -> None:
        self._raw, self.shape, self._whole = raw, shape, whole

    def __repr__(self) -> str:
        return f"{self.shape[0]:,} lines"

    def values(self, shape: tuple[int, ...], name: str) -> Iterator[list[int | float]]:
        """The numbers in row-major order.

        Raises:
            Problem: 400 when a cell is no number or a line is longer or shorter than the first.
        """
        width, cells = shape[1], 0
        for text, ends_line in _pieces(self._raw):
            if cells == 0 and ends_line and not text.strip():
                yield []
                continue
            try:
                found = [number(cell, whole=self._whole) for cell in text.decode("ascii").split(",")]
            except (UnicodeDecodeError, ValueError) as e:
                raise Problem(400, f"text/csv holds numbers: {str(e)[:200]}") from e
            cells += len(found)
            if cells > width or (ends_line and cells != width):
                raise Problem(400, f"input {name}: a line of text/csv has not {width:,} cells like the first")
            if ends_line:
                cells = 0
            yield found


def _pieces(raw: bytes | bytearray) -> Iterator[tuple[bytes, bool]]:
    """Whole lines, and pieces of long ones that end before a comma; whether each ends its line."""
    at, size = 0, len(raw)
    while at < size:
        end = raw.find(b"\n", at, at + _SLICE_BYTES)
        if end >= 0 or size - at <= _SLICE_BYTES:
            end = size if end < 0 else end
            yield bytes(raw[at:end]), True
        else:
            end = raw.rfind(b",", at, at + _SLICE_BYTES)
            if end < 0:
                raise Problem(400, f"text/csv holds numbers: a cell has more than {_SLICE_BYTES:,} characters")
            yield bytes(raw[at:end]), False
        at = end + 1


def measured_csv(raw: bytes | bytearray, *, whole: bool) -> Steps[CsvNumbers]:
    """Count lines and the cells of the first of them.

    Raises:
        Problem: 400 when all lines are blank.
    """
    lines = width = cells = 0
    for k, (text, ends_line) in enumerate(_pieces(raw)):
        if k % 64 == 0:
            yield
        if cells == 0 and ends_line and not text.strip():
            continue
        cells += text.count(b",") + 1
        if ends_line:
            lines += 1
            width = width or cells
            cells = 0
    if not lines:
        raise Problem(400, "text/csv holds numbers: there is no line with any")
    return CsvNumbers(raw, (lines, width), whole=whole)
