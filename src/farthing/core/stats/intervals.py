"""Fixed-sample intervals: ratios of interleaved blocks, means, quantiles, proportions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from farthing.nouns import Estimate

__all__ = ["FEWEST_BLOCKS", "mean_t", "proportion", "quantile", "ratio_of_blocks", "wider"]

FEWEST_BLOCKS = 8
"""Fewest pairs of blocks from which a ratio is stated."""

Floats = NDArray[np.float64]


def ratio_of_blocks(a: ArrayLike, b: ArrayLike, *, confidence: float) -> Estimate:
    """Ratio a / b of interleaved blocks A B A B …: Student-t on the log ratios of the pairs, on the ratio scale.

    What both blocks of a pair share (slow drift, a burst that covers the pair) cancels. Pairs must be independent
    of each other beyond that: autocorrelation that does *not* cancel makes the interval too narrow.

    Args:
        a: One positive number a block (a throughput or a time), shape ``(n_blocks,)``, in time order.
        b: The blocks measured next to them, same unit and shape.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        ValueError: when there are fewer than 8 pairs, the shapes differ, or a value is not finite and > 0.
    """
    top, bottom = _sample(a, "a"), _sample(b, "b")
    if top.shape != bottom.shape:
        raise ValueError(f"blocks come in pairs: {top.size} of a, {bottom.size} of b")
    if top.size < FEWEST_BLOCKS:
        raise ValueError(f"a ratio needs at least {FEWEST_BLOCKS} pairs of blocks, has {top.size}")
    if min(top.min(), bottom.min()) <= 0:
        raise ValueError(f"blocks must be > 0: the least is {min(top.min(), bottom.min())}")
    logs = np.log(top) - np.log(bottom)
    value, lo, hi = (math.exp(x) for x in _t_ends(logs, confidence))
    return Estimate(
        value=value, lo=lo, hi=hi, n=logs.size, method=f"t on {logs.size} log ratios", confidence=confidence
    )


def mean_t(samples: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Mean of independent samples with a two-sided Student-t interval.

    Args:
        samples: Finite numbers, shape ``(n,)``, n ≥ 2.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        ValueError: when there are fewer than two samples or one is not finite.
    """
    x = _sample(samples, "samples")
    if x.size < 2:
        raise ValueError(f"the interval of a mean needs at least 2 samples, has {x.size}")
    value, lo, hi = _t_ends(x, confidence)
    return Estimate(value=value, lo=lo, hi=hi, n=x.size, method=f"t on {x.size} samples", confidence=confidence)


def wider(found: Estimate, down: float, up: float, method: str) -> Estimate:
    """An interval with more on each side, in quadrature on logarithms.

    Args:
        found: With 0 < lo ≤ value ≤ hi < ∞.
        down: Half width on logarithms to add below, ≥ 0.
        up: To add above, ≥ 0; infinite for no upper end.
        method: What is added, in words behind the method's own.
    """
    below = math.hypot(math.log(found.value / found.lo), down)
    above = math.hypot(math.log(found.hi / found.value), up)
    lo, hi = (found.value * math.exp(way) for way in (-below, above))
    return replace(found, lo=lo, hi=hi, method=f"{found.method}; and {method}")


def quantile(samples: ArrayLike, q: float, *, confidence: float = 0.95) -> Estimate:
    """Quantile of independent samples with a distribution-free interval between two order statistics.

    The number of samples below the q-quantile is binomial(n, q) (David & Nagaraja, *Order Statistics*, 2003,
    section 7.1); each end misses with probability at most ``(1 − confidence) / 2``. Where n is too small for an
    end, that end is ±inf and ``method`` says so. The value is the smallest sample with at least ``q·n`` samples
    at or below it.

    Args:
        samples: Finite numbers, shape ``(n,)``, n ≥ 1.
        q: Which quantile, in (0, 1).
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        ValueError: when there is no sample, one is not finite, or q lies outside (0, 1).
    """
    x = np.sort(_sample(samples, "samples"))
    _check_open_unit(q, "q")
    _check_open_unit(confidence, "confidence")
    n, alpha = x.size, 1 - confidence
    at_most = special.bdtr(np.arange(n + 1.0), n, q)
    # Rank l (from 1) misses below when at most l − 1 samples lie under the quantile, rank u above when at least u do.
    low_rank = int(np.searchsorted(at_most, alpha / 2, side="right"))
    above = special.bdtrc(np.arange(float(n)), n, q)
    high_rank = n + 1 - int(np.searchsorted(above[::-1], alpha / 2, side="right"))
    lo = float(x[low_rank - 1]) if low_rank >= 1 else -math.inf
    hi = float(x[high_rank - 1]) if high_rank <= n else math.inf
    value = float(x[max(1, math.ceil(n * q - 1e-9)) - 1])
    open_ends = [name for name, end in (("lower", lo), ("upper", hi)) if math.isinf(end)]
    too_few = f"; too few for {' or '.join(open_ends)} end" if open_ends else ""
    return Estimate(
        value=value, lo=lo, hi=hi, n=n, method=f"order statistics of {n} samples{too_few}", confidence=confidence
    )


def proportion(
    k: int, n: int, confidence: float = 0.95, *, side: Literal["both", "lower", "upper"] = "both"
) -> Estimate:
    """Share k of n with Clopper and Pearson's exact interval (Biometrika 26, 1934).

    Args:
        k: Successes, 0 ≤ k ≤ n.
        n: Trials, ≥ 1.
        confidence: Coverage, in (0, 1).
        side: ``both`` ends, or all of the error probability on the ``lower`` or the ``upper`` one; the other end
            is then 0 or 1.

    Raises:
        ValueError: when the counts are impossible.
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a proportion needs 0 ≤ k ≤ n and n ≥ 1: k = {k}, n = {n}")
    _check_open_unit(confidence, "confidence")
    alpha = (1 - confidence) / (2 if side == "both" else 1)
    lo = float(special.betaincinv(k, n - k + 1, alpha)) if k > 0 and side != "upper" else 0.0
    hi = float(special.betainccinv(k + 1, n - k, alpha)) if k < n and side != "lower" else 1.0
    value = k / n
    name = "Clopper-Pearson" if side == "both" else f"Clopper-Pearson, {side} limit"
    return Estimate(value=value, lo=min(lo, value), hi=max(hi, value), n=n, method=name, confidence=confidence)


def _t_ends(x: Floats, confidence: float) -> tuple[float, float, float]:
    """Mean and the ends of its Student-t interval."""
    _check_open_unit(confidence, "confidence")
    mean = float(x.mean())
    half = -float(special.stdtrit(x.size - 1, (1 - confidence) / 2)) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return mean, mean - half, mean + half


def _sample(values: ArrayLike, name: str) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, has shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite, has {int((~np.isfinite(x)).sum())} values that are not")
    return x


def _check_open_unit(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie in (0, 1), is {value}")
