"""What the live page shows, as plain values: rates and quantiles of the last seconds, cost, and why not ready."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from farthing.core.money.attribution import NANODOLLARS_PER_USD
from farthing.nouns import Backend, LocalModel
from farthing.serve.telemetry.counts import ModelCounts, Snapshot
from farthing.serve.telemetry.ledger_writer import LedgerState
from farthing.serve.telemetry.metrics import Metrics
from farthing.serve.telemetry.rates import Rates, rates_over
from farthing.wire.requests import LiveModel, Problem

__all__ = ["cost_document", "live_document", "readiness_document", "runs"]

RATES_OVER_S = 10
COSTS_OVER_S = 60
_THOUSAND = 1000
_ELSEWHERE = ("farthing_route_", "farthing_scaling_")


def readiness_document(not_ready: Problem | None, models: Sequence[LiveModel]) -> dict[str, Any]:
    """Whether requests are taken, and all reasons why not."""
    reasons = [f"{m.spec.name} version {m.spec.version}: {m.reason or m.state}" for m in models if m.state != "ready"]
    if not_ready is not None and not reasons:
        reasons = [not_ready.message]
    return {"ready": not_ready is None, "reasons": reasons}


def live_document(
    metrics: Metrics,
    models: Sequence[LiveModel],
    not_ready: Problem | None,
    workers: Callable[[LiveModel], Sequence[int]],
    ledger: LedgerState | None,
    *,
    wanted: Callable[[LiveModel], int | None] = lambda model: None,
    in_loop: Callable[[LiveModel], bool] = lambda model: False,
) -> dict[str, Any]:
    """The document behind the page.

    Args:
        metrics: Ticked once a second.
        models: Those that there are.
        not_ready: As :meth:`Models.not_ready` says.
        workers: Processes of a model that are ready, none when it runs in the server's own thread.
        ledger: How the writing goes, None without one.
        wanted: Workers that a model is to have, None for what it was loaded with.
        in_loop: Whether a model that is ready runs in the server's own thread.
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "uptime_s": round(metrics.elapsed_s, 1),
        **readiness_document(not_ready, models),
        "refused": sum(metrics.refused.values()),
        "ledger": None if ledger is None else asdict(ledger),
        "figures": _figures(metrics),
        "models": _with_idle(
            [_model(metrics, m, workers(m), wanted(m), in_loop=in_loop(m)) for m in models], metrics, models
        ),
    }


def _with_idle(documents: list[dict[str, Any]], metrics: Metrics, models: Sequence[LiveModel]) -> list[dict[str, Any]]:
    """Beside each model's price what of the replica nobody uses: all models of an offer share it."""
    used: dict[str, float] = {}
    for said, model in zip(documents, models, strict=True):
        if said["cost"] is not None:
            used[said["cost"]["offer"]] = used.get(said["cost"]["offer"], 0.0) + _used_usd_per_hour(metrics, model)
    for cost in (said["cost"] for said in documents if said["cost"] is not None):
        busy = used[cost["offer"]]
        cost["idle_usd_per_hour"] = None if math.isnan(busy) else max(0.0, cost["usd_per_hour"] - busy)
    return documents


def _used_usd_per_hour(metrics: Metrics, model: LiveModel) -> float:
    """Of the last minute on the usage basis, 0 for a model that nobody asked; NaN before the second look."""
    history = metrics.history(model)
    if len(history) < 2:
        return math.nan
    last, before = history[-1], history[max(0, len(history) - 1 - COSTS_OVER_S)]
    seconds = last.at_s - before.at_s
    return _usd(last.usage_nusd - before.usage_nusd) / seconds * 3600 if seconds > 0 else math.nan


def _figures(metrics: Metrics) -> dict[str, float]:
    """Figures of others, summed over their series; those of routes and scaling have a section of their own."""
    shown = [gauge for gauge in metrics.gauges if not gauge.name.startswith(_ELSEWHERE)]
    return {gauge.name: sum(value for _, value in gauge.read()) for gauge in shown}


def _model(
    metrics: Metrics, model: LiveModel, workers: Sequence[int], wanted: int | None, *, in_loop: bool
) -> dict[str, Any]:
    history, seconds, counts = metrics.history(model), metrics.seconds(model), metrics.of(model)
    backend = model.spec.backend
    return {
        "name": model.spec.name,
        "version": model.spec.version,
        "state": model.state,
        "reason": model.reason,
        "runs": runs(backend, in_loop=in_loop),
        "without_workers": _without_workers(model, in_loop),
        "emulated": model.emulated,
        "workers": {
            "ready": len(workers),
            "wanted": backend.instances if wanted is None else wanted,
            "pids": list(workers),
        },
        "waiting": model.queue.waiting,
        "capacity_rps": model.planned_rps,
        "deadline_ms": None if model.spec.deadline_s is None else model.spec.deadline_s * _THOUSAND,
        "requests": counts.requests,
        "failed": counts.failed,
        "reasons": counts.reasons(),
        **asdict(rates_over(history, RATES_OVER_S)),
        "batches": {str(rows): round(float(counts.by_rows[rows])) for rows in np.flatnonzero(counts.by_rows >= 0.5)},
        "cost": _recent_cost(history, counts),
        "history": {f.name: [_short(getattr(r, f.name)) for r in seconds] for f in fields(Rates)},
    }


def runs(backend: Backend, *, in_loop: bool) -> str:
    """What answers requests, where: ``openvino int8-nncf b8 2×1``, ``onnxruntime fp32 b8 in the server's thread``."""
    return f"{backend.made} b{backend.max_batch} in the server's thread" if in_loop else backend.label


def _without_workers(model: LiveModel, in_loop: bool) -> str:
    """Why a model that is ready has no worker process, should it have none."""
    if in_loop:
        return "none: it runs in the server's thread"
    return "asleep: its next request wakes it" if isinstance(model.spec, LocalModel) else "none here: requests go on"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _recent_cost(history: Sequence[Snapshot], counts: ModelCounts) -> dict[str, Any] | None:
    """Of the last minute, None without a price."""
    price = counts.price
    if price.key is None or price.offer is None:
        return None
    said = {
        "offer": price.key,
        "usd_per_hour": price.usd_per_hour,
        "dated": price.offer.dated.isoformat(),
        "source": price.offer.source,
        "usd_per_thousand": None,
        "usage_usd_per_thousand": None,
        "model_usd_per_hour": None,
    }
    if len(history) < 2:
        return said
    last, before = history[-1], history[max(0, len(history) - 1 - COSTS_OVER_S)]
    rows, seconds = last.rows - before.rows, last.at_s - before.at_s
    if rows > 0 and seconds > 0:
        allocated, used = _usd(last.cost_nusd - before.cost_nusd), _usd(last.usage_nusd - before.usage_nusd)
        said["usd_per_thousand"] = allocated / rows * _THOUSAND
        said["usage_usd_per_thousand"] = used / rows * _THOUSAND
        said["model_usd_per_hour"] = allocated / seconds * 3600
    return said


def _usd(nusd: int) -> float:
    return nusd / NANODOLLARS_PER_USD


def cost_document(metrics: Metrics) -> dict[str, Any]:
    """Cost since the start: of the replica by offer, and of each model on both bases; null without a price."""
    counts = metrics.counts()
    replica = [
        {
            "offer": key,
            "usd_per_hour": offer.usd_per_hour,
            "dated": offer.dated.isoformat(),
            "source": offer.source,
            "usd": None if offer.usd_per_hour is None else offer.usd_per_hour * metrics.elapsed_s / 3600,
        }
        for key, offer in metrics.offers().items()
    ]
    return {"uptime_s": metrics.elapsed_s, "replica": replica, "models": [_total_cost(c) for c in counts]}


def _total_cost(c: ModelCounts) -> dict[str, Any]:
    known = not math.isnan(c.price.usd_per_hour)
    allocation, usage = (_usd(c.cost_nusd), _usd(c.usage_nusd)) if known else (None, None)

    def a_thousand(usd: float | None) -> float | None:
        return None if usd is None or not c.rows else usd / c.rows * _THOUSAND

    return {
        "model": c.name,
        "version": c.version,
        "offer": c.price.key,
        "requests": c.requests,
        "inferences": c.rows,
        "allocation_usd": allocation,
        "usage_usd": usage,
        "allocation_usd_per_thousand": a_thousand(allocation),
        "usage_usd_per_thousand": a_thousand(usage),
    }
