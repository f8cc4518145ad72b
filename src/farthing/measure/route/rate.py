"""A route through ``farthing serve``, as its users get it: the rate that it keeps, and the proof at the planned rate.

The rate is worked out from runs without deadlines, each with arrivals of its own; the proof is run on a server that was
started anew, just as ``farthing serve route.yaml`` starts it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.rate_planning import CLIENTS, enough_clients, rate_verdict, served_curve, spread
from farthing.core.search import sustained
from farthing.core.search.sustained import EASY_FRAC
from farthing.core.traffic.batch_queue import HEADROOM_FRAC, saturation_rps, sla_rps
from farthing.core.traffic.latency_rate import LatencyRate, latency_rates
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.machine.canary import Canary
from farthing.machine.watched import watched
from farthing.measure.open_loop import RunSeen, just_late, levels_of, look_by_look, requests_at, seen_of, server_metrics
from farthing.measure.served.live_server import LoadedRun
from farthing.measure.served.path import CLOSED_S
from farthing.measure.served.repeats import START_FRAC, between_starts, repeatable
from farthing.measure.under_load import seed_of
from farthing.measure.workbench import MeasureSettings
from farthing.nouns import NEVER_MS, Backend, Estimate, LatencyBound, latency_metric
from farthing.ports import Progress

__all__ = ["Proof", "RouteLoad", "RouteServer", "plan_rate", "prove_rate"]

STAGE = "rate"
SEEKING, MOST_SEEKING = 2, 8
"""First runs only look for the rate and do not count: at least so many, at most so many."""
RECENT = 2
"""Of the runs that look, so many say where to look next: far from the promise the curve is only roughly right."""
SETTLED = 1.1
"""Looking ends where the next rate is within this factor of the last."""
MOST_ASIDE = 0.8
"""What requests wait for beside the queue takes at most this share of the promise."""
EASY_REQUESTS = 200
LONGER = 4
"""Runs are so many times as long as those of a single model: a route's tail is made by the few requests that reach its
dear tiers."""
MOST_LONGER = 20_000
"""Requests from which on a run is long enough as it is."""
_FELL_BACK = "route fell back: "


class RouteServer(Protocol):
    """A server under a load generator (:class:`farthing.measure.served.live_server.LiveServer`)."""

    def closed_loop(self, connections: int, seconds: float) -> float:
        """Good answers a second when so many clients ask again as soon as they are answered."""

    def open_loop(self, rate_rps: float, n: int, seed: int) -> LoadedRun:
        """Poisson arrivals at a rate."""

    def said(self) -> str:
        """What the server has printed so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLoad:
    """What a route is measured with.

    Attributes:
        bound: The promise.
        backend: The route, for documents that name what was measured.
        settings: Runs.
        seed: Of everything random.
        start: Starts a server of the route, without deadlines when ``patient``.
        cores: Looked at by the canary.
        canary: None where nobody looks.
        hardware: Fingerprint.
        tell: Progress.
    """

    bound: LatencyBound
    backend: Backend
    settings: MeasureSettings
    seed: int
    start: Callable[[bool], AbstractContextManager[RouteServer]]
    cores: tuple[int, ...]
    canary: Canary | None
    hardware: str
    tell: Progress

    def run(
        self, server: RouteServer, rate_rps: float, n: int, stage: str, k: int, *, deadlines: bool = False
    ) -> tuple[RunSeen, LoadedRun]:
        """One run under Poisson arrivals with a seed of its own; with deadlines what was refused is just late."""
        seed = seed_of(self.seed, f"route {stage}", k)
        seen = watched(self.canary, self.cores, lambda: server.open_loop(rate_rps, n, seed))
        found = seen.found
        facts = {"generator_frac": found.generator_frac, "front_frac": found.front_frac}
        watch = {"contended": seen.contended, "slowdown": seen.slowdown}
        levels = levels_of(self.bound.percentile)
        run = seen_of(
            just_late(found.latency_ms, self.bound.ms) if deadlines else found.latency_ms,
            levels,
            rate_rps=rate_rps,
            seed=seed,
            achieved_rps=found.achieved_rps,
            answered_frac=float(np.isfinite(found.latency_ms).mean()),
            **facts,
            **watch,
        )
        return run, found


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Runs of a route at one rate.

    Attributes:
        metrics: Of the Server scenario, by name as a Measurement has them.
        contended: Whether cores were busy in spite of retries.
        runs: Each with arrivals of its own.
        requests: Of one run.
        clients: That never rested, for ``capacity_rps``.
        capacity_rps: Good answers a second to them.
        fallen: Why the route fell back meanwhile, empty when it did not.
    """

    metrics: Mapping[str, Estimate]
    contended: bool
    runs: int
    requests: int
    clients: int
    capacity_rps: float
    fallen: str = ""

    def latency(self, percentile: float) -> Estimate:
        """At one level in ms.

        Raises:
            KeyError: when that level was not measured.
        """
        return self.metrics[latency_metric(percentile)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The route as one server, before runs are fitted.

    Attributes:
        curve: Its service times.
        clients: That it answered fastest.
        full_rps: How fast.
        easy_rps: A rate at which next to nobody waits.
        easy: The run there.
    """

    curve: ServiceCurve
    clients: int
    full_rps: float
    easy_rps: float
    easy: RunSeen

    def aside_s(self, rate: LatencyRate, bound_s: float) -> float:
        """What a request waits for beside the queue: at the easy rate, less what the curve expects there."""
        easy_s = self.easy.tail_s(rate.percentile)
        found = easy_s - rate.latency_s(self.easy_rps, 0.0) if math.isfinite(easy_s) else 0.0
        return min(max(0.0, found), MOST_ASIDE * bound_s)


def plan_rate(load: RouteLoad) -> PlannedRate:
    """Find the highest rate within the promise, plan with headroom, prove it; lower while the proof fails.

    Args:
        load: What to measure with.

    Raises:
        MeasureError: when the server cannot be started, or ends.
    """
    with load.start(True) as server:
        shape = _shape(load, server)
        rate, n = _looked_for(load, server, shape)
        rates = _rates(load, shape.curve, n)
        kept, busy = _kept(load, server, shape, rates[load.bound.percentile], rate, n)
        fallen = _fallen(server)
    if kept is None or fallen:
        return _none(load, kept, shape, busy, fallen)
    first = rate = kept.value / sustained.HEADROOM
    aside_s = {level: shape.aside_s(curve, load.bound.ms / 1000) for level, curve in rates.items()}
    for k in range(sustained.TRIES):
        proof = prove_rate(load, rate, n, shape.clients, f"proof {k}", rates, aside_s, again=k > 0)
        hi_ms = proof.latency(load.bound.percentile).hi
        if proof.fallen or hi_ms <= load.bound.ms or k == sustained.TRIES - 1:
            break
        hi_s = math.inf if hi_ms >= NEVER_MS else hi_ms / 1000
        rate /= sustained.cut(rates[load.bound.percentile], rate, hi_s, load.bound.ms / 1000, k + 1)
    planned = sustained.allowing_for_cuts(kept, first / rate).scaled(rate / kept.value)
    return _planned(load, planned, kept, proof, k + 1)


def _none(load: RouteLoad, kept: Estimate | None, shape: _Shape, busy: bool, fallen: str) -> PlannedRate:
    """The promise is kept at no rate, or the route was not followed while it was looked for."""
    return PlannedRate(
        bound=load.bound,
        verdict=rate_verdict(load.bound, None, None, busy=busy, fallen=fallen),
        rate_rps=None,
        kept_rps=kept,
        headroom=sustained.HEADROOM,
        seed=load.seed,
        clients=shape.clients,
        capacity_rps=shape.full_rps,
        contended=busy,
        hardware=load.hardware,
        planned_at=datetime.now(UTC).astimezone(),
    )


def _planned(load: RouteLoad, rate: Estimate, kept: Estimate, proof: Proof, proofs: int) -> PlannedRate:
    latency = proof.latency(load.bound.percentile)
    return PlannedRate(
        bound=load.bound,
        verdict=rate_verdict(load.bound, rate, latency, busy=proof.contended, fallen=proof.fallen),
        rate_rps=rate,
        kept_rps=kept,
        headroom=sustained.HEADROOM,
        latency_ms=latency,
        proofs=proofs,
        runs=proof.runs,
        requests=proof.requests,
        seed=load.seed,
        clients=proof.clients,
        capacity_rps=proof.capacity_rps,
        generator_frac=proof.metrics.get("generator_frac"),
        front_frac=proof.metrics.get("front_frac"),
        contended=proof.contended,
        hardware=load.hardware,
        planned_at=datetime.now(UTC).astimezone(),
    )


# — the rate that is kept ——————————————————————————————————————————————————————————————————————————————————————————


def _shape(load: RouteLoad, server: RouteServer) -> _Shape:
    """What clients that never rest, and a run at an easy rate, show of the route."""
    closed: dict[int, float] = {}
    for k, clients in enumerate(CLIENTS):
        load.tell(STAGE, k, len(CLIENTS), f"{clients} clients that never rest")
        closed[clients] = server.closed_loop(clients, CLOSED_S)
        if enough_clients(closed):
            break
    level, easy_rps = load.bound.percentile, EASY_FRAC * closed[CLIENTS[0]]
    n = requests_at(easy_rps, level, fewest=EASY_REQUESTS)
    load.tell(STAGE, 0, 1, f"{easy_rps:.0f} requests/s: an easy rate")
    easy, whole = load.run(server, easy_rps, n, "easy", 0)
    curve = served_curve(closed, spread(whole.latency_ms))
    clients, full_rps = max(closed.items(), key=lambda pair: pair[1])
    return _Shape(curve=curve, clients=clients, full_rps=full_rps, easy_rps=easy_rps, easy=easy)


def _looked_for(load: RouteLoad, server: RouteServer, shape: _Shape) -> tuple[float, int]:
    """About which rate is kept, from short runs that do not count, and how many requests a run there has."""
    level, bound_s = load.bound.percentile, load.bound.ms / 1000
    rate = min(_modelled_rps(shape.curve, load.bound), shape.full_rps * (1 - HEADROOM_FRAC))
    n = requests_at(rate, level)
    curve = _rates(load, shape.curve, n)[level]
    aside_s = shape.aside_s(curve, bound_s)
    runs: list[tuple[float, float]] = []
    while len(runs) < MOST_SEEKING:
        load.tell(STAGE, len(runs), MOST_SEEKING, f"looking at {rate:.0f} requests/s")
        run, _ = load.run(server, rate, n, "look", len(runs))
        runs.append((rate, run.tail_s(level) - aside_s))
        rate = sustained.next_rate(curve, runs[-RECENT:], bound_s - aside_s)
        if len(runs) >= SEEKING and 1 / SETTLED <= rate / runs[-1][0] <= SETTLED:
            break
    fewest, usual = -(-load.settings.server_n // load.settings.proof_runs), requests_at(rate, level)
    return rate, max(min(LONGER * usual, MOST_LONGER), usual, fewest)


def _modelled_rps(curve: ServiceCurve, bound: LatencyBound) -> float:
    """The queue model's rate within the promise, half of saturation where it knows none: where looking begins."""
    most = curve.sizes[-1]
    found = sla_rps(curve, instances=1, max_batch=most, latency_s=bound.ms / 1000, percentile=bound.percentile)
    return found or saturation_rps(curve, instances=1, max_batch=most) / 2


def _rates(load: RouteLoad, curve: ServiceCurve, n: int) -> dict[float, LatencyRate]:
    return latency_rates(
        curve,
        instances=1,
        max_batch=curve.sizes[-1],
        percentiles=levels_of(load.bound.percentile),
        n=n,
        seed=load.seed,
    )


def _kept(
    load: RouteLoad, server: RouteServer, shape: _Shape, curve: LatencyRate, rate: float, n: int
) -> tuple[Estimate | None, bool]:
    """The highest rate within the promise by the latency–rate curve, None when there is none; were cores busy."""
    level, aside_s = load.bound.percentile, shape.aside_s(curve, load.bound.ms / 1000)
    bound_s = load.bound.ms / 1000 - aside_s
    runs: list[tuple[float, float]] = []
    busy, wanted = False, load.settings.rate_runs
    for k in range(wanted):
        load.tell(STAGE, k, wanted, f"{rate:.0f} requests/s through farthing serve")
        run, _ = load.run(server, rate, n, "rate", k)
        busy = busy or run.contended
        runs.append((rate, run.tail_s(level) - aside_s))
        rate = sustained.next_rate(curve, runs, bound_s)
    fit = curve.fit(runs)
    kept = repeatable(curve.kept(bound_s, fit), between_starts(sustained.kept_by_run(curve, bound_s, fit)[1]))
    load.tell(STAGE, wanted, wanted, f"keeps {kept.value:.0f} requests/s")
    return (kept if kept.value > 0 else None), busy


# — the proof ——————————————————————————————————————————————————————————————————————————————————————————————————————


def prove_rate(
    load: RouteLoad,
    rate_rps: float,
    n: int,
    clients: int,
    stage: str,
    rates: Mapping[float, LatencyRate] | None = None,
    aside_s: Mapping[float, float] | None = None,
    *,
    again: bool = False,
) -> Proof:
    """The Server scenario at one rate on a server of its own, started as users start it.

    Args:
        load: What to measure with.
        rate_rps: > 0.
        n: Requests of one run.
        clients: That never rest, for the capacity; they also warm the server up.
        stage: Of the work, for the seeds.
        rates: Latency by rate of the route at each level, for runs of ``n`` requests; None to take it from this server.
        aside_s: What a request waits for beside the queue at each level, ≥ 0; 0 where a level is missing.
        again: A proof at a higher rate has failed before.
    """
    runs = load.settings.proof_runs
    seen: list[RunSeen] = []
    with load.start(False) as server:
        full_rps = server.closed_loop(clients, CLOSED_S)
        curves = rates or _rates(load, _curve_again(load, server, clients, n), n)

        def make(times: int) -> None:
            while len(seen) < times * runs:
                load.tell("proving", len(seen), times * runs, f"{rate_rps:.0f} requests/s through farthing serve")
                seen.append(load.run(server, rate_rps, n, stage, len(seen), deadlines=True)[0])

        def measured(confidence: float) -> Proof:
            return Proof(
                metrics=server_metrics(seen, curves, aside_s=aside_s, confidence=confidence, start_frac=START_FRAC),
                contended=any(run.contended for run in seen),
                runs=len(seen),
                requests=n,
                clients=clients,
                capacity_rps=full_rps,
            )

        found = look_by_look(load.bound, load.bound.percentile, make, measured, again=again)
        fallen = _fallen(server)
    tail = found.latency(load.bound.percentile)
    words = "unbounded" if tail.value >= NEVER_MS else f"{tail.value:.1f} ms"
    load.tell("proving", len(seen), len(seen), f"{load.bound.name} {words}")
    return replace(found, fallen=fallen)


def _curve_again(load: RouteLoad, server: RouteServer, clients: int, n: int) -> ServiceCurve:
    """The service curve of a route of which only the plan is known, up to its number of clients."""
    closed = {k: server.closed_loop(k, CLOSED_S) for k in CLIENTS if k <= clients}
    easy = server.open_loop(EASY_FRAC * closed[CLIENTS[0]], n, seed_of(load.seed, "route easy again", 0))
    return served_curve(closed, spread(easy.latency_ms))


def _fallen(server: RouteServer) -> str:
    """Why the route fell back to its reference, as the server said."""
    for line in server.said().splitlines():
        if line.startswith(_FELL_BACK):
            return line.removeprefix(_FELL_BACK)
    return ""
