"""``farthing serve``: put plans and models behind an end point."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from farthing.errors import InputError
from farthing.load.prices import find_offer, load_offers
from farthing.load.serve.models import served_models
from farthing.load.units import duration_ms, memory_mib
from farthing.load.wishes import read_wishes
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import this_machine, usable_cpus
from farthing.serve.settings import ServerSettings, read_token
from farthing.store.artefacts import check_artefact

__all__ = ["serve", "settings_of"]

_NEEDED = ("httptools", "orjson")
_MEMORY_SHARE = 0.8
"""Of this machine's memory, for workers, when the user gives no budget."""


def serve(
    sources: Sequence[Path | str],
    *,
    settings: ServerSettings | None = None,
    wishes: Mapping[str, Any] | None = None,
    trust: bool = False,
    inline: Literal["auto", "never", "always"] = "auto",
    priced_as: str | None = None,
    keys: Sequence[str] = (),
    say: Callable[[str], object] = print,
) -> None:
    """Serve until SIGTERM or SIGINT; accepted requests are answered before it returns.

    Args:
        sources: As :func:`farthing.load.serve.models.served_models` takes them.
        settings: Addresses, limits, ledger.
        wishes: ``name max_batch max_delay deadline`` …, as in a ``serve.yaml``; they win over plans and files.
        trust: Allows native artefacts that were not built on this machine, and routes to send what they name.
        inline: Whether models may run in the server's own thread.
        priced_as: The offer that this machine is billed as, None to take the plan's.
        keys: Environment variables that routes may send to their end points as keys.
        say: Told one line at a time what a person should know.

    Raises:
        InputError: before anything is loaded, for everything that is wrong with sources and settings.
        FarthingError: when a model cannot be loaded.
    """
    _check_installed()
    offer = None if priced_as is None else find_offer(load_offers(), priced_as, as_of=date.today())  # noqa: DTZ011
    read = functools.partial(
        served_models,
        tuple(sources),
        cores=len(usable_cpus()),
        check=check_artefact,
        wishes=read_wishes(wishes or {}),
        trust=trust,
        inline=inline,
        priced_as=offer,
        keys=frozenset(keys),
    )
    _run(read, settings or ServerSettings(), say)


def settings_of(
    *,
    memory_budget: str | None = None,
    admin_token_file: Path | None = None,
    notice: str | None = None,
    grace: str | None = None,
    **given: Any,
) -> ServerSettings:
    """Make settings of what a user writes.

    Args:
        memory_budget: ``4GiB``.
        admin_token_file: File that holds the token.
        notice: ``1s``, or ``0``.
        grace: ``30s``.
        given: Further fields of :class:`~farthing.serve.settings.ServerSettings` as they are.

    Raises:
        InputError: when something cannot be read.
    """
    if memory_budget is not None:
        given["memory_budget_mib"] = memory_mib(memory_budget, "--memory-budget")
    if admin_token_file is not None:
        given["admin_token"] = read_token(admin_token_file)
    if notice is not None:
        given["notice_s"] = 0.0 if notice in ("0", "0s") else duration_ms(notice, "--notice") / 1000
    if grace is not None:
        given["grace_s"] = duration_ms(grace, "--grace") / 1000
    return ServerSettings(**given)


def _check_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {' and '.join(missing)}", hint='pip install "farthing[serve]"')


def _run(read: Callable[[], Any], settings: ServerSettings, say: Callable[[str], object]) -> None:
    from farthing.serve.server import Server

    specs = read()
    budget_mib = settings.memory_budget_mib or (this_machine().memory_gib or 1.0) * 1024 * _MEMORY_SHARE

    async def run() -> None:
        await Server(specs, settings, MonotonicClock(), memory_budget_mib=budget_mib, read=read, say=say).run()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where it is installed, asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
