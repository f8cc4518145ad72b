"""Counter-based random numbers: a draw depends on what it is for, not on what was drawn before it.

The factor on the service time of batch ``b`` of replica ``k`` is a function of ``(seed, k, b)`` alone, so that two
policies that are run with one seed see the same draws however their events interleave. Each replica has its own
SplitMix64 stream (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants of
its published C code), seeded by two further rounds of the same mixing.
"""

from __future__ import annotations

import math

import numpy as np

from farthing.core.stats.compiled import inlined

__all__ = ["BALANCER", "factor", "mixed", "stream_key", "unit"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_R11, _R27, _R30, _R31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
_UNIT = 2.0**-53

BALANCER = np.uint64(2**63)
"""Stream of the load balancer; streams below it belong to replicas by their number."""


@inlined
def mixed(z: np.uint64) -> np.uint64:
    """SplitMix64's output function."""
    z = (z ^ (z >> _R30)) * _FIRST
    z = (z ^ (z >> _R27)) * _SECOND
    return z ^ (z >> _R31)


@inlined
def stream_key(seed: np.uint64, stream: np.uint64) -> np.uint64:
    """State from which a stream starts: two streams of one seed have nothing in common."""
    return mixed(mixed(seed + _GOLDEN) + _GOLDEN * (stream + _ONE))


@inlined
def unit(key: np.uint64, number: np.uint64) -> float:
    """Number ``number`` of a stream as a multiple of 2⁻⁵³ in [0, 1)."""
    return np.float64(mixed(key + _GOLDEN * (number + _ONE)) >> _R11) * _UNIT


@inlined
def factor(key: np.uint64, batch: np.uint64, sigma: float, exponential: bool) -> float:
    """Factor with mean 1 on the mean service time of a replica's batch.

    Args:
        key: Of the replica's stream.
        batch: Number of the batch at its replica, from 0.
        sigma: Standard deviation of the logarithm, ≥ 0; 0 gives 1.
        exponential: Take an exponential distribution instead, whatever ``sigma``.
    """
    if exponential:
        return -math.log(1.0 - unit(key, batch * _TWO))
    if sigma == 0.0:
        return 1.0
    radius = math.sqrt(-2.0 * math.log(1.0 - unit(key, batch * _TWO)))
    normal = radius * math.cos(2.0 * math.pi * unit(key, batch * _TWO + _ONE))  # Box and Muller
    return math.exp(sigma * normal - 0.5 * sigma * sigma)
