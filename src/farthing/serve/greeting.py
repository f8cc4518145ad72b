"""What a server says when it is ready: where it listens and what each model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from farthing.core.route.policies import label
from farthing.core.route.routes import policy_of
from farthing.core.route.served import RoutedModel, UpstreamModel
from farthing.nouns import LocalModel
from farthing.serve.admin.live import runs
from farthing.wire.requests import LiveModel

__all__ = ["Addresses", "model_line", "ready_lines"]

_KINDS = {"image": "images or tensors", "text": "texts or tensors", "tensor": "tensors"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a server can be reached, as it was bound.

    Attributes:
        http: ``http://127.0.0.1:8000``.
        grpc: ``127.0.0.1:8001``, None without gRPC.
        metrics: ``http://127.0.0.1:8002``, None without a second listener.
    """

    http: str
    grpc: str | None = None
    metrics: str | None = None


def ready_lines(addresses: Addresses, models: Sequence[tuple[LiveModel, bool]]) -> list[str]:
    """One line on where, one for each model, one more for each that was planned without proof.

    Args:
        addresses: Where.
        models: Each with whether it runs in the server's own thread.
    """
    where = [f"ready: {addresses.http}"]
    where += [f"gRPC {addresses.grpc}"] if addresses.grpc else []
    where += [f"metrics {addresses.metrics}"] if addresses.metrics else []
    said = [" · ".join(where)]
    for model, inline in models:
        said.append(f"  {model_line(model, inline=inline)}")
        if isinstance(model.spec, LocalModel) and model.spec.caution:
            said.append(f"    caution: {model.spec.caution}")
    return said


def model_line(model: LiveModel, *, inline: bool) -> str:
    """Name, version, and what a person should know of it: how it is run, where it is forwarded, over what it routes."""
    spec = model.spec
    match spec:
        case LocalModel():
            parts = _local_parts(model, spec, inline=inline)
        case UpstreamModel():
            parts = [f"forwarded to {spec.remote_name} at {spec.url}"]
        case RoutedModel():
            parts = _route_parts(spec)
        case _:
            assert_never(spec)
    return " · ".join([f"{spec.name} {spec.version}", *parts])


def _local_parts(model: LiveModel, spec: LocalModel, *, inline: bool) -> list[str]:
    """How it is run, what it takes and gives, and what the machine costs."""
    alone = bool(model.batching) and not model.batched
    c = replace(spec.candidate, max_batch=1) if alone else spec.candidate
    how = runs(c, in_loop=inline)
    parts = [how, _KINDS[spec.pipeline.kind]]
    if spec.classes:
        parts.append(f"{len(spec.classes):,} classes")
    if alone:
        parts.append(model.batching)
    if spec.emulated:
        parts.append("emulated")
    if spec.deadline_s is not None:
        parts.append(f"deadline {spec.deadline_s * 1000:g} ms")
    if model.planned_rps is not None:
        parts.append(f"up to {model.planned_rps:,.0f} requests/s")
    if spec.offer is not None and spec.offer.usd_per_hour is not None:
        parts.append(f"${spec.offer.usd_per_hour:.4f}/h as {spec.offer.key}")
    return parts


def _route_parts(spec: RoutedModel) -> list[str]:
    """Tiers, and what holds for them; where nothing is certified, that the reference answers alone."""
    route = spec.route
    parts = [f"route over {', '.join(tier.name for tier in route.tiers)}"]
    if route.chosen is None:
        parts.append(f"{route.verdict.outcome}: {route.reference} answers everything")
    else:
        parts.append(label(policy_of(route.ladder[route.chosen].policy)))
        parts.append(f"loses at most {route.max_loss_frac * 100:g} points ({route.confidence * 100:g} %)")
    rate = route.planned_rate
    if rate is not None and rate.rate_rps is not None and rate.kept:
        parts.append(f"{rate.bound.name} ≤ {rate.bound.ms:g} ms up to {rate.rate_rps.value:,.0f} requests/s")
    return parts
