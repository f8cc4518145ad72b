"""A replay with all that is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.simulation.replay.accounts import Accounts, Steadiness
from farthing.core.simulation.replay.autoscaler import Autoscaler
from farthing.core.simulation.replay.passes import Replayed
from farthing.core.simulation.replay.recording import Recording
from farthing.core.simulation.replay.traps.trap import Trap
from farthing.nouns import Offer

__all__ = ["DryRun"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DryRun:
    """What an autoscaler would have done.

    Attributes:
        file: Its manifest.
        autoscaler: As it was read.
        recording: What it followed.
        replayed: Every pass and every change.
        accounts: In replica-hours and dollars.
        steadiness: How it moved, how it stood to its bounds and to what was needed.
        traps: Those that apply, those that decided most first.
        offer: That prices a replica; None for a plain price or none.
        usd_per_hour: Of a replica; None for none.
    """

    file: str
    autoscaler: Autoscaler
    recording: Recording
    replayed: Replayed
    accounts: Accounts
    steadiness: Steadiness
    traps: tuple[Trap, ...]
    offer: Offer | None
    usd_per_hour: float | None
