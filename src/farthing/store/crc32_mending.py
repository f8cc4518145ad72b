"""Finding the one damaged byte of a message from its CRC-32.

CRC-32 is linear: the checksum of a message in which a byte was exclusive-or'ed with ``e`` differs from the right one by
the (unconditioned) remainder of ``e`` followed by as many zero bytes as come after it. Running through all places and
all 255 values costs one table look-up each (W. W. Peterson and D. T. Brown, Cyclic Codes for Error Detection, 1961).
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["damaged_byte", "nearly_found"]

_POLYNOMIAL = 0xEDB88320
_LONGEST = 1 << 20
"""Of a message: beyond that several places would fit the same checksum."""


def _table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE = _table()


def damaged_byte(message: bytes, crc32: int) -> tuple[int, int] | None:
    """Where a message has one damaged byte, and what to exclusive-or it with.

    Args:
        message: As it is now, at most a MiB.
        crc32: What its checksum was.

    Returns:
        None when no single byte explains the difference, or more than one does.
    """
    difference = zlib.crc32(message) ^ crc32
    if not difference or len(message) > _LONGEST:
        return None
    found = []
    remainders = _TABLE.copy()  # of each value of a byte, nothing behind it
    for place in range(len(message) - 1, -1, -1):
        found += [(place, int(value)) for value in np.flatnonzero(remainders == difference)]
        remainders = _TABLE[remainders & 0xFF] ^ (remainders >> 8)
    return found[0] if len(found) == 1 else None


def nearly_found(wanted: bytes, text: bytes) -> int | None:
    """The last place of a word in a text; where it does not occur, the last one where a single byte differs."""
    exact = text.rfind(wanted)
    if exact >= 0:
        return exact
    letters = np.frombuffer(text, dtype=np.uint8)
    n = len(letters) - len(wanted) + 1
    if n < 1:
        return None
    wrong = sum((letters[k : k + n] != byte).astype(np.uint8) for k, byte in enumerate(wanted))
    places = np.flatnonzero(np.asarray(wrong) <= 1)
    return int(places[-1]) if places.size else None
