"""What calibrating and evaluating a route say, for screens, pages and programs."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.route.calibrating.calibration import Compared
from farthing.core.route.judging.evaluation import RouterEvaluation
from farthing.core.route.routes import Route

__all__ = ["CalibrationReport", "EvaluationReport"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationReport:
    """A route, or the policies that an outcome matrix suggests, on requests that they were not chosen on.

    Attributes:
        name: Of the route, or of the file.
        evaluation: Points, controls and what they come to; the followed policy comes first.
        followed: Label of the policy that is followed, empty when no route is judged.
        max_loss_frac: The route's promise, None without a route.
        reference: Tier that losses are counted against.
        quality: What is compared: ``accuracy``, ``agreement`` or ``given``.
        currency: What costs are in: ``usd``, or ``cpu_s`` where no price was given.
        notes: What was assumed or is unusual.
    """

    name: str
    evaluation: RouterEvaluation
    followed: str = ""
    max_loss_frac: float | None = None
    reference: str = ""
    quality: str = "accuracy"
    currency: str = "usd"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationReport:
    """What ``farthing route calibrate`` found.

    Attributes:
        route: As written to route.yaml.
        compared: Best member of every family on the choosing part, cheapest first; forecasts, not proofs.
        judged: The curve and the controls on the proving part.
        n_choose: Requests that everything was chosen and fitted on.
    """

    route: Route
    compared: tuple[Compared, ...]
    judged: EvaluationReport
    n_choose: int
