"""As many replicas as were bought, whatever comes."""

from __future__ import annotations

from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["FixedScaler"]


class FixedScaler:
    """Never scales; see :class:`farthing.ports.Scaler`.

    Args:
        replicas: Always, ≥ 0.
        interval_s: Between two looks, > 0.
    """

    name = "fixed"
    assumed: tuple[str, ...] = ()

    def __init__(self, replicas: int, *, interval_s: float = 60.0) -> None:
        self.interval_s = interval_s
        self._always = ScalingDecision(replicas=replicas, reason="a fixed fleet")

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """The number that was given."""
        return self._always
