"""``farthing optimize --quick``: a first, wide answer within three minutes, before anything is proven."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from farthing.codec import to_plain
from farthing.core.plan.first_look import FirstLook
from farthing.core.plan.first_look import first_look as priced
from farthing.load.schema import stamp
from farthing.measure.first_look import glimpse
from farthing.measure.workbench import Settings
from farthing.nouns import Workload
from farthing.runs.opening import OnProgress, Opened, opened
from farthing.store.documents import write_json

__all__ = ["first_look", "look"]

FIRST_LOOK = "first-look.json"


def first_look(
    workload: Workload,
    *,
    output_dir: Path | str = "farthing-out",
    settings: Settings | None = None,
    as_of: date | None = None,
    max_price_age_days: int = 180,
    fresh: bool = False,
    command: str = "",
    on_progress: OnProgress = None,
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


def look(run: Opened, workload: Workload) -> FirstLook:
    """The first look of a run that is open; first-look.json is written, and what was seen is known to the run.

    Raises:
        FarthingError: when the baseline cannot be measured.
    """
    seen = glimpse(run.bench)
    run.known.found = seen.findings
    rate = seen.findings.sla_rps.get(seen.findings.baseline) or 0.0
    found = priced(
        workload,
        seen.findings,
        run.market,
        run.arrivals.at(rate),
        by_utilisation=run.arrivals.by_utilisation(rate),
        left_out=seen.left_out,
        seconds=seen.seconds,
    )
    write_json(run.out / FIRST_LOOK, stamp("first-look"), to_plain(found))
    return found
