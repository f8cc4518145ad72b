"""Whether a server is as quick as it was a moment ago: others who use the machine are seen in what it can answer.

A kernel that computes sees others who compute on the same core. It does not see those who take memory bandwidth and
caches, which a server may feel five times as much. What clients that never rest get from the server itself does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

__all__ = ["SLOWER", "Pace"]

SLOWER = 1.1
"""From this factor on the server was slower because of others."""
REMEMBERED = 9


@dataclass(slots=True)
class Pace:
    """Rates that clients that never rest got from one server, in quiet moments.

    Attributes:
        quiet_rps: The latest of them.
        first_rps: What was usual at first, 0 when it could not be seen.
    """

    quiet_rps: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    first_rps: float = 0.0

    def begin(self, rates_rps: Sequence[float]) -> None:
        """Take in first rates as they are: their median is what is usual, so that one lucky moment is not.

        Args:
            rates_rps: At least one; 0 where it would have taken too long to look.
        """
        self.first_rps = median(rates_rps)
        if self.first_rps > 0:
            self.quiet_rps.append(self.first_rps)

    def slower(self, rate_rps: float) -> float:
        """How many times slower than in quiet moments the server is at a rate, ≥ 1; it is taken in when it is quiet.

        Args:
            rate_rps: That was got now; 0 where nobody looked, which says nothing.
        """
        if rate_rps <= 0:
            return 1.0
        found = max(1.0, median(self.quiet_rps) / rate_rps) if self.quiet_rps else 1.0
        if found < SLOWER:
            self.quiet_rps.append(rate_rps)
        return found
