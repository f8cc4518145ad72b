"""A calibrated or evaluated route as one HTML page that needs nothing else, and its picture as SVG and PNG."""

from __future__ import annotations

from typing import Any

from farthing.core.route.calibrating.calibration import Compared
from farthing.core.route.judging.reports import CalibrationReport, EvaluationReport
from farthing.core.route.policies import label
from farthing.core.route.routes import Route, policy_of
from farthing.nouns import Estimate
from farthing.render.numbers import count, interval, milliseconds, percent, points
from farthing.render.plan.report import page_of, pictured
from farthing.render.route.chart import quality_and_cost
from farthing.render.route.rate_words import rate_facts, rate_line
from farthing.render.route.words import (
    asked,
    calibration_headline,
    coin_sentence,
    control_lines,
    cost,
    cost_title,
    evaluation_headline,
    more_reasons,
    point_line,
    share_sentence,
    summary_figures,
)
from farthing.render.svg import svg
from farthing.render.words import MARKS, printable

__all__ = ["calibration_html", "evaluation_html", "picture_png", "picture_svg"]

PNG_SCALE = 2.0
MOST_COMPARED = 60
"""Families in the table, the cheapest first."""


def calibration_html(report: CalibrationReport) -> str:
    """The page of a calibration: complete, under a policy that allows its own style and script and nothing else."""
    route = report.route
    headline = calibration_headline(report)
    return page_of(
        "route.html.j2",
        title=route.name,
        outcome=route.verdict.outcome,
        sign=MARKS[route.verdict.outcome],
        sentence=printable(headline),
        asked=[printable(text) for text in asked(route, report.n_choose)],
        reasons=[printable(r) for r in (*more_reasons(route), coin_sentence(report)) if r],
        hint=route.verdict.hint,
        share=printable(share_sentence(route)),
        route=_route_facts(route),
        compared=[_compared(c, report) for c in report.compared[:MOST_COMPARED]],
        left_out=max(0, len(report.compared) - MOST_COMPARED),
        rate=_rate(route),
        **_judged(report.judged),
    )


def evaluation_html(report: EvaluationReport) -> str:
    """The page of an evaluation."""
    e = report.evaluation
    return page_of(
        "route.html.j2",
        title=report.name,
        outcome="",
        sign="",
        sentence=printable(evaluation_headline(report)),
        asked=[f"{count(e.n)} requests that nothing was chosen on, {len(e.points)} policies"],
        reasons=[f"followed: {printable(report.followed)}"] if report.followed else [],
        hint="",
        share="",
        route=None,
        compared=[],
        left_out=0,
        rate=None,
        **_judged(report),
    )


def picture_svg(report: EvaluationReport) -> str:
    """The picture alone, safe to stand in a page."""
    return svg(quality_and_cost(report), name="curve")


def picture_png(report: EvaluationReport) -> bytes:
    """The picture alone on white, twice its size."""
    import vl_convert

    chart = quality_and_cost(report)
    chart.background, chart.padding = "white", {"left": 12, "right": 16, "top": 12, "bottom": 10}
    found: bytes = vl_convert.vegalite_to_png(chart.to_dict(validate=False), scale=PNG_SCALE)
    return found


def _judged(report: EvaluationReport) -> dict[str, Any]:
    e = report.evaluation
    return {
        "picture": pictured(quality_and_cost, report, "curve"),
        "followed": bool(report.followed),
        "lines": control_lines(report),
        "cost_title": cost_title(report.currency),
        "quality_word": "quality" if report.quality == "given" else report.quality,
        "reference": printable(report.reference),
        "figures": summary_figures(e),
        "n": count(e.n),
        "points": [(point_line(p, report), p.cost_usd.value, p.quality.value) for p in e.points],
        "notes": [printable(note) for note in report.notes],
    }


def _ends(value: Estimate) -> str:
    return interval(value, decimals=2, scale=100)


def _route_facts(route: Route) -> dict[str, Any]:
    return {
        "method": printable(route.method),
        "ladder": [
            {
                "policy": printable(label(policy_of(rung.policy))),
                "chosen": k == route.chosen,
                "cost": cost(rung.cost_usd, route.currency),
                "loss": points(-rung.loss_frac.value, decimals=2),
                "ends": _ends(rung.loss_frac.scaled(-1)),
                "answered": " · ".join(
                    f"{printable(t)} {percent(x, decimals=1)}" for t, x in rung.answered_frac.items() if x > 0
                ),
            }
            for k, rung in enumerate(route.ladder)
        ],
        "tiers": [
            {
                "name": printable(t.name),
                "source": printable(t.source or "given with the data"),
                "service": milliseconds(t.service_ms) if t.service_ms else "",
                "cost": cost(t.usd_per_request, route.currency),
            }
            for t in route.tiers
        ],
    }


def _rate(route: Route) -> dict[str, Any]:
    planned = route.planned_rate
    return {
        "sentence": printable(rate_line(route)),
        "facts": [(name, printable(value)) for name, value in rate_facts(planned)] if planned else [],
        "hint": planned.verdict.hint if planned else "",
        "assumptions": [printable(text) for text in planned.assumptions] if planned else [],
    }


def _compared(c: Compared, report: CalibrationReport) -> dict[str, Any]:
    return {
        "family": printable(c.family),
        "policy": "" if c.policy is None else printable(label(c.policy)),
        "cost": "" if c.cost_usd is None else cost(c.cost_usd, report.route.currency),
        "sort": c.cost_usd,
        "loss": "none stays within the limit" if c.loss_frac is None else points(-c.loss_frac, decimals=2),
    }
