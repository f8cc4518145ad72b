"""What the server counts about itself, and where the rest of its figures are read when somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from farthing.core.money.attribution import Carry, attribute
from farthing.nouns import Offer
from farthing.ports import Clock
from farthing.serve.telemetry.counts import Counter, ModelCounts, Snapshot
from farthing.serve.telemetry.per_model import PerModel
from farthing.serve.telemetry.rates import Rates, rates_between
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["Gauge", "Metrics", "Samples"]

Samples = Iterable[tuple[Mapping[str, str], float]]
"""Labels and value of each series."""
_SNAPSHOTS = 61
_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A figure that somebody else knows.

    Attributes:
        name: In Prometheus' form, its unit last.
        text: What it says.
        kind: ``gauge``, or ``counter`` for what only grows.
        read: Called when metrics are asked for, on the loop thread.
    """

    name: str
    text: str
    kind: Literal["gauge", "counter"]
    read: Callable[[], Samples]


class Metrics:
    """An :class:`~farthing.wire.requests.Observer` that counts.

    Args:
        clock: Monotonic time, the one that ``request.arrived_s`` is of.

    Attributes:
        started_s: Monotonic time of its start; the replica is paid from then on.
        gauges: Figures of others, see :meth:`watch`.
        refused: Requests that failed before their model was known, by status and protocol.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic_s
        self.started_s = self._settled_s = self._answered_s = clock.monotonic_s()
        self.gauges: list[Gauge] = []
        self.refused: dict[tuple[int, str], int] = {}
        self._models = PerModel(ModelCounts)
        self._counters: dict[LiveModel, Counter] = {}
        self._counter = self._counters.get
        self._history: dict[ModelCounts, deque[Snapshot]] = {}
        self._seconds: dict[ModelCounts, deque[Rates]] = {}
        self._carry = Carry()
        self._busy_settled: dict[ModelCounts, tuple[float, int]] = {}

    # Observer

    def answered(self, request: Request, answer: Answer) -> None:
        """Count one answer."""
        self._answered_s = now_s = self._now_s()
        (self._counter(request.model) or self._first(request.model)).add(request, answer, now_s)

    def _first(self, model: LiveModel) -> Counter:
        """The counter of a model that was not seen before; those of models that are gone are let go of."""
        for counter in tuple(self._counters.values()):
            if counter.model.state == "unloaded":
                counter.fold()
                del self._counters[counter.model]
        counter = self._counters[model] = Counter(model, self._models[model])
        return counter

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """Count one problem."""
        if model is not None:
            self._models[model].refuse(problem, protocol)
            return
        key = (problem.status, protocol)
        self.refused[key] = self.refused.get(key, 0) + 1

    # figures

    def watch(
        self, name: str, text: str, read: Callable[[], Samples], kind: Literal["gauge", "counter"] = "gauge"
    ) -> None:
        """Show a figure of somebody else's: open connections, workers' restarts, rows that the ledger dropped.

        Args:
            name: In Prometheus' form, for example ``farthing_open_connections``.
            text: One line.
            read: Labels and value of each series, called when metrics are asked for; never a user key in a label.
            kind: ``counter`` when it only grows.
        """
        self.gauges.append(Gauge(name=name, text=text, kind=kind, read=read))

    def counts(self) -> tuple[ModelCounts, ...]:
        """All models seen, costs settled up to the last answer."""
        self._settle()
        return tuple(self._models)

    def of(self, model: LiveModel) -> ModelCounts:
        """One model's counts."""
        return self._models[model]

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return self._now_s() - self.started_s

    def offers(self) -> dict[str, Offer]:
        """Offers with a price by the hour that models here are priced as, by key."""
        return {c.price.key: c.price.offer for c in self._models if c.price.key is not None and c.price.offer}

    def _settle(self) -> None:
        """Attribute the replica's time between the last answers of two calls to the models that answered in it."""
        for counter in self._counters.values():
            counter.fold()
        models = list(self._models)
        before = [self._busy_settled.get(c, (0.0, 0)) for c in models]
        answered = np.array([c.requests > n for c, (_, n) in zip(models, before, strict=True)], dtype=bool)
        if not answered.any():
            return
        cost = attribute(
            self._answered_s - self._settled_s,
            np.array([c.price.usd_per_hour for c in models]),
            np.array([c.busy_core_s - busy for c, (busy, _) in zip(models, before, strict=True)]),
            np.array([c.price.replica_cores for c in models]),
            answered,
            self._carry,
        )
        self._carry, self._settled_s = cost.carry, self._answered_s
        for i, counts in enumerate(models):
            self._busy_settled[counts] = (counts.busy_core_s, counts.requests)
            if cost.known[i]:
                counts.cost_nusd += int(cost.allocation_nusd[i])
                counts.usage_nusd += int(cost.usage_nusd[i])

    def tick(self) -> None:
        """Keep the sums of this second, for rates and quantiles of the last two minutes; called once a second."""
        now_s = self._now_s()
        self._settle()
        for counts in self._models:
            history = self._history.setdefault(counts, deque(maxlen=_SNAPSHOTS))
            history.append(counts.snapshot(now_s))
            if len(history) > 1:
                seconds = self._seconds.setdefault(counts, deque(maxlen=_SECONDS))
                seconds.append(rates_between(history[-2], history[-1]))

    def history(self, model: LiveModel) -> tuple[Snapshot, ...]:
        """Snapshots of a model over the last minute, oldest first, one a second; empty before the first tick."""
        return tuple(self._history.get(self._models[model], ()))

    def seconds(self, model: LiveModel) -> tuple[Rates, ...]:
        """Rates of each of the last 120 seconds, oldest first."""
        return tuple(self._seconds.get(self._models[model], ()))
