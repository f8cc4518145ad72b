"""How bursty arrivals are: the dispersion of their counts, and their peak by their mean, in windows of all lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from farthing.nouns import Trace

__all__ = ["WINDOWS_S", "Burstiness", "Dispersion", "burstiness", "burstiness_of_counts"]

Floats = NDArray[np.float64]

WINDOWS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
"""Lengths of windows that are looked at, in seconds."""
_LEAST_WINDOWS = 10
_TAIL = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispersion:
    """Requests in windows of one length, side by side from the beginning on.

    Attributes:
        window_s: Length of a window in seconds.
        windows: How many whole ones there are, ≥ 10.
        mean: Requests in a window, > 0.
        idc: Index of dispersion for counts: variance by mean of the requests in a window (Cox & Lewis, *The Statistical
            Analysis of Series of Events*, 1966; of traffic: Gusella, *Characterizing the variability of arrival
            processes with indexes of dispersion*, IEEE JSAC 9(2), 1991). 1 of Poisson's, less of regular arrivals, more
            of bursts; a rate that changes by the hour raises it in long windows too.
        poisson_lo: Lower end of what Poisson arrivals at one rate would show in 95 % of cases: ``(n − 1) · idc`` is
            χ² of n − 1 degrees of freedom (Fisher's index of dispersion test), good from a mean of about 1 on.
        poisson_hi: Upper end.
        peak_to_mean: Requests in the busiest window by those in a mean one, ≥ 1.
    """

    window_s: float
    windows: int
    mean: float
    idc: float
    poisson_lo: float
    poisson_hi: float
    peak_to_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burstiness:
    """How bursty arrivals are.

    Attributes:
        requests: How many there are.
        length_s: In how many seconds.
        by_window: Shortest windows first; lengths without ten whole windows are left out.
    """

    requests: float
    length_s: float
    by_window: tuple[Dispersion, ...]

    def at(self, window_s: float) -> Dispersion | None:
        """The dispersion in windows of that length, None where it was not looked at."""
        return next((found for found in self.by_window if found.window_s == window_s), None)


@dataclass(slots=True)
class _Windows:
    """Counts in windows of one length while requests pass; sums are exact."""

    window_s: float
    n: int
    total: int = 0
    squares: int = 0
    most: int = 0
    _open: int = -1
    _in_open: int = 0

    def add(self, at_s: Floats) -> None:
        index = np.floor(at_s / self.window_s).astype(np.int64)
        index = index[: np.searchsorted(index, self.n)]
        if not index.size:
            return
        starts = np.concatenate(([0], np.flatnonzero(np.diff(index)) + 1, [index.size]))
        counts = np.diff(starts)
        if index[0] == self._open:
            counts[0] += self._in_open
        elif self._in_open:
            self._close(np.array([self._in_open]))
        self._close(counts[:-1])
        self._open, self._in_open = int(index[-1]), int(counts[-1])

    def _close(self, counts: NDArray[np.int64]) -> None:
        if counts.size:
            self.total += int(counts.sum())
            self.squares += int((counts * counts).sum())
            self.most = max(self.most, int(counts.max()))

    def found(self) -> Dispersion | None:
        self._close(np.array([self._in_open]))
        self._in_open = 0
        return _dispersion(self.window_s, self.n, float(self.total), float(self.squares), float(self.most))


def burstiness(
    arrivals: Iterable[Floats], length_s: float, *, windows_s: Sequence[float] = WINDOWS_S, resolution_s: float = 0.0
) -> Burstiness:
    """Look at a stream of arrivals in windows of several lengths, in one pass and constant memory.

    Args:
        arrivals: Blocks of instants from 0 on.
        length_s: Of the stream in seconds, > 0.
        windows_s: Lengths of windows in seconds, > 0, ascending.
        resolution_s: Steps in which the instants are known; shorter windows are left out.

    Raises:
        ValueError: when the length or a window is not > 0.
    """
    if not length_s > 0 or not all(window_s > 0 for window_s in windows_s):
        raise ValueError(f"length_s and windows_s must be > 0, are {length_s} and {tuple(windows_s)}")
    fine = (window_s for window_s in windows_s if window_s >= resolution_s)
    counting = [_Windows(w, n) for w in fine if (n := int(length_s / w * (1 + 1e-12))) >= _LEAST_WINDOWS]
    requests = 0
    for block in arrivals:
        requests += block.size
        for windows in counting:
            windows.add(block)
    found = (windows.found() for windows in counting)
    return Burstiness(requests=requests, length_s=length_s, by_window=tuple(one for one in found if one is not None))


def burstiness_of_counts(trace: Trace, *, windows_s: Sequence[float] = WINDOWS_S) -> Burstiness:
    """Look at a trace's counts in windows of one step and of whole steps.

    Of rates, whose counts are no whole numbers, the index says how the rate varies, without the chance of single
    requests.

    Args:
        trace: Counts by step.
        windows_s: Lengths of windows in seconds; those that are whole steps are looked at.
    """
    steps = {1, *(round(w / trace.step_s) for w in windows_s if _whole(w / trace.step_s))}
    found = (_of_steps(trace, k) for k in sorted(steps))
    return Burstiness(
        requests=float(trace.counts.sum()),
        length_s=trace.counts.size * trace.step_s,
        by_window=tuple(one for one in found if one is not None),
    )


def _whole(ratio: float) -> bool:
    return ratio >= 1 and abs(ratio - round(ratio)) < 1e-9


def _of_steps(trace: Trace, k: int) -> Dispersion | None:
    n = trace.counts.size // k
    if n < _LEAST_WINDOWS:
        return None
    counts = trace.counts[: n * k].reshape(n, k).sum(axis=1)
    return _dispersion(k * trace.step_s, n, float(counts.sum()), float(counts @ counts), float(counts.max()))


def _dispersion(window_s: float, n: int, total: float, squares: float, most: float) -> Dispersion | None:
    """From sums over windows; None where no request came in them."""
    if not total:
        return None
    mean = total / n
    return Dispersion(
        window_s=window_s,
        windows=n,
        mean=mean,
        idc=max(0.0, (squares - total * mean) / (n - 1) / mean),
        poisson_lo=float(chdtri(n - 1, 1 - _TAIL)) / (n - 1),
        poisson_hi=float(chdtri(n - 1, _TAIL)) / (n - 1),
        peak_to_mean=most / mean,
    )
