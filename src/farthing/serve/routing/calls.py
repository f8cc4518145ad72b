"""A call of a tier: who asks, what is sent, what comes back, and how much a place may take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from farthing.core.route.served import Place
from farthing.serve.routing.inputs import Fitted
from farthing.wire.decisions import Reason
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["Allowance", "Charged", "Gone", "TierAnswer", "TierCall", "TierCaller", "TierCounts"]

_BURST_S = 0.1
"""So much of its declared rate may come to a place at once before requests overflow to the next."""


class Gone(Problem):
    """A place does not answer at all: nothing more is sent there until it does."""

    def __init__(self, message: str) -> None:
        super().__init__(503, message, retry_after_s=1.0)


class Charged(Problem):
    """An answer that cannot be used, and is paid for all the same.

    Args:
        message: As :class:`~farthing.wire.requests.Problem`.
        tokens: Read and written, None when unknown.
    """

    def __init__(self, message: str, tokens: tuple[float, float] | None) -> None:
        super().__init__(500, message)
        self.tokens = tokens


class TierAnswer:
    """What one call of a tier gave.

    Args:
        model: Who answered.
        outputs: The route's outputs, rows of the call only.
        answer: As its queue gave it.
        usd: On the usage basis, for all rows.
        busy_core_s: Of this machine's workers.
        charged_usd: By another end point.
    """

    __slots__ = ("answer", "busy_core_s", "charged_usd", "model", "outputs", "usd")

    def __init__(
        self,
        model: LiveModel,
        outputs: Sequence[NDArray[Any]],
        answer: Answer,
        usd: float,
        busy_core_s: float,
        charged_usd: float,
    ) -> None:
        self.model, self.outputs, self.answer = model, outputs, answer
        self.usd, self.busy_core_s, self.charged_usd = usd, busy_core_s, charged_usd

    def of_rows(self, rows: Sequence[int]) -> TierAnswer:
        """Some of its rows; what it cost is not part of it."""
        index = list(rows)
        answer = replace(self.answer, outputs=[output[index] for output in self.answer.outputs])
        outputs = [output[index] for output in self.outputs]
        return TierAnswer(self.model, outputs, answer, 0.0, 0.0, 0.0)


class TierCaller(Protocol):
    """Who asks tiers for some rows of a request (``cascades.py``); told once for each call."""

    @property
    def request(self) -> Request:
        """The client's."""
        ...

    @property
    def rows(self) -> tuple[int, ...] | None:
        """Which rows of it, None for all."""
        ...

    def got(self, tier: str, called: TierAnswer) -> None:
        """A tier has answered."""
        ...

    def spent(self, usd: float, charged_usd: float) -> None:
        """A call cost something and gave nothing; ``missed`` or another call follows."""
        ...

    def missed(self, tier: str, reason: Reason, problem: Problem) -> None:
        """A tier has not."""
        ...

    def wrong(self, problem: Problem) -> None:
        """The request itself cannot be answered by anyone (an image that is none)."""
        ...


class TierCall(Request):
    """One call of a tier: a request of its own in the queue of the model there.

    Args:
        caller: For whom.
        model: Who is asked.
        reply: Called with the outcome.
        fitted: The rows as the model takes them.
        rows: How many.
        now_s: Monotonic time.
        timeout_s: After which the tier is given up.

    Attributes:
        due_s: When it is given up.
        open: Whether ``caller`` still waits for it.
        place: Where it was sent.
        about: What its tier knows of the model.
        tried: Models that were asked for the same rows, this one last.
    """

    __slots__ = ("about", "caller", "due_s", "open", "place", "tried")

    def __init__(
        self,
        caller: TierCaller,
        model: LiveModel,
        reply: Callable[[Request, Answer | Problem], None],
        fitted: Fitted,
        rows: int,
        now_s: float,
        timeout_s: float,
    ) -> None:
        request = caller.request
        self.model, self.reply, self.rows = model, reply, rows
        self.tensors, self.payloads, self.length, self.shape_key = fitted
        self.size_bytes, self.arrived_s = request.size_bytes, now_s
        self.due_s = due_s = now_s + timeout_s
        deadline_s = request.deadline_s
        self.deadline_s = deadline_s if deadline_s < due_s else due_s
        self.priority, self.id, self.tenant = request.priority, request.id, request.tenant
        self.protocol, self.trace = request.protocol, request.trace
        self.deaths = self.solo_deaths = 0
        self.wishes, self.timeout_s = (), None
        self.caller, self.open = caller, True
        self.place: Place
        self.about: Any = None
        self.tried: tuple[LiveModel, ...] = ()


@dataclass(slots=True, kw_only=True)
class TierCounts:
    """What a tier did for the route, in rows.

    Attributes:
        asked: Sent to it.
        answered: That it gave an answer for, whether the answer was then taken or not.
        missed: That it gave none for, by reason.
        moved: Asked again at another of its places after one had failed.
        late: Whose answer came after the tier's time-out; they are paid for and not used.
        usd: On the usage basis, late ones included.
        by_place: Rows sent, by the name of the model there.
    """

    asked: int = 0
    answered: int = 0
    missed: Counter[Reason] = field(default_factory=Counter)
    moved: int = 0
    late: int = 0
    usd: float = 0.0
    by_place: Counter[str] = field(default_factory=Counter)


class Allowance:
    """Rows that a place may still take at its declared rate: a bucket that fills with time."""

    __slots__ = ("_at_s", "_left", "_most", "_rate")

    def __init__(self, rate_rps: float, now_s: float) -> None:
        self._rate, self._most, self._at_s = rate_rps, max(1.0, rate_rps * _BURST_S), now_s
        self._left = self._most

    def left(self, now_s: float) -> float:
        """Of what fits into the bucket, in [0, 1]; below 0 when more was taken than is allowed."""
        if self._rate == math.inf:
            return 1.0
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return (self._left - 1) / self._most

    def take(self, rows: int) -> None:
        """So many were sent; debts are bounded, so that an overload is not held against a place for long."""
        if self._rate != math.inf:
            self._left = max(self._left - rows, -self._most)
