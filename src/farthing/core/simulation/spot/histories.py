"""How many spot machines could be had in a zone, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.setup import Disruption

__all__ = ["DRAIN_S", "Reclaiming", "ZoneHistory", "reclaimed"]

DRAIN_S = 10.0
"""Of a notice, in which a replica ends what it has."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneHistory:
    """One zone.

    Attributes:
        zone: Its name.
        step_s: Length of a step, finite and > 0.
        available: Machines that could be had in each step, shape ``(n,)``, whole and ≥ 0, n ≥ 1; it repeats.
    """

    zone: str
    step_s: float
    available: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step_s) and self.step_s > 0):
            raise ValueError(f"ZoneHistory {self.zone}: step_s must be finite and > 0, is {self.step_s}")
        if self.available.ndim != 1 or self.available.size == 0 or (self.available < 0).any():
            raise ValueError(f"ZoneHistory {self.zone}: at least one step, none below 0")

    def at(self, now_s: float) -> int:
        """Machines that can be had now."""
        return int(self.available[int(now_s // self.step_s) % self.available.size])

    def least(self, start_s: float, end_s: float) -> int:
        """Fewest that can be had from one time to another."""
        steps = np.arange(int(start_s // self.step_s), int(end_s // self.step_s) + 1) % self.available.size
        return int(self.available[steps].min())

    def falls(self, until_s: float) -> Iterator[tuple[float, int]]:
        """When machines are taken back, and how many, up to a time."""
        steps = int(until_s // self.step_s)
        shown = self.available[np.arange(steps + 1) % self.available.size]
        for k in np.flatnonzero(np.diff(shown) < 0):
            yield (float(k) + 1) * self.step_s, int(shown[k] - shown[k + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaiming:
    """How a provider takes a spot machine back.

    Attributes:
        notice_s: From the notice, given when a zone's history falls, to the end, ≥ 0; AWS 120, Azure and Google 30.
        drain_s: Of the notice, the last part, in which the replica takes no more requests, ≥ 0.
    """

    notice_s: float = 120.0
    drain_s: float = DRAIN_S

    def __post_init__(self) -> None:
        if not 0 <= self.drain_s <= self.notice_s < math.inf:
            raise ValueError(f"Reclaiming: 0 ≤ drain_s ≤ notice_s wanted: {self}")


def reclaimed(histories: Sequence[ZoneHistory], until_s: float, how: Reclaiming) -> tuple[Disruption, ...]:
    """What befalls replicas whose pools are called as the zones.

    A replica under notice serves on, and takes its last requests ``drain_s`` before its end.

    Args:
        histories: Of the zones.
        until_s: End of the simulation, > 0.
        how: Notice and drain.
    """
    return tuple(
        Disruption(at_s=at_s + how.notice_s - how.drain_s, pool=history.zone, count=count, notice_s=how.drain_s)
        for history in histories
        for at_s, count in history.falls(until_s)
    )
