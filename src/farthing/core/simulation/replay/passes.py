"""What a replay leaves: each pass of the controller, each change, the lives of pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.outcomes import ReplicaLife

__all__ = ["Change", "Fleet", "Pass", "Replayed"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The replicas that an autoscaler is given.

    Attributes:
        initial: That there are at the start, ≥ 0.
        start_s: From asking for one to its running, ≥ 0.
        load_s: From there to its readiness, ≥ 0.
        sync_s: Between passes of the controller, > 0.
    """

    initial: int
    start_s: float = 60.0
    load_s: float = 30.0
    sync_s: float = 15.0

    def __post_init__(self) -> None:
        if self.initial < 0 or min(self.start_s, self.load_s) < 0 or not self.sync_s > 0:
            raise ValueError(f"Fleet: initial, start_s and load_s must be ≥ 0, sync_s > 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass of the controller.

    Attributes:
        at_s: Since the start.
        before: Replicas before it.
        after: From it on.
        ready: Of those before, that took requests.
        asked: Most that a metric asked for; None where none could be read, or the pass did not look.
        needed: Fewest among which the load stays within the targets, whatever the bounds; None where replicas cannot
            bring it there, or in a gap.
        limited: What held the change: ``ScaleUpLimit``, ``TooManyReplicas`` …; empty for nothing.
        failed: Whether a metric could not be read.
    """

    at_s: float
    before: int
    after: int
    ready: int
    asked: int | None
    needed: int | None
    limited: str
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision that changed the number of replicas.

    Attributes:
        at_s: Since the start.
        before: Replicas until then.
        after: From then on.
        by: The controller, or KEDA where it switches on or off.
        reason: What was read and what was made of it.
    """

    at_s: float
    before: int
    after: int
    by: Literal["hpa", "keda"]
    reason: str

    @property
    def up(self) -> bool:
        """Whether replicas were added."""
        return self.after > self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """All decisions over a recording.

    Attributes:
        length_s: Of the recording.
        fleet: That was given.
        passes: In order.
        changes: In order.
        lives: Of all pods.
        removed_unready: Pods that were taken away before they were ready.
        ever_active: Whether KEDA ever found a trigger active; True without KEDA.
    """

    length_s: float
    fleet: Fleet
    passes: tuple[Pass, ...]
    changes: tuple[Change, ...]
    lives: tuple[ReplicaLife, ...]
    removed_unready: int
    ever_active: bool = True

    @property
    def after(self) -> Floats:
        """Replicas from each pass on, shape ``(passes,)``."""
        return np.array([one.after for one in self.passes], dtype=np.float64)

    @property
    def ready(self) -> Floats:
        """Pods that were ready at each pass."""
        return np.array([one.ready for one in self.passes], dtype=np.float64)

    @property
    def asked(self) -> Floats:
        """Most that a metric asked for at each pass, NaN for none."""
        return np.array([np.nan if one.asked is None else one.asked for one in self.passes], dtype=np.float64)

    @property
    def needed(self) -> Floats:
        """Fewest that would do at each pass, NaN where that is not known."""
        return np.array([np.nan if one.needed is None else one.needed for one in self.passes], dtype=np.float64)
