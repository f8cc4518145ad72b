"""Streams of arrivals made faster, thinner, shorter, longer, or finer than they were written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["between", "first_half", "quickened", "second_half", "spliced", "spread", "thinned"]

Floats = NDArray[np.float64]


def quickened(arrivals: Iterable[Floats], factor: float) -> Iterator[Floats]:
    """Bring the same requests in ``1 / factor`` of the time: ``factor`` times the rate.

    The gaps keep their shape: the index of dispersion at a window ``t`` is the old one at ``factor · t``. To keep the
    length, splice copies first.

    Args:
        arrivals: Blocks of instants.
        factor: > 0.

    Raises:
        ValueError: when the factor is not finite and > 0.
    """
    if not (np.isfinite(factor) and factor > 0):
        raise ValueError(f"factor must be finite and > 0, is {factor}")
    return (block / factor for block in arrivals)


def thinned(arrivals: Iterable[Floats], keep_frac: float, *, seed: int) -> Iterator[Floats]:
    """Keep each request with the same probability, independently of all others.

    Of a Poisson process it leaves one of ``keep_frac`` times the rate; the index of dispersion ``I`` of any stream
    becomes ``1 + keep_frac · (I − 1)`` (Cox & Isham, *Point Processes*, 1980, ch. 4).

    Args:
        arrivals: Blocks of instants.
        keep_frac: In (0, 1].
        seed: Of the draws.

    Returns:
        Blocks with what is left, none without any.

    Raises:
        ValueError: when ``keep_frac`` is outside (0, 1].
    """
    _check_share(keep_frac)
    rng = np.random.default_rng(seed)
    kept = (block[rng.random(block.size) < keep_frac] for block in arrivals)
    return (block for block in kept if block.size)


def spliced(parts: Iterable[tuple[Iterable[Floats], float]]) -> Iterator[Floats]:
    """Put streams end to end.

    Args:
        parts: Blocks of instants, and the length of that stream in seconds; read one after the other.

    Yields:
        Blocks, each shifted by the lengths before it.

    Raises:
        ValueError: when an instant lies outside ``[0, length]``, so that streams would overlap.
    """
    start_s = 0.0
    for arrivals, length_s in parts:
        for block in arrivals:
            if block[0] < 0 or block[-1] > length_s:
                raise ValueError(f"instants must lie in [0, {length_s}] s, are {block[0]} … {block[-1]}")
            yield start_s + block
        start_s += length_s


def between(arrivals: Iterable[Floats], start_s: float, end_s: float) -> Iterator[Floats]:
    """Cut ``[start_s, end_s)`` out of a stream; instants count from ``start_s`` on. Reads no further than ``end_s``."""
    for block in arrivals:
        first, last = np.searchsorted(block, (start_s, end_s))
        if last > first:
            yield block[first:last] - start_s
        if last < block.size:
            return


def first_half(arrivals: Iterable[Floats], length_s: float) -> Iterator[Floats]:
    """The first half in time of a stream of that length."""
    return between(arrivals, 0.0, length_s / 2)


def second_half(arrivals: Iterable[Floats], length_s: float) -> Iterator[Floats]:
    """The second half in time of a stream of that length, from 0 on; what comes at its very end belongs to it."""
    return between(arrivals, length_s / 2, np.nextafter(length_s, np.inf))


def spread(arrivals: Iterable[Floats], resolution_s: float, *, seed: int) -> Iterator[Floats]:
    """Spread requests that were stamped in whole steps evenly at random over these steps.

    A log in whole seconds has all requests of a second at one instant, as a burst that there never was.

    Args:
        arrivals: Blocks of instants, each rounded down by less than a step.
        resolution_s: Length of a step in seconds, ≥ 0; 0 leaves the stream as it is.
        seed: Of the draws.

    Yields:
        Blocks of instants at most a step later than they were.
    """
    rng = np.random.default_rng(seed)
    held = np.empty(0)
    for block in arrivals:
        held = np.sort(np.concatenate((held, block + resolution_s * rng.random(block.size))))
        ready = np.searchsorted(held, block[-1], side="right")  # what follows comes no earlier
        if ready:
            yield held[:ready]
        held = held[ready:]
    if held.size:
        yield held


def _check_share(keep_frac: float) -> None:
    if not 0 < keep_frac <= 1:
        raise ValueError(f"keep_frac must lie in (0, 1], is {keep_frac}")
