"""A trace as streams of instants, whole or a part of it: as they were where each request is known, else drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.traffic.arrivals.of_traces import placed
from farthing.core.traffic.arrivals.streams import between, spread
from farthing.core.traffic.changed_traces import halves
from farthing.nouns import Trace

__all__ = ["Replayed"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replayed:
    """Arrivals of a stretch of a trace, by seed.

    Attributes:
        trace: Counts of the stretch.
        at_s: Instants of single requests from its start on, ascending, shape ``(n,)``; None where only counts are
            known: then each seed places the requests of a step at random within it.
        resolution_s: Steps in which these instants are known, ≥ 0; each seed spreads them over their step.
    """

    trace: Trace
    at_s: Floats | None = None
    resolution_s: float = 0.0

    @property
    def length_s(self) -> float:
        """Of the stretch, in seconds."""
        return self.trace.counts.size * self.trace.step_s

    @property
    def requests(self) -> float:
        """That come in it."""
        return float(self.trace.counts.sum())

    def blocks(self, seed: int) -> Iterator[Floats]:
        """Blocks of ascending instants in ``[0, length_s)``."""
        if self.at_s is None:
            return placed(self.trace, seed=seed)
        whole = iter((self.at_s,)) if self.at_s.size else iter(())
        if self.resolution_s == 0:
            return whole
        return between(spread(whole, self.resolution_s, seed=seed), 0.0, self.length_s)

    def halves(self) -> tuple[Replayed, Replayed]:
        """Cut it in two in time; of an odd number of steps the second half is one step longer.

        Raises:
            ValueError: when it has one step, or nothing comes in one of the halves.
        """
        first, second = halves(self.trace)
        if self.at_s is None:
            return Replayed(trace=first), Replayed(trace=second)
        middle_s = first.counts.size * first.step_s
        k = int(np.searchsorted(self.at_s, middle_s))
        later = self.at_s[k:] - middle_s
        return (
            Replayed(trace=first, at_s=self.at_s[:k], resolution_s=self.resolution_s),
            Replayed(trace=second, at_s=later, resolution_s=self.resolution_s),
        )
