"""A route's planned rate in words: sentences that the terminal and the page share."""

from __future__ import annotations

from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.rate_planning import why_no_rate
from farthing.core.route.routes import Route
from farthing.nouns import Estimate
from farthing.render.numbers import (
    count,
    decimals_for,
    interval,
    milliseconds,
    number,
    percent,
    significant_decimals,
)
from farthing.render.words import MARKS, USUAL_CONFIDENCE, WORDS

__all__ = ["rate_facts", "rate_headline", "rate_line", "rps"]


def rps(rate: Estimate) -> str:
    """``812 requests/s [780, 840]``."""
    places = min(decimals_for(rate), significant_decimals(rate.value))
    return f"{number(rate.value, places)} requests/s {interval(rate, decimals=places)}".rstrip()


def rate_headline(rate: PlannedRate) -> str:
    """The verdict on the planned rate in one sentence."""
    if rate.verdict.outcome != "met" or rate.rate_rps is None or rate.latency_ms is None:
        return rate.verdict.reasons[0] if rate.verdict.reasons else ""
    return (
        f"{rps(rate.rate_rps)} planned: {rate.bound.name} {milliseconds(rate.latency_ms)} ≤ {rate.bound.ms:g} ms "
        "through farthing serve"
    )


def rate_line(route: Route) -> str:
    """What a calibration's screen says of the rate: what is planned, or that nothing is and why."""
    if route.planned_rate is not None:
        outcome = route.planned_rate.verdict.outcome
        return f"{MARKS[outcome]} {WORDS[outcome]}: {rate_headline(route.planned_rate)}"
    why = why_no_rate(route)
    return f"none is planned: {why}" if why else "none is planned: no latency was promised (--p99 50ms)"


def rate_facts(rate: PlannedRate) -> list[tuple[str, str]]:
    """What the rate rests on, a quiet word and a value each."""
    facts = []
    if rate.kept_rps is not None:
        facts.append(("worked out", f"{rps(rate.kept_rps)} kept, {percent(rate.kept_rps.confidence)} confidence"))
    if rate.rate_rps is not None and rate.proofs:
        failed = rate.proofs - (rate.verdict.outcome == "met")
        cut = rate.kept_rps.value / rate.headroom / rate.rate_rps.value if rate.kept_rps is not None else 1.0
        lower = f", lowered by {cut:.2f} more since {failed} of {rate.proofs} proofs failed" if rate.proofs > 1 else ""
        facts.append(("planned", f"{rps(rate.rate_rps)}: 1/{rate.headroom:g} of that{lower}"))
    if rate.latency_ms is not None:
        runs = f"{rate.runs} runs of {count(rate.requests)} requests, each with arrivals of its own"
        sure = "" if rate.latency_ms.confidence == USUAL_CONFIDENCE else f" at {100 * rate.latency_ms.confidence:g} %"
        seen = f"{milliseconds(rate.latency_ms)}{sure}, promised {rate.bound.ms:g} ms"
        facts.append((rate.bound.name, f"{seen}, in {runs}"))
    if rate.capacity_rps > 0:
        most = f"{number(rate.capacity_rps, 0)} requests/s to {rate.clients} clients that never rest"
        facts.append(("capacity", most))
    if rate.generator_frac is not None:
        front = "" if rate.front_frac is None else f", the server's own process {percent(rate.front_frac)}"
        facts.append(("of all cores", f"load generator {percent(rate.generator_frac)}{front}"))
    return facts
