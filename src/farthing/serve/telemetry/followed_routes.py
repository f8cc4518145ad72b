"""Routes under watch: who looks after each, how they are resumed, where samples of their requests go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farthing.core.route.served import RoutedModel
from farthing.errors import FarthingError
from farthing.serve.routing.audit_samples import AuditSamples
from farthing.serve.routing.audits import RouteAuditor
from farthing.serve.routing.loader import Watched
from farthing.serve.routing.router import Router
from farthing.serve.telemetry.kept_evidence import open_evidence
from farthing.serve.telemetry.metrics import Metrics, Samples
from farthing.serve.telemetry.route_figures import FIGURES, LiveRoute, route_document, saving_document
from farthing.wire.requests import Problem

__all__ = ["Routes"]

_LOG = logging.getLogger("farthing.serve.telemetry.followed_routes")
_KEEP_EVERY_S = 30
_KEEP_EVIDENCE_EVERY_S = 5


class Routes:
    """All routes that are served, by the name of their model.

    Args:
        metrics: Shows their figures.
        keep: Folder for samples of requests, None to keep none.
    """

    def __init__(self, metrics: Metrics, keep: Path | None = None) -> None:
        self._metrics, self._keep = metrics, keep
        self._live: dict[str, LiveRoute] = {}
        self._ticks = 0
        self._writing: set[asyncio.Task[None]] = set()
        for name, text, kind, read in FIGURES:
            metrics.watch(name, text, _reader(self, read), kind)

    def watch(self, spec: RoutedModel) -> Watched:
        """Make what looks after a route (``serve/routing/loader.py``).

        Raises:
            StoreError: when the folder for samples cannot be made.
        """
        kept = None
        if self._keep is not None:
            kept = AuditSamples(self._keep, spec.route.classes, spec.name)
        mine: list[LiveRoute] = []

        def fall_back(reason: str) -> None:
            mine[0].router.fall_back(reason)
            self._keep_evidence(mine[0])

        auditor = RouteAuditor(spec.route, fall_back, folder=spec.origin.parent, kept=kept)

        def started(router: Router) -> None:
            mine.append(self._begun(spec, router, auditor))

        def stopped() -> None:
            live = mine[0]
            self._keep_evidence(live)
            if live.evidence is not None:
                self._in_thread(live.evidence.close)
            if self._live.get(spec.name) is live:
                del self._live[spec.name]
            self._write(auditor)

        return Watched(observer=auditor, auditor=auditor, started=started, stopped=stopped)

    def _begun(self, spec: RoutedModel, router: Router, auditor: RouteAuditor) -> LiveRoute:
        """A route goes on where it, or the server before, had left off."""
        before = self._live.get(spec.name)
        evidence = open_evidence(spec, None if before is None else before.evidence) if auditor.watching else None
        live = self._live[spec.name] = LiveRoute(spec.name, router, auditor, evidence)
        fallen: str | None = None
        if before is not None and before.evidence is not None and before.evidence is evidence:
            before.auditor.take_in()
            auditor.adopt(before.auditor.state)
            fallen, before.evidence = before.router.fallen, None
        elif evidence is not None:
            state, fallen = evidence.read(auditor.watch)
            if state is not None:
                auditor.adopt(state)
        if fallen is not None:
            router.fall_back(fallen)
        return live

    def _keep_evidence(self, live: LiveRoute) -> None:
        if live.evidence is None:
            return
        write = live.evidence.due(live.auditor.state, live.router.fallen)
        if write is not None:
            self._in_thread(write)

    def _in_thread(self, write: Callable[[], object]) -> None:
        task = asyncio.ensure_future(asyncio.to_thread(_written, write))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def known(self) -> tuple[LiveRoute, ...]:
        """All of them."""
        return tuple(self._live.values())

    def tick(self) -> None:
        """Take in what has come back; called once a second. Samples are written now and then, by another thread."""
        self._ticks += 1
        for live in self._live.values():
            live.auditor.take_in()
            if self._ticks % _KEEP_EVIDENCE_EVERY_S == 0:
                self._keep_evidence(live)
            if self._ticks % _KEEP_EVERY_S == 0:
                self._write(live.auditor)

    def _write(self, auditor: RouteAuditor) -> None:
        kept = auditor.kept
        content = None if kept is None else kept.content()
        if kept is not None and content is not None:
            self._in_thread(lambda: kept.write(content))

    async def finish(self) -> None:
        """Wait until samples and evidence are on disk."""
        await asyncio.gather(*self._writing)

    # — admin ——————————————————————————————————————————————————————————————————————————————————————

    def resume(self, name: str) -> dict[str, Any]:
        """Follow a route again; its watch begins anew.

        Raises:
            Problem: 404 when there is no such route, 409 when it has not fallen back.
        """
        live = self._find(name)
        if live.router.fallen is None:
            raise Problem(409, f"the route {name} has not fallen back")
        live.auditor.renew()
        live.router.resume()
        self._keep_evidence(live)
        return {"route": name, "rung": live.router.rung}

    def fall_back(self, name: str, reason: str) -> dict[str, Any]:
        """Let only the reference answer.

        Raises:
            Problem: as :meth:`resume`.
        """
        live = self._find(name)
        if live.router.fallen is not None:
            raise Problem(409, f"the route {name} has fallen back already: {live.router.fallen}")
        live.router.fall_back(reason)
        self._keep_evidence(live)
        return {"route": name, "reason": reason}

    def _find(self, name: str) -> LiveRoute:
        if name not in self._live:
            raise Problem(404, f"there is no route {name[:80]}; there are {', '.join(self._live) or 'none'}")
        return self._live[name]

    # — documents ——————————————————————————————————————————————————————————————————————————————————

    def live_documents(self) -> list[dict[str, Any]]:
        """What the live page shows."""
        return [route_document(self._metrics, live) for live in self._live.values()]

    def cost_documents(self) -> list[dict[str, Any]]:
        """What each route has saved; null where a price is unknown."""
        return [{"route": live.name, "saving": saving_document(self._metrics, live)} for live in self._live.values()]


def _reader(routes: Routes, read: Callable[[LiveRoute], Samples]) -> Callable[[], Samples]:
    """Samples of all routes from those of one, each labelled with the route."""

    def samples() -> Samples:
        return [({"route": live.name, **labels}, value) for live in routes.known() for labels, value in read(live)]

    return samples


def _written(write: Callable[[], object]) -> None:
    try:
        write()
    except FarthingError as e:
        _LOG.error("what is kept of a route is not written: %s", e.message)
