"""farthing: inference savings you can audit.

import farthing as ft

plan = ft.optimize(ft.load_workload("workload.yaml"), on_progress=print)
plan.verdict
plan.saving_frac
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farthing.load.plans import load_plan
    from farthing.load.route.files import read_route
    from farthing.load.route.task import RouteKeys, RouteTask
    from farthing.load.workload.workload import load_workload, workload_from_flags
    from farthing.measure.route.tier_answers import TierSettings
    from farthing.measure.workbench import MeasureSettings
    from farthing.nouns import (
        Baseline,
        Bill,
        Candidate,
        Estimate,
        Evaluation,
        Hardware,
        LatencyBound,
        Measurement,
        Objective,
        Offer,
        Plan,
        Trace,
        Verdict,
        Verification,
        Workload,
    )
    from farthing.runs.options import RunOptions
    from farthing.verbs.first_look import first_look
    from farthing.verbs.optimize import optimize
    from farthing.verbs.profile import profile
    from farthing.verbs.report import report
    from farthing.verbs.route.attach import route_attach
    from farthing.verbs.route.calibrate import route_calibrate
    from farthing.verbs.route.evaluate import route_evaluate
    from farthing.verbs.route.plan_rate import route_plan_rate
    from farthing.verbs.simulate import simulate
    from farthing.verbs.verify import verify

__all__ = [
    "Baseline",
    "Bill",
    "Candidate",
    "Estimate",
    "Evaluation",
    "Hardware",
    "LatencyBound",
    "MeasureSettings",
    "Measurement",
    "Objective",
    "Offer",
    "Plan",
    "RouteKeys",
    "RouteTask",
    "RunOptions",
    "TierSettings",
    "Trace",
    "Verdict",
    "Verification",
    "Workload",
    "first_look",
    "load_plan",
    "load_workload",
    "optimize",
    "profile",
    "read_route",
    "report",
    "route_attach",
    "route_calibrate",
    "route_evaluate",
    "route_plan_rate",
    "simulate",
    "verify",
    "workload_from_flags",
]

_HOMES = {
    "MeasureSettings": "farthing.measure.workbench",
    "RouteKeys": "farthing.load.route.task",
    "RouteTask": "farthing.load.route.task",
    "RunOptions": "farthing.runs.options",
    "TierSettings": "farthing.measure.route.tier_answers",
    "first_look": "farthing.verbs.first_look",
    "load_plan": "farthing.load.plans",
    "load_workload": "farthing.load.workload.workload",
    "optimize": "farthing.verbs.optimize",
    "profile": "farthing.verbs.profile",
    "read_route": "farthing.load.route.files",
    "report": "farthing.verbs.report",
    "route_attach": "farthing.verbs.route.attach",
    "route_calibrate": "farthing.verbs.route.calibrate",
    "route_evaluate": "farthing.verbs.route.evaluate",
    "route_plan_rate": "farthing.verbs.route.plan_rate",
    "simulate": "farthing.verbs.simulate",
    "verify": "farthing.verbs.verify",
    "workload_from_flags": "farthing.load.workload.workload",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and nothing heavy before."""
    if name not in __all__:
        raise AttributeError(f"module 'farthing' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "farthing.nouns")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
