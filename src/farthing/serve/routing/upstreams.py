"""Models behind URLs as models of this server: what waits for them, how many requests they are sent at a time, whether
they answer at all.

A request is sent to its place once; whoever asked decides whether it is asked again elsewhere. While a place does not
answer nothing is sent there; it is looked for with growing pauses, and taken again when it says that it is ready.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from farthing.core.route.served import UpstreamModel
from farthing.nouns import TensorSpec
from farthing.ports import Clock
from farthing.serve.routing.calls import Charged, Gone
from farthing.serve.routing.http_client import HttpClient, Reply, Unreachable
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["UpstreamProtocol", "UpstreamQueue", "api_key", "refusal_of", "upstream_model"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0
LOOK_S = 2.0
"""How long a place that is looked for may take to answer."""
QUIET_POLL_S = 0.005
LATE, FULL, FAILED = 504, 503, 500
_SHOWN = 200


class UpstreamProtocol(Protocol):
    """A protocol that a place speaks."""

    path: str
    """Where requests are sent."""
    one_by_one: bool
    """Whether a request there holds one row."""
    ready_path: str
    """What answers with less than 400 when it is ready."""

    async def learn(self, client: HttpClient) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs of the model there.

        Raises:
            Unreachable: when it does not answer.
            Problem: when it has no such model.
        """
        ...

    def encode(self, request: Request, model: LiveModel, left_s: float) -> tuple[bytes, bytes]:
        """Body and header lines of a request; ``left_s`` is how long its answer may take, infinite for no bound."""
        ...

    def decode(self, reply: Reply, request: Request, model: LiveModel) -> Answer:
        """An answer (times are filled in by the queue).

        Raises:
            Problem: what the place refused, or why its answer is none.
        """
        ...


def refusal_of(reply: Reply) -> Problem | None:
    """The problem that a status stands for, None when it is none: whose fault it is decides what is done next."""
    if reply.status < 300:
        return None
    said = f"{reply.status}: {reply.body[:_SHOWN].decode('utf-8', 'replace')}"
    known = {429: FULL, 503: FULL, 504: LATE}
    return Problem(known.get(reply.status, FAILED), f"the forwarded model answered {said}")


def api_key(spec: UpstreamModel) -> bytes:
    """The header line with the key that ``options`` name, empty for none.

    Raises:
        Problem: when the environment lacks it.
    """
    name = str(spec.options.get("key_env", ""))
    if not name:
        return b""
    key = os.environ.get(name, "")
    if not key or not key.isascii() or not key.isprintable():
        raise Gone(f"{spec.name} needs a key in the environment variable {name}")
    return f"Authorization: Bearer {key}\r\n".encode("ascii")


class UpstreamQueue:
    """Implements :class:`farthing.wire.requests.Queue` in front of a URL.

    Args:
        spec: Where.
        protocol: The protocol there.
        clock: Monotonic time.

    Attributes:
        down: Why nothing is sent, None while it answers.
        times_down: How often it was found so.
        closed: Why nothing is taken any more, None while it is.
    """

    def __init__(self, spec: UpstreamModel, protocol: UpstreamProtocol, clock: Clock) -> None:
        self.down: str | None = None
        self.times_down = 0
        self.closed: str | None = None
        self._spec, self._protocol, self._now_s = spec, protocol, clock.monotonic_s
        self._client = HttpClient(spec.url)
        self._waiting: deque[Request] = deque()
        self._rows_waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._model: LiveModel | None = None

    async def open(self, model: LiveModel) -> None:
        """Learn what the model there is; where it does not answer, go on looking for it.

        Args:
            model: Its inputs and outputs are filled in as soon as they are known.
        """
        self._model = model
        try:
            await self._learn(model)
        except (Problem, Unreachable, TimeoutError) as e:
            self._lost(str(e) or f"no answer within {LOOK_S:g} s")

    async def _learn(self, model: LiveModel) -> None:
        async with asyncio.timeout(LOOK_S):
            model.inputs, model.outputs = await self._protocol.learn(self._client)
        model.batched = all(spec.shape[:1] == (None,) for spec in (*model.inputs, *model.outputs))
        model.cache.clear()

    # — Queue ——————————————————————————————————————————————————————————————————————————————————————

    @property
    def waiting(self) -> int:
        """Requests that are not sent yet."""
        return len(self._waiting)

    @waiting.setter
    def waiting(self, _: int) -> None:
        raise AttributeError("counted, not set")

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        """A problem when it is down or too much waits."""
        if self.closed is not None or self.down is not None:
            return Gone(self.closed or self.down or "")
        if self._rows_waiting + rows > self._spec.max_waiting:
            said = f"{self._rows_waiting:,} rows wait for {self._spec.name}; the limit is {self._spec.max_waiting:,}"
            return Problem(FULL, said, retry_after_s=1.0)
        return None

    def submit(self, request: Request) -> None:
        """Send a request now, or when another has been answered."""
        problem = self.refuse(request.rows, request.deadline_s)
        if problem is not None:
            request.reply(request, problem)
        elif len(self._tasks) < self._spec.concurrency:
            self._start(request)
        else:
            self._waiting.append(request)
            self._rows_waiting += request.rows

    # — sending ————————————————————————————————————————————————————————————————————————————————————

    def _start(self, request: Request) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        while self._waiting and len(self._tasks) < self._spec.concurrency:
            request = self._waiting.popleft()
            self._rows_waiting -= request.rows
            if self.down is not None:
                request.reply(request, Gone(self.down))
            elif request.deadline_s < self._now_s():
                request.reply(request, Problem(LATE, f"the deadline passed while it waited for {self._spec.name}"))
            else:
                self._start(request)

    async def _answer(self, request: Request) -> None:
        model = self._model
        assert model is not None
        begin_s = self._now_s()
        left_s = min(request.deadline_s - begin_s, self._spec.timeout_s)
        try:
            answer = await self._asked(request, model, left_s)
        except Problem as problem:
            request.reply(request, problem)
        except TimeoutError:
            request.reply(request, Problem(LATE, f"{self._spec.name} gave no answer within {left_s * 1000:,.0f} ms"))
        except Unreachable as e:
            self._lost(str(e))
            request.reply(request, Gone(f"{self._spec.name} does not answer: {e}"))
        except asyncio.CancelledError:
            request.reply(request, Gone(self.closed or "the server is stopping"))
            raise
        except Exception as e:  # noqa: BLE001 - an odd answer must not leave its request without one
            context = {"message": f"an answer of {self._spec.name} could not be read", "exception": e}
            asyncio.get_running_loop().call_exception_handler(context)
            request.reply(request, Problem(FAILED, f"the answer of {self._spec.name} could not be read"))
        else:
            answer.queue_s, answer.service_s = begin_s - request.arrived_s, self._now_s() - begin_s
            request.reply(request, answer)

    async def _asked(self, request: Request, model: LiveModel, left_s: float) -> Answer:
        if self._protocol.one_by_one and request.rows > 1:
            asked = (self._asked(part, model, left_s) for part in _single_rows(request))
            return _joined(await asyncio.gather(*asked, return_exceptions=True))
        body, headers = self._protocol.encode(request, model, left_s)
        reply = await self._client.ask("POST", self._protocol.path, body, headers, limit_s=left_s)
        return self._protocol.decode(reply, request, model)

    # — up and down ————————————————————————————————————————————————————————————————————————————————

    def _lost(self, why: str) -> None:
        """It does not answer: look for it."""
        if self._looking is None and self.closed is None:
            self.down = f"{self._spec.name} at {self._spec.url} does not answer: {why}"
            self.times_down += 1
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        assert self._model is not None
        pause_s = FIRST_PAUSE_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            try:
                await self._learn(self._model)
                reply = await self._client.ask("GET", self._protocol.ready_path, limit_s=LOOK_S)
            except (Problem, Unreachable, TimeoutError):
                continue
            if reply.status < 400:
                self.down = self._looking = None
                return

    # — its end ————————————————————————————————————————————————————————————————————————————————————

    async def quiet(self) -> None:
        """Wait until everything is answered."""
        while self._tasks or self._waiting:
            await asyncio.sleep(QUIET_POLL_S)

    def close(self, why: str) -> None:
        """Send nothing more; what is on its way is answered with a problem."""
        self.closed = why
        if self._looking is not None:
            self._looking.cancel()
        for request in self._waiting:
            request.reply(request, Problem(FULL, why))
        self._waiting.clear()
        self._rows_waiting = 0
        for task in tuple(self._tasks):
            task.cancel()
        self._client.close()


def _joined(parts: Sequence[Answer | BaseException]) -> Answer:
    """One answer of those to single rows.

    Raises:
        BaseException: the first that one of them raised; a :class:`Charged` is charged for all of them.
    """
    answers = [part for part in parts if isinstance(part, Answer)]
    failed = next((part for part in parts if isinstance(part, BaseException)), None)
    said = [part.tokens for part in parts if isinstance(part, (Answer, Charged)) and part.tokens is not None]
    tokens = sum(t[0] for t in said), sum(t[1] for t in said)
    if isinstance(failed, Problem) and said:
        raise Charged(failed.message, tokens) from failed
    if failed is not None:
        raise failed
    outputs = [np.concatenate(rows) for rows in zip(*(answer.outputs for answer in answers))]
    all_said = tokens if len(said) == len(answers) else None
    return Answer(outputs=outputs, queue_s=0.0, service_s=0.0, batch_rows=len(answers), tokens=all_said)


def _single_rows(request: Request) -> list[Request]:
    """Its rows as requests of their own; a call of a route is one too, and cannot be copied as it is."""

    def row(k: int) -> Request:
        return Request(
            model=request.model,
            tensors=None if request.tensors is None else [tensor[k : k + 1] for tensor in request.tensors],
            payloads=None if request.payloads is None else request.payloads[k : k + 1],
            deadline_s=request.deadline_s,
            priority=request.priority,
            trace=request.trace,
        )

    return [row(k) for k in range(request.rows)]


def upstream_model(
    spec: UpstreamModel, protocol_of: Callable[[UpstreamModel], UpstreamProtocol], clock: Clock
) -> LiveModel:
    """A model for a place, ready though nothing is known of it yet."""
    queue = UpstreamQueue(spec, protocol_of(spec), clock)
    return LiveModel(spec=spec, inputs=(), outputs=(), batched=False, queue=queue, state="ready", platform=spec.kind)
