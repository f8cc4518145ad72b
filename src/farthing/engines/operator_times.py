"""What a back end's own profile says, folded into one row for each operator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from farthing.nouns import OperatorTime

__all__ = ["Event", "operator_times"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One operator run once.

    Attributes:
        name: As the back end calls it.
        kind: Operator type as the back end calls it.
        precision: In its words, empty when it does not say.
        mapped: Whether the name leads to a node of the model that was loaded.
        time_ms: How long it took.
    """

    name: str
    kind: str
    precision: str
    mapped: bool
    time_ms: float


def operator_times(events: Iterable[Event], runs: int) -> list[OperatorTime]:
    """Sum the events of one name, kind and precision, longest first.

    Args:
        events: Of all runs; those that took no time are left out.
        runs: Inferences they are spread over, ≥ 1.
    """
    found: dict[tuple[str, str, str, bool], float] = {}
    for e in events:
        key = (e.name, e.kind, e.precision, e.mapped)
        found[key] = found.get(key, 0.0) + e.time_ms
    total_ms = sum(found.values())
    rows = [
        OperatorTime(
            name=name, kind=kind, precision=precision, mapped=mapped, time_ms=ms / runs, share_frac=ms / total_ms
        )
        for (name, kind, precision, mapped), ms in found.items()
        if ms > 0
    ]
    return sorted(rows, key=lambda o: (-o.time_ms, o.name))
