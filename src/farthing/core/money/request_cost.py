"""What one request costs on a machine that is paid by the hour."""

from __future__ import annotations

import math

__all__ = ["usd_at_capacity", "usd_of_service"]


def usd_of_service(service_s: float, *, usd_per_hour: float, worker_cores: float, replica_cores: float) -> float:
    """Share of the machine that one request keeps busy: ``usd_per_hour / 3600 · service_s · worker / replica cores``.

    Args:
        service_s: Time of one request alone, > 0.
        usd_per_hour: Price of the whole machine, > 0.
        worker_cores: Cores that the request keeps busy, > 0.
        replica_cores: Cores that the price pays for, > 0.

    Raises:
        ValueError: when one is not finite and > 0.
    """
    for name, value in (
        ("service_s", service_s), ("usd_per_hour", usd_per_hour), ("worker_cores", worker_cores),
        ("replica_cores", replica_cores),
    ):  # fmt: skip
        _positive(name, value)
    return usd_per_hour / 3600 * service_s * worker_cores / replica_cores


def usd_at_capacity(usd_per_hour: float, capacity_rps: float) -> float:
    """Price of a request where a machine serves as many as it can within its promise.

    Args:
        usd_per_hour: Price of the whole machine, > 0.
        capacity_rps: Rate that it sustains, > 0.

    Raises:
        ValueError: when one is not finite and > 0.
    """
    _positive("usd_per_hour", usd_per_hour)
    _positive("capacity_rps", capacity_rps)
    return usd_per_hour / 3600 / capacity_rps


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and > 0, is {value}")
