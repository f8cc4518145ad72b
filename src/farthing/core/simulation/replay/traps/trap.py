"""A trap, and what it is looked for in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.replay.accounts import Steadiness
from farthing.core.simulation.replay.autoscaler import Autoscaler, Followed
from farthing.core.simulation.replay.passes import Replayed
from farthing.core.simulation.replay.recording import Recorded, Recording

__all__ = ["Look", "Seen", "Trap", "share_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """One that applies.

    Attributes:
        name: Of its kind, ``tolerance-band``.
        said: What happens, with the value, in a sentence without a full stop.
        instead: What to write instead.
        weight: Share of the time, or of the replicas, that it decided, in [0, 1]; 0 where it could not be seen in the
            replay.
        where: Path of the metric that has it, of all that have it alike; empty where it is the whole autoscaler's.
    """

    name: str
    said: str
    instead: str
    weight: float = 0.0
    where: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"Trap: weight must lie in [0, 1]: {self}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """In what traps are looked for.

    Attributes:
        autoscaler: From its manifest.
        recording: What it followed.
        replayed: What it did.
        steadiness: How that moved.
        window_s: Longest range of each metric's query, in seconds; None without one.
        outer: Outermost aggregation of each metric's query; None without one.
    """

    autoscaler: Autoscaler
    recording: Recording
    replayed: Replayed
    steadiness: Steadiness
    window_s: tuple[float | None, ...]
    outer: tuple[str | None, ...]

    def metrics(self) -> Iterator[tuple[int, Followed, Recorded]]:
        """Each metric with its place and its recording."""
        return zip(range(len(self.autoscaler.followed)), self.autoscaler.followed, self.recording.metrics)


Look = Callable[[Seen], Iterator[Trap]]
"""Yields the traps of its kind that apply."""


def share_of(holds: NDArray[np.bool_]) -> float:
    """Share of passes for which something holds."""
    return float(np.mean(holds)) if holds.size else 0.0
