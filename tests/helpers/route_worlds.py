"""Synthetic requests whose difficulty is known: three tiers, scores that see the difficulty more or less well."""

from __future__ import annotations

import numpy as np

from farthing.core.route.outcomes import OutcomeMatrix, Score

TIERS = ("small", "medium", "large")


def world(n: int, seed: int, *, skills=(4.5, 6.0, 8.0), costs=(3e-5, 1e-4, 8e-4), segments: bool = False):
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=n)
    quality = np.column_stack([rng.random(n) < 1 / (1 + np.exp(2.5 * hard - skill)) for skill in skills]).astype(float)

    def seen(noise: float):
        return -hard + rng.normal(size=n) * noise

    scores = {
        "length": Score(values=seen(2.0)),
        "margin@small": Score(values=seen(0.4), needs=("small",)),
        "energy@small": Score(values=seen(0.8), needs=("small",), cost_usd=1e-6),
        "margin@medium": Score(values=seen(0.4), needs=("medium",)),
        "agreement": Score(values=seen(0.3), needs=("small", "medium")),
    }
    return OutcomeMatrix(
        request_ids=tuple(f"r{seed}-{i}" for i in range(n)),
        tiers=TIERS,
        quality=quality,
        cost_usd=np.tile(costs, (n, 1)) * rng.uniform(0.8, 1.2, size=(n, 3)),
        segments=tuple(np.where(rng.random(n) < 0.3, "rare", "usual")) if segments else None,
        scores=scores,
    )


def resampled(matrix: OutcomeMatrix, rows, name: str) -> OutcomeMatrix:
    """Rows with repeats, each a request of its own."""
    return OutcomeMatrix(
        request_ids=tuple(f"{name}{i}" for i in range(len(rows))),
        tiers=matrix.tiers,
        quality=matrix.quality[rows],
        cost_usd=matrix.cost_usd[rows],
        scores={
            key: Score(values=score.values[rows], needs=score.needs, cost_usd=score.cost_usd)
            for key, score in matrix.scores.items()
        },
    )
