"""Distribution-free risk control: thresholds whose expected loss is at most a target, with a stated confidence.

Losses are an array ``(n_calibration, n_thresholds)`` in [0, 1]: what each calibration sample loses under each
threshold. Columns go from the safest threshold to the cheapest (riskiest). Samples must be exchangeable with those
to come; nothing else is assumed of the loss or of the model.

- :func:`learn_then_test` (Angelopoulos, Bates, Candès, Jordan, Lei, Ann. Appl. Stat. 19, 2025): with probability
  ``confidence`` over the calibration sample, *every* threshold called valid has risk ≤ ``max_risk``.
- :func:`conformal_risk_control` (Angelopoulos, Bates, Fisch, Lei, Schuster, ICLR 2024): for monotone losses the
  chosen threshold's risk is ≤ ``max_risk`` *on average* over calibration samples; weaker, and needs fewer samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["RiskControl", "conformal_risk_control", "hoeffding_bentkus_p", "learn_then_test"]

_MOST_SAMPLES = 10**9

Floats = NDArray[np.float64]
Procedure = Literal["fixed_sequence", "bonferroni"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskControl:
    """Which thresholds hold the risk.

    Attributes:
        valid: True where the risk is controlled, shape ``(n_thresholds,)``.
        chosen: Index of the last valid threshold (the cheapest), None when there is none.
        risk: Mean loss of each threshold on the calibration sample, shape ``(n_thresholds,)``.
        p_values: Of “the risk exceeds max_risk”, shape ``(n_thresholds,)``; NaN where none is computed.
        max_risk: The target.
        n: Calibration samples.
        n_needed: When nothing is valid: samples at which the least risky threshold would become valid at the loss
            seen; None when something is valid, or when even its mean loss is ≥ max_risk.
        method: How it was decided.
    """

    valid: NDArray[np.bool_]
    chosen: int | None
    risk: Floats
    p_values: Floats
    max_risk: float
    n: int
    n_needed: int | None
    method: str


def hoeffding_bentkus_p(mean_loss: ArrayLike, n: int, max_risk: float, *, binary: bool = False) -> Floats:
    """P-values of “the risk exceeds max_risk” for losses in [0, 1] (Bates et al., J. ACM 68, 2021, eq. 5).

    min(exp(−n h(min(R̂, α), α)), e · P(Bin(n, α) ≤ ⌈n R̂⌉)), h the binary relative entropy; for 0/1 losses the exact
    P(Bin(n, α) ≤ n R̂).

    Args:
        mean_loss: R̂, any shape, in [0, 1].
        n: Samples behind it.
        max_risk: α, in (0, 1).
        binary: Every loss is 0 or 1.
    """
    mean = np.asarray(mean_loss, dtype=np.float64)
    if binary:
        return np.asarray(special.bdtr(np.round(n * mean), n, max_risk))
    low = np.minimum(mean, max_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(low > 0, low * np.log(low / max_risk), 0.0) + (1 - low) * np.log((1 - low) / (1 - max_risk))
    bentkus = math.e * special.bdtr(np.ceil(n * mean - 1e-9), n, max_risk)
    return np.asarray(np.minimum(1.0, np.minimum(np.exp(-n * entropy), bentkus)))


def learn_then_test(
    losses: ArrayLike, *, max_risk: float, confidence: float, procedure: Procedure = "fixed_sequence"
) -> RiskControl:
    """Find the thresholds whose risk is at most ``max_risk``, all at once with the given confidence.

    Args:
        losses: Shape ``(n_calibration, n_thresholds)``, in [0, 1], safest column first.
        max_risk: Largest allowed expected loss, in (0, 1).
        confidence: That no invalid threshold is called valid, in (0, 1).
        procedure: ``fixed_sequence`` tests from the first column on at full level and stops at the first failure;
            ``bonferroni`` shares the level over all columns, for losses that are not ordered.

    Raises:
        ValueError: when losses have the wrong shape or range, or an argument is out of its domain.
    """
    table = _losses(losses, max_risk)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), is {confidence}")
    n, count = table.shape
    binary = bool(((table == 0) | (table == 1)).all())
    risk = table.mean(axis=0)
    p = hoeffding_bentkus_p(risk, n, max_risk, binary=binary)
    level = (1 - confidence) / (1 if procedure == "fixed_sequence" else count)
    passed = p <= level
    valid = np.logical_and.accumulate(passed) if procedure == "fixed_sequence" else passed
    first = 0 if procedure == "fixed_sequence" else int(risk.argmin())

    def settles(m: int) -> bool:
        mean = math.ceil(risk[first] * m - 1e-9) / m if binary else float(risk[first])
        return bool(hoeffding_bentkus_p(mean, m, max_risk, binary=binary) <= level)

    name = "exact binomial" if binary else "Hoeffding-Bentkus"
    return _control(
        valid, risk, p, max_risk, n, settles=settles if risk[first] < max_risk else None, method=f"{name}, {procedure}"
    )


def conformal_risk_control(losses: ArrayLike, *, max_risk: float) -> RiskControl:
    """Find the cheapest threshold whose risk, averaged over calibration samples, is at most ``max_risk``.

    Valid are the columns with (n R̂ + 1) / (n + 1) ≤ max_risk (eq. 4, losses bounded by 1).

    Args:
        losses: Shape ``(n_calibration, n_thresholds)``, in [0, 1], no row falling from a column to the next.
        max_risk: Largest allowed expected loss, in (0, 1).

    Raises:
        ValueError: when losses have the wrong shape or range, or a row falls.
    """
    table = _losses(losses, max_risk)
    if (np.diff(table, axis=1) < 0).any():
        row = int((np.diff(table, axis=1) < 0).any(axis=1).argmax())
        raise ValueError(f"losses must not fall from the safest to the cheapest threshold; row {row} does")
    n, count = table.shape
    risk = table.mean(axis=0)
    valid = (n * risk + 1) / (n + 1) <= max_risk

    def settles(m: int) -> bool:
        return bool((m * risk[0] + 1) / (m + 1) <= max_risk)

    nothing = np.full(count, np.nan)
    return _control(
        valid,
        risk,
        nothing,
        max_risk,
        n,
        settles=settles if risk[0] < max_risk else None,
        method="conformal risk control",
    )


def _control(
    valid: NDArray[np.bool_],
    risk: Floats,
    p: Floats,
    max_risk: float,
    n: int,
    *,
    settles: Callable[[int], bool] | None,
    method: str,
) -> RiskControl:
    found = np.flatnonzero(valid)
    needed = _smallest(settles, n) if not found.size and settles is not None else None
    return RiskControl(
        valid=valid,
        chosen=int(found[-1]) if found.size else None,
        risk=risk,
        p_values=p,
        max_risk=max_risk,
        n=n,
        n_needed=needed,
        method=method,
    )


def _smallest(settles: Callable[[int], bool], n: int) -> int | None:
    """Least n that settles, by doubling and bisection; None beyond 10⁹."""
    lo, hi = n, 2 * n
    while not settles(hi):
        if hi > _MOST_SAMPLES:
            return None
        lo, hi = hi, 2 * hi
    while hi - lo > 1:
        mid = (lo + hi) // 2
        lo, hi = (lo, mid) if settles(mid) else (mid, hi)
    return hi


def _losses(losses: ArrayLike, max_risk: float) -> Floats:
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"losses must have shape (n_calibration, n_thresholds), have {table.shape}")
    if not ((table >= 0) & (table <= 1)).all():
        raise ValueError(f"losses must lie in [0, 1], span {table.min()} to {table.max()}")
    if not 0 < max_risk < 1:
        raise ValueError(f"max_risk must lie in (0, 1), is {max_risk}")
    return table
