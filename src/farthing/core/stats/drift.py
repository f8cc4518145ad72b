"""How much a speed differed between stages of one piece of work: what interleaved blocks of one stage do not show.

Blocks that stand next to each other agree better than blocks of the same thing ten minutes apart: memory and caches are
shared with others, processes are placed anew. An interval from one stage's blocks alone would not hold what the next
run of the same command sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log, sqrt

import numpy as np
from scipy.special import stdtrit

__all__ = ["FEWEST_STAGES", "Drift"]

_NORMAL = 1.96
FEWEST_STAGES = 3
"""Of fewer stages nothing is said."""


@dataclass(slots=True, kw_only=True)
class Drift:
    """Speeds by stage.

    Attributes:
        logs: Logarithms of the speeds of each stage's blocks, by the stage's name.
    """

    logs: dict[str, list[float]] = field(default_factory=dict)

    def take_in(self, stage: str, speed: float) -> None:
        """Add one block.

        Args:
            stage: Of the work.
            speed: > 0, the machine's own taken out as far as it is known.
        """
        self.logs.setdefault(stage, []).append(log(speed))

    def between_stages(self) -> float:
        """Standard deviation of the logarithm of a speed between stages, ≥ 0; 0 of fewer than three stages."""
        if len(self.logs) < FEWEST_STAGES:
            return 0.0
        return float(np.std(self._medians(), ddof=1))

    def error(self) -> float:
        """Error of the logarithm of the mean speed over all stages, ≥ 0; 0 of fewer than three stages.

        It is what to multiply by 1.96 for the half width of Student's 95 % interval: few stages say little of how much
        stages differ.
        """
        stages = len(self.logs)
        if stages < FEWEST_STAGES:
            return 0.0
        return self.between_stages() / sqrt(stages) * float(stdtrit(stages - 1, 0.975)) / _NORMAL

    def typical_over(self, stage: str) -> float:
        """Geometric mean of the stages' speeds over the speed in one of them, > 0.

        Args:
            stage: One that was taken in; 1 is the answer for any other, and of fewer than three stages.
        """
        if len(self.logs) < FEWEST_STAGES or stage not in self.logs:
            return 1.0
        return exp(float(np.mean(self._medians())) - float(np.median(self.logs[stage])))

    def _medians(self) -> list[float]:
        """Of the logarithms in each stage."""
        return [float(np.median(blocks)) for blocks in self.logs.values()]
