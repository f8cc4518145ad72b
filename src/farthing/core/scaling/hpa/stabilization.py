"""Recent recommendations hold a change back.

Source: Kubernetes, ``pkg/controller/podautoscaler/horizontal.go``. Without ``spec.behavior`` a recommendation as old as
the window still counts; with it, it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Recommendation", "stabilize", "stabilize_downscale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What was recommended before stabilisation.

    Attributes:
        replicas: How many.
        at_s: When.
    """

    replicas: int
    at_s: float


Log = tuple[Recommendation, ...]


def stabilize_downscale(
    log: Sequence[Recommendation], desired_replicas: int, window_s: float, now_s: float
) -> tuple[int, Log]:
    """Take the highest recommendation of the window, as the controller does without ``spec.behavior``.

    Args:
        log: Earlier recommendations; order does not matter.
        desired_replicas: The one of now.
        window_s: How far back to look.
        now_s: Now.

    Returns:
        Replicas, and the log with the recommendation of now: in the place of the last one that is too old, else at
        its end.
    """
    recent = [r.replicas for r in log if not r.at_s < now_s - window_s]
    old = [k for k, r in enumerate(log) if r.at_s < now_s - window_s]
    return max([desired_replicas, *recent]), _noted(log, old, desired_replicas, now_s)


def stabilize(
    log: Sequence[Recommendation],
    current_replicas: int,
    desired_replicas: int,
    *,
    up_s: float,
    down_s: float,
    now_s: float,
) -> tuple[int, Log]:
    """Go up only as far as the lowest recommendation of one window, down only to the highest of the other.

    Args:
        log: Earlier recommendations; order does not matter.
        current_replicas: There are.
        desired_replicas: The recommendation of now.
        up_s: Window looked at before scaling up.
        down_s: Window looked at before scaling down.
        now_s: Now.

    Returns:
        As of :func:`stabilize_downscale`; too old is what is older than both windows.
    """
    lowest = min([desired_replicas, *(r.replicas for r in log if r.at_s > now_s - up_s)])
    highest = max([desired_replicas, *(r.replicas for r in log if r.at_s > now_s - down_s)])
    old = [k for k, r in enumerate(log) if r.at_s < now_s - up_s and r.at_s < now_s - down_s]
    return min(max(current_replicas, lowest), highest), _noted(log, old, desired_replicas, now_s)


def _noted(log: Sequence[Recommendation], old: Sequence[int], desired_replicas: int, now_s: float) -> Log:
    new = Recommendation(replicas=desired_replicas, at_s=now_s)
    if not old:
        return (*log, new)
    return (*log[: old[-1]], new, *log[old[-1] + 1 :])
