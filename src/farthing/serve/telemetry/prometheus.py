"""Metrics in Prometheus' text format (version 0.0.4), Triton's names where the meaning is the same."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.attribution import NANODOLLARS_PER_USD
from farthing.serve.telemetry.counts import EDGES_S, SHOWN_EDGES, ModelCounts
from farthing.serve.telemetry.ledger_writer import LedgerState
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.requests import LiveModel

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_US = 1e6
_Labels = tuple[tuple[str, str], ...]


class _Text:
    """Families of series; a series named twice is summed."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str]] = {}
        self._series: dict[str, dict[tuple[str, _Labels], float]] = {}

    def add(self, name: str, kind: str, text: str, value: float, suffix: str = "", /, **labels: str) -> None:
        """One sample; ``suffix`` for parts of a histogram."""
        self._families.setdefault(name, (kind, text))
        series = self._series.setdefault(name, {})
        key = (name + suffix, tuple(labels.items()))
        series[key] = series.get(key, 0) + value

    def histogram(
        self,
        name: str,
        text: str,
        edges: Sequence[float],
        below: Sequence[float],
        total: float,
        summed: float,
        /,
        **labels: str,
    ) -> None:
        """One histogram: how many lie at or below each edge, how many there are, and their sum."""
        for edge, count in zip(edges, below, strict=True):
            self.add(name, "histogram", text, count, "_bucket", **labels, le=_number(edge))
        self.add(name, "histogram", text, total, "_bucket", **labels, le="+Inf")
        self.add(name, "histogram", text, summed, "_sum", **labels)
        self.add(name, "histogram", text, total, "_count", **labels)

    def lines(self) -> Iterable[str]:
        """The document, line by line."""
        for name, (kind, text) in self._families.items():
            yield f"# HELP {name} {_escaped(text, quotes=False)}"
            yield f"# TYPE {name} {kind}"
            for (full, labels), value in self._series[name].items():
                inside = ",".join(f'{key}="{_escaped(said)}"' for key, said in labels)
                yield f"{full}{{{inside}}} {_number(value)}" if inside else f"{full} {_number(value)}"


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if value == math.floor(value) and abs(value) < 2**53:
        return str(int(value))
    return f"{value:.12g}"


def metrics_text(metrics: Metrics, models: Iterable[LiveModel], ledger: LedgerState | None = None) -> str:
    """The whole document.

    Args:
        metrics: What was counted.
        models: Those that there are now, for what waits and whether they are ready.
        ledger: How its writing goes, None without one.
    """
    text = _Text()
    for counts in metrics.counts():
        _counters(text, counts)
        _histograms(text, counts)
        _cost(text, counts)
    for model in models:
        labels = {"model": model.spec.name, "version": model.spec.version}
        text.add("nv_inference_pending_request_count", "gauge", "Requests that wait.", model.queue.waiting, **labels)
        ready = model.state == "ready"
        text.add("farthing_model_ready", "gauge", "1 when the model takes requests.", ready, **labels)
    for (status, protocol), n in sorted(metrics.refused.items()):
        said = "Requests that failed before their model was known."
        text.add("farthing_refused_total", "counter", said, n, status=str(status), protocol=protocol)
    _replica(text, metrics)
    if ledger is not None:
        _ledger(text, ledger)
    for gauge in metrics.gauges:
        for labels_of, value in gauge.read():
            text.add(gauge.name, gauge.kind, gauge.text, value, "", **dict(labels_of))
    return "\n".join(text.lines()) + "\n"


def _named(counts: ModelCounts) -> dict[str, str]:
    return {"model": counts.name, "version": counts.version}


def _counters(text: _Text, c: ModelCounts) -> None:
    named = _named(c)
    for name, said, value in (
        ("nv_inference_request_success", "Requests that were answered.", c.requests),
        ("nv_inference_count", "Samples that were answered.", c.rows),
        ("nv_inference_exec_count", "Batches that were worked on.", round(c.batches)),
        ("nv_inference_request_duration_us", "From arrival to answer, summed, microseconds.", c.total_s * _US),
        ("nv_inference_queue_duration_us", "Waiting, summed over requests, microseconds.", c.queue_s * _US),
        (
            "nv_inference_compute_infer_duration_us",
            "Time of the batch that a request was part of, summed over requests, microseconds.",
            c.service_s * _US,
        ),
        ("farthing_busy_core_seconds_total", "Core-seconds that batches kept workers busy.", c.busy_core_s),
        ("farthing_shed_requests_total", "Requests turned away for lack of room or time.", c.shed),
    ):
        text.add(name, "counter", said, value, **named)
    for reason, n in c.reasons().items():
        said = "Requests that were not answered."
        text.add("nv_inference_request_failure", "counter", said, n, **named, reason=reason)
    for (status, protocol), n in sorted(c.problems.items()):
        said = "Requests that were not answered, by status and protocol."
        text.add("farthing_problems_total", "counter", said, n, **named, status=str(status), protocol=protocol)


def _histograms(text: _Text, c: ModelCounts) -> None:
    edges = [float(e) for e in EDGES_S[SHOWN_EDGES]]
    for name, said, counts, summed in (
        ("farthing_request_duration_seconds", "From arrival to answer.", c.latency, c.total_s),
        ("farthing_queue_duration_seconds", "From arrival to dispatch.", c.queue, c.queue_s),
        ("farthing_compute_duration_seconds", "Of the batch, in the worker.", c.service, c.service_s),
    ):
        below = _below(counts)
        text.histogram(name, said, edges, below, c.requests, summed, **_named(c))
    batches = np.rint(np.cumsum(c.by_rows)).astype(np.int64)
    text.histogram(
        "farthing_batch_rows",
        "Samples in a batch.",
        _BATCHES,
        [int(batches[b]) for b in _BATCHES],
        int(batches[-1]),
        float(c.rows),
        **_named(c),
    )


def _below(counts: NDArray[np.int64]) -> list[int]:
    return [int(n) for n in np.cumsum(counts)[SHOWN_EDGES]]


def _cost(text: _Text, c: ModelCounts) -> None:
    if c.price.key is None:
        return
    labels = {**_named(c), "offer": c.price.key}
    for name, said, nusd in (
        ("farthing_cost_usd_total", "Cost on the allocation basis, idle time included, USD.", c.cost_nusd),
        ("farthing_cost_usage_usd_total", "Cost on the usage basis, busy cores only, USD.", c.usage_nusd),
    ):
        text.add(name, "counter", said, nusd / NANODOLLARS_PER_USD, **labels)


def _replica(text: _Text, metrics: Metrics) -> None:
    for key, offer in metrics.offers().items():
        usd, dated = offer.usd_per_hour, offer.dated.isoformat()
        if usd is None:
            continue
        said = "Cost of this replica since its start, whether it worked or not, USD."
        text.add("farthing_replica_cost_usd_total", "counter", said, usd * metrics.elapsed_s / 3600, offer=key)
        said = "Price of this replica, and the day it is of."
        text.add("farthing_price_usd_per_hour", "gauge", said, usd, offer=key, dated=dated)
    text.add("farthing_uptime_seconds", "gauge", "Since the start.", metrics.elapsed_s)
    for name, kind, said, value in _process():
        text.add(name, kind, said, value)


def _ledger(text: _Text, state: LedgerState) -> None:
    for name, kind, said, value in (
        ("farthing_ledger_rows_total", "counter", "Request rows on disk.", state.written_rows),
        ("farthing_ledger_waiting_rows", "gauge", "Request rows in memory.", state.waiting_rows),
        ("farthing_ledger_dropped_rows_total", "counter", "Rows that are lost.", state.dropped_rows),
        ("farthing_ledger_failed_writes_total", "counter", "Writes that the disk refused.", state.failed_writes),
        ("farthing_ledger_damaged_parts_total", "counter", "Damaged parts of files.", state.damaged_parts),
        ("farthing_ledger_damaged_rows_total", "counter", "Rows in them, where that is known.", state.damaged_rows),
        ("farthing_ledger_trouble", "gauge", "1 while the ledger cannot be written.", state.trouble is not None),
    ):
        text.add(name, kind, said, value)


def _process() -> Iterable[tuple[str, str, str, float]]:
    """Processor time, memory and open files of this process, under Prometheus' usual names."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield "process_cpu_seconds_total", "counter", "Processor time, seconds.", usage.ru_utime + usage.ru_stime
    try:
        with open("/proc/self/statm", "rb") as f:
            pages = int(f.read().split()[1])
        files = len(os.listdir("/proc/self/fd"))
    except OSError:  # no /proc on this system
        return
    yield "process_resident_memory_bytes", "gauge", "Resident memory.", pages * resource.getpagesize()
    yield "process_open_fds", "gauge", "Open file descriptors.", files
