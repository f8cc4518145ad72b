"""Frames carry any tensor through any cutting of the stream, and refuse what is no frame."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from farthing.workers.frames import HEAD, Frame, FrameError, Inbox, Kind, frame, packed, send_all, sent, unpacked

DTYPES = ["float32", "float64", "float16", "int8", "int64", "uint16", "bool"]


def joined(parts: list[Any]) -> bytes:
    return b"".join(bytes(part) for part in parts)


def fed(inbox: Inbox, raw: bytes, pieces: list[int]) -> Frame:
    at = 0
    cuts = iter([*pieces, *[len(raw)] * (len(raw) + 1)])
    while True:
        space = inbox.space()
        n = min(max(1, next(cuts)), len(space), len(raw) - at)
        space[:n] = raw[at : at + n]
        at += n
        found = inbox.took(n)
        if found is not None:
            assert at == len(raw)
            return found


arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)


@settings(max_examples=100, deadline=None)
@given(st.lists(arrays, min_size=1, max_size=4), st.lists(st.integers(1, 400), max_size=20), st.booleans())
def test_tensors_come_through_any_cutting_of_the_stream(
    tensors: list[np.ndarray[Any, Any]], pieces: list[int], gives_away: bool
) -> None:
    layout, parts = packed([[array] for array in tensors])
    raw = joined(frame(Kind.BATCH, 7, {"tensors": layout}, parts, nanos=12))
    found = fed(Inbox(gives_away=gives_away), raw, pieces)
    assert (found.kind, found.number, found.nanos) == (Kind.BATCH, 7, 12)
    back = unpacked(found.header["tensors"], found.body)
    for was, now in zip(tensors, back, strict=True):
        assert was.dtype == now.dtype
        assert was.shape == now.shape
        assert was.tobytes() == now.tobytes()


def test_large_pieces_are_joined_without_being_copied_and_tensors_are_aligned() -> None:
    a, b = np.random.default_rng(0).random((2, 5000)), np.zeros((1, 5000))
    masks = [np.ones((2, 5), dtype=np.int8), np.zeros((1, 5), dtype=np.int8)]
    layout, parts = packed([[a, b], masks])
    assert any(isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part, np.uint8), a) for part in parts)
    found = fed(Inbox(), joined(frame(Kind.BATCH, 1, {"tensors": layout}, parts)), [])
    x, mask = unpacked(found.header["tensors"], found.body)
    np.testing.assert_array_equal(x, np.concatenate([a, b]))
    np.testing.assert_array_equal(mask, np.concatenate(masks))
    assert x.ctypes.data % 64 == mask.ctypes.data % 64 == 0


def test_texts_travel_as_bytes_and_strided_arrays_as_they_look() -> None:
    texts = np.array([["grüß", b"\xff\x00"], ["", b"x"]], dtype=object)
    strided = np.arange(24, dtype=np.int32).reshape(4, 6)[::2, ::3]
    whole = np.array(3.5)
    layout, parts = packed([[texts, texts], [strided], [whole]])
    found = fed(Inbox(), joined(frame(Kind.RESULT, 1, layout, parts)), [])
    a, b, c = unpacked(found.header, found.body)
    assert a.tolist() == [["grüß".encode(), b"\xff\x00"], [b"", b"x"]] * 2
    np.testing.assert_array_equal(b, strided)
    assert c.shape == ()
    assert float(c) == 3.5


def test_large_frames_between_processes_keep_their_memory() -> None:
    ours, theirs = socket.socketpair()
    big = np.arange(3_000_000, dtype=np.float32)
    layout, parts = packed([[big]])
    thread = threading.Thread(target=send_all, args=(theirs, frame(Kind.RESULT, 3, layout, parts)))
    thread.start()
    inbox = Inbox(gives_away=True)
    found = inbox.receive(ours)
    thread.join()
    assert found is not None
    thread = threading.Thread(target=send_all, args=(theirs, frame(Kind.RESULT, 4, {}, [b"\xff" * 1000])))
    thread.start()
    assert inbox.receive(ours) is not None
    thread.join()
    np.testing.assert_array_equal(unpacked(found.header, found.body)[0], big)
    theirs.close()
    assert inbox.receive(ours) is None
    ours.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n" + b"\0" * 40,
        HEAD.pack(0x46524731, 5, 1, 2**31, 0, 0) + b"{}",
        HEAD.pack(0x46524731, 5, 1, 2, 2**60, 0) + b"{}",
        HEAD.pack(0x46524731, 99, 1, 2, 0, 0) + b"{}",
        HEAD.pack(0x46524731, 5, 1, 2, 0, 0) + b"{x",
        HEAD.pack(0x46524731, 5, 1, 2, 0, 0) + b"{}extra",
    ],
)
def test_what_is_no_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(FrameError):
        fed(Inbox(), raw, [])


@pytest.mark.parametrize(
    "layout",
    [
        [["<f4", [3], 0, 8]],
        [["<f4", [2], 4, 8]],
        [["nonsense", [2], 0, 8]],
        [["|O", [1], 0, 8]],
        [["bytes", [1], 0, 8]],
        [["<f4", 3, 0, 8]],
        [5],
        [["<f4", [2]]],
    ],
)
def test_layouts_that_do_not_fit_are_refused(layout: Any) -> None:
    with pytest.raises(FrameError):
        unpacked(layout, np.full(8, 255, dtype=np.uint8))


def test_what_is_left_after_a_partial_send() -> None:
    parts = [b"abc", memoryview(b"defg"), b"hi"]
    for n in range(10):
        assert joined(sent(list(parts), n)) == b"abcdefghi"[n:]
