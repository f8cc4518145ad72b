"""From what a user says to a server that runs: settings, memory, the loop."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farthing.errors import InputError
from farthing.load.serve.scaling import read_scaling
from farthing.load.units import duration_ms, memory_mib
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import this_machine
from farthing.serve.settings import ServerSettings, read_token

__all__ = ["check_installed", "run_server", "settings_of"]


_NEEDED = ("httptools", "orjson")
_DAY_S = 86_400
_MEMORY_SHARE = 0.8
"""Of this machine's memory, for workers, when the user gives no budget."""


def settings_of(
    *,
    memory_budget: str | None = None,
    admin_token_file: Path | None = None,
    notice: str | None = None,
    grace: str | None = None,
    scale: Path | None = None,
    **given: Any,
) -> ServerSettings:
    """Make settings of what a user writes.

    Args:
        memory_budget: ``4GiB``.
        admin_token_file: File that holds the token.
        notice: ``1s``, or ``0``.
        grace: ``30s``.
        scale: A file that says how a model is scaled.
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
    if scale is not None:
        given["scaling"] = read_scaling(scale, day_s=time.time() % _DAY_S)
    return ServerSettings(**given)


def check_installed() -> None:
    """Refuse to serve where what it needs is not installed.

    Raises:
        InputError: naming what is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {' and '.join(missing)}", hint='pip install "farthing[serve]"')


def run_server(read: Callable[[], Any], settings: ServerSettings, say: Callable[[str], object]) -> None:
    """Read what is to be served, then serve it until a signal ends that.

    Args:
        read: Finds and checks the models; asked again for changes.
        settings: Of the server.
        say: Told one line at a time what a person should know.
    """
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
