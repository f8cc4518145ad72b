"""Whether traffic and bill can belong together, told before anything is measured: bounds that no model crosses."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.nouns import HOURS_PER_MONTH

__all__ = ["Doubt", "doubt_about"]

_MOST_USD_PER_REQUEST = 1.0
_MOST_RPS_PER_VCPU, _MOST_RPS_PER_REPLICA_WITH_ACCELERATOR = 50_000.0, 2_000_000.0
"""20 µs of a core, and half a microsecond of a machine with accelerators: less than reading a request takes."""
_LEAST_RPS_PER_VCPU = 1 / 60
_FEW_REPLICAS = 4.0
"""So many may be there for other reasons than the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What is odd.

    Attributes:
        said: In words, with value and limit.
        impossible: Whether nobody pays so, rather than seldom.
    """

    said: str
    impossible: bool


def doubt_about(
    *, requests_per_month: float, usd_per_month: float, replicas: float, vcpus: float | None, accelerated: bool
) -> Doubt | None:
    """What is odd about traffic beside a bill, None when nothing is.

    Args:
        requests_per_month: All replicas together, > 0.
        usd_per_month: The bill, > 0.
        replicas: That it pays for, on average, > 0.
        vcpus: Of one replica, None when unknown.
        accelerated: Whether replicas have accelerators.
    """
    usd_per_request = usd_per_month / requests_per_month
    if usd_per_request > _MOST_USD_PER_REQUEST:
        return Doubt(
            said=f"each would cost ${usd_per_request:,.2f} of the bill (at most $1 is plausible)", impossible=True
        )
    rps = requests_per_month / (HOURS_PER_MONTH * 3600)
    if accelerated and rps / replicas > _MOST_RPS_PER_REPLICA_WITH_ACCELERATOR:
        return Doubt(said=f"each replica paid for would have to answer {rps / replicas:,.0f} a second", impossible=True)
    if vcpus is None or accelerated:
        return None
    each_rps = rps / (replicas * vcpus)
    if each_rps > _MOST_RPS_PER_VCPU:
        least = f"at most {_MOST_RPS_PER_VCPU:,.0f} is plausible"
        return Doubt(
            said=f"each vCPU paid for would have to answer {each_rps:,.0f} a second ({least})", impossible=True
        )
    if each_rps < _LEAST_RPS_PER_VCPU and replicas > _FEW_REPLICAS:
        said = (
            f"each of the {replicas * vcpus:,.0f} vCPUs paid for would answer one request in {1 / each_rps / 60:,.0f} "
            "min: is the trace whole, and is that its unit?"
        )
        return Doubt(said=said, impossible=False)
    return None
