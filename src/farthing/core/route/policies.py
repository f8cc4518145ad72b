"""Policies: always one tier, choose before any runs, let cheap tiers answer first and pass on what they doubt, or toss.

A policy is a frozen value; :func:`follow` applies it to an outcome matrix. Every tier that runs is paid for once:
the one that answers, the ones asked before it, and the ones whose answers a score needs.

A :class:`Split` follows a policy on a share of the requests that a coin draws, and sends the rest to one tier. Of a
single tier it is the *best fixed split* that every router must be held against; of a policy with a score it is that
policy, dampened: its loss, and the error with which that is known, are both a share of what they were, so that with few
labels a large share of the saving can be proven where nothing could be before. The coin knows nothing of the request,
so that :func:`follow` gives what is expected over tosses, without their noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import OutcomeMatrix, Score

__all__ = ["Cascade", "FixedTier", "Policy", "PreRoute", "Routed", "Simple", "Split", "follow", "label", "simple"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedTier:
    """Every request to one tier.

    Attributes:
        tier: Its name.
    """

    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreRoute:
    """Choose once, by one score: tier i where the score is ≥ threshold i and below all before it.

    Attributes:
        tiers: Names, cheapest first, at least two; the last takes what no threshold lets through.
        score: Name of the score.
        thresholds: One a tier but the last, never rising; ±inf for always and never.
    """

    tiers: tuple[str, ...]
    score: str
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self, self.tiers, self.thresholds)
        if any(a < b for a, b in zip(self.thresholds, self.thresholds[1:])):
            raise ValueError(f"PreRoute: thresholds must not rise: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Ask tiers in turn; the first one whose score reaches its threshold answers, else the last.

    Attributes:
        tiers: Names in the order asked, at least two.
        scores: Name of the score that judges each tier but the last.
        thresholds: One a score; −inf accepts every answer, +inf none.
    """

    tiers: tuple[str, ...]
    scores: tuple[str, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self, self.tiers, self.thresholds)
        if len(self.scores) != len(self.thresholds):
            raise ValueError(f"Cascade: one score a threshold wanted: {self!r}")


Simple = FixedTier | PreRoute | Cascade
"""Policies without a coin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A policy on a share of the requests, one tier for the others, by a coin (:func:`farthing.core.route.coins.coin`).

    Attributes:
        policy: On the share.
        share: Of the requests, in (0, 1).
        otherwise: Tier of the others.
        seed: Of the coin, in [0, 2⁶⁴); policies of one seed are nested: what a small share holds a larger one does.
    """

    policy: Simple
    share: float
    otherwise: str
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or not 0 <= self.seed < 2**64:
            raise ValueError(f"Split: a share in (0, 1) and a seed in [0, 2⁶⁴) wanted: {self!r}")


Policy = Simple | Split


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routed:
    """What a policy did to each request.

    Attributes:
        answered: Probability that each tier answered, shape ``(n, k)``: 0 or 1 but under a split.
        cost_usd: Of all tiers that ran and all scores that were computed, expected, shape ``(n,)``.
        quality: Of the answer, expected, shape ``(n,)``.
        ran: Probability that each tier ran, shape ``(n, k)``.
    """

    answered: Floats
    cost_usd: Floats
    quality: Floats
    ran: Floats

    @property
    def tier(self) -> Ints:
        """Column of the tier that answered, the likeliest one under a split, shape ``(n,)``."""
        return np.asarray(self.answered.argmax(axis=1))


def follow(policy: Policy, matrix: OutcomeMatrix) -> Routed:
    """Apply a policy to every request.

    Raises:
        ValueError: when the matrix lacks a tier or a score that the policy names.
    """
    if isinstance(policy, Split):
        return _mixed(follow(policy.policy, matrix), follow(FixedTier(tier=policy.otherwise), matrix), policy.share)
    n, k = matrix.quality.shape
    ran, extra = np.zeros((n, k), dtype=bool), np.zeros(n)
    if isinstance(policy, FixedTier):
        tier = np.full(n, matrix.tier(policy.tier))
    elif isinstance(policy, PreRoute):
        tier = _chosen(policy, matrix, ran, extra)
    else:
        tier = _passed_on(policy, matrix, ran, extra)
    rows = np.arange(n)
    ran[rows, tier] = True
    return Routed(
        answered=(np.arange(k) == np.asarray(tier)[:, None]).astype(np.float64),
        cost_usd=np.where(ran, matrix.cost_usd, 0.0).sum(axis=1) + extra,
        quality=matrix.quality[rows, tier],
        ran=ran.astype(np.float64),
    )


def _mixed(one: Routed, other: Routed, share: float) -> Routed:
    return Routed(
        **{
            name: share * getattr(one, name) + (1 - share) * getattr(other, name)
            for name in ("answered", "cost_usd", "quality", "ran")
        }
    )


def simple(policy: Policy) -> Simple:
    """The policy itself, or what a split follows on its share."""
    return policy.policy if isinstance(policy, Split) else policy


def label(policy: Policy) -> str:
    """One line for tables, for example ``small (margin ≥ 0.62) → large``."""
    if isinstance(policy, Split):
        share = f"{100 * policy.share:.3g} % of requests by a coin"
        if isinstance(policy.policy, FixedTier):
            return f"{policy.policy.tier} for {share}, else {policy.otherwise}"
        return f"for {share}: {label(policy.policy)}; for the others {policy.otherwise}"
    if isinstance(policy, FixedTier):
        return f"always {policy.tier}"
    if isinstance(policy, PreRoute):
        parts = [f"{tier} if {policy.score} ≥ {x:.4g}" for tier, x in _until_all(policy.tiers, policy.thresholds)]
        last = policy.tiers[len(parts)]
        return ", ".join(parts) + (f", else {last}" if parts else f"always {last}")
    stages = _until_all(policy.tiers, policy.thresholds)
    said = [f"{tier} ({score} ≥ {x:.4g})" for (tier, x), score in zip(stages, policy.scores)]
    return " → ".join([*said, policy.tiers[len(said)]])


def _until_all(tiers: Sequence[str], thresholds: Sequence[float]) -> list[tuple[str, float]]:
    """Tiers with their thresholds up to one that lets all through: nothing comes after it."""
    found: list[tuple[str, float]] = []
    for tier, threshold in zip(tiers, thresholds):
        if threshold == -math.inf:
            break
        found.append((tier, threshold))
    return found


def _chosen(policy: PreRoute, matrix: OutcomeMatrix, ran: NDArray[np.bool_], extra: Floats) -> Ints:
    score = _score(matrix, policy.score)
    everyone = np.ones(matrix.n, dtype=bool)
    _compute(score, matrix, everyone, ran, extra)
    refused = (score.values[:, None] < np.array(policy.thresholds)[None, :]).sum(axis=1)
    columns = np.array([matrix.tier(name) for name in policy.tiers])
    return np.asarray(columns[refused])


def _passed_on(policy: Cascade, matrix: OutcomeMatrix, ran: NDArray[np.bool_], extra: Floats) -> Ints:
    columns = [matrix.tier(name) for name in policy.tiers]
    tier = np.full(matrix.n, columns[-1])
    waiting = np.ones(matrix.n, dtype=bool)
    for column, name, threshold in zip(columns, policy.scores, policy.thresholds):
        score = _score(matrix, name)
        ran[waiting, column] = True
        _compute(score, matrix, waiting, ran, extra)
        answered = waiting & (score.values >= threshold)
        tier[answered] = column
        waiting = waiting & ~answered
    return tier


def _compute(
    score: Score, matrix: OutcomeMatrix, where: NDArray[np.bool_], ran: NDArray[np.bool_], extra: Floats
) -> None:
    """Pay for a score on some requests: its own cost and the tiers it needs."""
    extra[where] += score.cost_usd
    for name in score.needs:
        ran[where, matrix.tier(name)] = True


def _score(matrix: OutcomeMatrix, name: str) -> Score:
    if name not in matrix.scores:
        raise ValueError(f"there is no score {name!r}; there are {', '.join(matrix.scores) or 'none'}")
    return matrix.scores[name]


def _check(owner: object, tiers: Sequence[str], thresholds: Sequence[float]) -> None:
    name = type(owner).__name__
    if len(tiers) < 2 or len(set(tiers)) != len(tiers) or len(thresholds) != len(tiers) - 1:
        raise ValueError(f"{name}: at least two different tiers and one threshold a tier but the last: {owner!r}")
    if any(math.isnan(x) for x in thresholds):
        raise ValueError(f"{name}: a threshold is NaN: {owner!r}")
