"""A router over tiers whose queues do as they are told, without workers."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_route import OFFSETS, cascade, margin_of, route_of, rung, tier

from farthing.core.route.routes import Route
from farthing.core.route.served import Place, RoutedModel
from farthing.nouns import Candidate, LocalModel, TensorSpec
from farthing.serve.routing.router import Router
from farthing.wire.decisions import Decision
from farthing.wire.requests import Answer, LiveModel, Problem, Request

X = (TensorSpec(name="x", dtype="float32", shape=(None, 4)),)
LOGITS = (TensorSpec(name="logits", dtype="float32", shape=(None, 3)),)


class Desk:
    """A queue that answers as its tier would, at once unless told otherwise.

    Attributes:
        held: Requests that were not answered, while ``hold`` is set.
        seen: All requests.
        refusal: Every request gets this problem.
        damage: Changes the outputs before they go.
        full: What ``refuse`` says.
        tokens: That answers say they used.
    """

    def __init__(self, offset: float) -> None:
        self.offset = offset
        self.waiting = 0
        self.hold = False
        self.held: list[Request] = []
        self.seen: list[Request] = []
        self.refusal: Problem | None = None
        self.full: Problem | None = None
        self.damage: Callable[[NDArray[Any]], Any] = lambda outputs: outputs
        self.service_s = 0.001
        self.tokens: tuple[int, int] | None = None

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        return self.full

    def submit(self, request: Request) -> None:
        self.seen.append(request)
        if self.refusal is not None or self.full is not None:
            request.reply(request, self.refusal or self.full)
        elif self.hold:
            self.held.append(request)
        else:
            self.answer(request)

    def answer(self, request: Request) -> None:
        outputs = self.damage((request.tensors[0][:, :3] + np.float32(self.offset)).astype(np.float32))
        request.reply(
            request,
            Answer(
                outputs=outputs if isinstance(outputs, list) else [outputs],
                queue_s=0.002,
                service_s=self.service_s,
                batch_rows=request.rows,
                tokens=self.tokens,
            ),
        )

    def release(self) -> None:
        held, self.held = self.held, []
        for request in held:
            self.answer(request)


def desk_model(name: str, offset: float) -> LiveModel:
    candidate = Candidate(engine="fake", variant="fp32", precision="fp32", max_batch=8)
    return LiveModel(
        spec=LocalModel(name=name, path=Path("x"), candidate=candidate),
        inputs=X,
        outputs=LOGITS,
        batched=True,
        queue=Desk(offset),
        state="ready",
    )


class Watcher:
    """Observer and auditor that remember.

    Attributes:
        audit: Whether every answer is to be audited.
    """

    def __init__(self) -> None:
        self.audit = False
        self.decisions: list[Decision] = []
        self.audits: list[tuple[Decision, Answer, Answer, float]] = []
        self.missing: list[str] = []

    def routed(self, decision: Decision, request: Request, answer: Answer) -> None:
        self.decisions.append(decision)

    @property
    def audit_frac(self) -> float:
        return float(self.audit)

    def wants_audit(self) -> bool:
        return self.audit

    def audited(self, decision: Decision, answer: Answer, reference: Answer, cost_usd: float) -> None:
        self.audits.append((decision, answer, reference, cost_usd))

    def not_audited(self, decision: Decision, why: str) -> None:
        self.missing.append(why)


class ManualClock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Bench:
    """A router and its tiers.

    Args:
        names: Of the tiers, for a cascade with margins.
        route: Instead of that.
        places: Instead of one place a tier.
        clock: Real time when None.
    """

    def __init__(
        self,
        *names: str,
        route: Route | None = None,
        places: Mapping[str, tuple[Place, ...]] | None = None,
        clock: Any = None,
        **more: Any,
    ) -> None:
        self.route = route or route_of([tier(n) for n in names], [rung(cascade(*names))], margin_of(*names[:-1]))
        places = places or {t.name: (Place(model=t.name),) for t in self.route.tiers}
        self.models = {
            place.model: desk_model(place.model, OFFSETS.get(name, 0.0))
            for name, mine in places.items()
            for place in mine
        }
        self.gone: set[str] = set()
        self.watcher = Watcher()
        self.calls: list[tuple[str, Answer]] = []
        self.changes: list[tuple[str, Mapping[str, Any]]] = []
        spec = RoutedModel(
            name=self.route.name,
            origin=Path("route.yaml"),
            max_batch=8,
            route=self.route,
            places=places,
            predictors=more.pop("predictors", {}),
        )
        self.router = Router(
            spec,
            LOGITS,
            self.find,
            clock or _Monotonic(),
            observer=self.watcher,
            auditor=self.watcher,
            on_call=lambda request, answer: self.calls.append((request.model.spec.name, answer)),
            on_change=lambda what, evidence: self.changes.append((what, evidence)),
            **more,
        )
        self.model = LiveModel(
            spec=spec,
            inputs=X,
            outputs=LOGITS,
            batched=True,
            queue=self.router,
            state="ready",
            platform="farthing_route",
        )

    def find(self, name: str) -> LiveModel:
        if name in self.gone or self.models[name].state != "ready":
            raise Problem(503, f"{name} is not ready")
        return self.models[name]

    def desk(self, name: str) -> Desk:
        queue = self.models[name].queue
        assert isinstance(queue, Desk)
        return queue

    def ask(self, *rows: list[float], **more: Any) -> asyncio.Future[Answer | Problem]:
        """Submit a request; a second reply would raise."""
        future: asyncio.Future[Answer | Problem] = asyncio.get_running_loop().create_future()
        request = Request(
            model=self.model,
            reply=lambda _, outcome: future.set_result(outcome),
            rows=len(rows),
            tensors=[np.float32(rows)],
            arrived_s=self.router.now_s(),
            deadline_s=more.pop("deadline_s", math.inf),
            **more,
        )
        future.request = request  # type: ignore[attr-defined]
        self.router.submit(request)
        return future


class _Monotonic:
    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
