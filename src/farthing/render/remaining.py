"""Time left of a whole run: what its stages usually take, at the pace at which this run goes. No clock, no output."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TYPICAL_S", "Remaining"]

_OPTIMIZE: Mapping[str, float] = {
    "machine": 2,
    "first look": 60,
    "baseline": 25,
    "building": 50,
    "screening": 45,
    "accuracy": 20,
    "batch sizes": 40,
    "racing": 35,
    "under load": 40,
    "proof": 40,
    "confirming": 10,
    "serving": 45,
    "proving": 25,
    "baseline today": 10,
    "profiling": 20,
}
TYPICAL_S: Mapping[str, Mapping[str, float]] = {
    "optimize": _OPTIMIZE,
    "quick": {name: _OPTIMIZE[name] for name in ("machine", "baseline")} | {"first look": 100},
    "profile": {"machine": 2, "baseline": 25, "throughput": 10, "profiling": 20},
    "verify": {"machine": 2, "verifying": 40, "proving": 25},
}
"""Seconds of each stage of a command for a model of milliseconds on two cores, in their order; models differ, so the
pace of the run corrects them."""
_PRIOR_S = 30.0
"""So many seconds at the usual pace are believed before the run has shown its own."""
_REUSED_FRAC = 0.1
"""A stage that took less than this of its usual time was taken from the journal and says nothing of the pace."""


class Remaining:
    """Follows what a run tells.

    Args:
        typical_s: Seconds by stage in their order; empty where nobody knows.
    """

    def __init__(self, typical_s: Mapping[str, float]) -> None:
        self._typical_s = dict(typical_s)
        self._order = {name: k for k, name in enumerate(typical_s)}
        self._done_frac = dict.fromkeys(typical_s, 0.0)
        self._took_s = dict.fromkeys(typical_s, 0.0)
        self._last: tuple[str, float] | None = None

    def told(self, stage: str, done: int, total: int, now_s: float) -> None:
        """Take in that ``done`` of ``total`` steps of a stage are finished at a time of a steady clock."""
        if self._last is not None and self._last[0] in self._took_s:
            self._took_s[self._last[0]] += now_s - self._last[1]
        self._last = stage, now_s
        if stage not in self._done_frac or total <= 0:
            return
        self._done_frac[stage] = max(self._done_frac[stage], min(1.0, done / total))
        if done >= total:
            earlier = [name for name, k in self._order.items() if k < self._order[stage]]
            self._done_frac.update(dict.fromkeys(earlier, 1.0))

    def left_s(self) -> float | None:
        """Seconds left of the whole run, None where nobody knows."""
        if not self._typical_s:
            return None
        left = sum(typical * (1 - self._done_frac[name]) for name, typical in self._typical_s.items())
        return left * self._pace()

    def _pace(self) -> float:
        done = {name: typical * self._done_frac[name] for name, typical in self._typical_s.items()}
        ran = [name for name, usual in done.items() if usual > 0 and self._took_s[name] >= _REUSED_FRAC * usual]
        return (sum(self._took_s[n] for n in ran) + _PRIOR_S) / (sum(done[n] for n in ran) + _PRIOR_S)
