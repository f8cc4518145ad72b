"""What a route says, in words: sentences and rows that the terminal and the page share."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.route.controls import against_coin
from farthing.core.route.judging.evaluation import CurvePoint, RouterEvaluation
from farthing.core.route.judging.reports import CalibrationReport, EvaluationReport
from farthing.core.route.policies import FixedTier, Split
from farthing.core.route.routes import Route
from farthing.nouns import Estimate
from farthing.render.numbers import count, interval, milliseconds, money, number, percent, points, times

__all__ = [
    "Figure",
    "Line",
    "asked",
    "beats",
    "calibration_headline",
    "coin_sentence",
    "control_lines",
    "cost",
    "cost_title",
    "evaluation_headline",
    "more_reasons",
    "point_line",
    "promise",
    "share_sentence",
    "summary_figures",
]

MILLION = 1e6
SAME = 1e-9
"""Relative width below which an interval is rounding: every request costs the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number as it is read, and its interval, empty where there is none."""

    text: str = ""
    ends: str = ""

    @property
    def joined(self) -> str:
        """Both on one line."""
        return f"{self.text} {self.ends}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table of policies and controls.

    Attributes:
        name: What it is.
        cost: Mean cost.
        quality: Mean quality.
        change: Of quality against the reference, in points.
        over_split: Quality beyond the best fixed split at the same cost, in points.
        over_random: Beyond the random router at the same cost, in points.
        gap: To the oracle, in points.
        strong: Whether it is the followed policy.
    """

    name: str
    cost: Figure
    quality: Figure
    change: Figure = Figure()
    over_split: Figure = Figure()
    over_random: Figure = Figure()
    gap: Figure = Figure()
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


def more_reasons(route: Route) -> list[str]:
    """Reasons of the verdict beyond the one that the headline says."""
    return list(route.verdict.reasons[1:])


def _cheapest_fixed(route: Route) -> str:
    """The cheapest certified single tier, which savings are counted against."""
    fixed = [r for r in route.ladder if r.policy.kind == "fixed" and r.policy.share == 1]
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
    beside = _counted_against_coins(e)
    if e.cost_save_frac is not None:
        save = percent(e.cost_save_frac)
        return f"CostSave {save}: that much cheaper than {e.best_single} at no less quality{beside}"
    return f"no policy reaches the quality of {e.best_single}, the best single tier{beside}"


def _counted_against_coins(e: RouterEvaluation) -> str:
    """How many of several policies are better than a coin of equal cost, worse, and not told apart."""
    routed = [against_coin(p.over_split) for p in e.points if not isinstance(p.policy, FixedTier)]
    counts = [(sum(each == outcome for each in routed), outcome) for outcome, _ in _OUTCOMES]
    words = {"better": "better than a coin of equal cost", "worse": "worse", "not told apart": "not told apart"}
    said = [f"{count(n)} {words[outcome]}" for n, outcome in counts]
    return f"; of {count(len(routed))} policies {', '.join(said)}" if routed else ""


def beats(point: CurvePoint) -> str:
    """Whether a policy is better than its two controls at equal cost, worse, or not told apart from them, plainly."""
    if isinstance(point.policy, Split) and isinstance(point.policy.policy, FixedTier):
        return "a coin between two tiers: it knows nothing of a request"
    controls = (("the best fixed split", point.over_split), ("a random router", point.over_random))
    said = []
    for outcome, words in _OUTCOMES:
        mine = [(name, over) for name, over in controls if against_coin(over) == outcome]
        named = [name if outcome == "better" else f"{name} ({_gain(over)})" for name, over in mine]
        said += [f"{words} {' and '.join(named)} at equal cost"] if named else []
    return "; ".join(said)


_OUTCOMES = (("better", "better than"), ("worse", "worse than"), ("not told apart", "not told apart from"))


def coin_sentence(report: CalibrationReport) -> str:
    """What the proving part shows of the followed policy beside a coin of equal cost; empty where one tier answers."""
    first = report.judged.evaluation.points[0]
    if report.route.chosen is None or isinstance(first.policy, FixedTier):
        return ""
    return beats(first)


def _tier(e: RouterEvaluation, name: str) -> CurvePoint:
    return next((t for t in e.tiers if t.label == f"always {name}"), e.tiers[-1])


def _gain(over: Estimate) -> str:
    ends = interval(over, decimals=2, scale=100)
    return f"{points(over.value, decimals=2)} {ends}".rstrip()


def control_lines(report: EvaluationReport) -> list[Line]:
    """The followed policy, every tier alone, the controls at its cost and the oracle."""
    e = report.evaluation
    reference = _tier(e, report.reference).quality.value
    lines = [point_line(e.points[0], report, name="followed", strong=True)] if report.followed else []
    lines += [point_line(tier, report) for tier in e.tiers]
    if report.followed:
        at = e.points[0]
        beside = ("best fixed split at its cost", at.over_split), ("random router at its cost", at.over_random)
        for name, over in beside:
            quality = at.quality.value - over.value
            lines.append(
                Line(
                    name=name,
                    cost=Figure(text=cost(at.cost_usd, report.currency)),
                    quality=Figure(text=percent(quality, decimals=2)),
                    change=_change(quality - reference),
                )
            )
    known = e.oracle_quality
    lines.append(
        Line(
            name="oracle, knows the answers",
            cost=Figure(text=cost(e.oracle_cost_usd, report.currency)),
            quality=Figure(text=percent(known, decimals=2, bounds=False), ends=interval(known, decimals=2, scale=100)),
            change=_change(known.value - reference),
        )
    )
    return lines


def point_line(point: CurvePoint, report: EvaluationReport, *, name: str = "", strong: bool = False) -> Line:
    """A policy or a tier alone as a row."""
    reference = _tier(report.evaluation, report.reference)
    routed = point.policy is not None
    price, ends = cost(point.cost_usd, report.currency), ""
    if routed and point.cost_usd.hi - point.cost_usd.lo > SAME * point.cost_usd.value:
        ends = cost(point.cost_usd, report.currency, bounds=True).removeprefix(price).strip()
    return Line(
        name=name or point.label,
        cost=Figure(text=price, ends=ends),
        quality=Figure(
            text=percent(point.quality, decimals=2, bounds=False), ends=interval(point.quality, decimals=2, scale=100)
        ),
        change=_change(point.quality.value - reference.quality.value),
        over_split=_over(point.over_split) if routed else Figure(),
        over_random=_over(point.over_random) if routed else Figure(),
        gap=_over(point.to_oracle.scaled(-1)),
        strong=strong,
    )


def _change(change_frac: float) -> Figure:
    return Figure(text=points(change_frac, decimals=2).removesuffix(" points"))


def _over(value: Estimate) -> Figure:
    return Figure(text=_change(value.value).text, ends=interval(value, decimals=2, scale=100))


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
