"""One request on its way: admitted by its head, its body gathered within bounds, answered once.

A body of up to 64 KiB is decoded at once, a longer or compressed one in steps (:mod:`farthing.serve.turns`), and so are
answers written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from farthing.serve.http.addresses import page
from farthing.serve.http.door import Door
from farthing.serve.http.heads import Head
from farthing.serve.http.inflating import inflated
from farthing.serve.http.replies import JSON, OCTETS, encode_problem, encode_reply
from farthing.serve.pricing import cost_line
from farthing.serve.protocol.csv_answers import CSV, csv_in_steps
from farthing.serve.protocol.long_answers import FEWEST_VALUES, answer_in_steps, is_long, predictions_in_steps
from farthing.serve.protocol.long_requests import infer_in_steps
from farthing.serve.protocol.oip import decode_infer
from farthing.serve.protocol.oip_answers import encode_answer
from farthing.serve.protocol.route_words import header_lines, parameters_of
from farthing.serve.protocol.sagemaker import (
    chosen_model,
    decode_invocation,
    encode_predictions,
    invocation_in_steps,
)
from farthing.serve.protocol.signatures import EMULATED, EMULATED_LINE, deadline_of, signature_of
from farthing.serve.protocol.tallies import tally_of
from farthing.serve.turns import LONG_BYTES, Steps, Work, at_once
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["Exchange"]

_DISCARDED_BYTES = 256 * 2**10


class Channel(Protocol):
    """The connection of an exchange, as far as it asks and tells."""

    server: Door
    """To which it came."""

    def body_ended(self, exchange: Exchange) -> bool:
        """Whether nothing more of that request will come."""
        ...

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether the connection ends after that exchange."""
        ...

    def answered(self, size_bytes: int) -> None:
        """An exchange has its answer."""
        ...


class Exchange:
    """One request and its answer.

    Args:
        connection: On which it came.
        head: Its head.

    Attributes:
        out: The answer's bytes, None until there is one.
        rest: What follows them, of a long answer.
        out_bytes: Of both together.
        last: The connection ends after the answer.
        continue_due: The client waits for ``100 Continue``.
        discarding: Nothing more of the body is wanted.
        received_bytes: Of the body as sent.
    """

    out: bytes | None = None
    rest: Sequence[bytes | memoryview] = ()
    out_bytes = 0
    continue_due = False
    discarding = False
    received_bytes = 0
    _body: bytes | bytearray = b""
    _held_bytes = 0
    _work: Work | None = None
    _answering: tuple[Request, Answer] | None = None
    _model: LiveModel | None = None
    _plain = False
    _request: Request | None = None

    def __init__(self, connection: Channel, head: Head) -> None:
        self.head = head
        self.last = head.fatal or not head.keep_alive
        self._connection = connection
        self._server = connection.server

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
        address = head.address
        assert address is not None
        if not address.infers:
            return
        models = self._server.models
        model = (
            models.find(address.model, address.version) if address.model else chosen_model(models, head.target_model)
        )
        self._model = model
        wait_s = None if address.model else model.spec.deadline_s  # by name it may bring a timeout of its own
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
        try:
            self._hold(len(chunk))
        except Problem as problem:
            self.refuse(problem)
            return
        if not self._body:
            self._body = chunk
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body)
            self._body += chunk
        else:
            self._body += chunk

    def _hold(self, size: int) -> None:
        server = self._server
        self._held_bytes += size
        server.held_bytes += size
        if server.held_bytes > server.limits.in_flight_bytes:
            raise Problem(503, "the server holds as many bytes of requests as it may", retry_after_s=1.0)

    def finish(self) -> bool:
        """The body has ended; False when the answer is there already."""
        self.continue_due = False
        return self.out is None

    def run(self) -> None:
        """Decode the body and hand it to the model's queue, or answer at once."""
        if self.out is not None:
            return
        body, self._body = self._body, b""
        try:
            self._begin(body)
        except Problem as problem:
            self.refuse(problem)

    def _begin(self, body: bytes | bytearray) -> None:
        if self._model is None:
            self._page(body)
        elif len(body) > LONG_BYTES or self.head.encoding:
            server = self._server
            arrived_s = server.clock.monotonic_s()
            self._work = server.turns.begin(
                self._decoded(self._model, body), lambda request: self._read(request, arrived_s), self._unread
            )
        else:
            short = body if type(body) is bytes else bytes(body)
            self._submit(self._model, self._short(self._model, short), self._server.clock.monotonic_s())

    def _page(self, body: bytes | bytearray) -> None:
        """Answer what needs no model; such requests are short."""
        address, server = self.head.address, self._server
        assert address is not None
        if self.head.encoding:
            body = at_once(inflated(body, self.head.encoding, LONG_BYTES, self._hold))
        if len(body) > LONG_BYTES:
            raise Problem(413, f"the body has {len(body):,} bytes; the limit is {LONG_BYTES:,} here")
        self.answer(page(address, server.models, bytes(body), server.limits))

    def whole(self, body: bytes) -> None:
        """Take a request whose body came with its head: ``admit``, ``take``, ``finish`` and ``run`` in one.

        Args:
            body: All of it, as long as the head says.
        """
        server, size = self._server, len(body)
        limits = server.limits
        if self.head.encoding or size > limits.body_bytes or server.held_bytes + size > limits.in_flight_bytes:
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

    def _short(self, model: LiveModel, body: bytes) -> Request:
        """Decode a short body.

        Raises:
            Problem: when it is malformed.
        """
        head, limits = self.head, self._server.limits
        assert head.address is not None
        if head.address.model:
            request = decode_infer(model, body, head.json_bytes, limits)
        else:
            request, self._plain = decode_invocation(model, body, head.media_type, head.json_bytes, limits)
        request.size_bytes = len(body)
        return request

    def _decoded(self, model: LiveModel, body: bytes | bytearray) -> Steps[Request]:
        """Decode a long or compressed body."""
        head, limits = self.head, self._server.limits
        if head.encoding:
            body = yield from inflated(body, head.encoding, limits.body_bytes, self._hold)
        if len(body) <= LONG_BYTES:
            return self._short(model, bytes(body))
        assert head.address is not None
        if head.address.model:
            request = yield from infer_in_steps(model, body, head.json_bytes, limits)
        else:
            steps = invocation_in_steps(model, body, head.media_type, head.json_bytes, limits)
            request, self._plain = yield from steps
        request.size_bytes = len(body)
        return request

    def _read(self, request: Request, arrived_s: float) -> None:
        self._work = None
        self._submit(request.model, request, arrived_s)

    def _unread(self, error: Exception) -> None:
        self._work = None
        if not isinstance(error, Problem):
            self._server.report(error)
            error = Problem(500, "the server failed on this request")
        self.refuse(error)

    def _submit(self, model: LiveModel, request: Request, arrived_s: float) -> None:
        head = self.head
        assert head.address is not None
        if not head.address.model:
            request.protocol = "sagemaker"
        request.reply = self.reply
        request.arrived_s = arrived_s
        request.deadline_s = deadline_of(model, request.timeout_s, arrived_s)
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
        outputs = result.outputs
        try:
            if (len(outputs) != 1 or outputs[0].size > FEWEST_VALUES) and is_long(request.wishes, outputs):
                self._encode_in_steps(request, result)
                return
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
        assert self._model is not None
        signature = signature_of(self._model)
        told = result.route is not None or self._server.expose_cost or signature.emulated
        said, extra = self._said(request, result) if told else (None, b"")
        if self.head.csv:
            self.answer(b"".join(at_once(csv_in_steps(signature, request.wishes, result.outputs))), CSV, extra=extra)
            return
        if self._plain:
            self.answer(encode_predictions(signature, result.outputs), extra=extra)
            return
        body, json_bytes = encode_answer(signature, request.wishes, request.id, result.outputs, said)
        self.answer(body, JSON if json_bytes is None else OCTETS, json_bytes, extra)

    def _said(self, request: Request, result: Answer) -> tuple[Mapping[str, str] | None, bytes]:
        """What an answer says beside its outputs: parameters, header lines."""
        expose_cost = self._server.expose_cost
        extra = cost_line(request, result) if expose_cost else b""
        if result.route is None:
            emulated = signature_of(request.model).emulated
            return (EMULATED, extra + EMULATED_LINE) if emulated else (None, extra)
        said = parameters_of(result.route, with_cost=expose_cost)
        return said, extra + header_lines(said)

    def _encode_in_steps(self, request: Request, result: Answer) -> None:
        assert self._model is not None
        signature = signature_of(self._model)
        said, extra = self._said(request, result)

        def written() -> Steps[tuple[Sequence[bytes | memoryview], int | None]]:
            if self.head.csv:
                return (yield from csv_in_steps(signature, request.wishes, result.outputs)), None
            if self._plain:
                return (yield from predictions_in_steps(signature, result.outputs)), None
            return (yield from answer_in_steps(signature, request.wishes, request.id, result.outputs, said))

        def done(found: tuple[Sequence[bytes | memoryview], int | None]) -> None:
            parts, json_bytes = found
            self._work = self._answering = None
            media_type = CSV if self.head.csv else JSON if json_bytes is None else OCTETS
            self.answer(b"", media_type, json_bytes, extra, rest=parts)
            self._server.observer.answered(request, result)

        def failed(error: Exception) -> None:
            self._work = self._answering = None
            if not isinstance(error, Problem):
                self._server.report(error)
                error = Problem(500, "the model's answer cannot be encoded")
            self.refuse(error, request)

        self._answering = request, result
        self._work = self._server.turns.begin(written(), done, failed)

    def answer(
        self,
        body: bytes,
        media_type: bytes = JSON,
        json_bytes: int | None = None,
        extra: bytes = b"",
        rest: Sequence[bytes | memoryview] = (),
    ) -> None:
        """The answer is there: its body, or of a long one the beginning and the rest."""
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
                body_bytes=len(body) + sum(map(len, rest)) if rest else None,
            ),
            rest,
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
        address = self.head.address
        if address is not None and not address.infers:
            return
        server = self._server
        if self._model is not None:
            took_s = 0.0 if request is None else server.clock.monotonic_s() - request.arrived_s
            tally_of(self._model).refused(problem, took_s)
        protocol = "http" if address is None or address.model else "sagemaker"
        server.observer.failed(self._model, protocol, problem, request)

    def _done(self, out: bytes, rest: Sequence[bytes | memoryview] = ()) -> None:
        self.out, self.rest = out, rest
        self.out_bytes = len(out) + sum(map(len, rest)) if rest else len(out)
        self.release()
        self._connection.answered(self.out_bytes)

    def abandon(self) -> None:
        """The client is gone: nobody wants the answer any more."""
        if self._request is not None:
            self._request.deadline_s = -math.inf
            self._request = None
        if self._work is not None:
            self._work.cancel()
            self._work = None
        if self._answering is not None:
            self._server.observer.answered(*self._answering)
            self._answering = None
        self.release()

    def release(self) -> None:
        """Give back what the body held."""
        self._server.held_bytes -= self._held_bytes
        self._held_bytes = 0
        self._body = b""
