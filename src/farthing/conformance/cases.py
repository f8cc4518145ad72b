"""What a case is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BROKEN", "FINE", "MALFORMED", "REFUSED", "Case"]

MALFORMED = frozenset({400, 422})
"""The tensors or their description are wrong."""

REFUSED = frozenset(range(400, 500)) | {501}
"""Any refusal."""

BROKEN = REFUSED | {0, 505}
"""This is no HTTP: a refusal, or (0) an end of the connection without an answer."""

FINE = frozenset({200})
"""Well-formed, though odd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One hand-made request.

    Attributes:
        name: What is odd about it.
        pieces: Bytes, sent one after another.
        allowed: Statuses; 0 stands for an end without an answer. Every answer's must be among them.
        answers: How many there are when all is well.
        pause_s: Between pieces.
    """

    name: str
    pieces: tuple[bytes, ...]
    allowed: frozenset[int]
    answers: int = 1
    pause_s: float = 0.0
