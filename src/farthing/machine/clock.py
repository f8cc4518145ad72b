"""The real clock."""

from __future__ import annotations

import time

__all__ = ["MonotonicClock"]


class MonotonicClock:
    """CLOCK_MONOTONIC, which all processes of a machine share."""

    monotonic_s = staticmethod(time.monotonic)
    """Seconds since some fixed point; the system's own function, since servers ask it several times a request."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))
