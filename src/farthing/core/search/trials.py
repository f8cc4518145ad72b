"""Screens: a first look at each build, and which of them go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from farthing.nouns import Candidate, Estimate

__all__ = ["SCREEN_NOISE_FRAC", "Screen", "promising"]

SCREEN_NOISE_FRAC = 0.10
"""A screen is short; its interval is widened by this on both sides before anything is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """First look at one build.

    Attributes:
        candidate: The build, one worker a core.
        ratio: Best throughput over its batch sizes against the baseline measured next to it.
    """

    candidate: Candidate
    ratio: Estimate


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
