"""Which of a run's blocks and runs were contended, step by step, so that what was taken from the journal counts too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from farthing.nouns import Contention

__all__ = ["ContentionCount"]

_DECIDING = ("round/proof/", "round/beside/", "served/", "poisson/")
"""Steps on which a verdict rests; where none of them was made it rests on all."""


@dataclass
class ContentionCount:
    """Marks by the step that they were seen in; a step that is asked for again counts once."""

    _marks: dict[str, tuple[bool, ...]] = field(default_factory=dict)

    def see(self, key: str, found: Any) -> None:
        """Take in a step's result: whatever in it says whether it was contended."""
        parts = found if isinstance(found, (list, tuple)) else (found,)
        marks = tuple(bool(part.contended) for part in parts if hasattr(part, "contended"))
        if marks:
            self._marks[key] = marks

    def forget(self, key: str) -> None:
        """A step in whose place another one counts."""
        self._marks.pop(key, None)

    def total(self) -> Contention | None:
        """Of the steps that decide, of all where there are none; None when nothing was timed."""
        deciding = {key: marks for key, marks in self._marks.items() if key.startswith(_DECIDING)}
        return _counted(deciding or self._marks)


def _counted(marks: Mapping[str, tuple[bool, ...]]) -> Contention | None:
    every = [mark for row in marks.values() for mark in row]
    return Contention(contended=sum(every), of=len(every)) if every else None
