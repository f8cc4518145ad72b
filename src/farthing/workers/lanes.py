"""What waits in front of a model, and which of it makes the next batch. Pure: time is an argument.

Requests that can share a batch wait in one lane. A lane is ordered by rank: the time of arrival, moved by the
priority, so that a low priority waits longer but never for ever. The next batch is always led by the request of
the smallest rank; others of its lane fill it up, those nearest in length first where lengths differ.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from farthing.wire.requests import Request

__all__ = ["Lanes", "rank_s"]

AGEING_S = 0.25
"""One level of priority is worth as much as so many seconds of waiting."""
HIGHEST, MIDDLE, LOWEST = 1, 5, 9
"""Levels of priority; 0 in a request means the middle, numbers beyond the lowest count as the lowest."""
WINDOW_BATCHES = 8
"""Batches' worth of the oldest requests among which like lengths are looked for."""
ALIKE = 16
"""Lengths up to this count as alike."""
LARGEST_RATIO = 2
"""No request is padded to more than so many times its own length (short ones: the above)."""


def rank_s(request: Request) -> float:
    """Arrival, moved by the priority."""
    level = min(max(request.priority, HIGHEST), LOWEST) if request.priority else MIDDLE
    return request.arrived_s + AGEING_S * (level - MIDDLE)


@dataclass(slots=True, eq=False)
class _Lane:
    """Requests that can share a batch, by rank; the number in the middle keeps equal ranks in order."""

    items: list[tuple[float, int, Request]] = field(default_factory=list)
    length: int = 0
    rows: int = 0
    varied: bool = False

    def add(self, rank: float, number: int, request: Request) -> None:
        items = self.items
        if items and rank < items[-1][0]:
            insort(items, (rank, number, request))
        else:
            items.append((rank, number, request))
        self.rows += request.rows
        self.varied = self.varied or request.length != self.length

    def take(self, now_s: float, max_rows: int, late: list[Request]) -> list[Request]:
        """The next batch; those whose deadline has passed on the way go to ``late``."""
        return self._nearest(now_s, max_rows, late) if self.varied else self._first(now_s, max_rows, late)

    def _first(self, now_s: float, max_rows: int, late: list[Request]) -> list[Request]:
        batch: list[Request] = []
        skipped: list[tuple[float, int, Request]] = []
        rows = at = 0
        for item in self.items:
            if rows >= max_rows:
                break
            at += 1
            request = item[2]
            if request.deadline_s < now_s:
                late.append(request)
            elif rows + request.rows <= max_rows or not batch:
                batch.append(request)
                rows += request.rows
                continue
            else:
                skipped.append(item)
                continue
            self.rows -= request.rows
        self.items[:at] = skipped
        self.rows -= rows
        return batch

    def _nearest(self, now_s: float, max_rows: int, late: list[Request]) -> list[Request]:
        late += self.expire(now_s)
        if not self.items:
            return []
        window = self.items[: WINDOW_BATCHES * max_rows]
        lead = window[0][2].length
        window.sort(key=lambda item: (abs(item[2].length - lead), item[0], item[1]))
        taken: set[int] = set()
        batch: list[Request] = []
        rows, shortest, longest = 0, max(lead, ALIKE), max(lead, ALIKE)
        for _, number, request in window:
            length = max(request.length, ALIKE)
            low, high = min(shortest, length), max(longest, length)
            if not batch or (rows + request.rows <= max_rows and high <= LARGEST_RATIO * low):
                shortest, longest, rows = low, high, rows + request.rows
                batch.append(request)
                taken.add(number)
                if rows >= max_rows:
                    break
        self.items = [item for item in self.items if item[1] not in taken]
        self.rows -= rows
        return batch

    def expire(self, now_s: float) -> list[Request]:
        late = [item[2] for item in self.items if item[2].deadline_s < now_s]
        if late:
            self.items = [item for item in self.items if item[2].deadline_s >= now_s]
            self.rows -= sum(request.rows for request in late)
        return late


class Lanes:
    """All that waits for one model.

    Args:
        max_rows: Of a batch; 1 when requests cannot share one.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.requests = self.rows = 0
        self._lanes: dict[Hashable, _Lane] = {}
        self._alone: deque[Request] = deque()
        self._number = 0

    def add(self, request: Request) -> None:
        """Let a request wait; one whose worker has died waits in front, and for a batch of its own."""
        self.requests += 1
        self.rows += request.rows
        if request.deaths:
            self._alone.append(request)
            return
        self._number += 1
        key = (request.payloads is None, request.shape_key)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(length=request.length)
        lane.add(rank_s(request), self._number, request)

    def take(self, now_s: float) -> tuple[list[Request], list[Request]]:
        """Remove the next batch, and the requests met on the way whose deadline has passed.

        Returns:
            The batch (empty when nothing waits) and those that are too late.
        """
        late: list[Request] = []
        batch = self._take_alone(now_s, late)
        while not batch and self._lanes:
            key = self._first_lane()
            lane = self._lanes[key]
            batch = lane.take(now_s, self.max_rows, late)
            if not lane.items:
                del self._lanes[key]
        self._forget(batch)
        self._forget(late)
        return batch, late

    def _first_lane(self) -> Hashable:
        if len(self._lanes) == 1:
            return next(iter(self._lanes))
        return min(self._lanes, key=lambda key: self._lanes[key].items[0][:2])

    def _take_alone(self, now_s: float, late: list[Request]) -> list[Request]:
        while self._alone:
            request = self._alone.popleft()
            if request.deadline_s >= now_s:
                return [request]
            late.append(request)
        return []

    def _forget(self, requests: list[Request]) -> None:
        self.requests -= len(requests)
        self.rows -= sum(request.rows for request in requests)

    def expire(self, now_s: float) -> list[Request]:
        """Remove all whose deadline has passed."""
        late = [request for request in self._alone if request.deadline_s < now_s]
        if late:
            self._alone = deque(request for request in self._alone if request.deadline_s >= now_s)
        for key, lane in list(self._lanes.items()):
            late += lane.expire(now_s)
            if not lane.items:
                del self._lanes[key]
        self._forget(late)
        return late

    def clear(self) -> list[Request]:
        """Remove everything."""
        everything = [*self._alone, *(item[2] for lane in self._lanes.values() for item in lane.items)]
        self._alone.clear()
        self._lanes.clear()
        self.requests = self.rows = 0
        return everything

    def full_or_older_than(self, arrived_s: float) -> bool:
        """Whether a batch need not wait to fill: one is full, or its first request came before ``arrived_s``."""
        return bool(self._alone) or any(
            lane.rows >= self.max_rows or lane.items[0][2].arrived_s <= arrived_s for lane in self._lanes.values()
        )

    def oldest_s(self) -> float | None:
        """When the first of those that wait came; None when nothing waits."""
        return min((lane.items[0][2].arrived_s for lane in self._lanes.values()), default=None)
