"""How often calibration certifies what loses too much: sets drawn from a population whose losses are all known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from farthing.core.route.calibrating.calibration import calibrate
from farthing.core.route.calibrating.certification import LossLimit
from farthing.core.route.calibrating.families import Family
from farthing.core.route.outcomes import OutcomeMatrix, Score
from farthing.core.route.policies import Policy, follow
from farthing.core.stats.intervals import proportion
from farthing.nouns import Estimate

__all__ = ["Trial", "families_by_score", "redrawn", "together", "violations"]

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What many calibrations came to.

    Attributes:
        chosen: Share whose chosen policy loses more than the limit over the whole population, with the exact 99 % lower limit.
        ladder: Share with any certified policy that does.
        certified: Share that certified something that routes.
        cost_ratio: Mean over calibrations of the reference's cost over the chosen policy's, in the population.
    """

    chosen: Estimate
    ladder: Estimate
    certified: float
    cost_ratio: float


def together(parts: Sequence[OutcomeMatrix]) -> OutcomeMatrix:
    """All requests of several matrices with the same tiers and scores."""
    first = parts[0]
    return OutcomeMatrix(
        request_ids=tuple(f"{k}:{name}" for k, part in enumerate(parts) for name in part.request_ids),
        tiers=first.tiers,
        quality=np.concatenate([part.quality for part in parts]),
        cost_usd=np.concatenate([part.cost_usd for part in parts]),
        scores={
            name: Score(
                values=np.concatenate([part.scores[name].values for part in parts]),
                needs=score.needs,
                cost_usd=score.cost_usd,
            )
            for name, score in first.scores.items()
        },
    )


def families_by_score(matrix: OutcomeMatrix, reference: str) -> dict[str, tuple[Family, ...]]:
    """For every score the two-tier routes that it decides: from each tier that it may judge to the reference."""
    below = matrix.tiers[: matrix.tier(reference)]
    found: dict[str, tuple[Family, ...]] = {}
    for name, score in matrix.scores.items():
        judged = [tier for tier in below if tier in score.needs] or list(below)
        kind = "cascade" if score.needs else "pre_route"
        found[name] = tuple(Family(kind=kind, tiers=(tier, reference), scores=(name,)) for tier in judged)
    return found


def redrawn(population: OutcomeMatrix, rng: np.random.Generator, n: int, families: Sequence[Family]) -> OutcomeMatrix:
    """A sample with replacement, each draw a request of its own; only scores that the families use are kept."""
    rows: Rows = rng.integers(population.n, size=n)
    used = {name for family in families for name in family.scores}
    salt = rng.integers(2**62)
    return OutcomeMatrix(
        request_ids=tuple(f"{salt}-{k}" for k in range(n)),
        tiers=population.tiers,
        quality=population.quality[rows],
        cost_usd=population.cost_usd[rows],
        scores={
            name: Score(values=score.values[rows], needs=score.needs, cost_usd=score.cost_usd)
            for name, score in population.scores.items()
            if name in used
        },
    )


def violations(
    population: OutcomeMatrix,
    families: Sequence[Family],
    limit: LossLimit,
    rng: np.random.Generator,
    *,
    reference: str,
    sets: int,
    n_choose: int,
    n_prove: int,
) -> Trial:
    """Calibrate on many sets and judge every outcome on the whole population.

    The choosing and the proving part are drawn independently, as the two parts of one sample of independent requests
    are.

    Args:
        population: All labelled requests; the scores are fixed functions of them.
        families: What calibration compares.
        limit: What may be lost.
        rng: Source of the draws.
        reference: Tier that losses are counted against.
        sets: Number of calibrations.
        n_choose: Requests of each choosing part.
        n_prove: Requests of each proving part.
    """
    best = population.quality[:, population.tier(reference)].mean()
    most_usd = population.cost_usd[:, population.tier(reference)].mean()

    @lru_cache(maxsize=4096)
    def known(policy: Policy) -> tuple[float, float]:
        routed = follow(policy, population)
        return float(best - routed.quality.mean()), float(routed.cost_usd.mean())

    bad_choice, bad_ladder, routes, ratios = 0, 0, 0, []
    for _ in range(sets):
        choose = redrawn(population, rng, n_choose, families)
        prove = redrawn(population, rng, n_prove, families)
        found = calibrate(choose, prove, limit=limit, reference=reference, families=families)
        loss, cost_usd = known(found.chosen)
        bad_choice += loss > limit.max_loss_frac
        bad_ladder += any(known(rung.policy)[0] > limit.max_loss_frac for rung in found.ladder)
        routes += found.routed is not None
        ratios.append(most_usd / cost_usd)
    return Trial(
        chosen=proportion(bad_choice, sets, confidence=0.99, side="lower"),
        ladder=proportion(bad_ladder, sets, confidence=0.99, side="lower"),
        certified=routes / sets,
        cost_ratio=float(np.mean(ratios)),
    )
