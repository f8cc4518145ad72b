"""The methods of the gRPC protocol: one inference, a stream of them, and what the server says of itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from farthing.ports import Clock
from farthing.serve.grpc.long_messages import bulk_of
from farthing.serve.grpc.messages import INFERENCE_SERVICE, METHODS, message
from farthing.serve.grpc.tensors import Values, answer_in_steps, decode_in_steps
from farthing.serve.limits import Limits
from farthing.serve.protocol.api_keys import ApiKeys
from farthing.serve.protocol.documents import model_config, model_metadata, repository_index, server_metadata
from farthing.serve.protocol.long_answers import is_long
from farthing.serve.protocol.signatures import deadline_of, signature_of
from farthing.serve.protocol.tallies import statistics, tally_of
from farthing.serve.protocol.tenants import tenant_of
from farthing.serve.turns import LONG_BYTES, Steps, Turns, at_once
from farthing.wire.requests import Answer, LiveModel, Models, Observer, Problem, Request

__all__ = ["CANCELLED", "Caller", "Calls", "parsed"]

CANCELLED = 499
"""Status of a request whose client went away; nobody is sent it."""
_RETRY_AFTER_S = 1.0
_PROTOCOL = "grpc"
_InferRequest = message(METHODS["ModelInfer"][0])
_StreamResponse = message("inference.ModelStreamInferResponse")
T = TypeVar("T")
_OPEN = frozenset({"ServerLive", "ServerReady"})
_WANTS_FINAL, _FINAL = "triton_enable_empty_final_response", "triton_final_response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a call says beside its message.

    Attributes:
        left_s: Until the client's gRPC deadline, None without one.
        metadata: Of the call, lower-case names; the last of equal names.
    """

    left_s: float | None
    metadata: Mapping[str, str]


def parsed(message_class: Any, raw: bytes) -> Any:
    """A message of what came over the wire.

    Raises:
        Problem: 400 when it is none.
    """
    try:
        return message_class.FromString(raw)
    except DecodeError as e:
        raise Problem(400, f"these {len(raw):,} bytes are no {message_class.DESCRIPTOR.full_name}") from e


class Calls:
    """Answers calls; knows protocol messages and models, and nothing of sockets.

    Args:
        models: Who answers.
        observer: Told of every inference request.
        limits: Bounds.
        clock: Time.
        tenant_salt: For the hash of a call's ``authorization`` in the ledger; None for no tenants.
        expose_cost: Answers of routes say what one more request costs.
        turns: Do long work; None for its own.
        api_keys: Of which clients must show one; None for none.
    """

    def __init__(
        self,
        models: Models,
        observer: Observer,
        limits: Limits,
        clock: Clock,
        tenant_salt: bytes | None,
        *,
        expose_cost: bool = False,
        turns: Turns | None = None,
        api_keys: ApiKeys | None = None,
    ) -> None:
        self._turns, self._api_keys = turns or Turns(clock), api_keys
        self._expose_cost = expose_cost
        self._models, self._observer, self._limits, self._clock = models, observer, limits, clock
        self._tenant_salt = tenant_salt
        self._held_bytes = 0
        self.draining = False
        self.unary: Mapping[str, Callable[[Any], Any]] = {
            "ServerLive": lambda _: {"live": True},
            "ServerReady": lambda _: {"ready": self.ready()},
            "ServerMetadata": lambda _: server_metadata(),
            "ModelReady": self._model_ready,
            "ModelMetadata": lambda r: model_metadata(self._find(r.name, r.version), models),
            "ModelConfig": lambda r: {"config": model_config(self._find(r.name, r.version))},
            "ModelStatistics": self._statistics,
            "RepositoryIndex": lambda r: {"models": repository_index(models.known(), ready_only=r.ready)},
            "RepositoryModelLoad": self._not_offered,
            "RepositoryModelUnload": self._not_offered,
        }

    # — what the server says of itself —————————————————————————————————————————————————————————————

    def ready(self, service: str = "") -> bool | None:
        """Whether requests are taken; None for a service that is not offered here."""
        if service not in ("", INFERENCE_SERVICE):
            return None
        return not self.draining and self._models.not_ready() is None

    def check_key(self, metadata: Mapping[str, str], method: str) -> None:
        """Refuse a call without a key, but those that ask whether the server is alive and ready.

        Raises:
            Problem: 401 or 403.
        """
        if self._api_keys is not None and method not in _OPEN:
            self._api_keys.check(metadata.get("authorization", "").encode())

    def describe(self, method: str, raw: bytes) -> bytes:
        """Answer a unary call other than an inference.

        Raises:
            Problem: as HTTP answers the same question.
        """
        request_name, response_name = METHODS[method]
        document = self.unary[method](parsed(message(request_name), raw))
        response: bytes = ParseDict(document, message(response_name)(), ignore_unknown_fields=True).SerializeToString()
        return response

    def _find(self, name: str, version: str) -> LiveModel:
        return self._models.find(name, version or None)

    def _model_ready(self, asked: Any) -> dict[str, Any]:
        try:
            self._find(asked.name, asked.version)
        except Problem:
            return {"ready": False}
        return {"ready": not self.draining}

    def _statistics(self, asked: Any) -> dict[str, Any]:
        chosen = [
            model
            for model in self._models.known()
            if asked.name in ("", model.spec.name) and asked.version in ("", model.spec.version)
        ]
        if asked.name and not chosen:
            chosen = [self._find(asked.name, asked.version)]
        return {"model_stats": [statistics(model) for model in chosen]}

    def _not_offered(self, _: Any) -> dict[str, Any]:
        raise Problem(501, "models are loaded and unloaded through the second listener, not here")

    # — inference ——————————————————————————————————————————————————————————————————————————————————

    async def infer(self, raw: bytes, caller: Caller) -> Any:
        """Answer one ``ModelInferRequest``.

        Returns:
            A ``ModelInferResponse``.

        Raises:
            Problem: why there is no answer.
        """
        return await self._answered(*await self._parse(raw), len(raw), caller)

    async def _parse(self, raw: bytes) -> tuple[Any, Values]:
        """The message, and its values, which in a long one are not parsed."""
        try:
            if len(raw) <= LONG_BYTES:
                short = parsed(_InferRequest, raw)
                return short, Values(short.raw_input_contents)
            bulk = await self._turns.result(bulk_of(raw, self._limits))
            return parsed(_InferRequest, bulk.rest), Values(bulk.raw, bulk.contents, len(raw))
        except Problem as problem:
            self._observer.failed(None, _PROTOCOL, problem, None)
            raise

    async def _answered(self, message_: Any, values: Values, size_bytes: int, caller: Caller) -> Any:
        done: asyncio.Future[Answer | Problem] = asyncio.get_running_loop().create_future()
        request, raw_answer = await self._asked(message_, values, size_bytes, caller, done)
        del message_, values
        request.model.queue.submit(request)
        self._held_bytes += size_bytes
        try:
            outcome = await done
        except asyncio.CancelledError:
            request.deadline_s = -math.inf
            raise
        if isinstance(outcome, Problem):
            raise outcome
        written = answer_in_steps(request.model, request, raw_answer, outcome, with_cost=self._expose_cost)
        long = not raw_answer and is_long(signature_of(request.model).all_json, outcome.outputs)
        return await self._turns.result(written) if long else at_once(written)

    async def _asked(
        self, message_: Any, values: Values, size_bytes: int, caller: Caller, done: asyncio.Future[Answer | Problem]
    ) -> tuple[Request, bool]:
        """Check a request; whatever is wrong with it is observed and raised. Also whether the answer is raw."""
        now_s = self._clock.monotonic_s()
        model: LiveModel | None = None
        try:
            model = self._find(message_.model_name, message_.model_version)
            self._refuse(model, size_bytes, caller, now_s)
            decoded = decode_in_steps(model, message_, values, self._limits)
            request, raw_answer = (await self._held(decoded, size_bytes)) if values.size_bytes else at_once(decoded)
        except Problem as problem:
            self._failed(model, problem)
            raise
        request.reply = lambda request, outcome: self._replied(request, outcome, done)
        request.size_bytes, request.arrived_s = size_bytes, now_s
        request.deadline_s = _deadline_s(model, request.timeout_s, caller.left_s, now_s)
        request.tenant = tenant_of(caller.metadata.get("authorization", "").encode(), self._tenant_salt)
        request.trace = caller.metadata.get("traceparent")
        return request, raw_answer

    async def _held(self, decoded: Steps[T], size_bytes: int) -> T:
        """Decode a long message, whose bytes are held meanwhile."""
        self._held_bytes += size_bytes
        try:
            return await self._turns.result(decoded)
        finally:
            self._held_bytes -= size_bytes

    def _refuse(self, model: LiveModel, size_bytes: int, caller: Caller, now_s: float) -> None:
        """Shed before tensors are looked at."""
        if self.draining:
            raise Problem(503, "the server is shutting down", retry_after_s=_RETRY_AFTER_S)
        held = self._held_bytes + size_bytes
        if held > self._limits.in_flight_bytes:
            raise Problem(
                503,
                f"requests of {held:,} bytes would be in flight; the limit is {self._limits.in_flight_bytes:,}",
                retry_after_s=_RETRY_AFTER_S,
            )
        problem = model.queue.refuse(1, _deadline_s(model, None, caller.left_s, now_s))
        if problem is not None:
            raise problem

    def _failed(self, model: LiveModel | None, problem: Problem) -> None:
        self._observer.failed(model, _PROTOCOL, problem, None)
        if model is not None:
            tally_of(model).refused(problem)

    def _replied(self, request: Request, outcome: Answer | Problem, done: asyncio.Future[Answer | Problem]) -> None:
        """Count an outcome and wake the call that waits for it, where it still does."""
        self._held_bytes -= request.size_bytes
        if isinstance(outcome, Answer):
            self._observer.answered(request, outcome)
        else:
            if done.cancelled():
                outcome = Problem(CANCELLED, "the client went away")
            tally_of(request.model).refused(outcome, self._clock.monotonic_s() - request.arrived_s)
            self._observer.failed(request.model, _PROTOCOL, outcome, request)
        if not done.done():
            done.set_result(outcome)

    # — streams ————————————————————————————————————————————————————————————————————————————————————

    async def streamed(self, raw: bytes, caller: Caller) -> Any:
        """Answer one request of a stream with a ``ModelStreamInferResponse``; problems become its message."""
        asked: Any = None
        try:
            asked, values = await self._parse(raw)
            answer = await self._answered(asked, values, len(raw), caller)
        except Problem as problem:
            response = _StreamResponse(error_message=problem.message)
            if asked is not None:
                response.infer_response.model_name = asked.model_name
                response.infer_response.model_version = asked.model_version
                response.infer_response.id = asked.id
        else:
            response = _StreamResponse(infer_response=answer)
        if asked is not None and _wants_final(asked):
            response.infer_response.parameters[_FINAL].bool_param = True
        return response

    async def stream(
        self, received: Callable[[], Awaitable[bytes | None]], caller: Callable[[], Caller], ended: asyncio.Event
    ) -> AsyncGenerator[Any, None]:
        """Answer a stream's requests in their order, a bounded number of them at the same time.

        Args:
            received: The next request, None at the end.
            caller: Of a request that has come now.
            ended: Set when no further request is to be read.
        """
        answers: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        places = asyncio.Semaphore(self._limits.pipelined)

        async def read() -> None:
            while not ended.is_set():
                await places.acquire()
                raw = await received()
                if raw is None:
                    return
                answers.put_nowait(asyncio.create_task(self.streamed(raw, caller())))

        reader = asyncio.create_task(read())
        stopper = asyncio.create_task(ended.wait())
        stopper.add_done_callback(lambda _: reader.cancel())
        reader.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
                places.release()
            if not reader.cancelled():
                reader.result()
        finally:
            stopper.cancel()
            reader.cancel()
            while not answers.empty():
                unread = answers.get_nowait()
                if unread is not None:
                    unread.cancel()


def _deadline_s(model: LiveModel, timeout_s: float | None, left_s: float | None, now_s: float) -> float:
    """The earlier of the request's own timeout and the call's deadline, else the model's."""
    given = [wait_s for wait_s in (timeout_s, left_s) if wait_s is not None]
    return deadline_of(model, min(given, default=None), now_s)


def _wants_final(asked: Any) -> bool:
    """Whether the client wants the last response of a request marked (each has one)."""
    if _WANTS_FINAL not in asked.parameters:
        return False
    return asked.parameters[_WANTS_FINAL].bool_param is True
