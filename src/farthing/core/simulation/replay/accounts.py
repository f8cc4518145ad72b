"""A replay in replica-hours and dollars, beside fleets that do not scale and the fewest that would have done."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.billing import Billing, billed_units
from farthing.core.simulation.replay.autoscaler import Autoscaler
from farthing.core.simulation.replay.passes import Change, Floats, Replayed

__all__ = ["Account", "Accounts", "Steadiness", "accounts_of", "steadiness_of", "turns_of"]

_HOUR_S = 3600.0
_PAST_ROUNDING = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a number of replicas over time comes to.

    Attributes:
        replica_hours: Billed seconds of all replicas, in hours.
        usd: Their price; None without one.
    """

    replica_hours: float
    usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """A replay's, and those beside it over the same time.

    Attributes:
        decided: As the autoscaler decided.
        always_max: The maximum throughout.
        always_min: The fewest that it leaves, throughout.
        fewest: The fewest that the metrics asked for at each instant, within the bounds, there at once; None where no
            metric tells.
    """

    decided: Account
    always_max: Account
    always_min: Account
    fewest: Account | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """How often the number changes, and how it stands to the bounds and to what was needed.

    Attributes:
        changes: Decisions that changed it.
        turns: Of them, those that took back the direction of the one before.
        busiest_hour_turns: Most turns within any hour.
        at_max_frac: Share of the time at the maximum.
        beyond_max_frac: Share of the time in which a metric asked for more than that.
        most_asked: Most that was asked for; None where nothing was.
        short_frac: Share of the time with fewer ready than needed, of the time for which that is known.
        most_short: Most replicas that were missing.
        over_frac: Share of the replicas' time beyond what was needed, likewise.
        removed_unready: Pods taken away before they were ready.
    """

    changes: int
    turns: int
    busiest_hour_turns: int
    at_max_frac: float
    beyond_max_frac: float
    most_asked: int | None
    short_frac: float
    most_short: int
    over_frac: float
    removed_unready: int


def accounts_of(
    autoscaler: Autoscaler, replayed: Replayed, usd_per_hour: float | None, billing: Billing | None = None
) -> Accounts:
    """Replica-hours and dollars.

    Args:
        autoscaler: Whose bounds count.
        replayed: Its decisions.
        usd_per_hour: Of one replica; None for hours alone.
        billing: Whole seconds from a pod's running on, a minute at least, unless told otherwise.
    """
    rule = billing or Billing()

    def account(units: float) -> Account:
        hours = units * rule.unit_s / _HOUR_S
        return Account(replica_hours=hours, usd=None if usd_per_hour is None else hours * usd_per_hour)

    throughout = rule.units(replayed.length_s)
    fewest = _fewest(autoscaler, replayed)
    return Accounts(
        decided=account(sum(billed_units(replayed.lives, replayed.length_s, rule).values())),
        always_max=account(autoscaler.spec.max_replicas * throughout),
        always_min=account(autoscaler.floor * throughout),
        fewest=None if fewest is None else account(math.ceil(_seconds(replayed, fewest) / rule.unit_s - 1e-9)),
    )


def _fewest(autoscaler: Autoscaler, replayed: Replayed) -> Floats | None:
    """Needed at each pass within the bounds; where it is not known, as before it."""
    needed = replayed.needed
    known = ~np.isnan(needed)
    if not known.any():
        return None
    last = np.maximum.accumulate(np.where(known, np.arange(needed.size), 0))
    filled = np.where(np.isnan(needed[last]), needed[known][0], needed[last])
    lowest = np.where(filled == 0, autoscaler.floor, autoscaler.spec.min_replicas)
    return np.clip(filled, lowest, autoscaler.spec.max_replicas)


def _seconds(replayed: Replayed, replicas: Floats) -> float:
    at_s = np.array([one.at_s for one in replayed.passes])
    return float((replicas * np.diff(np.append(at_s, replayed.length_s))).sum())


def turns_of(changes: Sequence[Change]) -> tuple[float, ...]:
    """Times of changes that took back the direction of the one before."""
    return tuple(now.at_s for before, now in pairwise(changes) if before.up != now.up)


def _most_within(times: Sequence[float], window_s: float) -> int:
    recent: deque[float] = deque()
    most = 0
    for at_s in times:
        recent.append(at_s)
        while recent[0] <= at_s - window_s:
            recent.popleft()
        most = max(most, len(recent))
    return most


def steadiness_of(autoscaler: Autoscaler, replayed: Replayed) -> Steadiness:
    """How a replay moved.

    Args:
        autoscaler: Whose bounds count.
        replayed: Its decisions.
    """
    maximum, needed, ready, asked = autoscaler.spec.max_replicas, replayed.needed, replayed.ready, replayed.asked
    known, turns = ~np.isnan(needed), turns_of(replayed.changes)
    missing = needed[known] - ready[known]
    wanted = asked[~np.isnan(asked)]
    had = replayed.after[known]
    beyond = np.maximum(had - np.maximum(needed[known], autoscaler.floor), 0.0)
    return Steadiness(
        changes=len(replayed.changes),
        turns=len(turns),
        busiest_hour_turns=_most_within(turns, _HOUR_S),
        at_max_frac=_share(replayed.after >= maximum),
        beyond_max_frac=_share(np.nan_to_num(asked, nan=0.0) > maximum),
        most_asked=int(wanted.max()) if wanted.size else None,
        short_frac=_share(missing > _PAST_ROUNDING),
        most_short=int(max(missing.max(), 0.0)) if missing.size else 0,
        over_frac=float(beyond.sum() / had.sum()) if had.sum() else 0.0,
        removed_unready=replayed.removed_unready,
    )


def _share(holds: NDArray[np.bool_]) -> float:
    return float(np.mean(holds)) if holds.size else 0.0
