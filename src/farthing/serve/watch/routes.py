"""Routes under watch: who looks after each, how they are resumed, where samples of their requests go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farthing.core.route.served import RoutedModel
from farthing.errors import FarthingError
from farthing.serve.requests import Problem
from farthing.serve.routing.audits import RouteAuditor
from farthing.serve.routing.kept import KeptRequests
from farthing.serve.routing.loader import Watched
from farthing.serve.routing.router import Router
from farthing.serve.watch.metrics import Metrics, Samples
from farthing.serve.watch.route_figures import FIGURES, LiveRoute, route_document, saving_document

__all__ = ["Routes"]

_LOG = logging.getLogger("farthing.serve.watch.routes")
_KEEP_EVERY_S = 30


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
            kept = KeptRequests(self._keep, spec.route.classes, spec.name)
        mine: list[Router] = []
        auditor = RouteAuditor(spec.route, lambda reason: mine[0].fall_back(reason), folder=spec.path.parent, kept=kept)

        def started(router: Router) -> None:
            mine.append(router)
            self._live[spec.name] = LiveRoute(spec.name, router, auditor)

        def stopped() -> None:
            found = self._live.get(spec.name)
            if found is not None and found.auditor is auditor:
                del self._live[spec.name]
            self._write(auditor)

        return Watched(observer=auditor, auditor=auditor, started=started, stopped=stopped)

    def known(self) -> tuple[LiveRoute, ...]:
        """All of them."""
        return tuple(self._live.values())

    def tick(self) -> None:
        """Take in what has come back; called once a second. Samples are written now and then, by another thread."""
        self._ticks += 1
        for live in self._live.values():
            live.auditor.take_in()
            if self._ticks % _KEEP_EVERY_S == 0:
                self._write(live.auditor)

    def _write(self, auditor: RouteAuditor) -> None:
        kept = auditor.kept
        content = None if kept is None else kept.content()
        if kept is None or content is None:
            return
        task = asyncio.ensure_future(asyncio.to_thread(_written, kept, content))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def finish(self) -> None:
        """Wait until samples are on disk."""
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


def _written(kept: KeptRequests, content: bytes) -> None:
    try:
        kept.write(content)
    except FarthingError as e:
        _LOG.error("requests for a calibration are not kept: %s", e.message)
