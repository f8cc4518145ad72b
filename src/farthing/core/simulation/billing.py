"""Whole units that a provider bills for the lives of replicas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from farthing.core.simulation.outcomes import ReplicaLife

__all__ = ["Billing", "billed_units"]

_ROUNDING = 1e-9
"""Share of a unit that is rounding of instants, not time used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """How time becomes units.

    Attributes:
        unit_s: Length of a billed unit in seconds, finite and > 0; a begun unit is paid whole.
        minimum_s: Paid at least for a machine that ran at all, finite and ≥ 0.
        since: What is paid from: the moment the machine runs (``started``), or the request for it (``requested``).
    """

    unit_s: float = 1.0
    minimum_s: float = 60.0
    since: Literal["requested", "started"] = "started"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.unit_s) and self.unit_s > 0):
            raise ValueError(f"Billing: unit_s must be finite and > 0: {self!r}")
        if not (math.isfinite(self.minimum_s) and self.minimum_s >= 0):
            raise ValueError(f"Billing: minimum_s must be finite and ≥ 0: {self!r}")
        if self.since not in ("requested", "started"):
            raise ValueError(f"Billing: since must be requested or started: {self!r}")

    def units(self, seconds: float) -> int:
        """Units of one machine that was there for so long."""
        return math.ceil(max(seconds, self.minimum_s) / self.unit_s - _ROUNDING)


def billed_units(lives: Iterable[ReplicaLife], horizon_s: float, billing: Billing) -> Mapping[str, int]:
    """Units by pool; a replica that is still there at the horizon is paid until then.

    A replica of which there was never a machine costs nothing when paid since ``started``.

    Args:
        lives: Of one simulation.
        horizon_s: Its end.
        billing: The provider's rule.
    """
    found: dict[str, int] = {}
    for life in lives:
        since_s = life.requested_s if billing.since == "requested" else life.started_s
        until_s = horizon_s if life.gone_s is None else life.gone_s
        units = 0 if since_s is None else billing.units(until_s - since_s)
        found[life.pool] = found.get(life.pool, 0) + units
    return found
