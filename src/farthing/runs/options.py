"""What a run is told beside what it works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from farthing.load.prices import MAX_AGE_DAYS
from farthing.measure.route.tier_answers import TierSettings
from farthing.measure.workbench import MeasureSettings

__all__ = ["USUAL", "RunOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What commands that measure have in common; each says which of it counts there.

    Attributes:
        output_dir: Where results and journal go, so that a run that was interrupted resumes there; None for the usual
            folder of the command.
        seed: Of everything random, ≥ 0; None for 0, and of a route for what its own settings say.
        trust: Whether code and native artefacts that files name may run; of a workload, loading it was the gate.
        fresh: Measure everything again instead of resuming.
        as_of: Price with the prices of that day, None for today.
        max_price_age_days: Older prices raise.
        command: What to print under “how to reproduce”; empty for a call from Python.
        measure: How much is measured of a model, or of a route that is served.
        tiers: How much is measured of a route's tiers.
    """

    output_dir: Path | str | None = None
    seed: int | None = None
    trust: bool = False
    fresh: bool = False
    as_of: date | None = None
    max_price_age_days: int = MAX_AGE_DAYS
    command: str = ""
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    tiers: TierSettings = field(default_factory=TierSettings)

    @property
    def seed_used(self) -> int:
        """The seed, 0 where none was named."""
        return self.seed or 0

    def folder(self, usual: Path | str) -> Path:
        """Where the run writes: the folder that was named, else the usual one of its command."""
        return Path(usual if self.output_dir is None else self.output_dir)


USUAL = RunOptions()
"""Nothing was named."""
