"""A look at the machine before anything is measured: whether others use its cores, in about a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from farthing.machine.canary import LIMIT, Canary

__all__ = ["MachineLook", "look_at_machine"]

LOOK_S = 1.0
"""How long the cores are watched while this process sleeps."""
LOUD_FRAC = 0.10
"""Share of the cores' time from which on what others take widens intervals or spoils blocks."""
ADVICE = "Figures will be wide, and what they cannot prove stays unproven: better stop the others first"
_TRIES = 3
_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Columns of /proc/stat in which a core waits: idle, and waiting for a disk (proc_stat(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLook:
    """What the cores did while nothing of this run used them.

    Attributes:
        cores: That were looked at.
        others_frac: Share of their time that others took, steal by a hypervisor included; None where the system does
            not say.
        slowdown: Time of a short kernel over its quickest on the slowest core, ≥ 1; the middle of some looks.
    """

    cores: int
    others_frac: float | None
    slowdown: float

    @property
    def busy(self) -> bool:
        """Whether figures taken now would be wide, or marked as contended."""
        return self.slowdown > LIMIT or (self.others_frac is not None and self.others_frac > LOUD_FRAC)

    @property
    def words(self) -> str:
        """One line: ``quiet: others take 1 % of 2 cores``."""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        share = f"others take {100 * self.others_frac:.0f} % of {cores}" if self.others_frac is not None else ""
        if not self.busy:
            return f"quiet: {share}" if share else "quiet"
        slow = f"a kernel ran {self.slowdown:.1f} × its best time" if self.slowdown > LIMIT else ""
        seen = "; ".join(part for part in (share, slow) if part)
        return f"busy: {seen}. {ADVICE}"


def look_at_machine(canary: Canary, cpus: Sequence[int], *, stat: Path = _STAT) -> MachineLook:
    """Watch the cores for a second, then time the canary kernel on each of them.

    Args:
        canary: Whose clock is slept on and whose kernel is timed; what it learns stays with it.
        cpus: Cores that the run will use.
        stat: Where the system counts the cores' time.
    """
    before = _ticks(stat, cpus)
    canary.clock.sleep(LOOK_S)
    after = _ticks(stat, cpus)
    return MachineLook(cores=len(cpus), others_frac=_share(before, after), slowdown=_slowdown(canary, cpus))


def _slowdown(canary: Canary, cpus: Sequence[int]) -> float:
    """Middle of some looks at the slowest core: one that was disturbed for a moment is not busy."""
    seen = []
    for _ in range(_TRIES):
        canary.busy(cpus)
        seen.append(canary.slowdown(cpus))
    return median(seen)


def _ticks(stat: Path, cpus: Sequence[int]) -> tuple[int, int] | None:
    """Ticks in which the cores worked, and all of them; None where nothing is said."""
    try:
        rows = [line.split() for line in stat.read_text().splitlines() if line.startswith("cpu")]
        wanted = {f"cpu{cpu}" for cpu in cpus}
        columns = [[int(x) for x in row[1:9]] for row in rows if row[0] in wanted]
    except (OSError, ValueError):
        return None
    if not columns or any(len(row) <= max(_IDLE) for row in columns):
        return None
    total = sum(map(sum, columns))
    return total - sum(row[k] for row in columns for k in _IDLE), total


def _share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] <= before[1]:
        return None
    return min(1.0, max(0.0, (after[0] - before[0]) / (after[1] - before[1])))
