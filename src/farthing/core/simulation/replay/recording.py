"""Recorded metrics, taken apart into what does not depend on how many replicas there were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Loop", "Recorded", "Recording"]

Floats = NDArray[np.float64]
Loop = Literal["open", "closed"]
_ROUNDING_S = 1e-3
"""Of times: they are kept to a thousandth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """One metric over time, as the load of all replicas together.

    Attributes:
        at_s: Seconds since the recording's start, ascending, shape ``(n,)``, n ≥ 1.
        load: Of all replicas together, in the metric's unit, finite, shape ``(n,)``.
        step_s: For which a sample stands, > 0: beyond it there is no number.
        loop: ``open`` where the recorded value is a total that does not depend on replicas; ``closed`` where it is
            what one replica had, so that each simulated replica has its share of the load.
        read_as: How the load was made of what was recorded, in words.
    """

    at_s: Floats
    load: Floats
    step_s: float
    loop: Loop
    read_as: str

    def __post_init__(self) -> None:
        if self.at_s.ndim != 1 or self.at_s.shape != self.load.shape or not self.at_s.size:
            raise ValueError(f"Recorded: times {self.at_s.shape} and loads {self.load.shape} must match, not be empty")
        if not (np.diff(self.at_s) > 0).all() or not np.isfinite(self.load).all() or not self.step_s > 0:
            raise ValueError("Recorded: times must rise, loads be finite, the step be > 0")

    def at(self, now_s: float) -> float | None:
        """The load now; None in a gap."""
        k = int(np.searchsorted(self.at_s, now_s, side="right")) - 1
        return float(self.load[k]) if k >= 0 and now_s - self.at_s[k] < self.step_s - _ROUNDING_S else None

    def gap_s(self, length_s: float) -> float:
        """Seconds of the recording without a number."""
        edges = np.append(self.at_s, length_s)
        beyond = np.diff(edges) - self.step_s
        return float(beyond[beyond > _ROUNDING_S].sum() + max(0.0, self.at_s[0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """All metrics of an autoscaler.

    Attributes:
        start_s: Seconds since 1970.
        length_s: > 0.
        metrics: One for each metric that is followed, in their order.
        replicas: That there were at the start; None where that was not recorded.
    """

    start_s: float
    length_s: float
    metrics: tuple[Recorded, ...]
    replicas: int | None = None

    def __post_init__(self) -> None:
        if not (self.length_s > 0 and self.metrics):
            raise ValueError(f"Recording: it needs a length > 0 and a metric: {self.length_s} s")
