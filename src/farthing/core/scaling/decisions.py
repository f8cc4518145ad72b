"""What every controller decides: a number of replicas, and why."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Decision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A number of replicas with its reason.

    Attributes:
        replicas: Wanted from now on, ≥ 0.
        reason: Why, in a sentence without a full stop.
    """

    replicas: int
    reason: str

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise ValueError(f"replicas must be ≥ 0: {self}")
