"""What figures are made of: estimates with their intervals, levels and bounds of latency, verdicts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BUSY_FRAC",
    "HIGHEST_LEVEL",
    "HOURS_PER_MONTH",
    "NEVER_MS",
    "Contention",
    "Estimate",
    "Latency",
    "LatencyBound",
    "Outcome",
    "Precision",
    "Scenario",
    "Status",
    "Term",
    "Verdict",
    "latency_metric",
    "percentile_name",
    "require",
]

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Scenario = Literal["SingleStream", "Offline", "Server"]
Term = Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "serverless", "per_token", "owned"]
Outcome = Literal["met", "not_met", "unproven"]
Status = Literal["baseline", "chosen", "tied", "lost", "infeasible", "failed"]
HOURS_PER_MONTH = 730.0
"""Hours in a month as the clouds bill them (8,760 / 12)."""
NEVER_MS = 1e9
"""Stands for a latency without a limit: beyond all bounds, and finite in every file format."""
BUSY_FRAC = 0.25
"""From this share of contended blocks on a machine was busy: what was measured there proves no promise missed."""
HIGHEST_LEVEL = 0.999
"""Highest latency percentile that can be promised: p99.99 would take 40,000 single requests and 200,000 served ones."""
_ROUNDING = 1e-14
_LATENCY_METRIC = re.compile(r"latency_p(\d+(?:\.\d+)?)_ms")


def require(ok: bool, owner: object, problem: str) -> None:
    """Refuse a value that is none.

    Raises:
        ValueError: naming the noun, the problem and the value.
    """
    if not ok:
        raise ValueError(f"{type(owner).__name__}: {problem}: {owner!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with the interval that was measured or derived for it.

    Attributes:
        value: Point estimate, in the unit of the field that holds it.
        lo: Lower end of the interval, ≤ value (−inf when the interval is one-sided). An end that lies past the value by
            no more than the rounding of a few multiplications is the value.
        hi: Upper end of the interval, ≥ value (+inf when the interval is one-sided), as ``lo``.
        n: Number of independent observations (blocks, requests, images) behind it; 0 for a quoted fact.
        method: How the interval was made, for example ``"t on 12 log ratios"``.
        source: Where the number comes from (a measurement's key, a price list, a formula).
        confidence: Coverage of the interval in (0, 1).
    """

    value: float
    lo: float
    hi: float
    n: int
    method: str
    source: str = ""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        require(not any(math.isnan(x) for x in (self.value, self.lo, self.hi)), self, "NaN is no estimate")
        for end in ("lo", "hi"):
            if math.isclose(getattr(self, end), self.value, rel_tol=_ROUNDING):
                object.__setattr__(self, end, self.value)
        require(self.lo <= self.value <= self.hi, self, "lo ≤ value ≤ hi does not hold")
        require(self.n >= 0, self, "n must be ≥ 0")
        require(0 < self.confidence < 1, self, "confidence must lie in (0, 1)")

    def scaled(self, factor: float) -> Estimate:
        """The same estimate times a constant (its ends swap when the factor is negative)."""
        lo, hi = sorted((self.lo * factor, self.hi * factor))
        return Estimate(
            value=self.value * factor,
            lo=lo,
            hi=hi,
            n=self.n,
            method=self.method,
            source=self.source,
            confidence=self.confidence,
        )


def percentile_name(percentile: float) -> str:
    """``p99`` for 0.99, ``p99.9`` for 0.999: how a level is called everywhere."""
    return f"p{percentile * 100:.6g}"


def latency_metric(percentile: float) -> str:
    """Name of a Measurement's metric: ``latency_p99_ms``, ``latency_p99.9_ms``."""
    return f"latency_{percentile_name(percentile)}_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBound:
    """What is promised of latency: so many of the requests are answered within a time.

    Attributes:
        ms: The time, > 0.
        percentile: Share of the requests, in (0, 0.999]; what lies above takes more requests than a run has.
    """

    ms: float
    percentile: float = 0.99

    def __post_init__(self) -> None:
        require(self.ms > 0, self, "ms must be > 0")
        require(
            0 < self.percentile <= HIGHEST_LEVEL,
            self,
            f"percentile must lie in (0, {HIGHEST_LEVEL:g}]; above it a run has too few requests",
        )

    @property
    def name(self) -> str:
        """``p99.9``."""
        return percentile_name(self.percentile)

    @property
    def flag(self) -> str:
        """``--p999``: how it is asked for."""
        return f"--{self.name.replace('.', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A latency percentile that was measured; it carries its level, so that no other name is written on it.

    Attributes:
        percentile: Which one, in (0, 1).
        ms: Its value.
    """

    percentile: float
    ms: Estimate

    def __post_init__(self) -> None:
        require(0 < self.percentile < 1, self, "percentile must lie in (0, 1)")

    @property
    def name(self) -> str:
        """``p99.9``."""
        return percentile_name(self.percentile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to “does it hold?”.

    Attributes:
        outcome: ``met``, ``not_met`` or ``unproven``.
        reasons: One sentence each, the decisive one first.
        hint: What to do next, empty when there is nothing to do.
    """

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contention:
    """How often others used the cores while something was measured.

    Attributes:
        contended: Blocks and runs during which the cores were busy in spite of retries.
        of: All of them.
    """

    contended: int
    of: int

    def __post_init__(self) -> None:
        require(0 <= self.contended <= self.of, self, "0 ≤ contended ≤ of does not hold")

    @property
    def busy(self) -> bool:
        """Whether so many were contended that nothing is proven missed."""
        return self.contended > 0 and self.contended >= BUSY_FRAC * self.of
