"""Proof that policies lose at most the allowed quality, on requests that they were not chosen on.

The loss of a policy on a request is the reference tier's quality less the policy's, in [−1, 1]: negative where the
cheap tier is right and the large one wrong. Three ways to bound its mean:

- ``paired``: the signed loss itself. 0/1 quality: the exact unconditional test of paired proportions; other quality:
  the betting test of (loss + 1) / 2 (:mod:`farthing.core.stats.paired_tests`). What the cheap tier wins counts.
- ``lost_answers``: its positive part, in [0, 1], by Learn-then-Test (exact binomial or Hoeffding-Bentkus). The mean
  of the positive part is at least the mean loss, so that the bound holds for both; wins count for nothing.
- ``conformal``: the positive part, made to rise along the sequence by its running maximum, by conformal risk
  control: the bound holds on average over calibration samples, not with a confidence.

Several policies (Learn-then-Test, Angelopoulos et al., 2025): ``fixed_sequence`` tests them in the order given, each at
the full level, and stops at the first that fails; ``bonferroni`` shares the level over all. Either way all certified
policies hold at once with the stated confidence, so that any of them may be followed at any time. The order and the
thresholds must not come from the requests that certify. Limits of several groups of requests need no sharing: a
policy is certified only where every group's test passes (intersection-union test, Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import Policy, follow
from farthing.core.stats.intervals import mean_t
from farthing.core.stats.noninferiority import drop_upper, paired_gate
from farthing.core.stats.paired_limits import tango_upper
from farthing.core.stats.paired_tests import bets_reject, counts_reject, n_rejecting
from farthing.core.stats.risk import conformal_risk_control, learn_then_test
from farthing.core.stats.sequences import betting_limits
from farthing.nouns import Estimate

__all__ = ["Certification", "LossLimit", "Method", "Procedure", "Tested", "certify", "groups_of"]

Method = Literal["paired", "lost_answers", "conformal"]
Procedure = Literal["fixed_sequence", "bonferroni"]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ALL = "all requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLimit:
    """How much quality may be lost against the reference tier.

    Attributes:
        max_loss_frac: Largest mean loss over all requests, in (0, 1); 0.005 is half a point.
        confidence: That no policy is certified wrongly, in (0.5, 1).
        by_segment: Largest mean loss within a segment, in (0, 1), by segment; empty for none.
    """

    max_loss_frac: float
    confidence: float = 0.95
    by_segment: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bad = [x for x in (self.max_loss_frac, *self.by_segment.values()) if not 0 < x < 1]
        if bad or not 0.5 < self.confidence < 1:
            raise ValueError(f"LossLimit: losses in (0, 1) and confidence in (0.5, 1) wanted: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tested:
    """One policy and what the certifying requests say of it.

    Attributes:
        policy: Which.
        certified: Proven to hold every limit.
        loss_frac: Mean loss over all requests with a two-sided interval of its own (no test rests on it).
        cost_usd: Mean cost of a request, all tiers and scores counted.
        answered_frac: Share of requests answered by each tier, shape ``(k,)``.
        called_frac: Share of requests on which each tier ran, shape ``(k,)``; adds up to more than 1 in a cascade.
        score_cost_usd: The part of ``cost_usd`` that no tier causes.
        failed: Groups whose limit was not proven: ``"all requests"`` or a segment's name; empty and yet not
            certified where the sequence stopped before it.
        n_needed: Requests at which every limit would be proven if the rates stay as seen; None when they are
            proven, a loss is not below its limit, or no number was found.
    """

    policy: Policy
    certified: bool
    loss_frac: Estimate
    cost_usd: float
    answered_frac: Floats
    called_frac: Floats
    score_cost_usd: float
    failed: tuple[str, ...]
    n_needed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """The outcome for a sequence of policies.

    Attributes:
        tested: One a policy, in the order given.
        n: Requests that certified.
        hopeless: Every policy's loss is shown to be above a limit.
        method: How, in words.
    """

    tested: tuple[Tested, ...]
    n: int
    hopeless: bool
    method: str


def certify(
    policies: Sequence[Policy],
    matrix: OutcomeMatrix,
    *,
    reference: str,
    limit: LossLimit,
    method: Method = "paired",
    procedure: Procedure = "fixed_sequence",
) -> Certification:
    """Test policies that were fixed beforehand, most conservative first.

    Args:
        policies: At least one; neither their order nor their thresholds may come from ``matrix``.
        matrix: Requests exchangeable with those to come.
        reference: Tier that losses are counted against.
        limit: What may be lost, with which confidence.
        method: How the loss is bounded, see the module.
        procedure: How many tests are paid for.

    Raises:
        ValueError: when there is no policy, or the matrix lacks a tier, a score or a segment that is named.
    """
    if not policies:
        raise ValueError("nothing to certify: no policy was given")
    routed = [follow(policy, matrix) for policy in policies]
    losses = matrix.quality[:, [matrix.tier(reference)]] - np.stack([r.quality for r in routed], axis=1)
    binary = bool(((matrix.quality == 0) | (matrix.quality == 1)).all())
    groups = groups_of(matrix, limit)
    share = 1 if procedure == "fixed_sequence" else len(policies)
    alpha = (1 - limit.confidence) / share
    passed = np.stack([_passes(losses[rows], most, alpha, method, binary) for _, rows, most in groups])
    certified = np.asarray(passed.all(axis=0))
    if procedure == "fixed_sequence":
        certified = np.asarray(np.logical_and.accumulate(certified))
    tested = []
    for i, (policy, r) in enumerate(zip(policies, routed)):
        failed = tuple(name for (name, _, _), ok in zip(groups, passed[:, i]) if not ok)
        called = r.ran.mean(axis=0)
        tested.append(
            Tested(
                policy=policy,
                certified=bool(certified[i]),
                loss_frac=_loss(losses[:, i], limit.confidence, binary),
                cost_usd=float(r.cost_usd.mean()),
                answered_frac=np.bincount(r.tier, minlength=len(matrix.tiers)) / matrix.n,
                called_frac=called,
                score_cost_usd=float((r.cost_usd - np.where(r.ran, matrix.cost_usd, 0.0).sum(axis=1)).mean()),
                failed=failed,
                n_needed=_n_needed(losses[:, i], groups, failed, alpha, method, binary),
            )
        )
    hopeless = not certified.any() and all(
        _above(losses[:, i], groups, limit.confidence, binary) for i in range(len(policies))
    )
    return Certification(
        tested=tuple(tested), n=matrix.n, hopeless=hopeless, method=_words(method, procedure, binary, len(policies))
    )


def groups_of(matrix: OutcomeMatrix, limit: LossLimit) -> list[tuple[str, Flags, float]]:
    """Name, mask and limit of every group of requests: all of them, then each segment with a limit of its own.

    Raises:
        ValueError: when a limit names a segment that no request has.
    """
    found = [(ALL, np.ones(matrix.n, dtype=bool), limit.max_loss_frac)]
    if limit.by_segment:
        segments = np.array(matrix.segments if matrix.segments is not None else ())
        for name, most in limit.by_segment.items():
            rows = segments == name
            if not rows.any():
                raise ValueError(f"a limit is set for the segment {name!r}, which no request has")
            found.append((name, rows, most))
    return found


def _passes(losses: Floats, most: float, alpha: float, method: Method, binary: bool) -> Flags:
    """Which columns pass at level alpha, each by itself."""
    positive = np.maximum(losses, 0.0)
    if method == "conformal":
        return conformal_risk_control(np.maximum.accumulate(positive, axis=1), max_risk=most).valid
    if method == "lost_answers":
        alone = [learn_then_test(column[:, None], max_risk=most, confidence=1 - alpha) for column in positive.T]
        return np.array([bool(found.valid[0]) for found in alone])
    if binary:
        worse, better = (losses > 0).sum(axis=0), (losses < 0).sum(axis=0)
        return counts_reject(worse, better, len(losses), allowed=most, alpha=alpha)
    return np.array([bets_reject(column, allowed=most, alpha=alpha) for column in losses.T])


def _n_needed(
    losses: Floats,
    groups: Sequence[tuple[str, Flags, float]],
    failed: Sequence[str],
    alpha: float,
    method: Method,
    binary: bool,
) -> int | None:
    needed = []
    for name, rows, most in groups:
        if name in failed:
            more = _group_needs(losses[rows], most, alpha, method, binary)
            if more is None:
                return None
            needed.append(math.ceil(more * len(losses) / int(rows.sum())))
    return max(needed, default=None)


def _group_needs(losses: Floats, most: float, alpha: float, method: Method, binary: bool) -> int | None:
    positive = np.maximum(losses, 0.0)[:, None]
    if method == "conformal":
        return conformal_risk_control(positive, max_risk=most).n_needed
    if method == "lost_answers":
        return learn_then_test(positive, max_risk=most, confidence=1 - alpha).n_needed
    if binary:
        worse, better = float((losses > 0).mean()), float((losses < 0).mean())
        return n_rejecting(worse, better, len(losses), allowed=most, alpha=alpha)
    gate = paired_gate(np.maximum(losses, 0.0), np.maximum(-losses, 0.0), allowed_drop_frac=most, confidence=1 - alpha)
    return gate.n_needed if gate.drop_frac.value < most else None


def _above(losses: Floats, groups: Sequence[tuple[str, Flags, float]], confidence: float, binary: bool) -> bool:
    """Whether some group's loss is shown to be above its limit."""
    return any(
        losses[rows].mean() > most and _lower(losses[rows], confidence, binary) > most for _, rows, most in groups
    )


def _lower(losses: Floats, confidence: float, binary: bool) -> float:
    if binary:
        worse, better = int((losses > 0).sum()), int((losses < 0).sum())
        return -drop_upper(better, worse, losses.size, confidence=confidence)
    return 2 * betting_limits((losses + 1) / 2, confidence=confidence)[0] - 1


def _loss(losses: Floats, confidence: float, binary: bool) -> Estimate:
    if not binary:
        return mean_t(losses, confidence=confidence) if losses.size > 1 else _single(losses, confidence)
    worse, better, n = int((losses > 0).sum()), int((losses < 0).sum()), losses.size
    value, side = float(losses.mean()), (1 + confidence) / 2
    return Estimate(
        value=value,
        lo=min(value, -tango_upper(better, worse, n, confidence=side)),
        hi=max(value, tango_upper(worse, better, n, confidence=side)),
        n=n,
        method=f"Tango's score limits, {worse} worse and {better} better",
        confidence=confidence,
    )


def _single(losses: Floats, confidence: float) -> Estimate:
    return Estimate(value=float(losses[0]), lo=-1.0, hi=1.0, n=1, method="one request", confidence=confidence)


def _words(method: Method, procedure: Procedure, binary: bool, count: int) -> str:
    kind = {
        "paired": "exact paired test" if binary else "betting test of paired differences",
        "lost_answers": "Learn-then-Test on lost answers",
        "conformal": "conformal risk control (holds on average over calibration samples)",
    }[method]
    if method == "conformal":
        return kind
    how = "fixed sequence" if procedure == "fixed_sequence" else "Bonferroni"
    return f"{kind}, {how} of {count}"
