"""Instants from a trace's counts, and streams bent to a trace's rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from farthing.core.traffic.arrivals.poisson import BLOCK, poisson
from farthing.nouns import Trace

__all__ = ["expected_requests", "follow", "placed", "poisson_like"]

Floats = NDArray[np.float64]


def placed(trace: Trace, *, seed: int) -> Iterator[Floats]:
    """Place as many requests in each step as were counted, at random within it.

    So are those of a Poisson process of which the counts are known. Counts that are no whole numbers (of rates) are
    rounded so that no sum over steps is off by more than half a request.

    Args:
        trace: Counts by step.
        seed: Of the draws.

    Yields:
        Blocks of at most about :data:`~farthing.core.traffic.arrivals.poisson.BLOCK` instants from the first step's
        beginning on.
    """
    rng = np.random.default_rng(seed)
    until = np.floor(np.concatenate(([0.0], np.cumsum(trace.counts))) + 0.5).astype(np.int64)
    first, n_steps = 0, trace.counts.size
    while first < n_steps:
        last = max(first + 1, int(np.searchsorted(until, until[first] + BLOCK, side="right")) - 1)
        yield from _within(first, np.diff(until[first : last + 1]), trace.step_s, rng)
        first = last


def _within(first: int, counts: NDArray[np.int64], step_s: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Requests of some steps in one block; of a single step with very many in several."""
    parts = max(1, -(-int(counts.sum()) // BLOCK)) if counts.size == 1 else 1
    shares: Iterable[NDArray[np.int64]] = (
        [counts] if parts == 1 else rng.multinomial(counts[0], [1 / parts] * parts)[:, np.newaxis]
    )
    for part, share in enumerate(shares):
        place = np.repeat(np.arange(share.size), share) + (part + rng.random(int(share.sum()))) / parts
        if place.size:
            yield (first + np.sort(place)) * step_s


def expected_requests(trace: Trace, length_s: float) -> float:
    """Requests of a trace, repeated end to end, in its first ``length_s`` seconds."""
    edges_s, expected = _curve(trace)
    rounds, rest_s = divmod(length_s, float(edges_s[-1]))
    return rounds * float(expected[-1]) + float(np.interp(rest_s, edges_s, expected))


def follow(arrivals: Iterable[Floats], trace: Trace) -> Iterator[Floats]:
    """Bend a stream of one request a second so that its rate is a trace's, which is repeated end to end.

    Time is changed by the inverse of the expected number of requests, so that what makes the stream bursty stays,
    counted in requests: of a Poisson stream it makes the Poisson process of that rate, exactly (Cox & Lewis 1966,
    ch. 2). To fill ``length_s`` seconds, draw the stream for :func:`expected_requests` seconds.

    Args:
        arrivals: Blocks of instants at a mean rate of 1 request/s.
        trace: Its rate.

    Yields:
        Blocks of as many instants.
    """
    edges_s, expected = _curve(trace)
    for block in arrivals:
        rounds = np.floor(block / expected[-1])
        yield rounds * edges_s[-1] + np.interp(block - rounds * expected[-1], expected, edges_s)


def poisson_like(trace: Trace, length_s: float, *, seed: int) -> Iterator[Floats]:
    """Draw Poisson arrivals at a trace's rate, which is repeated end to end.

    Args:
        trace: Its rate, such as a fitted week's.
        length_s: For how many seconds, > 0.
        seed: Of the draws.

    Returns:
        Blocks of instants in ``[0, length_s]``.

    Raises:
        ValueError: when the length is not finite and > 0, or nothing is expected in it.
    """
    return follow(poisson(1.0, expected_requests(trace, length_s), seed=seed), trace)


def _curve(trace: Trace) -> tuple[Floats, Floats]:
    """Edges of the steps in seconds, and requests expected until each."""
    edges_s: Floats = np.arange(trace.counts.size + 1, dtype=np.float64) * trace.step_s
    return edges_s, np.concatenate(([0.0], np.cumsum(trace.counts)))
