"""From outcomes to the cheapest policy that is proven to lose at most the allowed quality.

Two parts of the data: on the one every family of policies is laid out over its thresholds and a path is chosen from
the most careful to the cheapest (Pareto testing, Laufer-Goldshmidt et al., ICLR 2023): the policies that no other
beats in both cost and the upper limit that the certifying part can be expected to show. On the other part the path
is certified in its order. All scores, kinds, tiers and thresholds are compared, and nothing is paid for it there,
because the certifying part never saw the choice.

Beside that path the best coin between tiers is proven, on a part of the level (``certify_sequences`` of
:mod:`farthing.core.route.calibrating.certification`), and a policy that cannot be expected to be proven as it is, on a
share of the requests (:mod:`farthing.core.route.calibrating.splits`). What is followed is the cheapest of all that is
certified, and no policy with a score that the proving part shows to be worse than a coin of equal cost: so a route is
never worse than the coin that could be proven.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from farthing.core.numerals import ends, loses, number
from farthing.core.route.calibrating.certification import (
    Certification,
    LossLimit,
    Method,
    Procedure,
    Tested,
    certify_sequences,
)
from farthing.core.route.calibrating.coin_sequences import sequences_with_coins
from farthing.core.route.calibrating.families import Family, GridMeans, families_of
from farthing.core.route.calibrating.layouts import Laid, lay_out
from farthing.core.route.controls import against_coin, beyond_coin
from farthing.core.route.outcomes import OutcomeMatrix, require_disjoint
from farthing.core.route.policies import FixedTier, Policy, Split, follow, label
from farthing.nouns import Estimate, Verdict

__all__ = ["Calibration", "Compared", "calibrate", "candidate_path"]

PATH_FIXED_SEQUENCE = 40
"""Policies of a path that are tested in a fixed sequence, at most."""
CAREFUL = (0.25, 0.5, 0.75)
"""Shares of the first policy's saving at which more careful ones go before it."""
PATH_BONFERRONI = 8
"""The same where each test costs its share of the level."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The best member of a family on the choosing part; a forecast, not a proof.

    Attributes:
        family: Its name.
        policy: Cheapest member whose expected upper limit is within the limit, None when there is none.
        cost_usd: Mean cost of a request, None without a policy.
        loss_frac: Mean loss, None without a policy.
    """

    family: str
    policy: Policy | None
    cost_usd: float | None = None
    loss_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The chosen policy and what it rests on.

    Attributes:
        chosen: Policy to follow: the cheapest certified one where it pays and is not worse than a coin, else the
            cheapest certified tier.
        reference: Tier that losses are counted against, always safe.
        verdict: ``met`` when something cheaper than the reference is certified or nothing could be cheaper,
            ``not_met`` when no policy stayed within the limits on the choosing part and every one tried is shown
            to lose more, else ``unproven``.
        worth_it: Whether a certified policy, by a score or a coin, is shown to be cheaper than the cheapest certified
            tier; never one that is shown to be worse than a coin.
        saving_frac: 1 − cost of ``routed`` / cost of ``best_fixed``, None where nothing that routes is certified.
        routed: Cheapest certified policy that routes and is not shown to be worse than a coin, else the cheapest that
            does; None for none.
        beyond_coin: Quality of ``routed`` beyond the best fixed split of equal mean cost, on the proving part; None
            without it, and where it is itself a coin between tiers.
        best_fixed: Cheapest certified single tier; the reference where no other is.
        certification: Everything that was tested, most careful first.
        compared: Best member of every family on the choosing part, cheapest first.
        n_needed: Requests that would settle an unproven verdict (both parts together), None when settled or unknown.
        limit: What was asked for.
    """

    chosen: Policy
    reference: str
    verdict: Verdict
    worth_it: bool
    saving_frac: Estimate | None
    routed: Tested | None
    beyond_coin: Estimate | None
    best_fixed: Policy
    certification: Certification | None
    compared: tuple[Compared, ...]
    n_needed: int | None
    limit: LossLimit

    @property
    def ladder(self) -> tuple[Tested, ...]:
        """Certified policies, the dearest first: any may be followed at any time within the bound."""
        certified = [t for t in self.certification.tested if t.certified] if self.certification else []
        return tuple(sorted(certified, key=lambda t: -t.cost_usd))


def calibrate(
    choose: OutcomeMatrix,
    prove: OutcomeMatrix,
    *,
    limit: LossLimit,
    reference: str | None = None,
    families: Sequence[Family] | None = None,
    method: Method = "paired",
    procedure: Procedure = "fixed_sequence",
    least_saving_frac: float = 0.0,
    splits: bool = True,
    seed: int = 0,
) -> Calibration:
    """Choose on one part of the data, prove on the other.

    Args:
        choose: Part for choosing; may hold requests that scores were trained on by cross-fitting.
        prove: Part for proving, exchangeable with requests to come; nothing was fitted on it.
        limit: What may be lost.
        reference: Tier that losses are counted against, the last one when None.
        families: What to compare, all when None.
        method: How the loss is bounded.
        procedure: How several tests are paid for.
        least_saving_frac: Share of the best fixed tier's cost that routing must save to be worth it, in [0, 1).
        splits: Whether coins are tried too.
        seed: Of their coin, in [0, 2⁶⁴).

    Raises:
        ValueError: when the parts share a request, their tiers differ, or an argument is out of its domain.
    """
    if choose.tiers != prove.tiers:
        raise ValueError(f"both parts need the same tiers: {', '.join(choose.tiers)} and {', '.join(prove.tiers)}")
    if not 0 <= least_saving_frac < 1:
        raise ValueError(f"least_saving_frac must lie in [0, 1), is {least_saving_frac}")
    require_disjoint(choose.request_ids, prove.request_ids, what="requests for choosing and for proving")
    safe = reference or prove.tiers[-1]
    tried = families_of(choose, reference=safe) if families is None else tuple(families)
    longest = PATH_FIXED_SEQUENCE if procedure == "fixed_sequence" else PATH_BONFERRONI
    laid = lay_out(choose, tried, limit, safe, prove.n)
    path, compared, least = _path(choose, laid, safe, longest)
    sequences: list[tuple[float, Sequence[Policy]]] = [(1.0, path)]
    if splits:
        sequences = sequences_with_coins(path, laid, choose, safe, seed, longest)
    proof = None
    if any(policies for _, policies in sequences):
        proof = certify_sequences(sequences, prove, reference=safe, limit=limit, method=method, procedure=procedure)
    if proof and least <= 1:  # a more careful policy than those tried may hold the limit
        proof = replace(proof, hopeless=False)
    return _conclude(prove, safe, limit, proof, compared, least_saving_frac, (choose.n + prove.n) / prove.n)


def candidate_path(
    matrix: OutcomeMatrix,
    families: Sequence[Family],
    *,
    limit: LossLimit,
    reference: str,
    n_proving: int,
    longest: int,
) -> tuple[tuple[Policy, ...], tuple[Compared, ...], float]:
    """Policies cheaper than the reference that no other beats in cost and expected upper limit, most careful first.

    The expected upper limit of a group of requests is ``loss + z_confidence · sqrt((variance + 1/n) / n_group)``,
    n_group the group's requests in the proving part; the 1/n stands for one request more that differs. A policy is
    placed by the greatest ratio of such a limit to the group's own. Among policies on which few choosing requests
    differ the cheapest looks as good as the others; more careful members of its family therefore go before it.

    Args:
        matrix: The choosing part.
        families: What to lay out.
        limit: What may be lost.
        reference: Tier that losses are counted against.
        n_proving: Requests that will certify.
        longest: Policies of the path at most, ≥ 1.

    Returns:
        The path, empty when nothing is cheaper than the reference; each family's best member; and the least ratio
        of loss to limit that any policy cheaper than the reference showed, +inf for none.
    """
    return _path(matrix, lay_out(matrix, families, limit, reference, n_proving), reference, longest)


def _path(
    matrix: OutcomeMatrix, laid: Sequence[Laid], reference: str, longest: int
) -> tuple[tuple[Policy, ...], tuple[Compared, ...], float]:
    most_usd = float(matrix.cost_usd[:, matrix.tier(reference)].mean())
    members: list[tuple[Family, Floats]] = []
    compared, ratios, costs, least = [], [], [], math.inf
    for each in laid:
        cost, thresholds = each.means.cost_usd, each.means.thresholds
        fine = np.flatnonzero((each.ratio <= 1) & (cost < most_usd))
        compared.append(_best(each.means, fine))
        near = np.flatnonzero(cost < most_usd)
        least = min(least, float(each.plain[near].min(initial=math.inf)))
        members += [(each.family, thresholds[i]) for i in near]
        ratios.append(each.ratio[near])
        costs.append(cost[near])
    kept = np.array([], dtype=np.int64)
    if members:
        ratio, cost = np.concatenate(ratios), np.concatenate(costs)
        order = _undominated(ratio, cost)
        careful = _more_careful(members, cost, int(order[0]), most_usd)[: longest - 1]
        kept = np.concatenate([careful, _thinned(order, ratio[order], longest - len(careful))]).astype(np.int64)
    path = tuple(members[i][0].policy([float(x) for x in members[i][1]]) for i in kept)
    best = tuple(sorted(compared, key=lambda c: math.inf if c.cost_usd is None else c.cost_usd))
    return path, best, least


def _best(means: GridMeans, fine: NDArray[np.int64]) -> Compared:
    if not fine.size:
        return Compared(family=means.family.name, policy=None)
    i = fine[means.cost_usd[fine].argmin()]
    return Compared(
        family=means.family.name,
        policy=means.family.policy([float(x) for x in means.thresholds[i]]),
        cost_usd=float(means.cost_usd[i]),
        loss_frac=float(means.loss_frac[i]),
    )


def _undominated(ratio: Floats, cost: Floats) -> NDArray[np.int64]:
    """Indices by rising ratio, each cheaper than all before it."""
    order = np.lexsort((cost, ratio))
    before = np.concatenate([[np.inf], np.minimum.accumulate(cost[order])[:-1]])
    return np.asarray(order[cost[order] < before])


def _more_careful(members: Sequence[tuple[Family, Floats]], cost: Floats, first: int, most_usd: float) -> list[int]:
    """Members of the first one's family with higher thresholds that save about 1/4, 1/2 and 3/4 of what it does."""
    family, thresholds = members[first]
    others = [
        i
        for i, (own, at) in enumerate(members)
        if own == family and cost[i] > cost[first] and at.size and (at >= thresholds).all()
    ]
    if not others:
        return []
    aims = most_usd - np.array(CAREFUL) * (most_usd - cost[first])
    near = {others[int(np.abs(cost[others] - aim).argmin())] for aim in aims}
    return sorted(near, key=lambda i: -float(cost[i]))


def _thinned(order: NDArray[np.int64], ratio: Floats, longest: int) -> NDArray[np.int64]:
    """Keep what may pass (ratio up to 1.5, at least the first), evenly spaced, both ends included."""
    likely = order[: max(1, int((ratio <= 1.5).sum()))]
    places = np.unique(np.linspace(0, likely.size - 1, min(longest, likely.size)).round().astype(np.int64))
    return likely[places]


def _conclude(
    prove: OutcomeMatrix,
    reference: str,
    limit: LossLimit,
    proof: Certification | None,
    compared: tuple[Compared, ...],
    least_saving_frac: float,
    parts: float,
) -> Calibration:
    certified = [t for t in proof.tested if t.certified] if proof else []
    fixed = [t for t in certified if isinstance(t.policy, FixedTier)]
    best_fixed = min(fixed, key=lambda t: t.cost_usd).policy if fixed else FixedTier(tier=reference)
    routed, beyond = _cheapest([t for t in certified if not isinstance(t.policy, FixedTier)], prove, limit.confidence)
    saving = _saving(prove, routed.policy, best_fixed, limit.confidence) if routed else None
    worse = beyond is not None and against_coin(beyond) == "worse"
    worth_it = saving is not None and saving.lo > least_saving_frac and not worse
    needed = None
    if proof and not certified and not proof.hopeless:
        found = [t.n_needed for t in proof.tested if t.n_needed is not None]
        needed = math.ceil(min(found) * parts) if found else None
    return Calibration(
        chosen=routed.policy if worth_it and routed else best_fixed,
        reference=reference,
        verdict=_verdict(
            proof, certified, worth_it, saving, routed if worth_it or worse else None, best_fixed, limit, needed
        ),
        worth_it=worth_it,
        saving_frac=saving,
        routed=routed,
        beyond_coin=beyond,
        best_fixed=best_fixed,
        certification=proof,
        compared=compared,
        n_needed=needed,
        limit=limit,
    )


def _cheapest(
    certified: Sequence[Tested], prove: OutcomeMatrix, confidence: float
) -> tuple[Tested | None, Estimate | None]:
    """The cheapest policy that is not worse than a coin, else the cheapest; and its quality beyond the coin's."""
    ordered = sorted(certified, key=lambda t: t.cost_usd)
    judged = []
    for tested in ordered:
        if isinstance(tested.policy, Split) and isinstance(tested.policy.policy, FixedTier):
            return tested, None
        routed = follow(tested.policy, prove)
        beyond = beyond_coin(routed.quality, routed.cost_usd, prove, confidence=confidence)
        if against_coin(beyond) != "worse":
            return tested, beyond
        judged.append((tested, beyond))
    return judged[0] if judged else (None, None)


def _verdict(
    proof: Certification | None,
    certified: Sequence[Tested],
    worth_it: bool,
    saving: Estimate | None,
    routed: Tested | None,
    best_fixed: Policy,
    limit: LossLimit,
    needed: int | None,
) -> Verdict:
    points = f"{100 * limit.max_loss_frac:g} points"
    if proof is None:
        reason = f"routing is not worth it: no policy costs less than {label(best_fixed)}"
        return Verdict(outcome="met", reasons=(reason,))
    if not certified:
        first = proof.tested[0]
        seen = f"{label(first.policy)} {loses(first.loss_frac.value)} on {proof.n} requests"
        if proof.hopeless:
            return Verdict(outcome="not_met", reasons=(f"every policy tried loses more than the limit: {seen}",))
        hint = f"about {needed:,} labelled requests in all would settle it" if needed else "a better score is needed"
        reason = f"no policy is proven to lose at most {points} at {100 * limit.confidence:g} %: {seen}"
        return Verdict(outcome="unproven", reasons=(reason,), hint=hint)
    proven = f"{len(certified)} of {len(proof.tested)} policies proven ({proof.method}, {proof.n} requests)"
    if worth_it and saving is not None and routed is not None:
        toss = isinstance(routed.policy, Split) and isinstance(routed.policy.policy, FixedTier)
        who = "a fixed split" if toss else "routing"
        reasons = (f"{who} saves {number(100 * saving.value, 1)} % against {label(best_fixed)}", proven)
        alone = ("a coin decides: no score is proven to save more at this loss",) if toss else ()
        more = ("more labelled requests would prove a larger share",) if isinstance(routed.policy, Split) else ()
        return Verdict(outcome="met", reasons=(*reasons, *alone, *more))
    if routed is not None:
        reason = f"routing is not worth it: {label(routed.policy)} is worse than a coin of equal cost"
        return Verdict(outcome="met", reasons=(reason, proven))
    why = (
        f"saves {number(100 * saving.value, 1)} % {ends(saving.lo, saving.hi, 1, scale=100)}"
        if saving
        else "it costs nothing"
        if any(not isinstance(t.policy, FixedTier) for t in certified)
        else "none routes"
    )
    reason = f"routing is not worth it: {label(best_fixed)} is the cheapest that is proven ({why})"
    return Verdict(outcome="met", reasons=(reason, proven))


def _saving(matrix: OutcomeMatrix, policy: Policy, fixed: Policy, confidence: float) -> Estimate | None:
    """1 − ratio of mean costs on the same requests, with the delta method's interval; None where fixed is free."""
    a, b = follow(policy, matrix).cost_usd, follow(fixed, matrix).cost_usd
    if b.mean() <= 0:
        return None
    ratio = float(a.mean() / b.mean())
    error = float((a - ratio * b).std() / (b.mean() * math.sqrt(matrix.n)))
    half = -float(special.ndtri((1 - confidence) / 2)) * error
    return Estimate(
        value=1 - ratio,
        lo=1 - ratio - half,
        hi=1 - ratio + half,
        n=matrix.n,
        method=f"ratio of mean costs, delta method, {matrix.n} requests",
        confidence=confidence,
    )
