"""Who is told of every request (metrics, ledger, traces), and the second listener that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from farthing.errors import InputError
from farthing.ports import Clock
from farthing.serve.admin.control import Control
from farthing.serve.repository import Repository
from farthing.serve.scaling.scaling import Scaling
from farthing.serve.settings import ServerSettings
from farthing.serve.telemetry.followed_routes import Routes
from farthing.serve.telemetry.ledger_writer import LedgerState, LedgerWriter
from farthing.serve.telemetry.metrics import Metrics
from farthing.serve.telemetry.tracing import open_tracing
from farthing.wire.requests import Answer, LiveModel, Observer, Problem, Request
from farthing.workers.pool import Pool

__all__ = ["Watchers"]

CONTROL_HOST = "127.0.0.1"


class Watchers:
    """Metrics, ledger and traces as one observer, and the listener that shows them.

    Args:
        models: What is served.
        pool: Its workers.
        settings: Of the server.
        clock: Monotonic time.
        deployment: What is served, for the ledger's rows.
        scaling: Of one of the models, None for none.
    """

    def __init__(
        self,
        models: Repository,
        pool: Pool,
        settings: ServerSettings,
        clock: Clock,
        *,
        deployment: str,
        scaling: Scaling | None = None,
    ) -> None:
        self._port = settings.metrics_port
        self.metrics = Metrics(clock)
        deployment += "" if scaling is None else scaling.deployment_mark
        self._ledger = None if settings.ledger is None else LedgerWriter(settings.ledger, clock, deployment=deployment)
        self._tracing = None if settings.traces is None else open_tracing(clock, settings.traces)
        self.routes = Routes(self.metrics, settings.keep_audited)
        of_scaling = None if scaling is None else scaling.loop
        asked: tuple[Observer | None, ...] = (self.metrics, self._ledger, self._tracing, of_scaling)
        self._observers = tuple(observer for observer in asked if observer is not None)
        self._control = Control(
            models,
            self.metrics,
            admin=models,
            token=settings.admin_token,
            workers=pool.pids,
            in_loop=pool.in_loop,
            ledger=self._ledger_state,
            decided=self.decided,
            routes=self.routes,
            scaling=None if scaling is None else scaling.figures,
            wanted=None if scaling is None else scaling.loop.wanted_of,
        )
        if scaling is not None:
            scaling.figures.show(self.metrics)
        self.metrics.watch(
            "farthing_model_memory_bytes",
            "Memory of a model's workers.",
            lambda: [(_labels(m), pool.memory_mib(m) * 2**20) for m in models.known()],
        )
        self.metrics.watch(
            "farthing_model_workers",
            "Worker processes that are ready.",
            lambda: [(_labels(m), len(pool.pids(m))) for m in models.known()],
        )
        self.metrics.watch(
            "farthing_worker_restarts_total",
            "Workers that died, by a model's version since it was loaded.",
            lambda: [(_labels(m), pool.died(m)) for m in models.known()],
            "counter",
        )

    @property
    def observer(self) -> Observer:
        """For the doors: the only one there is, else all of them."""
        return self._observers[0] if len(self._observers) == 1 else self

    def answered(self, request: Request, answer: Answer) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.answered(request, answer)

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.failed(model, protocol, problem, request)

    def called(self, request: Request, answer: Answer) -> None:
        """A tier of a route has answered a call: counted where its model's figures are, no row of its own."""
        self.metrics.answered(request, answer)

    def audited(self, request: Request, answer: Answer) -> None:
        """A route's reference has answered an audit: a row of its own, since it is paid for."""
        if self._ledger is not None:
            self._ledger.answered(request, answer)

    def decided(self, what: str, evidence: Mapping[str, Any]) -> None:
        """Write a decision into the ledger."""
        if self._ledger is not None:
            self._ledger.decided(what, evidence)

    def watch_connections(self, read: Callable[[], int]) -> None:
        """Show how many HTTP connections are open."""
        self.metrics.watch("farthing_open_connections", "Open HTTP connections.", lambda: [({}, read())])

    async def start(self) -> str | None:
        """Begin to write the ledger and open the second listener; its URL, None without one.

        Raises:
            InputError: when its port is taken.
        """
        if self._ledger is not None:
            self._ledger.start()
        if self._port is None:
            return None
        try:
            port = await self._control.start(CONTROL_HOST, self._port)
        except OSError as e:
            raise InputError(
                f"cannot listen for metrics on {CONTROL_HOST}:{self._port}: {e.strerror or e}",
                hint="--metrics-port names another port, 0 a free one, none switches it off",
            ) from e
        return f"http://{CONTROL_HOST}:{port}"

    async def close(self, reason: str) -> None:
        """Close the listener and write what is left."""
        await self._control.close()
        await self.routes.finish()
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.close, reason)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _ledger_state(self) -> LedgerState | None:
        return None if self._ledger is None else self._ledger.state


def _labels(model: LiveModel) -> dict[str, str]:
    return {"model": model.spec.name, "version": model.spec.version}
