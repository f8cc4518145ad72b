"""Finds engines, variants, metrics and the like over entry points; built-ins come in by the same door."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from farthing.errors import InputError

__all__ = ["Kind", "find", "names"]

Kind = Literal["arrivals", "engines", "exporters", "metrics", "pipelines", "prices", "variants"]


@cache
def _points(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"farthing.{kind}")}


def names(kind: Kind) -> tuple[str, ...]:
    """Names of all plug-ins of a kind, sorted; none of them is imported."""
    return tuple(sorted(_points(kind)))


def find(kind: Kind, name: str) -> Any:
    """Import one plug-in and make an instance of it.

    Raises:
        InputError: when there is none of that name; the message lists those there are.
    """
    point = _points(kind).get(name)
    if point is None:
        raise InputError(f"no {kind.rstrip('s')} named {name!r}", hint=f"known: {', '.join(names(kind))}")
    return point.load()()
