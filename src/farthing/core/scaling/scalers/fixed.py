"""As many replicas as were bought, whatever comes."""

from __future__ import annotations

from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["FixedScaler"]


class FixedScaler:
    """Never scales; see :class:`farthing.ports.Scaler`.

    Args:
        replicas: Always, ≥ 0.
    """

    name = "fixed"
    interval_s = 60.0
    assumed: tuple[str, ...] = ()

    def __init__(self, replicas: int) -> None:
        self._always = ScalingDecision(replicas=replicas, reason="a fixed fleet")

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """The number that was given."""
        return self._always
