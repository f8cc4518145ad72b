"""Names what a model's time is mostly spent on, by rules with stated thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from farthing.core.graphs.phrases import percent
from farthing.nouns import Measurement

__all__ = ["KNOWN_FRAC", "Bottleneck", "find_bottleneck"]

Bottleneck = Literal["compute", "memory", "overhead", "preprocessing", "queue", "unknown"]

_QUEUE_FRAC = 0.5
"""Share of the median request's latency, in the Server scenario, above which waiting is the bottleneck."""
_PIPELINE_FRAC = 0.5
"""Share of the wall time above which the input pipeline is the bottleneck."""
_OVERHEAD_FRAC = 0.4
"""Share of the engine's time outside all operators above which overhead is the bottleneck."""
_TINY_MS = 0.02
"""Operators shorter than this on average …"""
_TINY_ROOF_FRAC = 0.1
"""… that attain less of the roof than this are calls with next to no work in them: overhead."""
KNOWN_FRAC = 0.5
"""Share of the operator time whose work must be known before anything is said against the roofline."""
_MEMORY_FRAC = 0.5
"""Share of the rated operator time in memory-bound operators above which memory is the bottleneck."""


def find_bottleneck(
    *,
    operator_ms: Sequence[float],
    least_ms: Sequence[float | None],
    bounds: Sequence[Literal["compute", "memory"] | None],
    wall_ms: float,
    pipeline_ms: float,
    server: Measurement | None = None,
) -> tuple[Bottleneck, str]:
    """Name the bottleneck and say why in one sentence; the first rule that holds decides.

    1. *queue*: a Server measurement says that the median request waits longer than it is served;
    2. *preprocessing*: the pipeline takes more than half of the wall time;
    3. *overhead*: more than 40 % of the engine's time lies outside all operators, or the operators take less
       than 20 µs on average and attain less than a tenth of the roof;
    4. *unknown*: the work of the operators that take half of the time, or more, is not known;
    5. *memory*: more than half of the rated operator time is in operators that the bandwidth limits;
    6. *compute*: what remains.

    Args:
        operator_ms: Time of each operator, shape ``(n_operators,)``.
        least_ms: What the roofline allows each, 0 where nothing is to be done, None where unknown, shape
            ``(n_operators,)``.
        bounds: What limits each at best, None where unknown or nothing is to be done, shape ``(n_operators,)``.
        wall_ms: One batch, pipeline included, > 0.
        pipeline_ms: Part of it before the engine.
        server: Measurement with ``latency_p50_ms`` and ``service_ms``; None when there is none.
    """
    return (
        _queue(server)
        or _preprocessing(wall_ms, pipeline_ms)
        or _overhead(operator_ms, least_ms, wall_ms - pipeline_ms)
        or _memory_or_compute(operator_ms, least_ms, bounds)
    )


def _queue(server: Measurement | None) -> tuple[Bottleneck, str] | None:
    if server is None or 0.5 not in server.levels or "service_ms" not in server.metrics:
        return None
    latency_ms = server.latency(0.5).value
    waited_ms = latency_ms - server.metrics["service_ms"].value
    if latency_ms <= 0 or waited_ms <= _QUEUE_FRAC * latency_ms:
        return None
    share = percent(waited_ms / latency_ms)
    return "queue", f"the median request waits {waited_ms:.3g} of its {latency_ms:.3g} ms ({share})"


def _preprocessing(wall_ms: float, pipeline_ms: float) -> tuple[Bottleneck, str] | None:
    if pipeline_ms <= _PIPELINE_FRAC * wall_ms:
        return None
    share = percent(pipeline_ms / wall_ms)
    return "preprocessing", f"{pipeline_ms:.3g} of {wall_ms:.3g} ms ({share}) pass in the input pipeline"


def _overhead(
    operator_ms: Sequence[float], least_ms: Sequence[float | None], engine_ms: float
) -> tuple[Bottleneck, str] | None:
    spent_ms = sum(operator_ms)
    outside_ms = engine_ms - spent_ms
    if outside_ms > _OVERHEAD_FRAC * engine_ms:
        share = percent(outside_ms / engine_ms)
        return "overhead", f"{outside_ms:.3g} of the engine's {engine_ms:.3g} ms ({share}) lie outside all operators"
    rated_ms = sum(t for t, least in zip(operator_ms, least_ms) if least is not None)
    known = rated_ms > KNOWN_FRAC * spent_ms
    attained = sum(least for least in least_ms if least is not None) / rated_ms if known else 1.0
    if not operator_ms or spent_ms / len(operator_ms) >= _TINY_MS or attained >= _TINY_ROOF_FRAC:
        return None
    mean_us = 1000 * spent_ms / len(operator_ms)
    return "overhead", (
        f"{len(operator_ms)} operators of {mean_us:.2g} µs on average attain {percent(attained)} of the roofline: "
        "calling them costs more than their work"
    )


def _memory_or_compute(
    operator_ms: Sequence[float],
    least_ms: Sequence[float | None],
    bounds: Sequence[Literal["compute", "memory"] | None],
) -> tuple[Bottleneck, str]:
    spent_ms = sum(operator_ms)
    known_ms = sum(t for t, least in zip(operator_ms, least_ms) if least is not None)
    rated = [(t, least, b) for t, least, b in zip(operator_ms, least_ms, bounds) if b is not None and least is not None]
    rated_ms = sum(t for t, _, _ in rated)
    if known_ms <= KNOWN_FRAC * spent_ms or rated_ms <= 0:
        known = percent(known_ms / spent_ms if spent_ms > 0 else 0.0)
        return "unknown", (
            f"the operators whose work is known take {known} of the operator time, and neither pipeline nor overhead "
            "dominates"
        )
    memory_frac = sum(t for t, _, b in rated if b == "memory") / rated_ms
    kind: Bottleneck = "memory" if memory_frac > _MEMORY_FRAC else "compute"
    share = memory_frac if kind == "memory" else 1 - memory_frac
    limit = "memory bandwidth" if kind == "memory" else "arithmetic"
    least = sum(least for _, least, _ in rated)
    return kind, (
        f"{percent(share)} of the operator time is in operators that {limit} limits; "
        f"together the operators attain {percent(least / rated_ms)} of the roofline"
    )
