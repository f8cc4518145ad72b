"""The clock that a scaling policy lives by: the wall clock's, or a faster one for a day that is replayed in minutes."""

from __future__ import annotations

__all__ = ["PolicyClock"]


class PolicyClock:
    """Seconds since the loop began, ``time_lapse`` for one of the wall clock.

    Args:
        time_lapse: > 0; 1 for the wall clock's own.

    Attributes:
        start_s: Monotonic time of the beginning; 0 of the policy.
        time_lapse: As above.
    """

    def __init__(self, time_lapse: float) -> None:
        self.time_lapse, self.start_s = time_lapse, 0.0

    def begin(self, now_s: float) -> None:
        """It is 0 now."""
        self.start_s = now_s

    def at_s(self, now_s: float) -> float:
        """The policy's time at a monotonic time of the wall clock; negative before the beginning."""
        return (now_s - self.start_s) * self.time_lapse

    def wall_s(self, seconds: float) -> float:
        """How long so many seconds of the policy take."""
        return seconds / self.time_lapse
