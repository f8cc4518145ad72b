"""What the ledger keeps of how a route answered: tier, score, decision, audits, and what all its calls kept busy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from farthing.store.ledger_rows import AUDIT

if TYPE_CHECKING:
    from farthing.wire.decisions import Routed

__all__ = ["NO_ROUTES", "RouteNames", "RouteRows"]

MOST_NAMES = 4096
"""Pairs of tier and decision in one journal; rows beyond them are of the pair ``other``."""


class RouteRows:
    """The routed ones among rows of one flush.

    Attributes:
        at: Places of the rows, shape ``(n,)``.
        busy_core_s: Of this machine's workers, all calls of the row, shape ``(n,)``.
        charged_usd: By other end points, shape ``(n,)``.
        usage_usd: All of it on the usage basis, NaN when unknown, shape ``(n,)``.
    """

    __slots__ = ("at", "busy_core_s", "charged_usd", "usage_usd")

    def __init__(self, found: Mapping[int, Routed]) -> None:
        self.at: NDArray[np.intp] = np.fromiter(found, np.intp, len(found))
        routed = list(found.values())
        self.busy_core_s: NDArray[np.float64] = np.array([r.busy_core_s for r in routed], dtype=np.float64)
        self.charged_usd: NDArray[np.float64] = np.array([r.charged_usd for r in routed], dtype=np.float64)
        self.usage_usd: NDArray[np.float64] = np.array([r.usage_usd for r in routed], dtype=np.float64)


NO_ROUTES = RouteRows({})


class RouteNames:
    """Numbers of the pairs of tier and decision that rows refer to.

    Args:
        learn: Told of each new pair once, before rows refer to it.
    """

    def __init__(self, learn: Callable[[Mapping[str, Any]], None]) -> None:
        self._learn = learn
        self._numbers: dict[tuple[str, str], int] = {}

    def fill(self, records: NDArray[Any], found: Mapping[int, Routed]) -> None:
        """Set the columns ``route``, ``route_score`` and ``flags`` of routed rows.

        Args:
            records: Of type ``REQUEST_RECORD``.
            found: By the place of the row.
        """
        for k, routed in found.items():
            records["route"][k] = self._number(_tiers(routed), _decision(routed))
            records["route_score"][k] = min(d.value for d in routed.decisions)
            if routed.is_audit:
                records["flags"][k] |= AUDIT

    def _number(self, tier: str, decision: str) -> int:
        pair = tier, decision
        if pair not in self._numbers and len(self._numbers) >= MOST_NAMES:
            pair = "other", "other"
        if pair not in self._numbers:
            self._numbers[pair] = len(self._numbers) + 1
            self._learn({"route": pair})
        return self._numbers[pair]


def _tiers(routed: Routed) -> str:
    """Who answered; several names where rows of one request were answered by several."""
    return "+".join(dict.fromkeys(d.tier for d in routed.decisions))


def _decision(routed: Routed) -> str:
    """The rung and why tiers that were asked did not answer, for example ``rung 2: small=score``."""
    first = routed.decisions[0]
    if routed.is_audit:
        return "audit"
    passed: Sequence[str] = sorted({f"{one.tier}={one.reason}" for d in routed.decisions for one in d.passed_on})
    followed = "reference" if first.rung is None else f"rung {first.rung}"
    return f"{followed}: {' '.join(passed)}" if passed else followed
