"""``farthing optimize --quick``: a first, wide answer within three minutes, before anything is proven."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from farthing.core.plan.first_look import FirstLook
from farthing.measure.workbench import Settings
from farthing.nouns import Workload
from farthing.ports import Progress
from farthing.runs.first_look import look
from farthing.runs.opening import opened

__all__ = ["first_look"]


def first_look(
    workload: Workload,
    *,
    output_dir: Path | str = "farthing-out",
    settings: Settings | None = None,
    as_of: date | None = None,
    max_price_age_days: int = 180,
    fresh: bool = False,
    command: str = "",
    on_progress: Progress | None = None,
) -> FirstLook:
    """Measure the baseline, look at a few builds, price what they come to; nothing is served, nothing is confirmed.

    Args:
        workload: What :func:`farthing.load_workload` returns.
        output_dir: Where the journal and first-look.json go; ``optimize`` there takes up what was measured.
        settings: As for :func:`farthing.optimize`; the same ones, so that it can.
        as_of: Price with the prices of that day.
        max_price_age_days: Older prices raise.
        fresh: Measure everything again.
        command: Not kept.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        FarthingError: for bad input, and when the baseline cannot be measured.
    """
    del command
    with opened(
        workload,
        output_dir,
        settings,
        as_of=as_of,
        max_price_age_days=max_price_age_days,
        fresh=fresh,
        on_progress=on_progress,
    ) as run:
        return look(run, workload)
