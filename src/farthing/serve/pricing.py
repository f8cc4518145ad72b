"""What a model's place on this replica costs, worked out once for each model.

The price is that of the whole replica (the offer that the machine is priced as); ``core/money/attribution.py``
shares it over requests. Without a price there are no figures, never zeros.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import assert_never

from farthing.core.route.served import RoutedModel, Served, UpstreamModel
from farthing.nouns import LocalModel, Offer
from farthing.wire.requests import Answer, Request

__all__ = ["COST_HEADER", "Pricing", "cost_header", "cost_line", "pricing"]

COST_HEADER = "Farthing-Cost"
"""Name of the header that ``--expose-cost`` adds to answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """Price and cores behind a model.

    Attributes:
        offer: None when unknown.
        usd_per_hour: Of the whole replica, NaN when unknown.
        worker_cores: Cores (or accelerators) that one batch keeps busy; none of a route, whose tiers keep theirs busy.
        replica_cores: As many as ``usd_per_hour`` pays for, > 0.
    """

    offer: Offer | None
    usd_per_hour: float
    worker_cores: float
    replica_cores: float

    @property
    def key(self) -> str | None:
        """The offer's key when it has a price by the hour."""
        return self.offer.key if self.offer is not None and not math.isnan(self.usd_per_hour) else None


def pricing(spec: Served) -> Pricing:
    """Price and cores of what is served: of its offer; cores of this process where the offer does not say.

    A model on an accelerator keeps one accelerator busy, whatever its threads. What other end points charge is told by
    the places of a route, so that an upstream has no price here; its requests count as one core each while they are
    under way.
    """
    match spec:
        case LocalModel() if spec.candidate.device != "cpu":
            return _on_accelerators(spec.offer)
        case LocalModel():
            return _on_cores(spec.offer, float(spec.candidate.threads))
        case UpstreamModel():
            return _on_cores(None, 1.0)
        case RoutedModel():
            return _on_cores(spec.offer, 0.0)
        case _:
            assert_never(spec)


def _on_accelerators(offer: Offer | None) -> Pricing:
    accelerators = offer.hardware.accelerators if offer is not None else 0.0
    replica = float(accelerators or 1.0)
    return Pricing(offer=offer, usd_per_hour=_usd_per_hour(offer), worker_cores=1.0, replica_cores=replica)


def _on_cores(offer: Offer | None, busy: float) -> Pricing:
    vcpus = offer.hardware.vcpus if offer is not None else None
    replica = float(vcpus or len(os.sched_getaffinity(0)))
    return Pricing(offer=offer, usd_per_hour=_usd_per_hour(offer), worker_cores=busy, replica_cores=replica)


def _usd_per_hour(offer: Offer | None) -> float:
    return offer.usd_per_hour if offer is not None and offer.usd_per_hour is not None else math.nan


def cost_header(request: Request, answer: Answer) -> str | None:
    """Value of :data:`COST_HEADER`: what the request cost on the usage basis, and on whose price.

    Returns:
        ``usage_usd=1.1e-09; offer="aws/m7i.large@us-east-1:on_demand"; dated=2026-07-20`` in ASCII without control
        characters, None when the model has no price by the hour. The allocation basis is known only when the
        interval is over; it is in the ledger.
    """
    price = pricing(request.model.spec)
    if price.key is None or price.offer is None or answer.batch_rows < 1:
        return None
    usd = _usage_usd(price, request, answer)
    if math.isnan(usd):
        return None
    offer = "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in price.key)
    return f'usage_usd={usd:.6g}; offer="{offer}"; dated={price.offer.dated.isoformat()}'


def _usage_usd(price: Pricing, request: Request, answer: Answer) -> float:
    """Of the core-seconds that it kept busy; of all tiers that were called where a route answered."""
    if answer.route is not None:
        return answer.route.usage_usd
    busy_core_s = answer.service_s * request.rows / answer.batch_rows * price.worker_cores
    return price.usd_per_hour / 3600 * busy_core_s / price.replica_cores


def cost_line(request: Request, answer: Answer) -> bytes:
    """The whole line of the header for HTTP, empty without a price."""
    said = cost_header(request, answer)
    return b"" if said is None else f"{COST_HEADER}: {said}\r\n".encode("ascii")
