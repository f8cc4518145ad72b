"""What a server is told of scaling: the rule, its bounds, and how a replica starts and is paid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from farthing.core.simulation.rules.written import WrittenRule

__all__ = ["LivePolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePolicy:
    """How the worker processes of one model are started and stopped; times are of the policy's clock.

    Attributes:
        rule: Decides.
        max_replicas: Upper bound, ≥ 1.
        min_replicas: Lower bound, ≥ 0.
        initial: Replicas at the start, ≥ 1: the first one tells what the model is.
        model: Name of the model that is scaled; None for the only one.
        start_s: Lag of the machine before its process is asked for, ≥ 0.
        ready_within_s: Longest time from there to being ready, in seconds of the wall clock, > 0.
        usd_per_hour: Of one replica; None for its share of the model's offer.
        minimum_bill_s: Paid at least for a replica that ran, ≥ 0.
        promise_s: From arrival to answer; None for the model's deadline.
        attainment_frac: Share of the requests to be answered so, in (0, 1).
        time_lapse: Seconds of the policy's clock in one of the wall clock, > 0. Counts of an interval are multiplied
            by it, so that rates stay those of the wall clock.
        emulated: Workers wait out service times instead of computing.
        service_ms: For them, by batch size; empty for those of the plan.
        rate_rps: That a replica takes within the promise; None for the plan's.
        in_flight: Requests that it has in flight then; None for what the service times say.
        source: What it was read from, for messages.
    """

    rule: WrittenRule
    max_replicas: int
    min_replicas: int = 1
    initial: int = 1
    model: str | None = None
    start_s: float = 0.0
    ready_within_s: float = 120.0
    usd_per_hour: float | None = None
    minimum_bill_s: float = 60.0
    promise_s: float | None = None
    attainment_frac: float = 0.99
    time_lapse: float = 1.0
    emulated: bool = False
    service_ms: Mapping[int, float] = field(default_factory=dict)
    rate_rps: float | None = None
    in_flight: float | None = None
    source: str = "the policy"

    def __post_init__(self) -> None:
        if not (0 <= self.min_replicas <= self.max_replicas and 1 <= self.initial <= self.max_replicas):
            raise ValueError(f"LivePolicy: 0 ≤ min ≤ max and 1 ≤ initial ≤ max must hold: {self}")
        if self.initial < self.min_replicas:
            raise ValueError(f"LivePolicy: initial must be ≥ min_replicas: {self}")
        if not (self.start_s >= 0 and self.minimum_bill_s >= 0 and 0 < self.attainment_frac < 1):
            raise ValueError(f"LivePolicy: start and minimum_bill must be ≥ 0, attainment in (0, 1): {self}")
        amounts = (
            self.ready_within_s,
            self.time_lapse,
            self.usd_per_hour,
            self.promise_s,
            self.rate_rps,
            self.in_flight,
        )
        if not all(x is None or (x > 0 and math.isfinite(x)) for x in amounts):
            raise ValueError(f"LivePolicy: amounts must be finite and > 0: {self}")
