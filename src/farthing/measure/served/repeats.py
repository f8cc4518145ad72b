"""What a repeat of the whole run would change: widens the intervals of one run."""

from __future__ import annotations

import math
from dataclasses import replace

from farthing.core.stats.intervals import wider
from farthing.measure.state import RunState
from farthing.nouns import Estimate

__all__ = ["REPEAT_FRAC", "START_FRAC", "UNSERVED_FRAC", "between_starts", "drift_of", "no_narrower", "repeatable"]

REPEAT_FRAC = 0.06
"""Standard deviation of the logarithm of the rate kept over the baseline's between whole runs of one command, beyond
what one run sees: choices among near-ties, processes that start faster or slower (``make bench ONLY=repeat``). What the
baseline's own speed differed by between the stages of the run comes on top."""
DRIFT_WORTH_SAYING_FRAC = 0.06
UNSERVED_FRAC = 0.1
"""The same of a rate that was not found through the server."""
START_FRAC = 0.03
"""Standard deviation of the logarithm of service times between starts of one server, minutes apart: all runs of a proof
are of one. On a host that others share it was 4 to 7 %, theirs included (BENCHMARKS.md, repeat)."""


def drift_of(state: RunState) -> float:
    """Standard error of the logarithm of the baseline's speed as the mean over the stages of this run."""
    drift = state.bench.drifts.get(state.baseline)
    if drift is None:
        return 0.0
    found = drift.between_stages()
    if found > DRIFT_WORTH_SAYING_FRAC:
        state.notes.append(
            f"the baseline's own speed differed by {100 * found:.0f} % (standard deviation) between the stages of this "
            "run while the cores' did not, as memory and caches shared with others do: the saving's interval allows "
            "for it"
        )
    return drift.error(REPEAT_FRAC)


def repeatable(found: Estimate, drift_frac: float = 0.0) -> Estimate:
    """An interval that a repeat of the whole run lies in as well: root of the sum of squares, on logarithms.

    Args:
        found: Positive, with the interval of one run.
        drift_frac: Standard deviation of the logarithm between stages of this run, ≥ 0.

    Returns:
        With half of the value as the interval's own lower end where its runs leave room for none at all: the proof at
        the planned rate has the word then.
    """
    if not found.value > 0:
        return found
    repeats = math.hypot(REPEAT_FRAC, drift_frac)
    known = found if found.lo > 0 else replace(found, lo=found.value / 2)
    said = f"{100 * repeats:.2g} % as standard deviation between repeats of the whole run"
    return wider(known, 1.96 * repeats, 1.96 * repeats, said)


def between_starts(fall: float) -> float:
    """What another start of the server changes of the rate kept, beyond what it changes of the service time.

    Args:
        fall: By how many per cent the rate kept falls when service takes one per cent longer.
    """
    return START_FRAC * max(0.0, fall - 1)


def no_narrower(ratio: Estimate, kept: Estimate) -> Estimate:
    """A ratio to the baseline is known no better than the rate itself where that may be none at all."""
    if kept.lo > 0 or not kept.value > 0:
        return ratio
    return replace(ratio, lo=0.0, hi=max(ratio.hi, ratio.value * kept.hi / kept.value))
