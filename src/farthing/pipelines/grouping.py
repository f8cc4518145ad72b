"""Batches of payloads of like length, so that little is padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["batches_by_length"]


def batches_by_length(lengths: Sequence[int] | None, batch: int, n: int | None = None) -> list[NDArray[np.int64]]:
    """Cut payloads into batches, shortest first.

    Args:
        lengths: Size of each payload, shape ``(n,)``; None when all are alike (then the order is kept).
        batch: Largest batch, ≥ 1.
        n: Number of payloads, needed when ``lengths`` is None.

    Returns:
        Index arrays that hold each of 0 … n − 1 once; equal lengths keep their order.

    Raises:
        ValueError: when batch < 1, or neither lengths nor n is given.
    """
    if batch < 1:
        raise ValueError(f"batch must be ≥ 1, is {batch}")
    if lengths is not None:
        order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    elif n is not None:
        order = np.arange(n)
    else:
        raise ValueError("give lengths or n")
    return [order[k : k + batch] for k in range(0, order.size, batch)]
