"""Arrays of a data set as requests to the served model."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.errors import MeasureError
from farthing.measure.served.load_generator import request_bytes

ONE = {"name": "m", "inputs": [{"name": "X", "datatype": "FP32"}]}
TWO = {"name": "m", "inputs": [{"name": "a", "datatype": "FP32"}, {"name": "b", "datatype": "INT64"}]}


def test_a_single_array_goes_to_a_single_input_whatever_its_name() -> None:
    values = np.arange(3.0)
    named = request_bytes(ONE, {"X": values})
    assert request_bytes(ONE, {"features": values}) == named
    assert values.astype(np.float32).tobytes() in named


def test_several_arrays_go_by_name() -> None:
    sent = request_bytes(TWO, {"b": np.arange(2), "a": np.ones(2)})
    assert sent.index(np.ones(2, np.float32).tobytes()) < sent.index(np.arange(2).tobytes())
    with pytest.raises(MeasureError, match=r"wants the input a \(FP32\); the data has b, c"):
        request_bytes(TWO, {"b": np.arange(2), "c": np.ones(2)})
    with pytest.raises(MeasureError, match="the data has X"):
        request_bytes(TWO, {"X": np.ones(2)})
