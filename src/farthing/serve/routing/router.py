"""The queue in front of a route's one model: follows the rung of the moment, and the reference when told to be safe."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from farthing.core.route.following import ladder_of, safe_policy
from farthing.core.route.served import RoutedModel
from farthing.nouns import TensorSpec
from farthing.ports import Clock
from farthing.serve.pricing import pricing
from farthing.serve.routing.auditing import Audits
from farthing.serve.routing.cascades import NAN, Audit, RoutedRequest
from farthing.serve.routing.load_steering import LoadSteering, NoScaler, Scaler
from farthing.serve.routing.many_rows import ManyRows
from farthing.serve.routing.observers import Auditor, Nobody, RouteObserver
from farthing.serve.routing.one_row import OneRow
from farthing.serve.routing.tiers import LiveTier
from farthing.wire.decisions import Reason
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["Counted", "Router"]

STEER_S = 1.0
"""How often the rung is chosen anew."""
SWEEPS_PER_TIMEOUT = 4
SOONEST_SWEEP_S, LATEST_SWEEP_S = 0.01, 0.1
"""Tiers' time-outs are looked at so often; some 10 µs each time."""
QUIET_POLL_S = 0.005

Counted = Callable[[Request, Answer], object]
"""Told of a model's answer to one call, or to an audit."""


def _nothing(request: Request, answer: Answer) -> None:
    """Nobody counts."""


class Router:
    """Implements :class:`farthing.wire.requests.Queue` for a route.

    Args:
        spec: The route with its places and trained scores.
        outputs: Of the route's model.
        find: The model that answers by a name now; raises a Problem when there is none that is ready.
        clock: Monotonic time.
        observer: Told of every row that was answered.
        auditor: Decides which answers the reference is asked about too.
        scaler: Told how many replicas the load wants.
        on_call: Told of every answer of a tier's model, for the metrics of that model.
        on_audit: Told of every answer to an audit as a request of its own, for the ledger.
        on_change: Told in a word or two, with evidence, when the rung changes, or the route falls back or resumes.

    Attributes:
        fallen: Why only the reference answers, None while the route is followed.
        answered: Rows that were answered, by tier.
        failed: Requests that no tier answered, by status.
        escalated: Rows that a tier did not answer and passed on, by tier and reason.

    Raises:
        ValueError: when the route's ladder does not fit its tiers and scores.
    """

    def __init__(
        self,
        spec: RoutedModel,
        outputs: Sequence[TensorSpec],
        find: Callable[[str], LiveModel],
        clock: Clock,
        *,
        observer: RouteObserver | None = None,
        auditor: Auditor | None = None,
        scaler: Scaler | None = None,
        on_call: Counted = _nothing,
        on_audit: Counted = _nothing,
        on_change: Callable[[str, Mapping[str, Any]], object] = lambda what, evidence: None,
    ) -> None:
        route = spec.route
        self.spec, self.route, self.reference = spec, route, route.reference
        self.dtypes = tuple(np.dtype(_WORDS.get(o.dtype, o.dtype)) for o in outputs)
        self.now_s = clock.monotonic_s
        unit_usd = _unit_usd(spec)
        self.tiers = {
            tier.name: LiveTier(tier, spec.places[tier.name], find, outputs, clock, on_call, unit_usd)
            for tier in route.tiers
        }
        self.fallen: str | None = None
        self.answered: Counter[str] = Counter()
        self.failed: Counter[int] = Counter()
        self.escalated: Counter[tuple[str, Reason]] = Counter()
        self._ladder, self._safe = ladder_of(route, spec.predictors, unit_usd), safe_policy(route)
        self._steering = LoadSteering(route, scaler or NoScaler(), self.now_s(), unit_usd)
        self._policy = self._safe if route.chosen is None else self._ladder[route.chosen]
        self._observer: RouteObserver = observer or Nobody()
        self._auditor: Auditor = auditor or Nobody()
        self._audits = Audits(self.tiers[route.reference], self._auditor, self.now_s, on_audit)
        self._on_change = on_change
        self._routed: set[RoutedRequest] = set()
        self._random = random.Random()  # noqa: S311 - a fair coin, no secret
        self._loop = asyncio.get_running_loop()
        shortest_s = min(tier.timeout_s for tier in route.tiers)
        self._sweep_s = min(LATEST_SWEEP_S, max(SOONEST_SWEEP_S, shortest_s / SWEEPS_PER_TIMEOUT))
        self._timers = {"steer": self._loop.call_later(STEER_S, self._steer)}
        self._sweep()

    # — Queue ——————————————————————————————————————————————————————————————————————————————————————

    @property
    def waiting(self) -> int:
        """Requests on their way."""
        return len(self._routed)

    @waiting.setter
    def waiting(self, _: int) -> None:
        raise AttributeError("requests wait at their tiers")

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        """A problem when no tier of the present policy would take it."""
        problem: Problem | None = None
        policy = self._policy
        rest = () if policy.otherwise is None else policy.otherwise.tiers
        for name in (*policy.tiers, *rest):
            refused = self.tiers[name].refuse(rows, deadline_s)
            if refused is None:
                return None
            problem = problem or refused
        return problem

    def submit(self, request: Request) -> None:
        """Take a request; its ``reply`` is called exactly once."""
        self._steering.window.rows += request.rows
        policy = self._policy
        if policy.otherwise is not None:
            policy = policy.tossed(request.id or self._drawn_id())
        steered = policy.rung != self.route.chosen
        routed = (OneRow if request.rows == 1 else ManyRows)(self, request, policy, steered)
        self._routed.add(routed)
        try:
            routed.begin()
        except Exception as e:  # noqa: BLE001 - a request must not be left without an answer
            self._loop.call_exception_handler({"message": "a route could not be followed", "exception": e})
            routed.fail(Problem(500, f"the route {self.spec.name} could not be followed"))

    def _drawn_id(self) -> str:
        """Of a request that has no id of its own: a coin must fall anew for each."""
        return f"{self._random.getrandbits(64):016x}"

    # — as a CascadeRouter ————————————————————————————————————————————————————————————————————————————————————————

    def priced(self, tier: str) -> tuple[float, float, bool]:
        """See :meth:`~farthing.serve.routing.cascades.CascadeRouter.priced`; never of the reference itself."""
        auditor = self._auditor
        audit_frac = auditor.audit_frac
        audit = audit_frac > 0 and tier != self.reference and auditor.wants_audit()
        return self._steering.marginal_usd.get(tier, NAN), audit_frac, audit

    def passed_on(self, tier: str, reason: Reason, rows: int) -> None:
        """Rows go on since a tier did not answer them."""
        self.escalated[tier, reason] += rows

    def landed(self, routed: RoutedRequest, outcome: Answer | Problem, audits: Sequence[Audit]) -> None:
        """A request has come to its end."""
        self._routed.discard(routed)
        request = routed.request
        if isinstance(outcome, Problem):
            self.failed[outcome.status] += 1
            request.reply(request, outcome)
            return
        request.reply(request, outcome)
        assert outcome.route is not None
        for decision in outcome.route.decisions:
            self.answered[decision.tier] += 1
            self._observer.routed(decision, request, outcome)
        for audit in audits:
            self._audits.begin(audit, request, outcome)

    # — what is followed ———————————————————————————————————————————————————————————————————————————

    @property
    def rung(self) -> int | None:
        """Index of the rung that is followed now, None for the reference alone."""
        return self._policy.rung

    @property
    def rate_rps(self) -> float:
        """Rows per second over the last seconds."""
        return self._steering.rate_rps

    @property
    def score_usd(self) -> dict[str, float]:
        """What computing each score of the ladder costs, NaN when unknown."""
        return {gate.name: gate.cost_usd for policy in self._ladder for gate in policy.gates}

    def fall_back(self, reason: str) -> None:
        """Only the reference answers from now on, until :meth:`resume`; what is on its way goes on as it began."""
        if self.fallen is None:
            self.fallen = reason
            self._policy = self._safe
            self._on_change("route_fell_back", {"route": self.spec.name, "reason": reason})

    def resume(self) -> None:
        """Follow the route again."""
        if self.fallen is not None:
            self.fallen = None
            rung = self._steering.rung
            self._policy = self._safe if rung is None else self._ladder[rung]
            self._on_change("route_resumed", {"route": self.spec.name, "rung": rung})

    def _steer(self) -> None:
        self._timers["steer"] = self._loop.call_later(STEER_S, self._steer)
        available = {name: tier.available() for name, tier in self.tiers.items()}
        before = self._steering.rung
        rung = self._steering.tick(self.now_s(), available)
        if rung is None or rung == before:
            return
        if self.fallen is None:
            self._policy = self._ladder[rung]
        evidence = {"route": self.spec.name, "from": before, "to": rung, "rate_rps": round(self.rate_rps, 3)}
        self._on_change("route_steered", evidence)

    def _sweep(self) -> None:
        self._timers["sweep"] = self._loop.call_later(self._sweep_s, self._sweep)
        now_s = self.now_s()
        for tier in self.tiers.values():
            tier.sweep(now_s)

    # — its end ————————————————————————————————————————————————————————————————————————————————————

    async def quiet(self) -> None:
        """Wait until nothing is on its way."""
        while self._routed or self._audits.open:
            await asyncio.sleep(QUIET_POLL_S)

    def close(self, message: str) -> None:
        """End it; what is on its way is answered with a 503."""
        for timer in self._timers.values():
            timer.cancel()
        for routed in tuple(self._routed):
            routed.fail(Problem(503, message))


_WORDS = {"bytes": "object", "bfloat16": "uint16"}
"""How the protocol's two types without a NumPy name are kept."""


def _unit_usd(spec: RoutedModel) -> float:
    """What one unit of the route's currency costs: a CPU-second is worth what this machine's price makes of it."""
    if spec.route.currency == "usd":
        return 1.0
    price = pricing(spec)
    return price.usd_per_hour / 3600 / price.replica_cores
