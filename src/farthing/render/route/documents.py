"""Routes for programs: the same facts as on the screen, nothing rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from farthing.codec import to_plain
from farthing.core.route.attaching import Attached
from farthing.core.route.controls import against_coin
from farthing.core.route.judging.evaluation import CurvePoint
from farthing.core.route.judging.reports import CalibrationReport, EvaluationReport
from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.policies import label
from farthing.core.route.routes import written
from farthing.nouns import Estimate

__all__ = ["attached_document", "calibration_document", "evaluation_document", "rate_document"]


def attached_document(done: Attached) -> dict[str, Any]:
    """The route as route.yaml holds it, and what attaching left out of it."""
    return {
        "schema": "farthing/route-attached/1",
        "route": to_plain(done.route),
        "named": list(done.named),
        "left_out": list(done.left_out),
    }


def calibration_document(report: CalibrationReport) -> dict[str, Any]:
    """The route as route.yaml holds it, what it was compared with, and its curve."""
    return {
        "schema": "farthing/route-calibration/1",
        "route": to_plain(report.route),
        "n_choose": report.n_choose,
        "compared": [
            {
                "family": c.family,
                "policy": None if c.policy is None else label(c.policy),
                "cost_usd": c.cost_usd,
                "loss_frac": c.loss_frac,
            }
            for c in report.compared
        ],
        "evaluation": _evaluation(report.judged),
    }


def rate_document(rate: PlannedRate) -> dict[str, Any]:
    """The planned rate as route.yaml holds it."""
    return {"schema": "farthing/route-rate/1", **to_plain(rate)}


def evaluation_document(report: EvaluationReport) -> dict[str, Any]:
    """Points, controls and what they come to."""
    return {"schema": "farthing/route-evaluation/1", **_evaluation(report)}


def _evaluation(report: EvaluationReport) -> dict[str, Any]:
    e = report.evaluation
    return {
        "name": report.name,
        "n": e.n,
        "reference": report.reference,
        "quality": report.quality,
        "currency": report.currency,
        "followed": report.followed,
        "best_single": e.best_single,
        "cost_save_frac": _plain(e.cost_save_frac),
        "perf_gain": _plain(e.perf_gain),
        "area": _plain(e.area),
        "split_area": _plain(e.split_area),
        "area_gain": _plain(e.area_gain),
        "oracle": {"quality": _plain(e.oracle_quality), "cost_usd": _plain(e.oracle_cost_usd)},
        "points": _points(e.points),
        "tiers": _points(e.tiers),
        "notes": list(report.notes),
    }


def _points(points: Sequence[CurvePoint]) -> list[dict[str, Any]]:
    return [
        {
            "label": p.label,
            "policy": None if p.policy is None else to_plain(written(p.policy)),
            **{
                name: _plain(getattr(p, name))
                for name in ("quality", "cost_usd", "over_split", "over_random", "to_oracle")
            },
            "against_split": against_coin(p.over_split),
            "against_random": against_coin(p.over_random),
            "pareto": p.pareto,
        }
        for p in points
    ]


def _plain(value: Estimate | None) -> Any:
    return None if value is None else to_plain(value)
