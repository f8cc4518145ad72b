"""Simulations of the error rates and the power that farthing states; listed in ``cases.py``.

Each body takes a generator and the number of repeats and returns the rate seen with its exact 99 % interval.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special

from farthing.core.stats.change import ChangeTest, alarm_after
from farthing.core.stats.intervals import proportion, quantile, ratio_of_blocks
from farthing.core.stats.noninferiority import drop_upper, fallback_confidences, paired_bootstrap_t
from farthing.core.stats.risk import conformal_risk_control, learn_then_test
from farthing.core.stats.sequences import (
    SAMPLE_RISK,
    SEQUENCE_RISK,
    empirical_bernstein,
    log_wealth,
    predictable_bets,
)
from farthing.nouns import Estimate

__all__ = [
    "ALPHA",
    "REPEATS",
    "alarms",
    "bernstein_misses",
    "betting_misses",
    "block_ratio",
    "bounded_gate_passes",
    "bursty_blocks",
    "conformal_losses",
    "correlated_pairs",
    "f1_binary",
    "f1_gate_passes",
    "fallback_passes",
    "gate_passes",
    "learn_then_test_errors",
    "learn_then_test_power",
    "peeking_misses",
    "percentile_bootstrap",
    "proportion_misses",
    "quantile_misses",
    "rate",
    "student_gate_passes",
]

REPEATS = 10_000
ALPHA = 0.05
Floats = NDArray[np.float64]


def rate(events: int, repeats: int) -> Estimate:
    """Share of repeats with its exact 99 % interval."""
    return proportion(events, repeats, 0.99)


# --- Ratios of blocks -------------------------------------------------------------------------------------------


@njit(cache=True)
def bursty_blocks(noise: Floats, coins: Floats, drift: Floats) -> Floats:
    """Log durations of blocks in time order: white noise, a slow AR(1) drift, and bursts (+ 30 %, 6 blocks long).

    Args:
        noise: Standard normal, shape ``(repeats, n)``.
        coins: Uniform, same shape.
        drift: Standard normal, same shape.
    """
    out = np.empty(noise.shape)
    for r in range(noise.shape[0]):
        level, burst = drift[r, 0], coins[r, 0] < 0.2
        for t in range(noise.shape[1]):
            level = 0.97 * level + 0.243 * drift[r, t]
            burst = coins[r, t] < (5 / 6 if burst else 1 / 24)
            out[r, t] = 0.02 * noise[r, t] + 0.10 * level + (0.3 if burst else 0.0)
    return out


def _blocks(rng: np.random.Generator, repeats: int, n: int, noise: str) -> Floats:
    shape = (repeats, 2 * n)
    if noise == "white":
        return 0.02 * rng.standard_normal(shape)
    return bursty_blocks(rng.standard_normal(shape), rng.random(shape), rng.standard_normal(shape))


def block_ratio(
    rng: np.random.Generator, repeats: int, *, n: int, noise: str, interleaved: bool = True, ratio: float = 1.0
) -> Estimate:
    """How often the interval of a ratio misses 1 (the error when ``ratio`` is 1, else the power)."""
    blocks = np.exp(_blocks(rng, repeats, n, noise))
    a, b = (blocks[:, ::2], blocks[:, 1::2]) if interleaved else (blocks[:, :n], blocks[:, n:])
    seen = (ratio_of_blocks(x * ratio, y, confidence=1 - ALPHA) for x, y in zip(a, b))
    return rate(sum(not e.lo <= 1 <= e.hi for e in seen), repeats)


def correlated_pairs(rng: np.random.Generator, repeats: int, *, n: int, phi: float) -> Estimate:
    """How often the interval misses when the log ratios themselves are AR(1): noise that interleaving cannot cancel."""
    x = rng.standard_normal((repeats, n))
    for t in range(1, n):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * x[:, t]
    seen = (ratio_of_blocks(np.exp(0.02 * row), np.ones(n), confidence=1 - ALPHA) for row in x)
    return rate(sum(not e.lo <= 1 <= e.hi for e in seen), repeats)


def percentile_bootstrap(rng: np.random.Generator, repeats: int, *, n: int = 8) -> Estimate:
    """How often the percentile bootstrap over n log ratios misses: the reason for Student's t."""
    misses = 0
    for _ in range(repeats // 500):
        x = rng.standard_normal((500, n))
        picks = rng.integers(n, size=(500, 400, n))
        means = np.take_along_axis(x[:, None, :], picks, axis=2).mean(axis=2)
        lo, hi = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
        misses += int(((lo > 0) | (hi < 0)).sum())
    return rate(misses, repeats)


def quantile_misses(rng: np.random.Generator, repeats: int, *, n: int, q: float) -> Estimate:
    """How often the order-statistic interval misses the quantile of a log-normal latency."""
    truth = float(np.exp(special.ndtri(q)))
    seen = (quantile(x, q, confidence=1 - ALPHA) for x in np.exp(rng.standard_normal((repeats, n))))
    return rate(sum(not e.lo <= truth <= e.hi for e in seen), repeats)


def proportion_misses(rng: np.random.Generator, repeats: int, *, n: int, p: float) -> Estimate:
    """How often Clopper and Pearson's interval misses."""
    counts, times = np.unique(rng.binomial(n, p, size=repeats), return_counts=True)
    seen = [proportion(int(k), n, 1 - ALPHA) for k in counts]
    return rate(int(sum(c for e, c in zip(seen, times) if not e.lo <= p <= e.hi)), repeats)


# --- The accuracy gate ------------------------------------------------------------------------------------------


def gate_passes(
    rng: np.random.Generator, repeats: int, *, n: int, worse: float, better: float, allowed: float
) -> Estimate:
    """How often the 0/1 gate says met: the error when worse − better = allowed, else the power."""
    draws = rng.multinomial(n, [worse, better, 1 - worse - better], size=repeats)[:, :2]
    pairs, times = np.unique(draws, axis=0, return_counts=True)
    met = [drop_upper(int(w), int(b), n, confidence=1 - ALPHA) <= allowed for w, b in pairs]
    return rate(int(times[np.array(met)].sum()), repeats)


def fallback_passes(rng: np.random.Generator, repeats: int, *, n: int, k: int, allowed: float) -> Estimate:
    """How often any of k independent candidates, each at the allowed drop, passes a fall-back sequence."""
    draws = rng.multinomial(n, [allowed + 0.002, 0.002, 1 - allowed - 0.004], size=(repeats, k))[..., :2]
    (level, *_) = fallback_confidences(k, 1 - ALPHA)
    pairs, where = np.unique(draws.reshape(-1, 2), axis=0, return_inverse=True)
    met = np.array([drop_upper(int(w), int(b), n, confidence=level) <= allowed for w, b in pairs])
    return rate(int(met[where.reshape(repeats, k)].any(axis=1).sum()), repeats)


def _sparse_drops(rng: np.random.Generator, repeats: int, n: int, share: float, mean: float) -> Floats:
    """Draw drops of averaged scores: most samples equal, a share of them anywhere from −0.2 to more than that above."""
    top = 2 * mean / share + 0.2
    drops = rng.uniform(-0.2, top, size=(repeats, n))
    return np.where(rng.random((repeats, n)) < share, drops, 0.0)


@njit(cache=True)
def _bets_won(x: Floats, m: float, threshold: float, horizon: int, risk: float) -> int:
    won = 0
    for row in x:
        won += log_wealth(row, predictable_bets(row, threshold, horizon), m, risk) >= threshold
    return won


def bounded_gate_passes(
    rng: np.random.Generator, repeats: int, *, n: int, share: float, mean: float, allowed: float
) -> Estimate:
    """How often the betting limit of averaged scores lies below the allowed drop."""
    x = (_sparse_drops(rng, repeats, n, share, mean) + 1) / 2
    return rate(_bets_won(x, (allowed + 1) / 2, -np.log(ALPHA), n, SAMPLE_RISK), repeats)


def student_gate_passes(rng: np.random.Generator, repeats: int, *, n: int, share: float, mean: float) -> Estimate:
    """How often Student's limit lies below a drop that is as large as allowed: why it is not used."""
    x = _sparse_drops(rng, repeats, n, share, mean)
    limit = x.mean(axis=1) - special.stdtrit(n - 1, ALPHA) * x.std(axis=1, ddof=1) / np.sqrt(n)
    return rate(int((limit <= mean).sum()), repeats)


def f1_binary(outputs: Floats, labels: Floats) -> float:
    """F1 of class 1 from 0/1 outputs of shape ``(n,)``."""
    both = float(outputs @ labels)
    return 2 * both / max(1.0, float(outputs.sum() + labels.sum()))


def f1_gate_passes(rng: np.random.Generator, repeats: int, *, n: int, flips: float, allowed: float | None) -> Estimate:
    """How often the bootstrap-t gate passes a candidate that has a share of the baseline's answers flipped.

    Labels are 1 with probability 0.4, the baseline errs on 10 %. ``allowed`` None stands for the true drop: the error.
    """
    if allowed is None:
        big = _f1_sample(rng, 4_000_000, flips)
        allowed = f1_binary(big[0], big[2]) - f1_binary(big[1], big[2])
    met = 0
    for _ in range(repeats):
        a, b, labels = _f1_sample(rng, n, flips)
        result = paired_bootstrap_t(
            f1_binary, a, b, labels, rng, allowed_drop_frac=allowed, confidence=1 - ALPHA, resamples=199
        )
        met += result.verdict == "met"
    return rate(met, repeats)


def _f1_sample(rng: np.random.Generator, n: int, flips: float) -> tuple[Floats, Floats, Floats]:
    labels = (rng.random(n) < 0.4).astype(np.float64)
    a = np.where(rng.random(n) < 0.1, 1 - labels, labels)
    return a, np.where(rng.random(n) < flips, 1 - a, a), labels


# --- Sequences and change ---------------------------------------------------------------------------------------


@njit(cache=True)
def _volatile(coins: Floats, other: Floats, mean: float) -> Floats:
    """Values of constant conditional mean whose spread depends on the past: calm, or in bursts (40 long) wild."""
    x = np.empty(coins.shape)
    for r in range(coins.shape[0]):
        wild = False
        for t in range(coins.shape[1]):
            wild = other[r, t] < (0.975 if wild else 0.025)
            spread = min(mean, 1 - mean) * (1.0 if wild else 0.1)
            x[r, t] = mean + (spread if coins[r, t] < 0.5 else -spread)
    return x


def _stream(rng: np.random.Generator, shape: tuple[int, int], noise: str, mean: float) -> Floats:
    if noise == "bursty":
        return _volatile(rng.random(shape), rng.random(shape), mean)
    if noise == "beta":
        return rng.beta(4 * mean, 4 * (1 - mean), size=shape)
    return (rng.random(shape) < mean).astype(np.float64)


def betting_misses(
    rng: np.random.Generator, repeats: int, *, n: int, noise: str, mean: float, asked: float | None = None
) -> Estimate:
    """How often the betting sequence ever excludes ``asked`` (the true mean when None: the error)."""
    x, m = _stream(rng, (repeats, n), noise, mean), mean if asked is None else asked
    threshold = np.log(2 / ALPHA)
    misses = 0
    for row in x:
        bets = predictable_bets(row, threshold, 0)
        over = log_wealth(row, bets, m, SEQUENCE_RISK) >= threshold
        misses += over or log_wealth(1 - row, bets, 1 - m, SEQUENCE_RISK) >= threshold
    return rate(int(misses), repeats)


def bernstein_misses(
    rng: np.random.Generator, repeats: int, *, n: int, noise: str, mean: float, asked: float | None = None
) -> Estimate:
    """How often the empirical Bernstein sequence ever excludes ``asked`` (the true mean when None)."""
    m, misses = mean if asked is None else asked, 0
    for row in _stream(rng, (repeats, n), noise, mean):
        s = empirical_bernstein(row, confidence=1 - ALPHA)
        misses += not s.lo[-1] <= m <= s.hi[-1]
    return rate(misses, repeats)


def peeking_misses(rng: np.random.Generator, repeats: int, *, n: int, every: int = 10) -> Estimate:
    """How often a 95 % t-interval, looked at every 10 observations, excludes the true mean: why sequences."""
    x = rng.standard_normal((repeats, n))
    t = np.arange(1, n + 1)
    mean = np.cumsum(x, axis=1) / t
    looks = slice(2 * every - 1, None, every)
    spread = np.sqrt((np.cumsum(x**2, axis=1) - t * mean**2)[:, looks] / (t[looks] - 1))
    half = -special.stdtrit(t[looks] - 1, ALPHA / 2) * spread / np.sqrt(t[looks])
    return rate(int((np.abs(mean[:, looks]) > half).any(axis=1).sum()), repeats)


def alarms(
    rng: np.random.Generator, repeats: int, *, n: int, noise: str, mean: float, after: float | None = None
) -> Estimate:
    """How often a watch for a change goes off within its horizon; ``after``: the mean of its second half."""
    x = _stream(rng, (repeats, n), noise, mean)
    if after is not None:
        x[:, n // 2 :] = _stream(rng, (repeats, n - n // 2), noise, after)
    test = ChangeTest(null_lo=mean, null_hi=mean, horizon=n, false_alarm=ALPHA)
    return rate(sum(alarm_after(test, row) is not None for row in x), repeats)


# --- Risk control -----------------------------------------------------------------------------------------------


def _threshold_losses(rng: np.random.Generator, n: int, risks: Floats, binary: bool) -> Floats:
    """Monotone losses whose expectation under threshold j is risks[j]."""
    hit = rng.random((n, 1)) < risks
    return hit.astype(np.float64) if binary else np.minimum(1.0, np.cumsum(hit / risks.size, axis=1))


def learn_then_test_errors(
    rng: np.random.Generator, repeats: int, *, n: int, binary: bool, procedure: str = "fixed_sequence"
) -> Estimate:
    """How often a threshold whose risk exceeds the target is called valid."""
    risks = np.linspace(0.02, 0.20, 10)
    truth = risks if binary else np.cumsum(risks) / risks.size
    target, errors = float(truth[4]) - 1e-9, 0
    for _ in range(repeats):
        losses = _threshold_losses(rng, n, risks, binary)
        found = learn_then_test(losses, max_risk=target, confidence=1 - ALPHA, procedure=procedure)  # type: ignore[arg-type]
        errors += bool(found.valid[truth > target].any())
    return rate(errors, repeats)


def learn_then_test_power(rng: np.random.Generator, repeats: int, *, n: int) -> Estimate:
    """How often a threshold of risk 4 % is called valid for a target of 10 %."""
    losses = (rng.random((repeats, n, 1)) < 0.04).astype(np.float64)
    found = (learn_then_test(x, max_risk=0.1, confidence=1 - ALPHA).chosen is not None for x in losses)
    return rate(sum(found), repeats)


def conformal_losses(rng: np.random.Generator, repeats: int, *, n: int, target: float = 0.1) -> Estimate:
    """How often the next sample is lost under the conformal choice; at most the target on average."""
    risks = np.linspace(0.0, 0.3, 61)
    lost = 0
    for _ in range(repeats):
        losses = _threshold_losses(rng, n + 1, risks, True)
        chosen = conformal_risk_control(losses[:-1], max_risk=target).chosen
        lost += 0 if chosen is None else int(losses[-1, chosen])
    return rate(lost, repeats)
