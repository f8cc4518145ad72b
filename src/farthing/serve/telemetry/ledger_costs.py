"""Costs of the requests of one flush of the ledger, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.attribution import NANODOLLARS_PER_USD, Carry, attribute, busy_core_s
from farthing.serve.pricing import Pricing
from farthing.serve.telemetry.ledger_routes import NO_ROUTES, RouteRows
from farthing.store.ledger_rows import NO_COST

__all__ = ["Costs"]

_OK = 200


class Costs:
    """Remembers since when the replica's time is not attributed, and parts of a nano-dollar.

    Args:
        now_s: Monotonic time of the replica's start.
    """

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._carry = Carry()

    def fill(
        self,
        records: NDArray[Any],
        prices: Sequence[Pricing],
        at_s: NDArray[np.float64],
        routed: RouteRows = NO_ROUTES,
    ) -> None:
        """Set both cost columns of the rows of one interval.

        Args:
            records: Of type ``REQUEST_RECORD``; ``model`` counts ``prices`` from 1.
            prices: Of the models.
            at_s: Monotonic time of each row. The interval ends with its last answer, so that idle time after it is
                borne by who is answered next; where nothing was answered the next interval begins where this one did.
            routed: Rows of routes, which have kept busy what all their calls have; what other end points charge for
                them is added on both bases. Without a price by the hour only the usage basis is known of them.
        """
        which = records["model"].astype(np.intp) - 1
        price = np.array([p.usd_per_hour for p in prices])[which]
        worker = np.array([p.worker_cores for p in prices])[which]
        replica = np.array([p.replica_cores for p in prices])[which]
        busy = busy_core_s(
            records["service_s"], records["rows"].astype(float), records["batch_rows"].astype(float), worker
        )
        busy[routed.at] = routed.busy_core_s
        answered = records["status"] == _OK
        end_s = float(at_s[answered].max(initial=self._since_s))
        cost = attribute(end_s - self._since_s, price, busy, replica, answered, self._carry)
        self._carry, self._since_s = cost.carry, end_s
        records["cost_allocation_nusd"] = np.where(cost.known, cost.allocation_nusd, NO_COST)
        records["cost_usage_nusd"] = np.where(cost.known, cost.usage_nusd, NO_COST)
        self._add_charges(records, routed)

    def _add_charges(self, records: NDArray[Any], routed: RouteRows) -> None:
        at = routed.at
        charged = np.rint(routed.charged_usd * NANODOLLARS_PER_USD).astype(np.int64)
        for name in ("cost_allocation_nusd", "cost_usage_nusd"):
            records[name][at] += np.where(records[name][at] == NO_COST, 0, charged)
        usage = routed.usage_usd * NANODOLLARS_PER_USD
        alone = (records["cost_usage_nusd"][at] == NO_COST) & np.isfinite(usage)
        records["cost_usage_nusd"][at[alone]] = np.rint(usage[alone]).astype(np.int64)
