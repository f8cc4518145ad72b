"""Policies made ready to be followed row by row. Pure: nothing here knows a request, a tier's queue or the time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.coins import coin
from farthing.core.route.routes import Route, RoutedPolicy, Rung, ScoreSpec, policy_of
from farthing.core.route.scoring.row_scores import RowScore, row_score
from farthing.core.route.scoring.texts import TEXT_FEATURES

if TYPE_CHECKING:
    from farthing.core.route.scoring.trained import Predictor

__all__ = ["Gate", "ReadyPolicy", "RungShares", "ladder_of", "ready_policy", "safe_policy", "shares_of"]

Row = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gate:
    """A score with what it is read from.

    Attributes:
        name: Of the score.
        needs: Tiers that must have answered.
        output: Name of their output that is read, empty for the first.
        compute: See :data:`~farthing.core.route.scoring.row_scores.RowScore`.
        cost_usd: Of computing it once.
        reads_text: Whether it looks at the row's text.
        reads_first: The tier whose first output is all that it looks at, empty where it looks at anything else.
    """

    name: str
    needs: tuple[str, ...]
    output: str
    compute: RowScore
    cost_usd: float
    reads_text: bool = False
    reads_first: str = field(init=False)

    def __post_init__(self) -> None:
        alone = len(self.needs) == 1 and not self.output and not self.reads_text
        object.__setattr__(self, "reads_first", self.needs[0] if alone else "")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadyPolicy:
    """One policy.

    Attributes:
        rung: Its index in the ladder, None for the safe policy.
        tiers: In the order asked; where the policy's last one is not the reference, the reference follows for rows
            that nobody else could answer.
        gates: By which each tier but the last of the policy is judged, or by which one of them is chosen.
        thresholds: One a gate; of a choice, one a tier but the last.
        chooses: One tier is chosen by ``gates[0]`` before any is asked to answer; else they are asked in turn.
        last: Index in ``tiers`` of the policy's last, whose answer is not judged.
        judges: What judges the answer of each of ``tiers``, None where it counts as it is.
        wants: For each of ``tiers`` those that must have answered before it is judged, itself first.
        share: Of the requests that it is followed on, 1 for all.
        seed: Of the coin that draws them.
        otherwise: Followed on the others, None where there are none.
    """

    rung: int | None
    tiers: tuple[str, ...]
    gates: tuple[Gate, ...] = ()
    thresholds: tuple[float, ...] = ()
    chooses: bool = False
    last: int = 0
    share: float = 1.0
    seed: int = 0
    otherwise: ReadyPolicy | None = None
    judges: tuple[Gate | None, ...] = field(init=False)
    wants: tuple[tuple[str, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        gates = () if self.chooses else self.gates
        judges = (*gates, *[None] * (len(self.tiers) - len(gates)))
        needs = [() if gate is None else gate.needs for gate in judges]
        wants = tuple(tuple(dict.fromkeys((tier, *more))) for tier, more in zip(self.tiers, needs))
        object.__setattr__(self, "judges", judges)
        object.__setattr__(self, "wants", wants)

    def tossed(self, request_id: str) -> ReadyPolicy:
        """What a request is to follow: this, or what is followed otherwise, alike in every process.

        Args:
            request_id: The client's own; all rows of a request go the same way.
        """
        if self.otherwise is None or coin(request_id, self.seed) < self.share:
            return self
        return self.otherwise

    def choice(self, value: float) -> int:
        """Index of the tier that a score chooses; that of the reference where there is no score (NaN)."""
        if math.isnan(value):
            return len(self.tiers) - 1
        return sum(value < threshold for threshold in self.thresholds)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RungShares:
    """What steering looks at in a rung (:class:`farthing.core.route.steering.Shares`).

    Attributes:
        called_frac: Share of requests on which each tier runs, in the order of the route's tiers.
        score_cost_usd: Of its scores, per request.
    """

    called_frac: NDArray[np.float64]
    score_cost_usd: float


def safe_policy(route: Route) -> ReadyPolicy:
    """Always the reference."""
    return ReadyPolicy(rung=None, tiers=(route.reference,))


def ladder_of(route: Route, predictors: Mapping[str, Predictor], unit_usd: float = 1.0) -> tuple[ReadyPolicy, ...]:
    """All certified policies of a route.

    Args:
        route: Which.
        predictors: Trained scores by name.
        unit_usd: What one unit of the route's currency costs, NaN when unknown.

    Raises:
        ValueError: when one names a tier or score that there is not, or a score that cannot be computed in serving.
    """
    names = {tier.name for tier in route.tiers}
    specs = {spec.name: spec for spec in route.scores}
    if route.reference not in names:
        raise ValueError(f"the reference {route.reference} is no tier; there are {', '.join(sorted(names))}")
    ready = [
        ready_policy(rung.policy, k, specs, predictors, route.reference, unit_usd)
        for k, rung in enumerate(route.ladder)
    ]
    for one in ready:
        rest = () if one.otherwise is None else one.otherwise.tiers
        called = {*one.tiers, *rest, *(name for gate in one.gates for name in gate.needs)}
        if unknown := sorted(called - names):
            raise ValueError(f"rung {one.rung} asks {unknown[0]}, which is no tier of the route")
    if route.chosen is not None and not 0 <= route.chosen < len(ready):
        raise ValueError(f"the rung {route.chosen} is chosen of a ladder of {len(ready)}")
    return tuple(ready)


def ready_policy(
    policy: RoutedPolicy,
    rung: int,
    specs: Mapping[str, ScoreSpec],
    predictors: Mapping[str, Predictor],
    reference: str,
    unit_usd: float = 1.0,
) -> ReadyPolicy:
    """One policy made ready.

    Raises:
        ValueError: as :func:`ladder_of`, or when tiers, scores and thresholds do not fit its kind.
    """
    policy_of(policy)
    beyond = () if reference in policy.tiers else (reference,)
    rest = None
    if policy.otherwise:
        rest = ReadyPolicy(rung=rung, tiers=tuple(dict.fromkeys((policy.otherwise, reference))))
    return ReadyPolicy(
        rung=rung,
        tiers=(*policy.tiers, *beyond),
        gates=tuple(_gate(name, specs, predictors, unit_usd) for name in policy.scores),
        thresholds=policy.thresholds,
        chooses=policy.kind == "pre_route",
        last=len(policy.tiers) - 1,
        share=policy.share,
        seed=policy.seed,
        otherwise=rest,
    )


def _gate(name: str, specs: Mapping[str, ScoreSpec], predictors: Mapping[str, Predictor], unit_usd: float) -> Gate:
    spec = specs.get(name)
    if spec is None:
        raise ValueError(f"there is no score {name}; there are {', '.join(specs) or 'none'}")
    compute = row_score(spec, predictors.get(name))
    cost_usd = spec.cost_usd * unit_usd if spec.cost_usd else 0.0
    features = spec.features or TEXT_FEATURES
    of_text = spec.kind == "logistic" and not set(TEXT_FEATURES).isdisjoint(features)
    reads_text = spec.from_request or bool(spec.per_usd_of) or of_text
    return Gate(
        name=name,
        needs=spec.needs,
        output=spec.output,
        compute=compute,
        cost_usd=cost_usd,
        reads_text=reads_text,
    )


def shares_of(rung: Rung, tiers: Sequence[str]) -> RungShares:
    """A rung as steering wants it; tiers that it does not name are not called."""
    called = np.array([rung.called_frac.get(name, 0.0) for name in tiers], dtype=np.float64)
    return RungShares(called_frac=called, score_cost_usd=rung.score_cost_usd)
