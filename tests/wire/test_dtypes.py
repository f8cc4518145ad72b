"""Element types: raw and JSON forms, both ways."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from farthing.wire.dtypes import (
    DATATYPES,
    bf16_from_float32,
    datatype_of,
    elements_of,
    float32_from_bf16,
    join_elements,
    raw_array,
    raw_bytes,
    split_elements,
)
from farthing.wire.requests import Problem

NUMBERS = [d for d in DATATYPES.values() if d.name != "BYTES"]


@pytest.mark.parametrize("datatype", NUMBERS, ids=lambda d: d.name)
def test_raw_numbers_survive_the_way_there_and_back(datatype):
    rng = np.random.default_rng(5)
    raw = rng.bytes(6 * datatype.size_bytes) if datatype.name != "BOOL" else bytes([0, 1, 1, 0, 1, 0])
    array = raw_array(datatype, (2, 3), raw, "x")
    assert array.shape == (2, 3)
    assert array.dtype == datatype.dtype
    assert raw_bytes(datatype, array) == raw
    assert raw_bytes(datatype, np.asfortranarray(array)) == raw


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=9))
def test_bytes_elements_survive(elements):
    raw = join_elements(elements)
    assert split_elements(raw, len(elements), "x") == elements
    array = raw_array(DATATYPES["BYTES"], (len(elements), 1), raw, "x")
    assert elements_of(array) == elements
    assert raw_bytes(DATATYPES["BYTES"], array) == raw


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.integers(1, 6))
def test_any_bytes_are_split_wholly_or_refused(raw, count):
    try:
        elements = split_elements(raw, count, "x")
    except Problem:
        return
    assert len(elements) == count
    assert join_elements(elements) == raw


@pytest.mark.parametrize(
    ("raw", "count", "words"),
    [
        (b"", 1, "need at least 4"),
        (struct.pack("<I", 5) + b"abc", 1, "ends after"),
        (struct.pack("<I", 2**32 - 1), 1, "ends after"),
        (struct.pack("<I", 1) + b"ab", 1, "follow the last"),
        (struct.pack("<I", 4) + b"abcd", 2, "ends after"),
    ],
)
def test_wrong_lengths_are_named(raw, count, words):
    with pytest.raises(Problem, match=words):
        split_elements(raw, count, "x")


@pytest.mark.parametrize("size", [7, 9, 0])
def test_a_raw_tensor_has_exactly_its_bytes(size):
    with pytest.raises(Problem, match="needs 8 bytes"):
        raw_array(DATATYPES["FP32"], (2,), bytes(size), "x")


def test_a_bool_is_zero_or_one():
    with pytest.raises(Problem, match="0 or 1, got 2"):
        raw_array(DATATYPES["BOOL"], (2,), b"\x01\x02", "x")


def test_unaligned_bytes_become_an_aligned_array():
    raw = memoryview(b"\x00" + np.arange(4, dtype=np.float64).tobytes())[1:]
    array = raw_array(DATATYPES["FP64"], (4,), raw, "x")
    assert array.flags.aligned
    assert array.tolist() == [0, 1, 2, 3]


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=False)))
def test_bf16_rounds_to_the_nearest(values):
    bits = bf16_from_float32(values)
    back = float32_from_bf16(bits)
    assert (bf16_from_float32(back) == bits).all()  # exact numbers stay
    finite = np.isfinite(back) & np.isfinite(values)
    normal = finite & (np.abs(values) > 2.0**-126)
    assert (np.abs(back[normal] - values[normal]) <= np.abs(values[normal]) * 2.0**-8).all()


def test_bf16_agrees_with_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.random.default_rng(1).integers(0, 2**32, 50_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        theirs = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    ours = bf16_from_float32(values)
    number = ~np.isnan(values)
    assert (ours[number] == theirs[number]).all()
    assert np.isnan(float32_from_bf16(ours[~number])).all()


def test_every_word_of_a_model_has_a_type():
    assert datatype_of("float32").name == "FP32"
    assert datatype_of("tensor(float)").name == "FP32"
    assert datatype_of("bfloat16").name == "BF16"
    assert datatype_of("bytes").name == "BYTES"
    with pytest.raises(ValueError, match="complex64"):
        datatype_of("complex64")
