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
thresholds must not come from the requests that certify. Two sequences that begin at different policies (a score's and
a coin's) share the level by weights; what one has spent on a sequence that is certified to its end goes to the other
(the sequentially rejective graphical procedure of Bretz, Maurer, Brannath & Posch, Stat. Med. 28, 2009), so that the
stated confidence still holds for everything certified at once.

A split that sends a share s of the requests by a policy and the others to the reference loses s times what the policy
does, whatever the coin shows: its loss over s is tested against the limit over s, by the same tests. Its mean is over
requests and tosses.

Limits of several groups of requests need no sharing: a
policy is certified only where every group's test passes (intersection-union test, Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.calibrating.loss_tests import Flags, Method, above, loss_estimate, needed, passes
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import Policy, Routed, Split, follow, simple
from farthing.core.stats.risk import conformal_risk_control
from farthing.nouns import Estimate

__all__ = ["Certification", "LossLimit", "Method", "Procedure", "Tested", "certify", "certify_sequences", "groups_of"]

Procedure = Literal["fixed_sequence", "bonferroni"]
Floats = NDArray[np.float64]

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
    return certify_sequences(
        [(1.0, policies)], matrix, reference=reference, limit=limit, method=method, procedure=procedure
    )


def certify_sequences(
    sequences: Sequence[tuple[float, Sequence[Policy]]],
    matrix: OutcomeMatrix,
    *,
    reference: str,
    limit: LossLimit,
    method: Method = "paired",
    procedure: Procedure = "fixed_sequence",
) -> Certification:
    """Test several sequences of policies that share one level.

    Args:
        sequences: Weight, > 0, and policies of each, most conservative first; weights add up to 1. At least one policy
            in all; neither order, thresholds nor weights may come from ``matrix``.
        matrix: As :func:`certify`.
        reference: As :func:`certify`.
        limit: As :func:`certify`.
        method: As :func:`certify`.
        procedure: ``bonferroni`` shares each sequence's level over its policies.

    Raises:
        ValueError: as :func:`certify`, or when weights do not add up to 1.
    """
    used = [(weight, tuple(policies)) for weight, policies in sequences if policies]
    total = math.fsum(weight for weight, _ in sequences)
    if not used or min(weight for weight, _ in sequences) <= 0 or not math.isclose(total, 1):
        raise ValueError(f"policies and weights > 0 that add up to 1 wanted, has {[w for w, _ in sequences]}")
    spare = math.fsum(weight for weight, _ in used)
    proof = _Proof(matrix, reference, limit, method)
    lines = [_Line(weight / spare, [proof.trial(policy) for policy in policies]) for weight, policies in used]
    _share_the_level(lines, proof, procedure)
    tested = tuple(proof.tested(trial, line, k, procedure) for line in lines for k, trial in enumerate(line.trials))
    hopeless = not any(t.certified for t in tested) and all(
        above(trial.losses, proof.groups, limit.confidence, trial.exact) for line in lines for trial in line.trials
    )
    words = _words(method, procedure, proof.binary, [len(line.trials) for line in lines])
    return Certification(tested=tested, n=matrix.n, hopeless=hopeless, method=words)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trial:
    """A policy and its losses: ``reach`` times ``unit``; exact where every unit loss is −1, 0 or 1."""

    policy: Policy
    routed: Routed
    losses: Floats
    unit: Floats
    reach: float
    exact: bool


@dataclass
class _Line:
    """A sequence on its way: its share of the level, its policies, which of them are certified."""

    weight: float
    trials: list[_Trial]
    certified: list[bool] = field(default_factory=list)
    level: float = 0.0

    @property
    def done(self) -> bool:
        return bool(self.certified) and all(self.certified)


class _Proof:
    """The requests that certify, and what is asked of them."""

    def __init__(self, matrix: OutcomeMatrix, reference: str, limit: LossLimit, method: Method) -> None:
        self.matrix, self.reference, self.limit, self.method = matrix, reference, limit, method
        self.groups = groups_of(matrix, limit)
        self.binary = bool(((matrix.quality == 0) | (matrix.quality == 1)).all())
        self._best = matrix.quality[:, matrix.tier(reference)]

    def trial(self, policy: Policy) -> _Trial:
        routed = follow(policy, self.matrix)
        losses = self._best - routed.quality
        damped = isinstance(policy, Split) and policy.otherwise == self.reference
        reach = policy.share if isinstance(policy, Split) and damped else 1.0
        exact = self.binary and (damped or not isinstance(policy, Split))
        unit = np.rint(losses / reach) if exact else np.clip(losses / reach, -1.0, 1.0)
        return _Trial(policy=policy, routed=routed, losses=losses, unit=unit, reach=reach, exact=exact)

    def failed(self, trial: _Trial, alpha: float) -> tuple[str, ...]:
        """Groups whose limit is not proven at level alpha."""
        return tuple(
            name
            for name, rows, most in self.groups
            if not passes(trial.unit[rows], most / trial.reach, alpha, self.method, trial.exact)
        )

    def tested(self, trial: _Trial, line: _Line, k: int, procedure: Procedure) -> Tested:
        alpha = line.level / (1 if procedure == "fixed_sequence" else len(line.trials))
        first = k == 0 or line.certified[k - 1] or not isinstance(trial.policy, Split)
        failed = self.failed(trial, alpha) if not line.certified[k] and first else ()
        r, cost = trial.routed, self.matrix.cost_usd
        groups = [(name, rows, most / trial.reach) for name, rows, most in self.groups]
        return Tested(
            policy=trial.policy,
            certified=line.certified[k],
            loss_frac=loss_estimate(trial.unit, self.limit.confidence, trial.exact).scaled(trial.reach),
            cost_usd=float(r.cost_usd.mean()),
            answered_frac=r.answered.mean(axis=0),
            called_frac=r.ran.mean(axis=0),
            score_cost_usd=float((r.cost_usd - (r.ran * cost).sum(axis=1)).mean()),
            failed=failed,
            n_needed=needed(trial.unit, groups, failed, alpha, self.method, trial.exact),
        )


def _share_the_level(lines: Sequence[_Line], proof: _Proof, procedure: Procedure) -> None:
    """Test every sequence at its level; the level of one that is certified to its end goes to those that are not."""
    total = 1 - proof.limit.confidence
    for line in lines:
        line.level = total * line.weight
    if proof.method == "conformal":
        _conformal(lines, proof)
        return
    waiting = list(lines)
    while waiting:
        for line in waiting:
            _test(line, proof, procedure)
        over = [line for line in waiting if line.done]
        waiting = [line for line in waiting if not line.done]
        if not over:
            return
        weight = sum(line.weight for line in waiting)
        freed = sum(line.level for line in over)
        for line in waiting:
            line.level += freed * line.weight / weight


def _test(line: _Line, proof: _Proof, procedure: Procedure) -> None:
    if procedure == "bonferroni":
        line.certified = [not proof.failed(trial, line.level / len(line.trials)) for trial in line.trials]
        return
    line.certified = [False] * len(line.trials)
    k = 0
    while k < len(line.trials):
        alike = _run_of_shares(line.trials, k)
        passed = _last_that_passes(line.trials[k : k + alike], proof, line.level)
        line.certified[k : k + passed] = [True] * passed
        if passed < alike:
            return
        k += alike


def _run_of_shares(trials: Sequence[_Trial], start: int) -> int:
    """How many policies from here on are one policy with rising shares: a larger one is harder to prove."""
    first, size = trials[start], 1
    while start + size < len(trials):
        after = trials[start + size]
        if simple(after.policy) != simple(first.policy) or after.reach <= trials[start + size - 1].reach:
            break
        size += 1
    return size


def _last_that_passes(trials: Sequence[_Trial], proof: _Proof, alpha: float) -> int:
    """How many of one policy's rising shares pass, by bisection: all of them have the same unit losses."""
    lo, hi = 0, len(trials)
    while lo < hi:
        mid = (lo + hi) // 2
        lo, hi = (lo, mid) if proof.failed(trials[mid], alpha) else (mid + 1, hi)
    return lo


def _conformal(lines: Sequence[_Line], proof: _Proof) -> None:
    """Losses that rise along each sequence by their running maximum, see the module."""
    for line in lines:
        positive = np.maximum.accumulate(np.maximum(np.stack([t.losses for t in line.trials], axis=1), 0.0), axis=1)
        valid = [conformal_risk_control(positive[rows], max_risk=most).valid for _, rows, most in proof.groups]
        line.certified = [bool(x) for x in np.logical_and.accumulate(np.stack(valid).all(axis=0))]


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


def _words(method: Method, procedure: Procedure, binary: bool, counts: Sequence[int]) -> str:
    kind = {
        "paired": "exact paired test" if binary else "betting test of paired differences",
        "lost_answers": "Learn-then-Test on lost answers",
        "conformal": "conformal risk control (holds on average over calibration samples)",
    }[method]
    if method == "conformal":
        return kind
    how = "fixed sequence" if procedure == "fixed_sequence" else "Bonferroni"
    return f"{kind}, {how} of {' and '.join(map(str, counts))}"
