"""Arrays in mapped files: made with room on the disk for all of them, and those of several children as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import MeasureError

__all__ = ["joined", "new_array"]


def new_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A mapped array of zeros whose room on the disk is taken now: a full disk is an exception, no signal later.

    Raises:
        OSError: when there is no room.
    """
    made: NDArray[np.float32] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as f:
            os.posix_fallocate(f.fileno(), 0, path.stat().st_size)
    return made


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
        whole = new_array(path, (sum(map(len, arrays)), *arrays[0].shape[1:]))
        np.concatenate(arrays, out=whole)
    finally:
        path.unlink(missing_ok=True)
    return whole
