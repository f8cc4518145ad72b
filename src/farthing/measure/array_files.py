"""Arrays that several children wrote, as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import MeasureError

__all__ = ["joined"]


def joined(parts: Sequence[Path], path: Path) -> NDArray[np.float32]:
    """Arrays one after the other as one; they stay on disk, whose name for them is gone when this returns.

    Raises:
        MeasureError: when they do not have the same shape beyond the first dimension.
    """
    arrays: list[NDArray[np.float32]] = [np.load(part, mmap_mode="r", allow_pickle=False) for part in parts]
    if len(arrays) == 1:
        return arrays[0]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        raise MeasureError(f"answers differ in shape: {' and '.join(map(str, sorted(shapes)))}")
    try:
        whole = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float32, shape=(sum(map(len, arrays)), *arrays[0].shape[1:])
        )
        np.concatenate(arrays, out=whole)
    finally:
        path.unlink(missing_ok=True)
    return whole
