"""What a calibration leaves for the watch of its route: how scores fell, and how often answers differed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import FixedTier, Policy, PreRoute, follow, simple
from farthing.core.route.routes import Monitoring
from farthing.core.stats.intervals import proportion

__all__ = ["DECILES", "monitoring_of"]

DECILES = tuple(k / 10 for k in range(1, 10))
_CONFIDENCE = 0.99

Floats = NDArray[np.float64]


def monitoring_of(
    chosen: Policy,
    ladder: Sequence[Policy],
    prove: OutcomeMatrix,
    *,
    reference: str,
    max_loss_frac: float,
    audit_frac: float,
    disagreed: ArrayLike | None = None,
    false_alarm: float = 0.05,
) -> Monitoring:
    """What to watch.

    Live, an answer counts as lost when it differs from the reference's. Where calibration counted something else
    (labels), answers may differ more often than is promised to be lost, so that the alarm's level is the larger one of
    the promise and the 99 % upper limit of the share that differed, for the certified policy where it is largest.

    Args:
        chosen: Policy that is followed.
        ladder: All certified policies.
        prove: Outcomes that nothing was chosen or trained on.
        reference: Tier that losses are counted against.
        max_loss_frac: Promised largest mean loss, in (0, 1).
        audit_frac: Share of answers below the reference to audit, in [0, 1].
        disagreed: Whether each tier's answer differs from the reference's, shape ``(n, k)`` as ``prove.quality``; None
            to take the difference of qualities for it (the same thing where quality is agreement).
        false_alarm: Probability of ever raising one, in (0, 0.5].
    """
    best = prove.quality[:, [prove.tier(reference)]]
    apart = np.abs(prove.quality - best) if disagreed is None else np.asarray(disagreed, dtype=np.float64)
    if apart.shape != prove.quality.shape:
        raise ValueError(f"disagreed must have the shape {prove.quality.shape}, has {apart.shape}")
    shares = [float((apart * follow(policy, prove).answered).sum(axis=1).mean()) for policy in (chosen, *ladder)]
    quantiles, below = _quantiles((chosen, *ladder), prove)
    is_agreement = disagreed is None and bool((best == 1).all())
    return Monitoring(
        audit_frac=audit_frac,
        alarm_loss_frac=max_loss_frac if is_agreement else max(max_loss_frac, _upper(max(shares), prove.n)),
        false_alarm=false_alarm,
        score_quantiles=quantiles,
        score_below=below,
        calibrated_loss_frac=shares[0],
    )


def _upper(share: float, n: int) -> float:
    """Exact upper limit of the share that differs; a graded difference counts as a whole one, rounded up."""
    return proportion(int(np.ceil(share * n - 1e-9)), n, _CONFIDENCE, side="upper").hi


def _quantiles(
    policies: Sequence[Policy], matrix: OutcomeMatrix
) -> tuple[Mapping[str, tuple[float, ...]], Mapping[str, tuple[float, ...]]]:
    """Deciles of every score that a policy looks at first, and how those that equal one are parted by it."""
    routed = [policy for policy in map(simple, policies) if not isinstance(policy, FixedTier)]
    firsts = [policy.score if isinstance(policy, PreRoute) else policy.scores[0] for policy in routed]
    quantiles, below = {}, {}
    for name in dict.fromkeys(firsts):
        values = matrix.scores[name].values
        edges = np.quantile(values, DECILES, method="inverted_cdf")
        less, same = (np.array([f(values, edge).mean() for edge in edges]) for f in (np.less, np.equal))
        quantiles[name] = tuple(float(x) for x in edges)
        if (same * matrix.n > 1).any():
            below[name] = tuple(float(x) for x in np.clip((np.array(DECILES) - less) / same, 0, 1))
    return quantiles, below
