"""What the screens and the race found, before it is priced."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from farthing.core.stats.intervals import mean_t
from farthing.nouns import Candidate, Estimate

__all__ = ["Curve", "Screen", "carried_over", "curve", "promising", "throughput_rps"]

SCREEN_NOISE_FRAC = 0.10
"""A screen is short; its interval is widened by this on both sides before anything is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Time of a whole batch by batch size, all cores loaded, pipeline included.

    Attributes:
        sizes: Batch sizes, rising.
        service_ms: Mean time of one batch of each size.
        jitter: Standard deviation of the log service time, pooled over sizes.
    """

    sizes: tuple[int, ...]
    service_ms: tuple[Estimate, ...]
    jitter: float

    def seconds(self) -> tuple[float, ...]:
        """Mean service times in seconds, in the order of ``sizes``."""
        return tuple(e.value / 1000 for e in self.service_ms)

    def upto(self, batch: int) -> Curve:
        """The part of the curve up to and including a batch size."""
        keep = [k for k, b in enumerate(self.sizes) if b <= batch]
        return Curve(
            sizes=tuple(self.sizes[k] for k in keep),
            service_ms=tuple(self.service_ms[k] for k in keep),
            jitter=self.jitter,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """First look at one build.

    Attributes:
        candidate: The build, one worker a core.
        ratio: Best throughput over its batch sizes against the baseline measured next to it.
    """

    candidate: Candidate
    ratio: Estimate


def curve(samples_ms: Mapping[int, Sequence[float]], *, contended: Collection[int] = ()) -> Curve:
    """Summarise service times.

    Args:
        samples_ms: Times of single batches by batch size, at least two each.
        contended: Sizes during whose block the cores were busy: their interval is widened to the range.
    """
    sizes = tuple(sorted(samples_ms))
    logs = [math.log(x) - sum(map(math.log, samples_ms[b])) / len(samples_ms[b]) for b in sizes for x in samples_ms[b]]
    spread = math.sqrt(sum(x * x for x in logs) / max(1, len(logs) - len(sizes)))
    means = tuple(_mean(samples_ms[b], contended=b in contended) for b in sizes)
    return Curve(sizes=sizes, service_ms=means, jitter=min(spread, 1.0))


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


def carried_over(known: Curve, seen_ms: Mapping[int, Estimate]) -> Curve:
    """A curve carried to the time at which some of its sizes were measured again.

    Those sizes take the new figures; the others are multiplied by the geometric mean of the changes, since between
    two looks a machine changes its speed rather than its shape.

    Args:
        known: As it was.
        seen_ms: New mean times by size; sizes that the curve does not have are left out.
    """
    old = dict(zip(known.sizes, known.service_ms))
    new = {b: e for b, e in seen_ms.items() if b in old}
    if not new:
        return known
    factor = math.exp(sum(math.log(e.value / old[b].value) for b, e in new.items()) / len(new))
    return replace(known, service_ms=tuple(new.get(b, e.scaled(factor)) for b, e in old.items()))


def throughput_rps(c: Curve, batch: int, instances: int) -> float:
    """Saturated throughput of one replica at a batch size of the curve."""
    return instances * batch / (c.service_ms[c.sizes.index(batch)].value / 1000)


def promising(screens: Iterable[Screen], *, keep_at_least: int = 3) -> tuple[Candidate, ...]:
    """Builds whose screened ratio, widened, reaches up to the best one's lower end; best first.

    Args:
        screens: One a build.
        keep_at_least: So many are kept whatever the intervals say, since a screen is short.
    """
    ranked = sorted(screens, key=lambda s: -s.ratio.value)
    if not ranked:
        return ()
    bar = max(s.ratio.lo for s in ranked) * (1 - SCREEN_NOISE_FRAC)
    kept = [
        s.candidate for k, s in enumerate(ranked) if k < keep_at_least or s.ratio.hi * (1 + SCREEN_NOISE_FRAC) >= bar
    ]
    return tuple(kept)
