"""Runs checks within a client's own environment and prints what came of each as JSON; standard library and NumPy only."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import sys
import traceback
from typing import Any

import numpy as np

DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
    "BYTES",
]
"""All of the protocol's."""


def sample(datatype: str) -> Any:
    """Two rows of three values that show rounding, sign, byte order and odd bytes."""
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype == "BYTES":
        array = np.empty((2, 3), dtype=object)
        array[:] = [[b"", b"plain", "é".encode()], [b"x" * 300, b"a:b", b"{}"]]
        return array
    if datatype == "BF16":
        newer = importlib.util.find_spec("ml_dtypes") is not None  # older clients take float32 for it
        dtype = importlib.import_module("ml_dtypes").bfloat16 if newer else np.float32
        return np.array([[0.5, -1.25, 3.0], [1024.0, 0.0, -0.0078125]], dtype=dtype)
    kind = {"F": "float", "U": "uint", "I": "int"}[datatype[0]]
    dtype = np.dtype(kind + "".join(c for c in datatype if c.isdigit()))
    if kind == "float":
        return np.array([[0.5, -1.25, 3.1], [6e4, 0.0, -7e-3]], dtype=dtype)
    bounds = np.iinfo(dtype)
    return np.array([[bounds.min, bounds.max, 0], [1, 2, 3]], dtype=dtype)


def same(found: Any, wanted: Any) -> None:
    """Raise unless arrays agree in shape and value."""
    assert found is not None, "no array"
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    if wanted.dtype == object:
        texts = [e.encode() if isinstance(e, str) else e for e in found.ravel().tolist()]
        assert texts == wanted.ravel().tolist(), (texts, wanted)
    else:
        assert found.dtype == wanted.dtype, (found.dtype, wanted.dtype)
        np.testing.assert_array_equal(found, wanted)


class Checks:
    """Named functions, run one after the other; a failing one does not keep the rest from running."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def __call__(self, name: str, check: Any, *args: Any) -> None:
        try:
            result = check(*args)
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
            self.found[name] = "ok"
        except BaseException:  # noqa: BLE001 - whatever a client raises is a finding
            self.found[name] = traceback.format_exc()[-1500:]

    def report(self) -> None:
        """Print the findings; the status is 1 when one is bad."""
        print(json.dumps(self.found))
        sys.exit(any(result != "ok" for result in self.found.values()))


async def _awaited(result: Any) -> Any:
    return await result
