"""Borrowed arrays are the caller's own: changed in place, neither kept nor let go."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from farthing.core.stats.compiled import borrowed


class Arrays(NamedTuple):
    totals: NDArray[np.float64]
    table: NDArray[np.int64]
    scale: float


@njit
def add_rows(a: Arrays) -> float:
    a = borrowed(a)
    for row in range(a.table.shape[0]):
        for column in range(a.table.shape[1]):
            a.totals[row] += a.scale * a.table[row, column]
    return a.totals.sum()


def test_arrays_are_changed_in_place_and_their_counts_are_as_before() -> None:
    a = Arrays(np.zeros(3), np.arange(12).reshape(3, 4), 0.5)
    before = [sys.getrefcount(x) for x in a[:2]]
    for k in range(1, 101):
        assert add_rows(a) == 33.0 * k
    assert [sys.getrefcount(x) for x in a[:2]] == before
    assert a.totals.tolist() == [300.0, 1100.0, 1900.0]
