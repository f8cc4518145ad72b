"""Runs of a served choice: those that others disturbed are made again, blocks of the baseline beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from farthing.measure.open_loop import RunSeen
from farthing.measure.served.path import step_of
from farthing.measure.state import RunState
from farthing.measure.workbench import Workbench

__all__ = ["AGAIN", "Patience", "baseline_block", "beside_key", "middle", "times_slower"]

AGAIN = 3
"""Runs of one server that are made again because others used the machine, each with what is compared with it."""


@dataclass(slots=True)
class Patience:
    """Has runs made again during which others used the machine, a few times; those no longer count as contended."""

    bench: Workbench
    left: int = AGAIN
    set_aside: int = 0

    def again(self, seen: RunSeen, key: str) -> bool:
        """Whether a run of the path of that key is to be made again."""
        if not seen.contended or not self.left:
            return False
        self.left, self.set_aside = self.left - 1, self.set_aside + 1
        self.bench.contention.forget(step_of(key, seen.rate_rps, seen.n, seen.seed))
        return True


def baseline_block(state: RunState, key: str, k: int) -> float:
    """Throughput of a block of the baseline, in requests/s.

    Args:
        state: With the baseline.
        key: Of the server that it is compared with.
        k: Number of that server's run.
    """
    return state.bench.throughput(beside_key(key, k), [state.baseline])[state.baseline]


def beside_key(key: str, k: int) -> str:
    """Name of such a block in the journal, from the server's key and the number of its run."""
    return f"beside/{key}/{k}"


def middle(rates_rps: Sequence[float]) -> float:
    """Geometric mean of those that were seen (> 0), 0 of none."""
    seen = [rate for rate in rates_rps if rate > 0]
    return float(np.exp(np.log(seen).mean())) if seen else 0.0


def times_slower(before_rps: float, now_rps: float) -> float:
    """How many times slower something is than it was, ≥ 1; 1 where either was not seen."""
    return max(1.0, before_rps / now_rps) if before_rps > 0 and now_rps > 0 else 1.0
