"""What is shown of scaling: the live page's section, the whole story as JSON, and series for Prometheus."""

from __future__ import annotations

import functools
import math
from collections import deque
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from farthing.ports import Clock
from farthing.serve.scaling.fleet_bill import life_of
from farthing.serve.scaling.fleet_watch import Totals
from farthing.serve.scaling.loop import ScalingLoop
from farthing.serve.telemetry.metrics import Metrics, Samples

__all__ = ["ScalingFigures"]

SAMPLE_TICKS, SAMPLES = 3, 120
"""Ticks of a second between two samples, and how many are kept: six minutes."""


_SERIES: tuple[tuple[str, str, str, Literal["gauge", "counter"]], ...] = (
    ("replicas_ready", "Replicas of the scaled model that take requests.", "ready", "gauge"),
    ("replicas_starting", "Replicas that were asked for and are not ready.", "starting", "gauge"),
    ("replicas_wanted", "Replicas that the scaling rule wants.", "wanted", "gauge"),
    ("replica_seconds_total", "Billed seconds of replicas, on the policy's clock.", "replica_seconds", "counter"),
    ("cost_usd_total", "Cost of the scaled model's replicas since the start, USD.", "usd", "counter"),
    ("decisions_total", "Decisions of the scaling rule.", "decisions", "counter"),
    ("changes_total", "Of them, those that changed the number of replicas.", "changes", "counter"),
)
"""Name, words, key of the live page's document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One moment; None where nothing can be said.

    Attributes:
        rps: Requests that came in a second since the sample before, on the wall clock.
        in_flight: Requests that wait or run.
        ready: Replicas.
        wanted: Replicas.
        attainment: Share of the requests since the sample before that were answered as promised.
        usd: Of the fleet since the start.
    """

    rps: float | None
    in_flight: int
    ready: int
    wanted: int
    attainment: float | None
    usd: float | None


class ScalingFigures:
    """Of one loop; ticked once a second.

    Args:
        loop: Whose.
        clock: Monotonic time.
    """

    def __init__(self, loop: ScalingLoop, clock: Clock) -> None:
        self._loop, self._now_s = loop, clock.monotonic_s
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)
        self._ticks = 0
        self._last: tuple[float, Totals] | None = None

    def tick(self) -> None:
        """Take a sample when it is time for one."""
        self._ticks += 1
        if not self._loop.begun or self._ticks % SAMPLE_TICKS:
            return
        now_s, totals = self._now_s(), self._loop.totals()
        counted = self._loop.counted()
        before_s, before = self._last or (now_s, totals)
        self._last = now_s, totals
        new: Totals = tuple(a - b for a, b in zip(totals, before, strict=True))  # type: ignore[assignment]
        self._samples.append(
            _Sample(
                rps=new[0] / (now_s - before_s) if now_s > before_s else None,
                in_flight=0 if counted is None else counted.in_flight,
                ready=self._loop.headcount()[0],
                wanted=self._loop.wanted,
                attainment=_kept(new),
                usd=self._loop.bill.usd(now_s),
            )
        )

    # — documents ——————————————————————————————————————————————————————————————————————————————————

    def live_document(self) -> dict[str, Any] | None:
        """For the live page; None before the loop begins."""
        loop = self._loop
        if not loop.begun:
            return None
        now_s = self._now_s()
        ready, starting, leaving = loop.headcount()
        last = loop.changes[-1] if loop.changes else None
        return {
            **self._about(),
            "at_s": round(loop.clock.at_s(now_s), 3),
            "ready": ready,
            "starting": starting,
            "leaving": leaving,
            "wanted": loop.wanted,
            "decisions": loop.decisions,
            "changes": loop.changed,
            "last": None if last is None else {**asdict(last), "ago_s": round(loop.clock.at_s(now_s) - last.at_s, 3)},
            "trouble": loop.trouble,
            **self._sums(now_s),
            "step_s": SAMPLE_TICKS,
            "history": {f.name: [_short(getattr(s, f.name)) for s in self._samples] for f in fields(_Sample)},
        }

    def document(self) -> dict[str, Any] | None:
        """Everything: policy, decisions, lives of the replicas, what the rule was shown; None before the loop begins.

        Times are seconds of the policy's clock, which was 0 at ``begun_at``.
        """
        live = self.live_document()
        if live is None:
            return None
        loop = self._loop
        del live["history"], live["step_s"]
        lives = sorted((*loop.roster.past, *loop.roster.present.values()), key=lambda life: life.number)
        began = datetime.now(UTC) - timedelta(seconds=self._now_s() - loop.clock.start_s)
        seen = loop.seen
        return {
            **live,
            "begun_at": began.isoformat(timespec="milliseconds"),
            "decided": [asdict(change) for change in loop.changes],
            "lives": [
                {**asdict(life_of(life, loop.clock)), "deaths": life.deaths, "failed_starts": life.failed_starts}
                for life in lives
            ],
            "seen": {} if not seen else {name: [getattr(one, name) for one in seen] for name in seen[0].__slots__},
        }

    def _about(self) -> dict[str, Any]:
        policy, scaled = self._loop.policy, self._loop.scaled
        return {
            "model": scaled.spec.name,
            "rule": policy.rule.name,
            "settings": dict(policy.rule.said),
            "source": policy.source,
            "emulated": policy.emulated,
            "time_lapse": policy.time_lapse,
            "interval_s": self._loop.scaler.interval_s,
            "assumed": list(self._loop.scaler.assumed),
            "min": policy.min_replicas,
            "max": policy.max_replicas,
            "start_s": policy.start_s,
            "promise_ms": scaled.promise_s * 1000 if math.isfinite(scaled.promise_s) else None,
            "attainment_asked": policy.attainment_frac,
            "usd_per_hour": scaled.usd_per_hour,
            "offer": None if scaled.offer is None else scaled.offer.key,
        }

    def _sums(self, now_s: float) -> dict[str, Any]:
        totals, counted = self._loop.totals(), self._loop.counted()
        recent = self._samples[-1] if self._samples else None
        return {
            "arrived": totals[0],
            "answered": totals[1],
            "within_promise": totals[2],
            "failed": totals[3],
            "attainment": _kept(totals),
            "rps": None if recent is None else recent.rps,
            "in_flight": 0 if counted is None else counted.in_flight,
            "replica_seconds": self._loop.bill.seconds(now_s),
            "usd": self._loop.bill.usd(now_s),
        }

    # — Prometheus —————————————————————————————————————————————————————————————————————————————————

    def show(self, metrics: Metrics) -> None:
        """Register the series."""
        for name, text, key, kind in _SERIES:
            metrics.watch(f"farthing_scaling_{name}", text, functools.partial(self._series, key), kind)

    def _series(self, key: str) -> Samples:
        live = self.live_document()
        if live is None or live[key] is None:
            return []
        emulated = str(live["emulated"]).lower()
        labels = {"model": live["model"], "rule": live["rule"], "emulated": emulated}
        if live["time_lapse"] != 1:
            labels["time_lapse"] = f"{live['time_lapse']:g}"
        return [(labels, live[key])]


def _kept(totals: Totals) -> float | None:
    """Share answered as promised; None where nothing was answered or failed."""
    _, answered, within, failed = totals
    return within / (answered + failed) if answered + failed > 0 else None


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
