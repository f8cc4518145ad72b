"""What a route says, in words: sentences and rows that the terminal and the page share."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.route.evaluation import CurvePoint, RouterEvaluation
from farthing.core.route.reports import CalibrationReport, EvaluationReport
from farthing.core.route.routes import Route
from farthing.nouns import Estimate
from farthing.render.numbers import count, interval, milliseconds, money, number, percent, points, times

__all__ = [
    "Line",
    "asked",
    "beats",
    "calibration_headline",
    "control_lines",
    "cost",
    "cost_title",
    "evaluation_headline",
    "share_sentence",
    "summary_figures",
]

MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table of policies and controls.

    Attributes:
        name: What it is.
        cost: Mean cost.
        quality: Mean quality.
        change: Of quality against the reference, in points.
        over_split: Quality beyond the best fixed split at the same cost.
        over_random: Beyond the random router at the same cost.
        strong: Whether it is the followed policy.
    """

    name: str
    cost: str
    quality: str
    change: str = ""
    over_split: str = ""
    over_random: str = ""
    strong: bool = False


def cost(value: Estimate | float, currency: str, *, bounds: bool = False) -> str:
    """A mean cost of a request: dollars a million requests, or CPU time of one."""
    if currency == "cpu_s":
        scaled = value.scaled(1000) if isinstance(value, Estimate) else value * 1000
        return milliseconds(scaled, bounds=bounds)
    return money(value.scaled(MILLION) if isinstance(value, Estimate) else value * MILLION, bounds=bounds)


def cost_title(currency: str) -> str:
    """Head of a column of costs."""
    return "CPU time a request" if currency == "cpu_s" else "a million requests"


def asked(route: Route, n_choose: int) -> list[str]:
    """What was asked for and on which requests."""
    what = {
        "accuracy": "accuracy by labels",
        "agreement": f"agreement with {route.reference}, there are no labels",
        "given": "quality as the file gives it",
    }[route.quality]
    tiers = " · ".join(t.name for t in route.tiers)
    return [
        f"{route.name} · tiers {tiers} · {count(n_choose)} requests to choose on, {count(route.n)} to prove on",
        f"Promise: {promise(route)} · {what}",
    ]


def promise(route: Route) -> str:
    """The promise in words."""
    text = (
        f"at most {_points(route.max_loss_frac)} below always {route.reference}, {percent(route.confidence)} confidence"
    )
    if route.by_segment:
        text += "; " + ", ".join(f"in {name} at most {_points(most)}" for name, most in route.by_segment.items())
    return text


def _points(loss_frac: float) -> str:
    value = f"{100 * loss_frac:g}"
    return f"{value} {'point' if value == '1' else 'points'}"


def calibration_headline(report: CalibrationReport) -> str:
    """The verdict in one sentence."""
    route = report.route
    if route.verdict.outcome != "met" or not route.worth_it or route.chosen is None:
        return route.verdict.reasons[0] if route.verdict.reasons else ""
    rung = route.ladder[route.chosen]
    fixed = _cheapest_fixed(route)
    saving = "" if route.saving_frac is None else percent(route.saving_frac)
    change = points(-rung.loss_frac.value, decimals=2)
    return (
        f"{saving} cheaper than always {fixed}, {_quality_word(route.quality)} {change} against {route.reference} "
        f"(proven: a loss of at most {_points(route.max_loss_frac)}, {percent(route.confidence)})"
    )


def _cheapest_fixed(route: Route) -> str:
    """The cheapest certified single tier, which savings are counted against."""
    fixed = [r for r in route.ladder if r.policy.kind == "fixed"]
    return min(fixed, key=lambda r: r.cost_usd).policy.tiers[0] if fixed else route.reference


def _quality_word(quality: str) -> str:
    return "quality" if quality == "given" else quality


def evaluation_headline(report: EvaluationReport) -> str:
    """What the judged requests say, in one sentence."""
    e = report.evaluation
    if report.followed:
        first = e.points[0]
        reference = _tier(e, report.reference)
        change = first.quality.value - reference.quality.value
        ratio = reference.cost_usd.value / first.cost_usd.value if first.cost_usd.value > 0 else float("inf")
        return (
            f"{times(ratio)} cheaper than always {report.reference}, {_quality_word(report.quality)} "
            f"{points(change, decimals=2)}; {beats(first)}"
        )
    if e.cost_save_frac is not None:
        return f"CostSave {percent(e.cost_save_frac)}: that much cheaper than {e.best_single} at no less quality"
    return f"no policy reaches the quality of {e.best_single}, the best single tier"


def beats(point: CurvePoint) -> str:
    """Whether a policy beats its two controls at equal cost, plainly."""
    controls = (("the best fixed split", point.over_split), ("a random router", point.over_random))
    won = [name for name, over in controls if over.lo > 0]
    lost = [f"{name} ({_gain(over)})" for name, over in controls if over.lo <= 0]
    parts = [f"better than {' and '.join(won)} at equal cost"] if won else []
    parts += [f"not shown better than {' and '.join(lost)} at equal cost"] if lost else []
    return "; ".join(parts)


def _tier(e: RouterEvaluation, name: str) -> CurvePoint:
    return next((t for t in e.tiers if t.label == f"always {name}"), e.tiers[-1])


def _gain(over: Estimate) -> str:
    ends = interval(over, decimals=2, scale=100)
    return f"{points(over.value, decimals=2)} {ends}".rstrip()


def control_lines(report: EvaluationReport) -> list[Line]:
    """The followed policy, every tier alone, the controls at its cost and the oracle."""
    e, currency = report.evaluation, report.currency
    reference = _tier(e, report.reference)
    lines = []
    if report.followed:
        first = e.points[0]
        lines.append(_line("followed", first, reference, currency, strong=True))
    lines += [_line(tier.label, tier, reference, currency) for tier in e.tiers]
    if report.followed:
        at = e.points[0]
        for name, over in (
            ("best fixed split at its cost", at.over_split),
            ("random router at its cost", at.over_random),
        ):
            lines.append(
                Line(
                    name=name,
                    cost=cost(at.cost_usd, currency),
                    quality=percent(at.quality.value - over.value, decimals=2),
                    change=points(at.quality.value - over.value - reference.quality.value, decimals=2),
                )
            )
    lines.append(
        Line(
            name="oracle, knows the answers",
            cost=cost(e.oracle_cost_usd, currency),
            quality=percent(e.oracle_quality, decimals=2),
            change=points(e.oracle_quality.value - reference.quality.value, decimals=2),
        )
    )
    return lines


def _line(name: str, point: CurvePoint, reference: CurvePoint, currency: str, *, strong: bool = False) -> Line:
    routed = point.policy is not None
    return Line(
        name=name,
        cost=cost(point.cost_usd, currency, bounds=routed),
        quality=percent(point.quality, decimals=2),
        change=points(point.quality.value - reference.quality.value, decimals=2),
        over_split=_gain(point.over_split) if routed else "",
        over_random=_gain(point.over_random) if routed else "",
        strong=strong,
    )


def share_sentence(route: Route) -> str:
    """Who answers and who runs under the followed policy."""
    if route.chosen is None:
        return f"{route.reference} answers all"
    rung = route.ladder[route.chosen]
    answered = " · ".join(f"{t} {percent(x, decimals=1)}" for t, x in rung.answered_frac.items() if x > 0)
    called = " · ".join(f"{t} {percent(x, decimals=1)}" for t, x in rung.called_frac.items() if x > 0)
    return f"answered by {answered}" + (f"; run on {called}" if answered != called else "")


def summary_figures(e: RouterEvaluation) -> list[tuple[str, str]]:
    """LLMRouterBench's figures and the area, each with its meaning."""
    save = "never reaches its quality" if e.cost_save_frac is None else percent(e.cost_save_frac)
    gain = "no point costs as little" if e.perf_gain is None else _gain(e.perf_gain)
    needs = "" if e.cost_save_frac is None else f" at no less quality than {e.best_single}"
    return [
        (f"CostSave{needs}", save),
        (f"PerfGain at no more cost than {e.best_single}", gain),
        ("area under the curve", f"{number(e.area.value, 4)} {interval(e.area, decimals=4)}".rstrip()),
        (
            "area beyond the best fixed split",
            f"{number(e.area_gain.value, 4)} {interval(e.area_gain, decimals=4)}".rstrip(),
        ),
        ("gap to the oracle", points(_best_gap(e), decimals=2)),
    ]


def _best_gap(e: RouterEvaluation) -> float:
    """Quality that the oracle has beyond the best point or tier."""
    return -min(p.to_oracle.value for p in (*e.points, *e.tiers))
