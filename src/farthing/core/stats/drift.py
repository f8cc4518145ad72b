"""How much a speed differed between stages of one piece of work: what interleaved blocks of one stage do not show.

Blocks that stand next to each other agree better than blocks of the same thing ten minutes apart: memory and caches are
shared with others, processes are placed anew. An interval from one stage's blocks alone would not hold what the next
run of the same command sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

import numpy as np

__all__ = ["FEWEST_STAGES", "Drift"]

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
        return float(np.std([np.median(blocks) for blocks in self.logs.values()], ddof=1))
