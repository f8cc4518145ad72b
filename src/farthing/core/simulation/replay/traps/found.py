"""All traps that apply, those that decided most first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from farthing.core.simulation.replay.traps import of_bounds, of_keda, of_metrics
from farthing.core.simulation.replay.traps.trap import Seen, Trap

__all__ = ["traps_of"]

_LOOKS = (*of_metrics.LOOKS, *of_keda.LOOKS, *of_bounds.LOOKS)
_FOLLOWS_FROM = {
    "value-on-total": ("maximum-reached", "tolerance-band"),
    "no-requests": ("no-number", "minimum-decides"),
}
"""What is no trap of its own where another one is its cause."""


def traps_of(seen: Seen) -> tuple[Trap, ...]:
    """Look for every trap.

    Args:
        seen: An autoscaler, what it followed and what it did.

    Returns:
        By their weight, the largest first; those that are only consequences of another are left out.
    """
    found = _joined(trap for look in _LOOKS for trap in look(seen))
    explained = {name for trap in found for name in _FOLLOWS_FROM.get(trap.name, ())}
    return tuple(sorted((trap for trap in found if trap.name not in explained), key=lambda trap: -trap.weight))


def _joined(traps: Iterable[Trap]) -> list[Trap]:
    """One for all metrics that have it alike."""
    alike: dict[tuple[str, str, str], Trap] = {}
    for trap in traps:
        key = (trap.name, trap.said, trap.instead)
        before = alike.get(key)
        if before is not None:
            places = f"{before.where}, {trap.where}"
            trap = replace(before, where=places, weight=max(before.weight, trap.weight))
        alike[key] = trap
    return list(alike.values())
