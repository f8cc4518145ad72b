"""The rate that a route was seen to keep within a latency promise: what ``route.yaml`` holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from farthing.nouns import Estimate, LatencyBound, Verdict

__all__ = ["PlannedRate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRate:
    """The rate that ``farthing serve route.yaml`` keeps within a promise on one machine, and how that was shown.

    Attributes:
        bound: What is promised of latency, at its level.
        verdict: Whether the last proof bears it out.
        rate_rps: Planned: ``kept_rps`` over ``headroom``, lower where proofs failed; None when the promise is kept at
            no rate.
        kept_rps: Highest rate within the promise, as the latency–rate curve says.
        headroom: Factor between the two, ≥ 1.
        latency_ms: At the promised level, of the proof at ``rate_rps``; t over its runs. None without a proof.
        proofs: Planned rates that were tried, ≥ 0; each lower than the one before.
        runs: Of the last proof, each with arrivals of its own.
        requests: Of one run.
        seed: Of everything random.
        clients: That asked without a rest for ``capacity_rps``.
        capacity_rps: Good answers a second to them.
        generator_frac: The load generator's share of the processor time of all cores, in [0, 1].
        front_frac: The share of the server's own process (protocol, queue, scores, tiers in its thread).
        contended: Whether cores were busy with something else in spite of retries.
        hardware: Fingerprint of the machine.
        planned_at: When, with offset.
        assumptions: Everything that was assumed, in words.
    """

    bound: LatencyBound
    verdict: Verdict
    rate_rps: Estimate | None
    kept_rps: Estimate | None
    headroom: float
    latency_ms: Estimate | None = None
    proofs: int = 0
    runs: int = 0
    requests: int = 0
    seed: int = 0
    clients: int = 1
    capacity_rps: float = 0.0
    generator_frac: Estimate | None = None
    front_frac: Estimate | None = None
    contended: bool = False
    hardware: str = ""
    planned_at: datetime | None = None
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.headroom >= 1, self, "headroom must be ≥ 1")
        _require(self.rate_rps is None or self.rate_rps.value > 0, self, "a planned rate must be > 0")
        _require(self.verdict.outcome != "met" or self.kept, self, "met without a proof within the bound")

    @property
    def kept(self) -> bool:
        """Whether the proof's upper end lies within the promise."""
        return self.rate_rps is not None and self.latency_ms is not None and self.latency_ms.hi <= self.bound.ms


def _require(holds: bool, noun: Any, rule: str) -> None:
    if not holds:
        raise ValueError(f"PlannedRate: {rule}: {noun!r}")
