"""From a calibration to the route that is written: rungs by name, scores that they need, what is watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.calibrating.calibration import Calibration
from farthing.core.route.calibrating.certification import Tested
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.routes import Monitoring, Route, Rung, ScoreSpec, Tier, written
from farthing.core.route.watching.monitoring import monitoring_of
from farthing.core.route.watching.watch import expected_audit_frac

__all__ = ["assembled", "rung_of"]


def rung_of(tested: Tested, tiers: Sequence[str]) -> Rung:
    """A certified policy by names instead of columns."""
    return Rung(
        policy=written(tested.policy),
        loss_frac=tested.loss_frac,
        cost_usd=tested.cost_usd,
        answered_frac={t: float(x) for t, x in zip(tiers, tested.answered_frac, strict=True)},
        called_frac={t: float(x) for t, x in zip(tiers, tested.called_frac, strict=True)},
        score_cost_usd=max(0.0, tested.score_cost_usd),
    )


def assembled(
    found: Calibration,
    prove: OutcomeMatrix,
    *,
    name: str,
    tiers: Sequence[Tier],
    scores: Sequence[ScoreSpec],
    quality: Literal["accuracy", "agreement", "given"],
    audit_frac: float,
    disagreed: NDArray[np.bool_] | None = None,
    classes: Sequence[str],
    assumptions: Sequence[str],
    currency: Literal["usd", "cpu_s"] = "usd",
) -> Route:
    """The route that a calibration comes to.

    Args:
        found: The calibration.
        prove: Its proving part, tiers cheapest first.
        name: Of the end point's one model.
        tiers: By any order; they are put in the matrix's.
        scores: Of every score that may occur; those that the ladder names are kept.
        quality: What was compared.
        audit_frac: Share of answers below the reference to audit, in [0, 1].
        disagreed: Whether each tier's answer differs from the reference's, shape ``(n, k)`` as ``prove.quality``; None
            where the answers are not known.
        classes: Of the answers.
        assumptions: In words.
        currency: What costs are in.
    """
    by_name = {tier.name: tier for tier in tiers}
    ladder = tuple(rung_of(tested, prove.tiers) for tested in found.ladder)
    named = {score for rung in ladder for score in rung.policy.scores}
    chosen = next((k for k, t in enumerate(found.ladder) if t.policy == found.chosen), None)
    proof = found.certification
    monitoring = monitoring_of(
        found.chosen,
        [tested.policy for tested in found.ladder],
        prove,
        reference=found.reference,
        max_loss_frac=found.limit.max_loss_frac,
        audit_frac=audit_frac,
        disagreed=disagreed,
    )
    audits = () if chosen is None else _priced_audits(ladder[chosen], monitoring, prove, found.reference)
    return Route(
        name=name,
        verdict=found.verdict,
        tiers=tuple(by_name[tier] for tier in prove.tiers),
        scores=tuple(spec for spec in scores if spec.name in named),
        ladder=ladder,
        chosen=chosen,
        reference=found.reference,
        quality=quality,
        max_loss_frac=found.limit.max_loss_frac,
        confidence=found.limit.confidence,
        by_segment=dict(found.limit.by_segment),
        worth_it=found.worth_it,
        saving_frac=found.saving_frac,
        n=proof.n if proof else prove.n,
        n_needed=found.n_needed,
        method=proof.method if proof else "",
        monitoring=monitoring,
        assumptions=(*assumptions, *audits),
        classes=tuple(classes),
        currency=currency,
    )


def _priced_audits(rung: Rung, monitoring: Monitoring, matrix: OutcomeMatrix, reference: str) -> tuple[str, ...]:
    """What audits add to the cost of the policy that is followed; nothing to say without audits."""
    share = expected_audit_frac(monitoring)
    if not share or not rung.cost_usd > 0:
        return ()
    below = 1 - rung.answered_frac[reference]
    more = share * below * float(matrix.cost_usd[:, matrix.tier(reference)].mean()) / rung.cost_usd
    return (
        f"audits while it is served are not part of these costs: {share:.1%} of the answers below {reference}, looking "
        f"closer where one differs included, add about {more:.1%} to the cost of a request",
    )
