"""The accuracy gate: the candidate may be at most the allowed drop worse than the baseline, on the same samples.

Three ways to the same :class:`GateResult`:

- 0/1 scores: exact unconditional limit while at most ``EXACT_DISCORDANT`` pairs differ, Tango's score limit beyond.
- other scores in [0, 1]: the betting limit for bounded means. Student's t and the bootstrap miss far too often when
  few samples differ, which is the usual case here (27 % instead of 5 % when 0.5 % of 450 do); the betting limit
  never does. It is about 1.2 × as wide as Student's when all samples differ, 1.7 × when few do.
- metrics that are not averages (F1, mAP): paired bootstrap-t, with a floor for what a bootstrap cannot see.

Agreement without labels is the same gate with a baseline score of 1 everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.stats.paired_limits import exact_upper, tango_upper
from farthing.core.stats.sequences import betting_limits
from farthing.nouns import Estimate, Outcome

__all__ = [
    "EXACT_DISCORDANT",
    "GateResult",
    "answers_of",
    "drop_upper",
    "fallback_confidences",
    "gate_of_counts",
    "paired_bootstrap_t",
    "paired_gate",
]

EXACT_DISCORDANT = 500
"""Up to so many differing pairs the limit is exact.

By enumeration Tango's 95 % limit misses in up to 5.2 % of cases with 5 expected better pairs and in at most 5.05 %
from 500 pairs on; the exact one costs about 0.1 s at 500 pairs.
"""
_EXACT_PLANNED = 50  # for sample sizes still to come Tango's limit is close enough sooner
_MOST_SAMPLES = 10**9
_UNITS = 1000
_SPREAD_DRAWS = 100
_REDRAWS = 20
_ORDER_SEED = 20240213

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The verdict of a gate and what it rests on.

    Attributes:
        drop_frac: Baseline − candidate; ``hi`` is the one-sided upper limit, ``lo`` is −inf.
        lower_frac: One-sided lower limit of the drop, at the same confidence.
        allowed_drop_frac: What was allowed.
        n: Samples compared.
        n_worse: Samples on which the candidate scores less (for metrics that are not averages: baseline right,
            candidate wrong).
        n_better: Samples on which it scores more.
        verdict: ``met`` when the upper limit is within the allowed drop, ``not_met`` when the lower limit is above
            it, else ``unproven``.
        n_needed: Samples at which an unproven case would be settled if the rates stay as seen; None when it is
            settled already or the drop seen is the allowed one.
    """

    drop_frac: Estimate
    lower_frac: float
    allowed_drop_frac: float
    n: int
    n_worse: int
    n_better: int
    verdict: Outcome
    n_needed: int | None


def paired_gate(
    baseline_scores: ArrayLike, candidate_scores: ArrayLike, *, allowed_drop_frac: float, confidence: float
) -> GateResult:
    """Hold the mean score of a candidate against the baseline's on the same samples.

    Args:
        baseline_scores: In [0, 1], shape ``(n,)``; all ones for agreement without labels.
        candidate_scores: In [0, 1], same shape and order.
        allowed_drop_frac: Largest allowed drop of the mean, in [0, 1).
        confidence: One-sided confidence of each limit, in (0.5, 1).

    Raises:
        ValueError: when shapes differ, a score lies outside [0, 1] or is NaN, or an argument is out of its domain.
    """
    before, after = (_scores(x) for x in (baseline_scores, candidate_scores))
    if before.shape != after.shape:
        raise ValueError(f"scores come in pairs: {before.size} of the baseline, {after.size} of the candidate")
    n_worse, n_better = int((after < before).sum()), int((after > before).sum())
    if all(((x == 0) | (x == 1)).all() for x in (before, after)):
        return gate_of_counts(
            n_worse, n_better, before.size, allowed_drop_frac=allowed_drop_frac, confidence=confidence
        )
    _check(allowed_drop_frac, confidence)
    drops = before - after
    # The betting limit wants exchangeable order; files are often sorted by class. Fixed, so that answers repeat.
    shuffled = np.random.default_rng(_ORDER_SEED).permutation(drops)
    lower, upper = (2 * end - 1 for end in betting_limits((shuffled + 1) / 2, confidence=confidence))
    return _by_limits(
        value=float(drops.mean()),
        limits=(lower, upper),
        counts=(before.size, n_worse, n_better),
        allowed=allowed_drop_frac,
        confidence=confidence,
        method=f"betting limit for bounded means, {before.size} pairs",
    )


def gate_of_counts(n_worse: int, n_better: int, n: int, *, allowed_drop_frac: float, confidence: float) -> GateResult:
    """Run the gate for 0/1 scores from its counts alone.

    Args:
        n_worse: Pairs on which the baseline is right and the candidate wrong.
        n_better: Pairs the other way round.
        n: All pairs.
        allowed_drop_frac: Largest allowed drop, in [0, 1).
        confidence: One-sided confidence of each limit, in (0.5, 1).

    Raises:
        ValueError: when the counts are impossible or an argument is out of its domain.
    """
    _check(allowed_drop_frac, confidence)
    if n < 1 or min(n_worse, n_better) < 0 or n_worse + n_better > n:
        raise ValueError(f"impossible counts: {n_worse} worse and {n_better} better of {n}")
    upper = drop_upper(n_worse, n_better, n, confidence=confidence)
    lower = -drop_upper(n_better, n_worse, n, confidence=confidence)
    verdict = _verdict(lower, upper, allowed_drop_frac)
    settled = verdict != "unproven"
    exact = n_worse + n_better <= EXACT_DISCORDANT
    method = "exact unconditional limit" if exact else "Tango's score limit"
    return GateResult(
        drop_frac=_drop((n_worse - n_better) / n, upper, n, f"{method}, {n} pairs", confidence),
        lower_frac=lower,
        allowed_drop_frac=allowed_drop_frac,
        n=n,
        n_worse=n_worse,
        n_better=n_better,
        verdict=verdict,
        n_needed=None if settled else _n_settling(n_worse / n, n_better / n, n, allowed_drop_frac, confidence),
    )


def paired_bootstrap_t(
    metric: Callable[[NDArray[Any], NDArray[Any]], Any],
    outputs_a: NDArray[Any],
    outputs_b: NDArray[Any],
    labels: NDArray[Any],
    rng: np.random.Generator,
    *,
    allowed_drop_frac: float,
    confidence: float,
    resamples: int = 999,
) -> GateResult:
    """Run the gate for a metric of all samples together by the paired bootstrap-t (Efron & Tibshirani 1993, 12.5).

    Standard errors come from the jackknife and, within a resample, from its influence values; above 1,000 samples
    groups of samples are the units of both. A bootstrap cannot draw answers that were never seen to differ, so the
    upper limit is at least the metric's drop when as many of the baseline's answers go wrong, spread at random, as
    the exact gate's upper limit on the share of right answers allows. Calls the metric 2 × (units + resamples)
    times.

    Args:
        metric: ``metric(outputs, labels)`` gives one number in [0, 1], more is better.
        outputs_a: The baseline's outputs, shape ``(n, …)``.
        outputs_b: The candidate's, same shape.
        labels: Truth, shape ``(n,)``.
        rng: Source of the resamples.
        allowed_drop_frac: Largest allowed drop of the metric, in [0, 1).
        confidence: One-sided confidence of each limit, in (0.5, 1).
        resamples: Bootstrap resamples, ≥ 199.

    Raises:
        ValueError: when shapes differ, there are fewer than 20 samples, or an argument is out of its domain.
    """
    _check(allowed_drop_frac, confidence)
    n = len(labels)
    if outputs_a.shape != outputs_b.shape or len(outputs_a) != n:
        raise ValueError(f"outputs {outputs_a.shape} and {outputs_b.shape} for {n} labels")
    if n < 20 or resamples < 199:
        raise ValueError(f"needs at least 20 samples and 199 resamples, has {n} and {resamples}")

    def drop(index: NDArray[np.int64]) -> float:
        return float(metric(outputs_a[index], labels[index])) - float(metric(outputs_b[index], labels[index]))

    units = np.array_split(rng.permutation(n), min(n, _UNITS))
    lower, upper = _bootstrap_t_limits(drop, units, rng, confidence, resamples)
    value = drop(np.arange(n))
    right_a, right_b = (answers_of(x) == np.asarray(labels).ravel() for x in (outputs_a, outputs_b))
    n_worse, n_better = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    if (right_a | right_b).any():
        share = max(0.0, drop_upper(n_worse, n_better, n, confidence=confidence))
        upper = max(upper, _drop_when_wrong(metric, outputs_a, labels, math.ceil(share * n), rng))
    return _by_limits(
        value=value,
        limits=(min(lower, value), max(upper, value)),
        counts=(n, n_worse, n_better),
        allowed=allowed_drop_frac,
        confidence=confidence,
        method=f"paired bootstrap-t, {resamples} resamples of {n} pairs",
    )


def fallback_confidences(k: int, confidence: float) -> tuple[float, ...]:
    """Confidences of a pre-registered sequence of k gates on the same split, by Bonferroni.

    The first candidate is tried, then the next when it fails, and so on; the chance that any of them passes wrongly
    is at most ``1 − confidence``.

    Raises:
        ValueError: when k < 1 or confidence lies outside (0, 1).
    """
    if k < 1 or not 0 < confidence < 1:
        raise ValueError(f"needs k ≥ 1 and confidence in (0, 1): k = {k}, confidence = {confidence}")
    return (1 - (1 - confidence) / k,) * k


def _by_limits(
    *,
    value: float,
    limits: tuple[float, float],
    counts: tuple[int, int, int],
    allowed: float,
    confidence: float,
    method: str,
) -> GateResult:
    """Give a result whose limits shrink with the square root of n."""
    (lower, upper), (n, n_worse, n_better) = limits, counts
    verdict, needed = _verdict(lower, upper, allowed), None
    gap = allowed - value
    if verdict == "unproven" and gap != 0:
        width = upper - value if gap > 0 else value - lower
        growth = (width / gap) ** 2
        needed = math.ceil(n * growth) if n * growth <= _MOST_SAMPLES else None
    return GateResult(
        drop_frac=_drop(value, upper, n, method, confidence),
        lower_frac=lower,
        allowed_drop_frac=allowed,
        n=n,
        n_worse=n_worse,
        n_better=n_better,
        verdict=verdict,
        n_needed=needed,
    )


def _bootstrap_t_limits(
    drop: Callable[[NDArray[np.int64]], float],
    units: list[NDArray[np.int64]],
    rng: np.random.Generator,
    confidence: float,
    resamples: int,
) -> tuple[float, float]:
    count = len(units)
    every, single = np.concatenate(units), all(unit.size == 1 for unit in units)

    def drop_of(chosen: NDArray[np.int64]) -> float:
        return drop(every[chosen] if single else np.concatenate([units[i] for i in chosen]))

    value, numbers = drop(every), np.arange(count)
    without = np.array([drop_of(np.delete(numbers, i)) for i in numbers])
    influence = (count - 1) * (without.mean() - without)
    error = math.sqrt(float((influence**2).sum()) / (count * (count - 1)))
    if error == 0:
        return value, value
    scores = np.empty(resamples)
    draws = rng.integers(count, size=(resamples, count))
    spreads = influence[draws].std(axis=1, ddof=1) / math.sqrt(count)
    for r, (drawn, spread) in enumerate(zip(draws, spreads, strict=True)):
        gap = drop_of(drawn) - value
        scores[r] = gap / spread if spread > 0 else math.copysign(math.inf, gap) if gap else 0.0
    scores.sort()
    rank = math.floor((1 - confidence) * (resamples + 1))  # exact level when (resamples + 1) α is whole
    low, high = (scores[rank - 1], scores[-rank]) if rank >= 1 else (-math.inf, math.inf)
    return float(np.clip(value - high * error, -1, 1)), float(np.clip(value - low * error, -1, 1))


def _drop_when_wrong(
    metric: Callable[[NDArray[Any], NDArray[Any]], Any],
    outputs: NDArray[Any],
    labels: NDArray[Any],
    count: int,
    rng: np.random.Generator,
) -> float:
    """Mean drop of the metric when that many random samples get the output of one answered differently."""
    if count == 0:
        return 0.0
    answers, full, total = answers_of(outputs), float(metric(outputs, labels)), 0.0
    n = len(answers)
    for _ in range(_SPREAD_DRAWS):
        wrong = rng.choice(n, size=min(count, n), replace=False)
        given = rng.integers(n, size=wrong.size)
        for _ in range(_REDRAWS):  # until each is another answer; a few may stay when one answer is very common
            same = np.flatnonzero(answers[given] == answers[wrong])
            if not same.size:
                break
            given[same] = rng.integers(n, size=same.size)
        spoilt = outputs.copy()
        spoilt[wrong] = outputs[given]
        total += full - float(metric(spoilt, labels))
    return total / _SPREAD_DRAWS


def answers_of(outputs: NDArray[Any]) -> NDArray[Any]:
    """Class index, or the number itself rounded to six decimals."""
    if outputs.ndim > 1 and outputs.shape[-1] > 1:
        return np.asarray(outputs.reshape(len(outputs), -1).argmax(axis=-1))
    return np.round(outputs.reshape(len(outputs)), 6)


def drop_upper(
    n_worse: int, n_better: int, n: int, *, confidence: float, exact_discordant: int = EXACT_DISCORDANT
) -> float:
    """Upper limit of the drop for 0/1 scores: exact up to so many differing pairs, Tango's beyond.

    The lower limit is the negative of this with worse and better swapped.

    Args:
        n_worse: Pairs on which the baseline is right and the candidate wrong.
        n_better: Pairs the other way round.
        n: All pairs.
        confidence: One-sided, in (0.5, 1).
        exact_discordant: Where to switch.
    """
    limit = exact_upper if n_worse + n_better <= exact_discordant else tango_upper
    return limit(n_worse, n_better, n, confidence=confidence)


def _n_settling(worse_frac: float, better_frac: float, n: int, allowed: float, confidence: float) -> int | None:
    """Smallest n found (by doubling, then bisection) whose expected counts settle the gate; None beyond 10⁹."""
    drop = worse_frac - better_frac
    if math.isclose(drop, allowed):
        return None

    def settles(m: int) -> bool:
        met = drop < allowed
        more, less = (worse_frac, better_frac) if met else (better_frac, worse_frac)
        counts = math.ceil(more * m - 1e-9), math.floor(less * m + 1e-9)
        limit = drop_upper(*counts, m, confidence=confidence, exact_discordant=_EXACT_PLANNED)
        return limit <= allowed if met else -limit > allowed

    lo, hi = n, 2 * n
    while not settles(hi):
        if hi > _MOST_SAMPLES:
            return None
        lo, hi = hi, 2 * hi
    while hi - lo > max(1, lo // 200):
        mid = (lo + hi) // 2
        lo, hi = (lo, mid) if settles(mid) else (mid, hi)
    return hi


def _drop(value: float, upper: float, n: int, method: str, confidence: float) -> Estimate:
    return Estimate(value=value, lo=-math.inf, hi=max(upper, value), n=n, method=method, confidence=confidence)


def _verdict(lower: float, upper: float, allowed: float) -> Outcome:
    return "met" if upper <= allowed else "not_met" if lower > allowed else "unproven"


def _scores(scores: ArrayLike) -> Floats:
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"scores must be one-dimensional and not empty, have shape {x.shape}")
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"scores must lie in [0, 1], span {x.min()} to {x.max()}")
    return x


def _check(allowed_drop_frac: float, confidence: float) -> None:
    if not 0 <= allowed_drop_frac < 1:
        raise ValueError(f"allowed_drop_frac must lie in [0, 1), is {allowed_drop_frac}")
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence must lie in (0.5, 1), is {confidence}")
