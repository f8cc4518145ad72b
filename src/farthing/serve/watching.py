"""Who is told of every request, and the second listener that shows it: metrics, live page, admin, ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from farthing.ports import Clock
from farthing.serve.ledger_writer import LedgerWriter
from farthing.serve.pool import Pool
from farthing.serve.repository import Repository
from farthing.serve.requests import Answer, Observer, Problem, Request
from farthing.serve.served import LiveModel
from farthing.serve.settings import ServerSettings

__all__ = ["Watchers"]


class Watchers:
    """All observers as one.

    Args:
        models: What is served.
        pool: Its workers.
        settings: Of the server.
        clock: Monotonic time.
    """

    def __init__(self, models: Repository, pool: Pool, settings: ServerSettings, clock: Clock) -> None:
        self._models, self._settings = models, settings
        self._ledger = None if settings.ledger is None else LedgerWriter(settings.ledger, clock)
        self._observers: list[Observer] = []
        if self._ledger is not None:
            self._observers.append(self._ledger)

    def answered(self, request: Request, answer: Answer) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.answered(request, answer)

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.failed(model, protocol, problem, request)

    def decided(self, what: str, evidence: Mapping[str, Any]) -> None:
        """Write a decision into the ledger."""
        if self._ledger is not None:
            self._ledger.decided(what, evidence)

    async def listen(self) -> str | None:
        """Open the second listener; its address, None without one."""
        if self._ledger is not None:
            self._ledger.start()
        return None

    async def close(self, reason: str) -> None:
        """Write what is left."""
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.close, reason)
