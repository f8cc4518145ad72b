"""Requests put in order with bounded lateness, and counted while they pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import TraceError
from farthing.load.traffic.logs import in_order as room
from farthing.load.traffic.logs.counting import Counted, trace_of
from farthing.load.traffic.logs.in_order import Rows, batched, in_order
from farthing.load.traffic.logs.notes import Notes, in_words


def notes() -> Notes:
    return Notes(path=Path("x.log"), said="a log")


def blocks_of(at_s: list[float], size: int) -> list[Rows]:
    rows = np.array([(t, k + 1) for k, t in enumerate(at_s)], dtype=np.float64)
    return [rows[k : k + size] for k in range(0, len(rows), size)]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300), st.integers(1, 50), st.integers(1, 40))
def test_every_request_once_and_in_order(late: list[float], size: int, block: int) -> None:
    """Each stands up to 3 s behind its time in the file; blocks of any size are let go as early as may be."""
    ends = sorted((k * 0.5 + x, k * 0.5) for k, x in enumerate(late))
    at_s = [start for _, start in ends]
    whole = room.BLOCK_ROWS
    room.BLOCK_ROWS = block
    try:
        found = list(in_order(blocks_of(at_s, size), 3.0, notes()))
    finally:
        room.BLOCK_ROWS = whole
    assert np.array_equal(np.concatenate(found)[:, 0], np.sort(at_s))
    assert all(len(rows) for rows in found)


def test_what_is_held_back_is_bounded() -> None:
    whole = room.BLOCK_ROWS
    room.BLOCK_ROWS = 10
    try:
        sizes = [len(rows) for rows in in_order(iter(blocks_of([0.1 * k for k in range(2000)], 10)), 1.0, notes())]
    finally:
        room.BLOCK_ROWS = whole
    assert sum(sizes) == 2000
    assert max(sizes) <= 40


def test_later_than_allowed_is_refused_across_blocks() -> None:
    with pytest.raises(TraceError, match=r"line 4 \(1970-01-01 00:00:08\+00:00\) is 2 s earlier"):
        list(in_order(blocks_of([0, 5, 10, 8, 11], 3), 1.5, notes()))
    assert len(list(in_order(blocks_of([0, 5, 10, 8, 11], 3), 2.0, notes()))) == 1


def test_all_of_a_file_may_be_sorted() -> None:
    found = np.concatenate(list(in_order(blocks_of([9, 3, 7, 1, 5], 2), np.inf, notes())))
    assert found.tolist() == [[1, 4], [3, 2], [5, 5], [7, 3], [9, 1]]


def test_rows_are_gathered_into_blocks() -> None:
    whole = room.BLOCK_ROWS
    room.BLOCK_ROWS = 2
    try:
        assert [rows.shape for rows in batched([(1.0, 1), (2.0, 2), (3.0, 3)])] == [(2, 2), (1, 2)]
    finally:
        room.BLOCK_ROWS = whole


@given(st.lists(st.floats(0, 1e5), min_size=2, max_size=200), st.integers(1, 60))
def test_no_request_is_lost_in_counting(at_s: list[float], size: int) -> None:
    at_s = sorted(at_s)
    if at_s[-1] == at_s[0]:
        return
    counted = Counted(notes(), asked=True)
    for rows in blocks_of(at_s, size):
        counted.add(rows)
    trace = trace_of(counted)
    step_s = 60.0 if at_s[-1] - at_s[0] >= 600 else 1.0
    expected = np.bincount(((np.array(at_s) - at_s[0]) / step_s).astype(int))
    assert trace.step_s == step_s
    assert np.array_equal(trace.counts, expected)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4, "4 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days"), (0.5, "0.5 s")],
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
