"""Arrivals block by block, checked as they come: memory holds two blocks, however long the trace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["arrival_blocks", "poisson_blocks"]

Floats = NDArray[np.float64]
BLOCK = 65_536


def arrival_blocks(blocks: Iterable[ArrayLike], horizon_s: float) -> Iterator[Floats]:
    """Check blocks of instants and end them at the horizon; empty ones are left out.

    Args:
        blocks: Each of shape ``(n,)``, ascending within and across blocks, finite, ≥ 0; may be endless.
        horizon_s: Instants from here on are not taken, and no further block is asked for.

    Raises:
        ValueError: when an instant is not finite, negative or earlier than the one before; with its number.
    """
    last_s, number = 0.0, 0
    for block in blocks:
        instants_s = np.ascontiguousarray(block, dtype=np.float64)
        if instants_s.ndim != 1:
            raise ValueError(f"arrivals come in blocks of shape (n,), not {instants_s.shape}")
        if not instants_s.size:
            continue
        _check(instants_s, last_s, number)
        keep = int(np.searchsorted(instants_s, horizon_s, side="left"))
        if keep:
            yield instants_s[:keep]
        if keep < instants_s.size:
            return
        last_s, number = float(instants_s[-1]), number + instants_s.size


def _check(instants_s: Floats, last_s: float, number: int) -> None:
    """See :func:`arrival_blocks`; ``number`` is that of the block's first arrival."""
    if instants_s[0] >= last_s and math.isfinite(instants_s[-1]) and bool((instants_s[1:] >= instants_s[:-1]).all()):
        return
    before_s = np.concatenate(([last_s], instants_s[:-1]))
    k = int(np.argmin((instants_s >= before_s) & np.isfinite(instants_s)))
    here = f"arrival {number + k:,} at {instants_s[k]} s"
    if not np.isfinite(instants_s[k]):
        raise ValueError(f"arrivals must be finite: {here}")
    if number + k == 0:
        raise ValueError(f"arrivals must be ≥ 0: {here}")
    raise ValueError(f"arrivals must be ascending: {here} after {before_s[k]} s")


def poisson_blocks(rate_rps: float, seed: int, *, block: int = BLOCK) -> Iterator[Floats]:
    """A Poisson stream without end.

    Args:
        rate_rps: Finite and > 0.
        seed: Of the stream.
        block: Arrivals of a block, ≥ 1.

    Raises:
        ValueError: when the rate is outside its domain.
    """
    if not (math.isfinite(rate_rps) and rate_rps > 0):
        raise ValueError(f"rate_rps must be finite and > 0, is {rate_rps}")
    rng = np.random.default_rng(seed)
    last_s = 0.0
    while True:
        instants_s = last_s + np.cumsum(rng.standard_exponential(block)) / rate_rps
        last_s = float(instants_s[-1])
        yield instants_s
