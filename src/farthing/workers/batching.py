"""The queue in front of a model's workers: timer-free dynamic batching, deadlines, shedding.

A batch is dispatched when a worker is idle; what comes meanwhile is the next batch. What arrives within one turn
of the loop goes together, since dispatch happens at the turn's end. Every request is answered exactly once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from farthing.ports import Clock
from farthing.wire.requests import Answer, Problem, Request
from farthing.workers.curve import Curve, predicted_wait_s
from farthing.workers.lanes import Lanes
from farthing.workers.restarts import Death, tried_again
from farthing.workers.tally import Counted, Tally

__all__ = ["Batch", "BatchQueue", "Outcome", "Runner"]

SHORTEST_RETRY_S = 0.1
MARGIN = 1.25
"""On predicted times under overload: all that is accepted is then predicted to be just in time, and half of it would be
late without."""
OVERLOADED_FRAC, MEMORY_REQUESTS = 0.05, 100
"""Share of refused requests, over about so many, from which on the margin is whole; below it grows with the share. In a
short burst at an easy load only what would truly be late is refused: with the whole margin a replica at four fifths of
what it can do refused up to 1 % of its requests, none of which would have been late."""
QUIET_POLL_S = 0.005


@dataclass(slots=True, eq=False, kw_only=True)
class Batch:
    """Requests that are answered together.

    Attributes:
        requests: In the order of their rows.
        rows: Of all of them.
        sent_s: When it was dispatched.
    """

    requests: list[Request]
    rows: int
    sent_s: float


@dataclass(slots=True, eq=False, kw_only=True)
class Outcome:
    """What became of a batch.

    Attributes:
        outputs: Rows of the requests that went well, in their order; empty when there are none.
        service_s: Time the worker took.
        bad: Problems of the others by position.
    """

    outputs: Sequence[NDArray[Any]]
    service_s: float
    bad: Mapping[int, Problem] = field(default_factory=dict)


class Runner(Protocol):
    """A worker, or the loop thread itself."""

    inline: bool
    """Whether ``run`` computes before it returns."""

    def run(self, batch: Batch) -> None:
        """Begin a batch; ``queue.finished`` or ``queue.lost`` is called once for it."""
        ...


class BatchQueue:
    """What waits for one model.

    Args:
        max_rows: Of a batch; 1 for models whose requests cannot share one.
        max_waiting: Rows that may wait.
        max_delay_s: How long a batch may wait to fill, 0 for not at all.
        curve: Expected service times; told of every batch.
        clock: Time.
    """

    def __init__(self, *, max_rows: int, max_waiting: int, max_delay_s: float, curve: Curve, clock: Clock) -> None:
        self.waiting = 0
        self.curve = curve
        self.closed: str | None = None
        """Why no request is taken, None while they are."""
        self.available_s = 0.0
        """When a worker is expected while there is none, in the clock's time."""
        self.last_used_s = clock.monotonic_s()
        self.answered_batches = 0
        self.wake: Callable[[], None] | None = None
        """Called when a request comes while there are no workers on purpose."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lanes = Lanes(max_rows)
        self._max_waiting, self._max_delay_s = max_waiting, max_delay_s
        self._idle: list[Runner] = []
        self._busy: dict[Runner, Batch] = {}
        self._leaving: dict[Runner, asyncio.Future[None]] = {}
        self.tally: Tally | None = None
        """Counts for whoever scales the workers, None where nobody does."""
        self._planned = False
        self._timer: asyncio.TimerHandle | None = None
        self._refused_frac = 0.0

    # — requests ———————————————————————————————————————————————————————————————————————————————————

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        """See :meth:`farthing.wire.requests.Queue.refuse`."""
        if self.closed is not None:
            return Problem(503, self.closed, retry_after_s=self._until_available_s())
        waiting = self._lanes.rows
        if waiting + rows > self._max_waiting:
            return Problem(
                503,
                f"{waiting:,} rows wait already; the limit is {self._max_waiting:,}",
                retry_after_s=max(SHORTEST_RETRY_S, self.wait_s() / 2),
            )
        if deadline_s == math.inf or (waiting == 0 and self._idle) or self.wake is not None:
            return None  # the first for a sleeping model wakes it, even if it then comes too late for itself
        margin = 1.0 + (MARGIN - 1.0) * min(1.0, self._refused_frac / OVERLOADED_FRAC)
        finish_s = margin * self._until_answered_s(waiting + rows)
        left_s = deadline_s - self._clock.monotonic_s()
        if finish_s <= left_s:
            self._refused_frac -= self._refused_frac / MEMORY_REQUESTS
            return None
        self._refused_frac += (1.0 - self._refused_frac) / MEMORY_REQUESTS
        return Problem(
            503,
            f"an answer is expected in {finish_s * 1000:,.0f} ms; the deadline is in {max(0.0, left_s) * 1000:,.0f} ms",
            retry_after_s=max(SHORTEST_RETRY_S, finish_s - left_s),
        )

    def _until_answered_s(self, rows: int) -> float:
        """Predicted time until the last of so many rows that wait is answered, in a batch as full as it can be."""
        max_rows = self._lanes.max_rows
        if rows <= max_rows and self._idle:
            return self.curve.expected_s(rows)
        return self.wait_s() + self.curve.expected_s(min(max_rows, rows))

    def submit(self, request: Request) -> None:
        """See :meth:`farthing.wire.requests.Queue.submit`."""
        if self.tally is not None:
            self.tally.came(self._clock.monotonic_s())
        problem = self.refuse(request.rows, request.deadline_s)
        if problem is not None:
            self._reply(request, problem)
            return
        self._lanes.add(request)
        self.waiting += 1
        self.last_used_s = request.arrived_s
        if self._idle:
            self._plan()
        elif self.wake is not None:
            self.wake()

    def wait_s(self) -> float:
        """Predicted time until a request that comes now is dispatched."""
        return predicted_wait_s(
            self.curve,
            rows_waiting=self._lanes.rows,
            max_rows=self._lanes.max_rows,
            instances=max(1, len(self._idle) + len(self._busy) - len(self._leaving)),
            soonest_s=self._soonest_s(),
        )

    def _soonest_s(self) -> float:
        if self._idle:
            return 0.0
        staying = [batch for runner, batch in self._busy.items() if runner not in self._leaving]
        if not staying:
            return self._until_available_s()
        now_s = self._clock.monotonic_s()
        return max(0.0, min(b.sent_s + self.curve.expected_s(b.rows) for b in staying) - now_s)

    def _until_available_s(self) -> float:
        return max(SHORTEST_RETRY_S, self.available_s - self._clock.monotonic_s())

    # — dispatch ———————————————————————————————————————————————————————————————————————————————————

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._planned = False
        late: list[Request] = []
        now_s = self._clock.monotonic_s()
        while self._idle and self._lanes.requests and not self._holds_back(now_s):
            requests, too_late = self._lanes.take(now_s)
            late += too_late
            if not requests:
                break
            rows = sum(request.rows for request in requests)
            batch = Batch(requests=requests, rows=rows, sent_s=now_s)
            runner = self._idle.pop()
            self._busy[runner] = batch
            try:
                runner.run(batch)
            except Exception as e:  # noqa: BLE001 - requests that cannot be sent must not be forgotten
                self._not_sent(runner, e)
            if runner.inline:  # its end has planned what comes next, so that sockets are looked at between batches
                break
        self.waiting = self._lanes.requests
        self._too_late(late, now_s)

    def _not_sent(self, runner: Runner, error: Exception) -> None:
        """A batch could not be begun: its requests do not fit together, or not the wire."""
        self._loop.call_exception_handler({"message": "a batch could not be begun", "exception": error})
        batch = self._busy.pop(runner, None)
        if batch is not None:
            self._idle.append(runner)
            for request in batch.requests:
                self._reply(request, Problem(500, f"the request could not be given to the model: {error}"))
        if self._lanes.requests:
            self._plan()

    def _holds_back(self, now_s: float) -> bool:
        """Whether the next batch may still fill up; then it is looked at again in time."""
        if self._max_delay_s <= 0 or self._lanes.full_or_older_than(now_s - self._max_delay_s):
            return False
        oldest_s = self._lanes.oldest_s()
        if self._timer is None and oldest_s is not None:
            delay_s = max(0.0, oldest_s + self._max_delay_s - now_s)
            self._timer = self._loop.call_later(delay_s, self._time_over)
        return True

    def _time_over(self) -> None:
        self._timer = None
        self._dispatch()

    # — runners ————————————————————————————————————————————————————————————————————————————————————

    def limit_rows(self, max_rows: int) -> None:
        """Change the largest batch."""
        self._lanes.max_rows = max_rows

    def attach(self, runner: Runner) -> None:
        """A worker is ready for its first batch."""
        self._idle.append(runner)
        if self._lanes.requests:
            self._plan()

    def detach(self, runner: Runner) -> None:
        """No further batches for this one; what it is working on is still expected."""
        if runner in self._idle:
            self._idle.remove(runner)

    async def relieve(self, runner: Runner) -> None:
        """No further batches for this one; returns when it has answered, or lost, what it is working on."""
        self.detach(runner)
        if runner in self._busy:
            self._leaving[runner] = self._loop.create_future()
            await self._leaving[runner]

    def _let_go(self, runner: Runner) -> bool:
        """Whether a worker without a batch was waited for to leave; who waits goes on."""
        relieved = self._leaving.pop(runner, None)
        if relieved is not None and not relieved.done():
            relieved.set_result(None)
        return relieved is not None

    def _ended(self, batch: Batch) -> None:
        if self.tally is not None:
            self.tally.busy_s += self._clock.monotonic_s() - batch.sent_s

    def counted(self) -> Counted | None:
        """What the tally says now, None without one."""
        if self.tally is None:
            return None
        now_s = self._clock.monotonic_s()
        return self.tally.counted(now_s, sum(now_s - batch.sent_s for batch in self._busy.values()))

    def finished(self, runner: Runner, outcome: Outcome) -> None:
        """A worker has answered its batch."""
        batch = self._busy.pop(runner)
        if not self._let_go(runner):
            self._idle.append(runner)
        self._ended(batch)
        self.answered_batches += 1
        if not outcome.bad:
            self.curve.observe(batch.rows, self._clock.monotonic_s() - batch.sent_s)
        if self._lanes.requests:
            if runner.inline:
                self._plan()
            else:
                self._dispatch()  # first the next batch, then the answers: the worker shall not wait for them
        self._hand_out(batch, outcome)

    def _hand_out(self, batch: Batch, outcome: Outcome) -> None:
        at, outputs = 0, outcome.outputs
        whole = len(batch.requests) == 1
        for k, request in enumerate(batch.requests):
            if k in outcome.bad:
                self._reply(request, outcome.bad[k])
                continue
            end = at + request.rows
            answer = Answer(
                outputs=outputs if whole else [output[at:end] for output in outputs],
                queue_s=batch.sent_s - request.arrived_s,
                service_s=outcome.service_s,
                batch_rows=batch.rows,
            )
            at = end
            self._reply(request, answer)

    def lost(self, runner: Runner, death: Death) -> None:
        """A worker has died; what it was working on is tried again alone, or given up."""
        self.detach(runner)
        batch = self._busy.pop(runner, None)
        self._let_go(runner)
        if batch is None:
            return
        self._ended(batch)
        alone = len(batch.requests) == 1
        for request, again in zip(batch.requests, tried_again(batch.requests, death), strict=True):
            request.deaths += 1
            request.solo_deaths += alone
            if again:
                self._lanes.add(request)
            else:
                self._reply(request, Problem(500, f"the model's worker died on this request alone ({death.how})"))
        self.waiting = self._lanes.requests
        if self._idle:
            self._plan()

    # — the pool's commands ————————————————————————————————————————————————————————————————————————

    def busy(self, runner: Runner) -> Batch | None:
        """What a worker is working on."""
        return self._busy.get(runner)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked on."""
        return not self._lanes.requests and not self._busy

    async def quiet(self) -> None:
        """Wait until nothing waits and nothing is worked on."""
        while not self.idle:
            await asyncio.sleep(QUIET_POLL_S)

    def expire(self, now_s: float) -> None:
        """Answer what waits beyond its deadline."""
        if self._lanes.requests:
            late = self._lanes.expire(now_s)
            self.waiting = self._lanes.requests
            self._too_late(late, now_s)

    def fail_waiting(self, message: str, retry_after_s: float | None = None) -> None:
        """Answer all that waits with a 503."""
        waiting = self._lanes.clear()
        self.waiting = 0
        for request in waiting:
            self._reply(request, Problem(503, message, retry_after_s=retry_after_s))

    def abandon(self, message: str) -> None:
        """Answer everything with a 503, what is worked on included; its workers have been ended."""
        batches = list(self._busy.values())
        self._busy.clear()
        self._idle.clear()
        for relieved in self._leaving.values():
            relieved.cancel()
        self._leaving.clear()
        for request in (request for batch in batches for request in batch.requests):
            self._reply(request, Problem(503, message))
        self.fail_waiting(message)

    def _too_late(self, requests: Sequence[Request], now_s: float) -> None:
        for request in requests:
            waited_ms = (now_s - request.arrived_s) * 1000
            self._reply(request, Problem(504, f"the deadline passed after {waited_ms:,.0f} ms in the queue"))

    def _reply(self, request: Request, outcome: Answer | Problem) -> None:
        if self.tally is not None:
            now_s = self._clock.monotonic_s()
            self.tally.left(now_s, now_s - request.arrived_s if isinstance(outcome, Answer) else None)
        try:
            request.reply(request, outcome)
        except Exception as e:  # noqa: BLE001 - one request's end must not be that of its whole batch
            self._loop.call_exception_handler({"message": "a reply raised", "exception": e})
