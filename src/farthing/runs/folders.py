"""Verbs that have their output folder to themselves while they run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from farthing.store.folder_lock import only_run_in

__all__ = ["alone_in"]

P = ParamSpec("P")
R = TypeVar("R")


def alone_in(folder_of: Callable[[Mapping[str, Any]], Path]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse a second run in the folder that a verb writes to; ``folder_of`` finds it among the arguments."""

    def decorate(verb: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(verb)

        @functools.wraps(verb)
        def alone(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            with only_run_in(folder_of(given.arguments)):
                return verb(*args, **kwargs)

        return alone

    return decorate
