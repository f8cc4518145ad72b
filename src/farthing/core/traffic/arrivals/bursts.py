"""Bursts: a rate that jumps between a calm and a busy level at random times (a Markov-modulated Poisson process)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.traffic.arrivals.poisson import BLOCK, along, check_span

__all__ = ["Bursts", "bursts"]

Floats = NDArray[np.float64]

_STAYS = 4096
"""Most stays in a state that are drawn at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """A Markov-modulated Poisson process of two states (MMPP-2), in equilibrium.

    Attributes:
        calm_rps: Requests a second while it is calm, ≥ 0.
        burst_rps: Requests a second in a burst, > ``calm_rps``.
        calm_s: Mean time between bursts in seconds, > 0; times are exponential.
        burst_s: Mean length of a burst in seconds, > 0.
    """

    calm_rps: float
    burst_rps: float
    calm_s: float
    burst_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.calm_rps < self.burst_rps or not math.isfinite(self.burst_rps):
            raise ValueError(f"Bursts: 0 ≤ calm_rps < burst_rps wanted: {self!r}")
        if not all(math.isfinite(s) and s > 0 for s in (self.calm_s, self.burst_s)):
            raise ValueError(f"Bursts: calm_s and burst_s must be finite and > 0: {self!r}")

    @classmethod
    def of_mean(cls, mean_rps: float, *, ratio: float, burst_frac: float, burst_s: float) -> Bursts:
        """Make bursts of a mean rate.

        Args:
            mean_rps: Requests a second over all time, > 0.
            ratio: Rate in a burst by the rate between bursts, > 1.
            burst_frac: Share of the time that bursts take, in (0, 1).
            burst_s: Their mean length in seconds, > 0.

        Raises:
            ValueError: when an argument is outside its domain.
        """
        if not (mean_rps > 0 and ratio > 1 and 0 < burst_frac < 1):
            raise ValueError(
                f"mean_rps > 0, ratio > 1 and burst_frac in (0, 1) wanted: {mean_rps}, {ratio}, {burst_frac}"
            )
        calm_rps = mean_rps / (1 - burst_frac + ratio * burst_frac)
        calm_s = burst_s * (1 - burst_frac) / burst_frac
        return cls(calm_rps=calm_rps, burst_rps=ratio * calm_rps, calm_s=calm_s, burst_s=burst_s)

    @property
    def burst_frac(self) -> float:
        """Share of the time that bursts take."""
        return self.burst_s / (self.calm_s + self.burst_s)

    @property
    def mean_rps(self) -> float:
        """Requests a second over all time."""
        return self.calm_rps + self.burst_frac * (self.burst_rps - self.calm_rps)

    def idc(self, window_s: Floats) -> Floats:
        """Index of dispersion for counts: variance by mean of the requests in a window.

        With rates ``λ₁, λ₂`` and rates of leaving ``r₁ = 1/calm_s, r₂ = 1/burst_s``, ``r = r₁ + r₂``,

            I(t) = 1 + 2 (λ₁ − λ₂)² r₁ r₂ / (r² (λ₁ r₂ + λ₂ r₁)) · (1 − (1 − e^(−r t)) / (r t))

        (Heffes & Lucantoni, *A Markov modulated characterization of packetized voice and data traffic*, IEEE JSAC 4(6),
        1986).

        Args:
            window_s: Lengths of windows in seconds, > 0, any shape.

        Returns:
            ≥ 1, shape as ``window_s``.
        """
        r1, r2 = 1 / self.calm_s, 1 / self.burst_s
        r = r1 + r2
        most = 2 * (self.calm_rps - self.burst_rps) ** 2 * r1 * r2
        most /= r * r * (self.calm_rps * r2 + self.burst_rps * r1)
        rt = r * np.asarray(window_s, dtype=np.float64)
        result: Floats = 1 + most * (1 + np.expm1(-rt) / rt)
        return result


def bursts(process: Bursts, length_s: float, *, seed: int) -> Iterator[Floats]:
    """Draw requests that come in bursts.

    Args:
        process: Rates and lengths.
        length_s: For how many seconds, > 0.
        seed: Of the draws.

    Returns:
        Blocks of instants in ``[0, length_s]``.

    Raises:
        ValueError: when the length is not finite and > 0.
    """
    check_span(process.mean_rps, length_s)
    return _drawn(process, length_s, np.random.default_rng(seed))


def _drawn(process: Bursts, length_s: float, rng: np.random.Generator) -> Iterator[Floats]:
    rates_rps = np.array([process.calm_rps, process.burst_rps])
    mean_s = np.array([process.calm_s, process.burst_s])
    pairs = int(np.clip(BLOCK / float(rates_rps @ mean_s), 1, _STAYS // 2))
    state = np.tile([0, 1] if rng.random() >= process.burst_frac else [1, 0], pairs)
    start_s = 0.0
    while start_s < length_s:
        ends_s = np.cumsum(rng.exponential(mean_s[state]))
        edges_s = np.minimum(np.concatenate(([0.0], ends_s)), length_s - start_s)
        expected = np.concatenate(([0.0], np.cumsum(np.diff(edges_s) * rates_rps[state])))
        for at_s in along(edges_s, expected, rng):
            yield start_s + at_s
        start_s += float(edges_s[-1])
