"""One request on its way: admitted by its head, its body gathered within bounds, answered once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from farthing.serve.http.heads import Head
from farthing.serve.http.inflating import Inflater
from farthing.serve.http.replies import JSON, OCTETS, encode_problem, encode_reply
from farthing.serve.http.routes import page
from farthing.serve.pricing import cost_line
from farthing.serve.protocol.oip import decode_infer
from farthing.serve.protocol.oip_answers import encode_answer
from farthing.serve.protocol.route_words import header_lines, parameters_of
from farthing.serve.protocol.sagemaker import chosen_model, decode_invocation, encode_predictions
from farthing.serve.protocol.signatures import deadline_of, signature_of
from farthing.serve.protocol.tallies import tally_of
from farthing.serve.requests import Answer, Problem, Request
from farthing.serve.served import LiveModel

if TYPE_CHECKING:
    from farthing.serve.http.connection import Connection

__all__ = ["Exchange"]

_DISCARDED_BYTES = 256 * 2**10


class Exchange:
    """One request and its answer.

    Args:
        connection: On which it came.
        head: Its head.

    Attributes:
        out: The answer's bytes, None until there is one.
        last: The connection ends after the answer.
        continue_due: The client waits for ``100 Continue``.
        discarding: Nothing more of the body is wanted.
        received_bytes: Of the body as sent.
    """

    out: bytes | None = None
    continue_due = False
    discarding = False
    received_bytes = 0
    _chunks: list[bytes] | None = None
    _held_bytes = 0
    _inflater: Inflater | None = None
    _model: LiveModel | None = None
    _plain = False
    _request: Request | None = None

    def __init__(self, connection: Connection, head: Head) -> None:
        self.head = head
        self.last = head.fatal or not head.keep_alive
        self._connection = connection
        self._server = connection.server
        if head.encoding:
            self._inflater = Inflater(head.encoding, self._server.limits.body_bytes)

    def admit(self) -> None:
        """Decide by the head alone: the problem it has, the model's state, a full queue."""
        try:
            self._admit()
        except Problem as problem:
            self.refuse(problem)
            return
        self.continue_due = self.head.expect

    def _admit(self) -> None:
        head = self.head
        if head.problem is not None:
            raise head.problem
        route = head.route
        assert route is not None
        if not route.infers:
            return
        models = self._server.models
        model = models.find(route.model, route.version) if route.model else chosen_model(models, head.target_model)
        self._model = model
        wait_s = model.spec.deadline_s
        by_s = math.inf if wait_s is None else self._server.clock.monotonic_s() + wait_s
        full = model.queue.refuse(1, by_s)
        if full is not None:
            raise full

    def take(self, chunk: bytes) -> None:
        """A part of the body."""
        self.received_bytes += len(chunk)
        if self.discarding:
            return
        limits = self._server.limits
        if self.received_bytes > limits.body_bytes:
            self.refuse(Problem(413, f"the body is longer than the limit of {limits.body_bytes:,} bytes"))
            return
        if self._inflater is not None:
            try:
                chunk = self._inflater.feed(chunk)
            except Problem as problem:
                self.refuse(problem)
                return
        self._hold(len(chunk))
        if self._chunks is None:
            self._chunks = [chunk]
        else:
            self._chunks.append(chunk)

    def _hold(self, size: int) -> None:
        server = self._server
        self._held_bytes += size
        server.held_bytes += size
        if server.held_bytes > server.limits.in_flight_bytes:
            self.refuse(Problem(503, "the server holds as many bytes of requests as it may", retry_after_s=1.0))

    def finish(self) -> bool:
        """The body has ended; False when the answer is there already."""
        self.continue_due = False
        if self.out is not None:
            return False
        if self._inflater is not None:
            try:
                self._inflater.finish()
            except Problem as problem:
                self.refuse(problem)
                return False
        return True

    def run(self) -> None:
        """Decode the body and hand it to the model's queue, or answer at once."""
        if self.out is not None:
            return
        chunks, self._chunks = self._chunks or [], None
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        try:
            self._begin(body)
        except Problem as problem:
            self.refuse(problem)

    def _begin(self, body: bytes) -> None:
        if self._model is None:
            assert self.head.route is not None
            self.answer(page(self.head.route, self._server.models, body, self._server.limits))
        else:
            self.infer(self._model, body)

    def whole(self, body: bytes) -> None:
        """Take a request whose body came with its head: ``admit``, ``take``, ``finish`` and ``run`` in one.

        Args:
            body: All of it, as long as the head says.
        """
        server, size = self._server, len(body)
        limits = server.limits
        if self._inflater is not None or size > limits.body_bytes or server.held_bytes + size > limits.in_flight_bytes:
            self._piecemeal(body)
            return
        self.received_bytes = self._held_bytes = size
        server.held_bytes += size
        try:
            self._admit()
            self._begin(body)
        except Problem as problem:
            self.refuse(problem)

    def _piecemeal(self, body: bytes) -> None:
        self.admit()
        self.take(body)
        if self.finish():
            self.run()

    def infer(self, model: LiveModel, body: bytes) -> None:
        """Decode a request for a model and submit it.

        Raises:
            Problem: when it is malformed.
        """
        head, server = self.head, self._server
        limits = server.limits
        assert head.route is not None
        if head.route.model:
            request = decode_infer(model, body, head.json_bytes, limits)
        else:
            request, self._plain = decode_invocation(model, body, head.media_type, head.json_bytes, limits)
            request.protocol = "sagemaker"
        now_s = server.clock.monotonic_s()
        request.reply = self.reply
        request.size_bytes, request.arrived_s = len(body), now_s
        request.deadline_s = deadline_of(model, request.timeout_s, now_s)
        request.tenant, request.trace = head.tenant, head.trace
        self._request = request
        model.queue.submit(request)

    def reply(self, request: Request, result: Answer | Problem) -> None:
        """Called by the queue, once."""
        self._request = None
        if isinstance(result, Problem):
            self.refuse(result, request)
            return
        server = self._server
        try:
            self._encode(request, result)
        except Problem as problem:
            self.refuse(problem, request)
            return
        except Exception as e:  # noqa: BLE001 - a model's odd answer must not harm the other requests of its batch
            server.report(e)
            self.refuse(Problem(500, "the model's answer cannot be encoded"), request)
            return
        server.observer.answered(request, result)

    def _encode(self, request: Request, result: Answer) -> None:
        model = self._model
        assert model is not None
        signature = signature_of(model)
        expose_cost = self._server.expose_cost
        extra = cost_line(request, result) if expose_cost else b""
        said = None
        if result.route is not None:
            said = parameters_of(result.route, with_cost=expose_cost)
            extra += header_lines(said)
        if self._plain:
            self.answer(encode_predictions(signature, result.outputs), extra=extra)
            return
        body, json_bytes = encode_answer(signature, request.wishes, request.id, result.outputs, said)
        self.answer(body, JSON if json_bytes is None else OCTETS, json_bytes, extra)

    def answer(self, body: bytes, media_type: bytes = JSON, json_bytes: int | None = None, extra: bytes = b"") -> None:
        """The answer is there."""
        head = self.head
        self.last = self.last or self._connection.ends_with(self)
        self._done(
            encode_reply(
                self._server.date,
                body,
                media_type=media_type,
                json_bytes=json_bytes,
                close=self.last,
                old=head.old,
                extra=extra,
                head_only=head.method == "HEAD",
            )
        )

    def refuse(self, problem: Problem, request: Request | None = None) -> None:
        """The answer is a problem; the rest of the body is thrown away if it is short, else the connection ends."""
        if self.out is not None:
            return
        head = self.head
        if not self._connection.body_ended(self):
            self.discarding = True
            length = head.length_bytes or 0
            unread = head.chunked or length > _DISCARDED_BYTES or self.received_bytes > 0
            self.last = self.last or unread or head.expect
        self.last = self.last or self._connection.ends_with(self)
        self._count(problem, request)
        self._done(
            encode_problem(
                self._server.date,
                problem,
                close=self.last,
                old=head.old,
                allow=head.allow,
                head_only=head.method == "HEAD",
            )
        )

    def _count(self, problem: Problem, request: Request | None) -> None:
        route = self.head.route
        if route is not None and not route.infers:
            return
        server = self._server
        if self._model is not None:
            took_s = 0.0 if request is None else server.clock.monotonic_s() - request.arrived_s
            tally_of(self._model).refused(problem, took_s)
        protocol = "http" if route is None or route.model else "sagemaker"
        server.observer.failed(self._model, protocol, problem, request)

    def _done(self, out: bytes) -> None:
        self.out = out
        self.release()
        self._connection.answered(len(out))

    def abandon(self) -> None:
        """The client is gone: nobody wants the answer any more."""
        if self._request is not None:
            self._request.deadline_s = -math.inf
            self._request = None
        self.release()

    def release(self) -> None:
        """Give back what the body held."""
        self._server.held_bytes -= self._held_bytes
        self._held_bytes = 0
        self._chunks = None
