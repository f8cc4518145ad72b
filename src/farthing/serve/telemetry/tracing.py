"""OpenTelemetry spans, an extra: only when asked for and installed; without it no request carries any of this.

Spans are made when a request has been answered, from the times that it knows: ``farthing.infer`` from arrival to
answer, below it ``queue``, and one ``batch`` a batch, which is linked to the requests in it and they to it. A
caller's ``traceparent`` (W3C trace context) is the parent. Nothing of payloads or of user keys is in a span.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from farthing.errors import InputError
from farthing.ports import Clock
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["Tracing", "open_tracing"]

_NS = 1e9


def open_tracing(clock: Clock, endpoint: str | None = None) -> Tracing:
    """Spans sent by OTLP over HTTP, in batches from a thread of their own.

    Args:
        clock: Monotonic time, the one that ``request.arrived_s`` is of.
        endpoint: Address of the collector's traces (``http://127.0.0.1:4318/v1/traces``); None takes
            OpenTelemetry's environment variables, and this machine without them.

    Raises:
        InputError: when OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as e:
        raise InputError(
            f"traces need OpenTelemetry: {e.name} is not installed", hint='pip install "farthing[otel]"'
        ) from e
    provider = TracerProvider(resource=Resource.create({"service.name": "farthing"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return Tracing(provider, clock)


@dataclass(slots=True, kw_only=True)
class _OpenBatch:
    """A batch of which not all requests were answered yet."""

    key: tuple[float, int]
    span: Any
    rows: int
    end_ns: int


class Tracing:
    """An :class:`~farthing.wire.requests.Observer` that makes spans.

    Args:
        provider: OpenTelemetry's tracer provider (of its SDK); closed with this.
        clock: Monotonic time, the one that ``request.arrived_s`` is of.
        unix_ns: The calendar clock.
    """

    def __init__(self, provider: Any, clock: Clock, unix_ns: Callable[[], int] = time.time_ns) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace, self._propagator = trace, TraceContextTextMapPropagator()
        self._provider, self._tracer = provider, provider.get_tracer("farthing.serve")
        self._now_s, self._unix_ns = clock.monotonic_s, unix_ns
        self._batches: dict[LiveModel, _OpenBatch] = {}

    def answered(self, request: Request, answer: Answer) -> None:
        """Make the spans of one request, and of its batch when it is the batch's last."""
        end_ns, start_ns = self._moments(request)
        dispatched_ns = start_ns + int(answer.queue_s * _NS)
        batch = self._batch(request, answer, dispatched_ns)
        links = [self._trace.Link(batch.span.get_span_context())]
        span = self._request_span(request, start_ns, links)
        span.set_attribute("farthing.batch_rows", answer.batch_rows)
        below = self._trace.set_span_in_context(span)
        self._tracer.start_span("queue", context=below, start_time=start_ns).end(dispatched_ns)
        span.end(end_ns)
        batch.span.add_link(span.get_span_context())
        batch.rows += request.rows
        if batch.rows >= answer.batch_rows:
            self._end(request.model)

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """Make the span of a request that was decoded and not answered."""
        if request is None:
            return
        end_ns, start_ns = self._moments(request)
        span = self._request_span(request, start_ns, [])
        span.set_attribute("http.response.status_code", problem.status)
        if problem.status >= 500:
            span.set_status(self._trace.StatusCode.ERROR, problem.message)
        span.end(end_ns)

    def close(self) -> None:
        """End batches that are open, and send what was not sent."""
        for model in tuple(self._batches):
            self._end(model)
        self._provider.shutdown()

    def _moments(self, request: Request) -> tuple[int, int]:
        """Calendar time of now and of the request's arrival."""
        now_ns = self._unix_ns()
        return now_ns, now_ns - max(0, int((self._now_s() - request.arrived_s) * _NS))

    def _request_span(self, request: Request, start_ns: int, links: list[Any]) -> Any:
        context = None if request.trace is None else self._propagator.extract({"traceparent": request.trace})
        spec = request.model.spec
        return self._tracer.start_span(
            "farthing.infer",
            context=context,
            kind=self._trace.SpanKind.SERVER,
            links=links,
            start_time=start_ns,
            attributes={
                "farthing.model": spec.name,
                "farthing.version": spec.version,
                "farthing.rows": request.rows,
                "farthing.protocol": request.protocol,
            },
        )

    def _batch(self, request: Request, answer: Answer, start_ns: int) -> _OpenBatch:
        """The batch that the request was part of: requests of one are answered one after the other."""
        model, key = request.model, (answer.service_s, answer.batch_rows)
        found = self._batches.get(model)
        if found is not None and found.key == key:
            return found
        if found is not None:
            self._end(model)
        spec = model.spec
        span = self._tracer.start_span(
            "batch",
            context=self._trace.set_span_in_context(self._trace.INVALID_SPAN),
            start_time=start_ns,
            attributes={
                "farthing.model": spec.name,
                "farthing.version": spec.version,
                "farthing.rows": answer.batch_rows,
                "farthing.runs": spec.backend.label,
            },
        )
        end_ns = start_ns + int(answer.service_s * _NS)
        self._batches[model] = batch = _OpenBatch(key=key, span=span, rows=0, end_ns=end_ns)
        return batch

    def _end(self, model: LiveModel) -> None:
        batch = self._batches.pop(model)
        batch.span.end(batch.end_ns)
