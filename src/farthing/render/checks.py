"""What ``farthing verify`` finds: each promise of a plan beside what was seen now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farthing.nouns import Estimate, Outcome

__all__ = ["Check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise, repeated.

    Attributes:
        name: What was checked (``service time b8``, ``capacity``, ``p99 at the peak rate``, ``artefact digest``).
        unit: Of both estimates; ``text`` when only ``note`` says something.
        planned: What the plan holds, in ``unit``; None when it holds no number.
        seen: What was measured now, in ``unit``; None when no number was measured.
        limit: The condition in words, such as ``within ± 10 %``.
        outcome: Whether it holds.
        note: One sentence more, empty when there is nothing to add.
    """

    name: str
    unit: Literal["ms", "requests/s", "frac", "usd_per_month", "text"]
    planned: Estimate | None
    seen: Estimate | None
    limit: str
    outcome: Outcome
    note: str = ""
