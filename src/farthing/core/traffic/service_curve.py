"""Measured service time of a batch by its size."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.intervals import mean_t
from farthing.nouns import Estimate

__all__ = ["ServiceCurve"]

_MOST_SIGMA = 1.0
"""Few samples of a disturbed machine can spread without limit; the queue model is not made for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCurve:
    """Service time of a batch by its size, with all workers of the replica loaded, pipeline included.

    Attributes:
        sizes: Measured batch sizes, ascending, ≥ 1.
        service_ms: Mean time of a whole batch of each size, > 0.
        sigma: Standard deviation of the logarithm of a single batch's service time, ≥ 0.
    """

    sizes: tuple[int, ...]
    service_ms: tuple[Estimate, ...]
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.service_ms):
            raise ValueError(f"ServiceCurve: one time for each size, at least one: {self!r}")
        if self.sizes[0] < 1 or any(b <= a for a, b in zip(self.sizes, self.sizes[1:])):
            raise ValueError(f"ServiceCurve: sizes must be ≥ 1 and ascending: {self!r}")
        if not all(math.isfinite(e.value) and e.value > 0 for e in self.service_ms):
            raise ValueError(f"ServiceCurve: times must be finite and > 0: {self!r}")
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"ServiceCurve: sigma must be finite and ≥ 0: {self!r}")

    @classmethod
    def exact(cls, *, sizes: Sequence[int], seconds: Sequence[float], sigma: float = 0.0) -> ServiceCurve:
        """Take times in seconds that are known without an interval."""
        times = tuple(Estimate(value=1000 * s, lo=1000 * s, hi=1000 * s, n=0, method="given") for s in seconds)
        return cls(sizes=tuple(sizes), service_ms=times, sigma=sigma)

    @classmethod
    def of(
        cls,
        service_ms: Sequence[tuple[int, Estimate]],
        *,
        sigma: float = 0.0,
        end: Literal["lo", "value", "hi"] = "value",
    ) -> ServiceCurve:
        """Take the curve of an ``Evaluation.service_ms``; ``end="hi"`` takes the slow end of each interval."""
        rows = sorted(service_ms, key=lambda row: row[0])
        if end == "value":
            return cls(sizes=tuple(size for size, _ in rows), service_ms=tuple(e for _, e in rows), sigma=sigma)
        seconds = [float(getattr(estimate, end)) / 1000 for _, estimate in rows]
        return cls.exact(sizes=[size for size, _ in rows], seconds=seconds, sigma=sigma)

    @classmethod
    def measured(cls, samples_ms: Mapping[int, Sequence[float]], *, contended: Collection[int] = ()) -> ServiceCurve:
        """Summarise times of single batches.

        Args:
            samples_ms: By batch size, at least two each.
            contended: Sizes during whose block the cores were busy: their interval is widened to the range.
        """
        sizes = tuple(sorted(samples_ms))
        logs = [np.log(samples_ms[b]) for b in sizes]
        squares = sum(float(((x - x.mean()) ** 2).sum()) for x in logs)
        spread = math.sqrt(squares / max(1, sum(x.size for x in logs) - len(sizes)))
        means = tuple(_mean(samples_ms[b], contended=b in contended) for b in sizes)
        return cls(sizes=sizes, service_ms=means, sigma=min(spread, _MOST_SIGMA))

    @property
    def seconds(self) -> tuple[float, ...]:
        """Mean times in seconds, in the order of ``sizes``."""
        return tuple(e.value / 1000 for e in self.service_ms)

    def scaled(self, factor: float) -> ServiceCurve:
        """Multiply every time by ``factor`` (> 0)."""
        return replace(self, service_ms=tuple(e.scaled(factor) for e in self.service_ms))

    def upto(self, batch: int) -> ServiceCurve:
        """The part up to and including a batch size.

        Raises:
            ValueError: when no size is so small.
        """
        keep = [k for k, b in enumerate(self.sizes) if b <= batch]
        return replace(
            self, sizes=tuple(self.sizes[k] for k in keep), service_ms=tuple(self.service_ms[k] for k in keep)
        )

    def carried_over(self, seen_ms: Mapping[int, Estimate]) -> ServiceCurve:
        """The curve at the time at which some of its sizes were measured again.

        Those sizes take the new figures; the others are multiplied by the geometric mean of the changes, since
        between two looks a machine changes its speed rather than its shape.

        Args:
            seen_ms: New mean times by size; sizes that the curve does not have are left out.
        """
        old = dict(zip(self.sizes, self.service_ms))
        new = {b: e for b, e in seen_ms.items() if b in old}
        if not new:
            return self
        factor = math.exp(sum(math.log(e.value / old[b].value) for b, e in new.items()) / len(new))
        return replace(self, service_ms=tuple(new.get(b, e.scaled(factor)) for b, e in old.items()))

    def by_size_s(self, max_batch: int) -> NDArray[np.float64]:
        """Service time of 1, 2, … ``max_batch`` requests, shape ``(max_batch,)``.

        Linear between measured sizes, constant below the smallest, and never falling: where noise made a larger
        batch look faster, the longer time holds for both.

        Raises:
            ValueError: when ``max_batch`` is < 1 or larger than the largest measured size.
        """
        if not 1 <= max_batch <= self.sizes[-1]:
            raise ValueError(f"max_batch must lie in [1, {self.sizes[-1]}], the sizes measured; is {max_batch}")
        monotone = np.maximum.accumulate(np.array(self.seconds))
        return np.interp(np.arange(1, max_batch + 1), self.sizes, monotone)


def _mean(samples_ms: Sequence[float], *, contended: bool) -> Estimate:
    found = mean_t(samples_ms)
    if not contended:
        return found
    return replace(
        found,
        lo=min(found.lo, *samples_ms),
        hi=max(found.hi, *samples_ms),
        method=f"{found.method}, widened to the range: cores busy",
    )
