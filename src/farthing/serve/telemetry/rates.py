"""Rates and quantiles between two moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farthing.serve.telemetry.counts import Snapshot, quantile_s

__all__ = ["Rates", "rates_between", "rates_over"]

_MS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How one model did for a while; None where nothing can be said.

    Attributes:
        rps: Requests answered in a second.
        p50_ms: From arrival to answer, median.
        p99_ms: As above, 99th percentile.
        batch: Samples in a batch, mean.
        errors_per_s: Requests not answered in a second.
    """

    rps: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    batch: float | None = None
    errors_per_s: float | None = None


def rates_between(before: Snapshot, last: Snapshot) -> Rates:
    """From one moment to a later one; all None when no time has passed."""
    seconds = last.at_s - before.at_s
    if not seconds > 0:
        return Rates()
    latency, batches = last.latency - before.latency, last.batches - before.batches
    p50_s, p99_s = quantile_s(latency, 0.5), quantile_s(latency, 0.99)
    return Rates(
        rps=(last.requests - before.requests) / seconds,
        p50_ms=None if p50_s is None else p50_s * _MS,
        p99_ms=None if p99_s is None else p99_s * _MS,
        batch=(last.rows - before.rows) / batches if batches > 0 else None,
        errors_per_s=(last.failed - before.failed) / seconds,
    )


def rates_over(history: Sequence[Snapshot], steps: int) -> Rates:
    """Over the last so many steps of a history, as many as there are; all None without two."""
    return rates_between(history[max(0, len(history) - 1 - steps)], history[-1]) if history else Rates()
