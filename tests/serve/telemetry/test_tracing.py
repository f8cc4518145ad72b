"""Spans say when a request waited and ran, with whom, and for which caller; none are made unless asked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from made_up_traffic import answer as answered_with
from made_up_traffic import live_model, request

from farthing.errors import InputError
from farthing.serve.telemetry.tracing import Tracing, open_tracing
from farthing.testing import FakeClock
from farthing.wire.requests import Problem

pytest.importorskip("opentelemetry.sdk")
NOW_NS = 1_800_000_000 * 10**9
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider, FakeClock(100.0), lambda: NOW_NS), exporter


def spans(exporter, name):
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_request_has_its_times_and_its_caller(traced):
    tracing, exporter = traced
    asked = request(live_model(), arrived_s=99.5, rows=2, trace=PARENT, id="secret", tenant="secret")
    tracing.answered(asked, answered_with(queue_s=0.1, service_s=0.3, batch_rows=2))
    (span,) = spans(exporter, "farthing.infer")
    (queue,) = spans(exporter, "queue")
    (batch,) = spans(exporter, "batch")
    assert (span.start_time, span.end_time) == (NOW_NS - 500_000_000, NOW_NS)
    assert (queue.start_time, queue.end_time) == (NOW_NS - 500_000_000, NOW_NS - 400_000_000)
    assert (batch.start_time, batch.end_time) == (NOW_NS - 400_000_000, NOW_NS - 100_000_000)
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert queue.parent.span_id == span.context.span_id
    assert "secret" not in str(span.attributes) + str(batch.attributes)


def test_a_batch_is_linked_to_its_requests_and_they_to_it(traced):
    tracing, exporter = traced
    model = live_model()
    for rows in (1, 2, 1):
        tracing.answered(request(model, arrived_s=99.0, rows=rows), answered_with(service_s=0.2, batch_rows=4))
    requests, (batch,) = spans(exporter, "farthing.infer"), spans(exporter, "batch")
    assert [link.context.span_id for link in batch.links] == [r.context.span_id for r in requests]
    assert {r.links[0].context.span_id for r in requests} == {batch.context.span_id}
    assert batch.parent is None
    assert len({r.context.trace_id for r in requests}) == 3


def test_a_batch_that_not_all_got_an_answer_from_ends_with_the_next_or_at_the_close(traced):
    tracing, exporter = traced
    model = live_model()
    tracing.answered(request(model), answered_with(service_s=0.2, batch_rows=4))
    tracing.answered(request(model), answered_with(service_s=0.3, batch_rows=2))
    assert len(spans(exporter, "batch")) == 1
    tracing.close()
    assert len(spans(exporter, "batch")) == 2


@pytest.mark.parametrize(("status", "bad"), [(400, False), (503, True), (500, True)])
def test_failures_say_their_status(traced, status, bad):
    tracing, exporter = traced
    model = live_model()
    tracing.failed(model, "http", Problem(status, "no"), request(model, arrived_s=99.0, trace="nonsense"))
    tracing.failed(None, "http", Problem(404, "no"), None)
    (span,) = spans(exporter, "farthing.infer")
    assert span.attributes["http.response.status_code"] == status
    assert span.status.is_ok is (not bad)
    assert span.parent is None


def test_a_caller_who_is_not_sampled_is_not_traced(traced):
    tracing, exporter = traced
    tracing.answered(request(live_model(), trace=PARENT[:-2] + "00"), answered_with())
    assert spans(exporter, "farthing.infer") == []


def test_without_opentelemetry_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InputError, match="traces need OpenTelemetry") as seen:
        open_tracing(FakeClock())
    assert "farthing[otel]" in str(seen.value)


def test_nothing_of_it_is_imported_unless_asked():
    code = (
        "import farthing.serve.telemetry.tracing, sys; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
