"""What is shown of a route that is followed: its figures, its state for the live page, and what it has saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from farthing.core.money.attribution import NANODOLLARS_PER_USD
from farthing.core.money.routed_saving import RoutedSaving, routed_saving
from farthing.core.route.watching.losses import loss_evidence
from farthing.core.route.watching.scores import score_evidence
from farthing.serve.routing.audits import RouteAuditor
from farthing.serve.routing.router import Router
from farthing.serve.telemetry.kept_evidence import KeptEvidence
from farthing.serve.telemetry.metrics import Metrics, Samples

__all__ = ["FIGURES", "LiveRoute", "route_document", "saving_document", "saving_of"]

_FEWEST_MEASURED = 100
"""Answers of the reference from which its measured price is believed."""


@dataclass(slots=True, eq=False)
class LiveRoute:
    """A route that is served.

    Attributes:
        name: Of its model.
        router: That follows it.
        auditor: That looks after it.
        evidence: Keeps what it has seen, None where nothing is watched or it cannot be kept.
    """

    name: str
    router: Router
    auditor: RouteAuditor
    evidence: KeptEvidence | None = None


def route_document(metrics: Metrics, live: LiveRoute) -> dict[str, Any]:
    """What the live page shows of a route."""
    router, auditor = live.router, live.auditor
    auditor.take_in()
    route, rows, loss = router.route, auditor.rows, auditor.loss
    audits, watch = auditor.audits, auditor.watch
    return {
        "name": live.name,
        "reference": router.reference,
        "quality": route.quality,
        "rung": router.rung,
        "rungs": len(route.ladder),
        "fallen": router.fallen,
        "alarm": None if auditor.alarm is None else auditor.alarm.kind,
        "rows": rows,
        "max_loss_frac": route.max_loss_frac,
        "confidence": route.confidence,
        "alarm_loss_frac": None if watch.loss is None else watch.loss.alarm_loss_frac,
        "calibrated_loss_frac": route.monitoring.calibrated_loss_frac,
        "false_alarm": watch.false_alarm,
        "loss": None if loss is None else {"value": loss.value, "lo": loss.lo, "hi": loss.hi},
        "evidence": dict(_evidence(auditor)),
        "tiers": [_tier(live, name) for name in router.tiers],
        "counted": _counted(auditor),
        "audits": {
            "audit_frac": auditor.audit_frac,
            "same": audits.same,
            "differed": audits.differed,
            "missed": audits.missed,
            "usd": audits.usd if not audits.unpriced else None,
        },
        "scores": [
            {
                "name": name,
                "n": seen.n,
                "recent": [round(float(x), 4) for x in seen.recent],
                "then": round(1 / watch.scores[name].bins, 4),
            }
            for name, seen in auditor.state.scores.items()
            if seen.n
        ],
        "kept": None if auditor.kept is None else {"n": auditor.kept.n, "path": str(auditor.kept.path)},
        "saving": saving_document(metrics, live),
    }


def _counted(auditor: RouteAuditor) -> dict[str, Any] | None:
    """Of the requests since the watch began those that the watch of the loss compared, None where nothing is audited.

    Requests whose audit is on its way wait with those behind it, and are in neither number.
    """
    seen = auditor.state.loss
    return None if seen is None else {"rows": seen.n, "audited": seen.audited, "audited_frac": seen.audited_frac}


def _tier(live: LiveRoute, name: str) -> dict[str, Any]:
    counts, answered = live.router.tiers[name].counts, live.router.answered[name]
    passed = {reason: n for (tier, reason), n in live.router.escalated.items() if tier == name}
    return {
        "name": name,
        "asked": counts.asked,
        "answered": answered,
        "share": answered / live.auditor.rows if live.auditor.rows else None,
        "usd_per_thousand": 1000 * counts.usd / counts.answered if counts.answered and counts.usd > 0 else None,
        "passed_on": passed,
    }


def _evidence(auditor: RouteAuditor) -> Iterable[tuple[str, float]]:
    """Evidence of each test as part of an alarm's, at most 1."""
    watch, state = auditor.watch, auditor.state
    if state.loss is not None:
        yield "loss", min(1.0, loss_evidence(state.loss) * watch.alpha_of_loss)
    for name, seen in state.scores.items():
        yield name, min(1.0, score_evidence(seen) * watch.alpha_of_score(name))


def saving_of(metrics: Metrics, live: LiveRoute) -> RoutedSaving | None:
    """What a route has saved since its start, None where a price is unknown."""
    router, auditor = live.router, live.auditor
    scores_usd = math.fsum(router.score_usd.get(name, 0.0) * n for name, n in auditor.scored.items())
    reference = router.tiers[router.reference]
    priced = reference.usd_per_row
    if reference.counts.answered >= _FEWEST_MEASURED and reference.counts.usd > 0:
        priced = min(priced, reference.counts.usd / reference.counts.answered)
    if math.isnan(priced) or math.isnan(scores_usd) or auditor.unpriced_rows or auditor.audits.unpriced:
        return None
    calls = {name: tier.counts.usd for name, tier in router.tiers.items()}
    calls[router.reference] = max(0.0, calls[router.reference] - auditor.audits.usd)
    return routed_saving(
        rows=auditor.rows,
        reference_usd_per_row=priced,
        tiers_usd=calls,
        scores_usd=scores_usd,
        audits_usd=auditor.audits.usd,
        idle_usd=max(0.0, _idle_usd(metrics, live) - scores_usd),  # scores take of the replica's time too
    )


def _idle_usd(metrics: Metrics, live: LiveRoute) -> float:
    """Idle time of the replicas that the tiers' models here run on: the route's share by what it kept busy."""
    router = live.router
    here = {p.model for places in router.spec.places.values() for p in places if p.usd_per_row is None}
    counts = [c for c in metrics.counts() if c.name in here and c.price.key is not None]
    used = sum(c.usage_nusd for c in counts)
    idle = sum(c.cost_nusd for c in counts) - used
    mine = sum(
        tier.counts.usd
        for name, tier in router.tiers.items()
        if any(place.model in here for place in router.spec.places[name])
    )
    share = min(1.0, mine * NANODOLLARS_PER_USD / used) if used > 0 else 0.0
    return max(0, idle) * share / NANODOLLARS_PER_USD


def saving_document(metrics: Metrics, live: LiveRoute) -> dict[str, Any] | None:
    """The same as plain values, None where a price is unknown."""
    found = saving_of(metrics, live)
    if found is None:
        return None
    return {
        "rows": found.rows,
        "baseline_nusd": found.baseline_nusd,
        "actual_nusd": found.actual_nusd,
        "saved_nusd": found.saved_nusd,
        "saved_busy_nusd": found.saved_busy_nusd,
        "tiers_nusd": dict(found.tiers_nusd),
        "scores_nusd": found.scores_nusd,
        "audits_nusd": found.audits_nusd,
        "idle_nusd": found.idle_nusd,
        "reference": live.router.reference,
    }


# — figures ————————————————————————————————————————————————————————————————————————————————————————


def _requests(live: LiveRoute) -> Samples:
    return [({"tier": name}, live.router.answered[name]) for name in live.router.tiers]


def _calls(live: LiveRoute) -> Samples:
    return [({"tier": name}, tier.counts.asked) for name, tier in live.router.tiers.items()]


def _costs(live: LiveRoute) -> Samples:
    return [({"tier": name}, tier.counts.usd) for name, tier in live.router.tiers.items()]


def _escalations(live: LiveRoute) -> Samples:
    return [({"tier": tier, "reason": reason}, n) for (tier, reason), n in live.router.escalated.items()]


def _audits(live: LiveRoute) -> Samples:
    audits = live.auditor.audits
    return [
        ({"result": "same"}, audits.same),
        ({"result": "differed"}, audits.differed),
        ({"result": "missed"}, audits.missed),
    ]


def _loss(live: LiveRoute) -> Samples:
    loss = live.auditor.loss
    if loss is None:
        return []
    return [({"bound": "value"}, loss.value), ({"bound": "lo"}, loss.lo), ({"bound": "hi"}, loss.hi)]


def _alarm(live: LiveRoute) -> Samples:
    alarm = live.auditor.alarm
    return [({"test": kind}, float(alarm is not None and alarm.kind == kind)) for kind in ("loss", "score")]


def _audited(live: LiveRoute) -> Samples:
    seen = live.auditor.state.loss
    return [] if seen is None or seen.audited_frac is None else [({}, seen.audited_frac)]


def _watched(live: LiveRoute) -> Samples:
    seen = live.auditor.state.loss
    return [] if seen is None else [({}, seen.n)]


def _limit(live: LiveRoute) -> Samples:
    test = live.auditor.watch.loss
    return [] if test is None else [({}, test.alarm_loss_frac)]


FIGURES: tuple[tuple[str, str, Literal["gauge", "counter"], Callable[[LiveRoute], Samples]], ...] = (
    ("farthing_route_requests_total", "Rows answered, by the tier that answered.", "counter", _requests),
    ("farthing_route_calls_total", "Rows that a tier was asked about, audits included.", "counter", _calls),
    ("farthing_route_cost_usd_total", "Cost of a tier's calls on the usage basis, audits included.", "counter", _costs),
    ("farthing_route_escalations_total", "Rows that a tier did not answer, by reason.", "counter", _escalations),
    ("farthing_route_audits_total", "Answers compared with the reference's.", "counter", _audits),
    (
        "farthing_route_audit_cost_usd_total",
        "Cost of audits on the usage basis.",
        "counter",
        lambda live: [({}, live.auditor.audits.usd)],
    ),
    ("farthing_route_watched_requests", "Rows that the watch of the loss has taken in.", "gauge", _watched),
    ("farthing_route_audited_ratio", "Share of them that was compared with the reference.", "gauge", _audited),
    ("farthing_route_loss_ratio", "Share of rows whose answer differs from the reference's.", "gauge", _loss),
    ("farthing_route_alarm_loss_ratio", "Share at which the route falls back.", "gauge", _limit),
    (
        "farthing_route_evidence_ratio",
        "Evidence against the route, as part of an alarm's.",
        "gauge",
        lambda live: [({"test": name}, x) for name, x in _evidence(live.auditor)],
    ),
    ("farthing_route_alarm", "1 after an alarm of that test.", "gauge", _alarm),
    (
        "farthing_route_fallen_back",
        "1 while only the reference answers because of an alarm or a person.",
        "gauge",
        lambda live: [({}, float(live.router.fallen is not None))],
    ),
    (
        "farthing_route_rung",
        "Index of the certified policy that is followed, -1 for the reference alone.",
        "gauge",
        lambda live: [({}, -1 if live.router.rung is None else live.router.rung)],
    ),
)
