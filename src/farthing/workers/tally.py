"""What a queue counts for whoever scales its workers. Pure: time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Counted", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Sums up to one moment.

    Attributes:
        at_s: The clock's time.
        arrived: Requests that came, those that were refused at once included.
        answered: Requests with an answer.
        within_promise: Of those, as quickly as promised.
        failed: Requests with a problem instead.
        in_flight: Requests that wait or run now.
        flight_s: Integral of ``in_flight`` over time.
        busy_s: Time that workers spent on batches, summed over them.
        ready_s: Time that workers were ready, summed over them.
    """

    at_s: float
    arrived: int
    answered: int
    within_promise: int
    failed: int
    in_flight: int
    flight_s: float
    busy_s: float
    ready_s: float


class Tally:
    """Counts of one queue since it was made.

    Args:
        promise_s: From arrival to answer; infinite where nothing is promised.
        now_s: The clock's time.

    Attributes:
        busy_s: Of batches that have ended.
        promise_s: As above.
    """

    __slots__ = (
        "_answered", "_arrived", "_failed", "_flight_s", "_flown_s", "_in_flight", "_ready", "_ready_s", "_seen_s",
        "_within", "busy_s", "promise_s",
    )  # fmt: skip

    def __init__(self, *, promise_s: float = math.inf, now_s: float) -> None:
        self.promise_s, self.busy_s = promise_s, 0.0
        self._arrived = self._answered = self._within = self._failed = self._in_flight = self._ready = 0
        self._flight_s = self._ready_s = 0.0
        self._flown_s = self._seen_s = now_s

    def came(self, now_s: float) -> None:
        """A request came."""
        self._fly(now_s)
        self._arrived += 1
        self._in_flight += 1

    def left(self, now_s: float, latency_s: float | None) -> None:
        """One that came has its reply; None for a problem."""
        self._fly(now_s)
        self._in_flight -= 1
        if latency_s is None:
            self._failed += 1
        else:
            self._answered += 1
            self._within += latency_s <= self.promise_s

    def turned_away(self) -> None:
        """A request was refused before it came to the queue."""
        self._arrived += 1
        self._failed += 1

    def has_ready(self, workers: int, now_s: float) -> None:
        """So many workers are ready from now on."""
        self._ready_s += self._ready * max(0.0, now_s - self._seen_s)
        self._ready, self._seen_s = workers, now_s

    def counted(self, now_s: float, running_s: float) -> Counted:
        """The sums now.

        Args:
            now_s: Now.
            running_s: Time that the batches under way have taken so far, summed.
        """
        self._fly(now_s)
        self.has_ready(self._ready, now_s)
        return Counted(
            at_s=now_s,
            arrived=self._arrived,
            answered=self._answered,
            within_promise=self._within,
            failed=self._failed,
            in_flight=self._in_flight,
            flight_s=self._flight_s,
            busy_s=self.busy_s + running_s,
            ready_s=self._ready_s,
        )

    def _fly(self, now_s: float) -> None:
        self._flight_s += self._in_flight * max(0.0, now_s - self._flown_s)
        self._flown_s = now_s
