"""How much a speed differed between stages of one piece of work: what interleaved blocks of one stage do not show.

Blocks that stand next to each other agree better than blocks of the same thing ten minutes apart: memory and caches are
shared with others, processes are placed anew. An interval from one stage's blocks alone would not hold what the next
run of the same command sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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
        self.logs.setdefault(stage, []).append(math.log(speed))

    def between_stages(self) -> float:
        """Standard deviation of the logarithm of a speed between stages, ≥ 0; 0 of fewer than three stages.

        What the stages' medians differ by as medians of few blocks is taken off (the variance of a median of *m* normal
        values is π/2 · σ²/*m*): blocks that are compared in pairs have it in their own interval.
        """
        if len(self.logs) < FEWEST_STAGES:
            return 0.0
        noise = [math.pi / 2 * float(np.var(b, ddof=1)) / len(b) if len(b) > 1 else 0.0 for b in self.logs.values()]
        return math.sqrt(max(0.0, float(np.var(self._medians(), ddof=1)) - float(np.mean(noise))))

    def error(self, known_frac: float = 0.0) -> float:
        """Error of the logarithm of the mean speed over all stages, ≥ 0; 0 of fewer than three stages.

        It is what to add in quadrature to a known standard deviation, and then to multiply by 1.96, for Student's 95 %
        interval of the sum: few stages say little of how much stages differ. Degrees of freedom by Welch and
        Satterthwaite.

        Args:
            known_frac: Standard deviation that is added to it, known well, ≥ 0.
        """
        stages, between = len(self.logs), self.between_stages()
        if stages < FEWEST_STAGES or between <= 0:
            return 0.0
        own = between**2 / stages
        total = own + known_frac**2
        freedom = (total / own) ** 2 * (stages - 1)
        wide = float(stdtrit(freedom, 0.975)) / _NORMAL
        return math.sqrt(max(0.0, wide**2 * total - known_frac**2))

    def typical_over(self, stage: str) -> float:
        """Geometric mean of the stages' speeds over the speed in one of them, > 0.

        Args:
            stage: One that was taken in; 1 is the answer for any other, and of fewer than three stages.
        """
        if len(self.logs) < FEWEST_STAGES or stage not in self.logs:
            return 1.0
        return math.exp(float(np.mean(self._medians())) - float(np.median(self.logs[stage])))

    def _medians(self) -> list[float]:
        """Of the logarithms in each stage."""
        return [float(np.median(blocks)) for blocks in self.logs.values()]
