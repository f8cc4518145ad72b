"""``farthing serve``: put plans and models behind an end point."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from farthing.load.prices import find_offer, load_offers
from farthing.load.serve.models import served_models
from farthing.load.wishes import read_wishes
from farthing.machine.hardware import usable_cpus
from farthing.runs.serving import check_installed, run_server
from farthing.serve.settings import ServerSettings
from farthing.store.artefacts import check_artefact

__all__ = ["serve"]


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
    check_installed()
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
    run_server(read, settings or ServerSettings(), say)
