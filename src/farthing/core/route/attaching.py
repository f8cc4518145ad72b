"""A route of outcomes alone gets places for its tiers: what of it can be served there, and what is assumed then.

Its evidence does not change: qualities and costs stay those of the file. What changes is where requests go, so that a
rate which was planned for other places is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farthing.core.route.policies import label
from farthing.core.route.routes import Monitoring, Route, Rung, ScoreSpec, Tier, policy_of

__all__ = ["MARK", "Attached", "attached", "of_outcomes", "unservable"]

MARK = "attached: "
"""Every assumption that attaching adds begins so; attaching again replaces them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What attaching came to.

    Attributes:
        route: Every tier with its place.
        named: Tiers whose places were named now.
        left_out: Certified policies that a server cannot follow, in words; the route is without them.
    """

    route: Route
    named: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def of_outcomes(route: Route) -> bool:
    """Whether it was calibrated from a table of outcomes: no tier was run."""
    return route.quality == "given"


def unservable(route: Route, rung: Rung) -> tuple[ScoreSpec, ...]:
    """Scores of a policy that no server can compute, since they were columns of the table."""
    specs = {spec.name: spec for spec in route.scores}
    return tuple(specs[name] for name in dict.fromkeys(rung.policy.scores) if not specs[name].servable)


def attached(route: Route, tiers: Sequence[Tier], named: Sequence[str], classes: Sequence[str]) -> Attached:
    """The route with its tiers' places; policies that cannot be followed there are left out.

    All policies of a ladder hold the promise at once, so that those which are left still do.

    Args:
        route: Whose followed policy can be served (:func:`unservable` of it is empty).
        tiers: All of its tiers, in its order, with their places.
        named: Tiers whose places were named now.
        classes: Of the answers, empty where tiers answer in their own words.

    Raises:
        ValueError: when the followed policy cannot be served, or tiers are missing.
    """
    if [tier.name for tier in tiers] != [tier.name for tier in route.tiers]:
        raise ValueError(f"the route's tiers are {', '.join(t.name for t in route.tiers)}")
    kept = [k for k, rung in enumerate(route.ladder) if not unservable(route, rung)]
    if route.chosen is not None and route.chosen not in kept:
        raise ValueError(f"the policy that is followed ({label(policy_of(route.ladder[route.chosen].policy))}) cannot")
    ladder = tuple(route.ladder[k] for k in kept)
    used = {name for rung in ladder for name in rung.policy.scores}
    others = [rung for k, rung in enumerate(route.ladder) if k not in kept]
    found = replace(
        route,
        tiers=tuple(tiers),
        ladder=ladder,
        chosen=None if route.chosen is None else kept.index(route.chosen),
        scores=tuple(spec for spec in route.scores if spec.name in used),
        classes=tuple(classes),
        monitoring=_watched(route, used),
        planned_rate=None,
    )
    said = tuple(MARK + text for text in _assumed(found, named))
    earlier = [text for text in route.assumptions if not text.startswith(MARK)]
    return Attached(
        route=replace(found, assumptions=(*earlier, *said)),
        named=tuple(named),
        left_out=tuple(label(policy_of(rung.policy)) for rung in others),
    )


def _watched(route: Route, used: set[str]) -> Monitoring:
    """Scores that are left; of a table's outcomes the loss cannot be watched, since it is no difference of answers."""
    m = route.monitoring
    kept = {name: q for name, q in m.score_quantiles.items() if name in used}
    below = {name: shares for name, shares in m.score_below.items() if name in used}
    audit_frac = 0.0 if of_outcomes(route) else m.audit_frac
    return replace(m, score_quantiles=kept, score_below=below, audit_frac=audit_frac)


def _assumed(route: Route, named: Sequence[str]) -> list[str]:
    """In words, without the mark."""
    shown = [tier for tier in route.tiers if of_outcomes(route) or tier.name in named]
    where = ", ".join(f"{tier.name} at {tier.source}" for tier in shown)
    if not of_outcomes(route):
        return [f"{where}: that what answers there is what was calibrated is known by digest for models here alone"]
    said = [
        f"{where}: that these are the models whose outcomes the table holds is assumed, none of them was asked",
        "what a tier costs and how well it does stays what the table says; nothing was timed or priced anew",
        "answers are not audited while it is served: the table's quality is no difference of answers, so that nobody "
        "can tell it live; what is watched is how the scores of requests fall",
    ]
    by_token = [
        tier.name for tier in route.tiers if (tier.usd_per_input_token, tier.usd_per_output_token) != (None,) * 2
    ]
    if by_token:
        said.append(f"calls of {', '.join(by_token)} are charged by the tokens that they say they used, as stated")
    return said
