"""Where models go: cores for workers, memory for models, the loop thread for tiny ones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farthing.nouns import LocalModel
from farthing.workers.curve import Curve

__all__ = [
    "Held",
    "cores_for",
    "inline_rows",
    "may_run_inline",
    "planned_mib",
    "runs_inline",
    "to_evict",
    "worker_limit_mib",
]

INLINE_S = 100e-6
"""Models whose batch of one takes less may run in the loop thread."""
LOOP_S = 1e-3
"""The loop thread is not held for longer by one batch."""
INLINE_ENGINES = frozenset({"onnxruntime"})
"""Engines that cost the server little memory and start no threads of their own for one thread."""
UNPLANNED_FACTOR, UNPLANNED_MIB = 3.0, 64.0
"""Guess of a worker's memory from the size of its artefact."""
SPARE_FACTOR, SPARE_MIB = 2.0, 512.0
"""A worker may grow to this much of what it held after its warm-up."""


def cores_for(allowed: Iterable[int], taken: Counter[int], instances: int, threads: int) -> list[tuple[int, ...]]:
    """Cores of each instance: those with the fewest workers so far, the last ones first; ``taken`` is updated.

    Nothing is pinned (empty tuples) unless a core is left for the server.
    """
    cores = sorted(allowed)
    if instances * threads >= len(cores):
        return [()] * instances
    found: list[tuple[int, ...]] = []
    for _ in range(instances):
        mine = tuple(sorted(sorted(cores[1:], key=lambda core: (taken[core], -core))[:threads]))
        taken.update(mine)
        found.append(mine)
    return found


def planned_mib(spec: LocalModel, artefact_mib: float, budget_mib: float) -> float:
    """Memory that all workers of a model will want, before it is known.

    The plan's figure; without one a guess from the artefact's size, which alone never says that the budget is too
    small.
    """
    if spec.memory_mib is not None:
        return spec.memory_mib
    return min(budget_mib, spec.candidate.instances * (UNPLANNED_MIB + UNPLANNED_FACTOR * artefact_mib))


def worker_limit_mib(spec: LocalModel, resident_mib: float, budget_mib: float) -> float:
    """Resident memory at which one worker is ended.

    Args:
        spec: Its plan.
        resident_mib: What it held after its warm-up.
        budget_mib: Of all models together, which no worker may exceed.
    """
    share_mib = max(resident_mib, (spec.memory_mib or 0.0) / spec.candidate.instances)
    return min(budget_mib, SPARE_FACTOR * share_mib + SPARE_MIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Memory that one loaded model holds.

    Attributes:
        key: Which.
        mib: How much.
        last_used_s: When a request for it last came.
        idle: Nothing waits and nothing is worked on, so that it may be put to sleep.
    """

    key: int
    mib: float
    last_used_s: float
    idle: bool


def to_evict(held: Sequence[Held], need_mib: float, budget_mib: float) -> list[int] | None:
    """Which models to put to sleep so that ``need_mib`` fits: idle ones, least recently used first.

    Returns:
        Keys in the order of eviction, or None when not even all idle ones make room.
    """
    over_mib = sum(h.mib for h in held) + need_mib - budget_mib
    found: list[int] = []
    for one in sorted((h for h in held if h.idle), key=lambda h: h.last_used_s):
        if over_mib <= 0:
            break
        found.append(one.key)
        over_mib -= one.mib
    return found if over_mib <= 0 else None


def runs_inline(spec: LocalModel, curve: Curve) -> bool:
    """Whether a model runs in the loop thread, as it asks or as it was measured."""
    return may_run_inline(spec) and (spec.inline == "always" or curve.base_s(1) < INLINE_S)


def may_run_inline(spec: LocalModel) -> bool:
    """Whether a model runs in the loop thread if it is quick enough.

    Images are never decoded there: those models stay in workers.
    """
    if spec.pipeline.kind == "image" or spec.inline == "never":
        return False
    candidate = spec.candidate
    fits = candidate.engine in INLINE_ENGINES and candidate.threads == 1 and candidate.device == "cpu"
    return spec.inline == "always" or fits


def inline_rows(curve: Curve, max_rows: int) -> int:
    """Largest batch that does not hold the loop for too long, ≥ 1."""
    return max((rows for rows in range(1, max_rows + 1) if curve.base_s(rows) <= LOOP_S), default=1)
