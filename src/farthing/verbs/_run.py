"""Opening a run's workbench, and what must be known to repeat it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from farthing.codec import to_plain
from farthing.core.search.assemble import Market
from farthing.errors import EngineMissingError
from farthing.load.splits import make_splits
from farthing.measure.child import peak_memory_mib
from farthing.measure.clock import MonotonicClock
from farthing.measure.hardware import fingerprint, this_machine, versions
from farthing.measure.workbench import Settings, Workbench
from farthing.nouns import Provenance, Splits, Workload
from farthing.plugins import find
from farthing.store.journal import Journal
from farthing.verbs._market import Arrived, market_of, trace_of

__all__ = ["OnProgress", "Opened", "open_bench", "opened", "provenance_of"]

OnProgress = Callable[[str, int, int, str], object] | None
"""Called as ``(stage, done, total, note)``; None when nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a run that measures a workload starts from.

    Attributes:
        bench: An open workbench.
        market: Prices of the run's day.
        arrivals: How the arrivals will be found once the baseline is measured.
        splits: Indices into the workload's data.
        out: Output folder.
    """

    bench: Workbench
    market: Market
    arrivals: Arrived
    splits: Splits
    out: Path


def _silent(stage: str, done: int, total: int, note: str) -> None:
    """Progress that nobody watches."""


def open_bench(
    workload: Workload,
    splits: Splits,
    settings: Settings,
    out: Path,
    fresh: bool,
    on_progress: OnProgress,
) -> Workbench:
    """A workbench on this machine whose journal lies in ``out``."""
    machine = this_machine()
    about: dict[str, Any] = {
        "workload": to_plain(workload),
        "splits": to_plain(splits),
        "settings": {k: v for k, v in to_plain(settings).items() if k != "trust"},
        "fingerprint": fingerprint(machine),
        "versions": versions(),
    }
    journal = Journal(out / "work" / "journal.jsonl", about)
    if fresh:
        journal.forget()
    return Workbench(
        workload=workload,
        splits=splits,
        settings=settings,
        hardware=machine,
        fingerprint=fingerprint(machine),
        out=out,
        journal=journal,
        clock=MonotonicClock(),
        tell=on_progress or _silent,
        started_at=datetime.now(UTC).astimezone(),
    )


@contextlib.contextmanager
def opened(
    workload: Workload,
    output_dir: Path | str,
    settings: Settings | None,
    *,
    as_of: date | None,
    max_price_age_days: int,
    fresh: bool,
    on_progress: OnProgress,
) -> Iterator[Opened]:
    """Check prices and data before any work starts, then open the workbench; its children end with the block.

    Args:
        workload: What to measure; loading it was the gate for the user's own code, which may run from here on.
        output_dir: Where the journal and the results go.
        settings: How much is measured, None for the defaults.
        as_of: Day of the prices, None for today.
        max_price_age_days: Older prices raise.
        fresh: Forget what an earlier run measured there.
        on_progress: Told what is going on.

    Raises:
        EngineMissingError: when the baseline's engine is not installed here.
        InputError: when this machine cannot stand for the bill's offer, or the bill pays for less than a replica.
        PriceError: when the bill's offer is unknown or its price too old.
        DataError: when there are too few samples.
    """
    _check_installed(workload.baseline.engine)
    settings = replace(settings or Settings(), trust=True)
    market = market_of(workload, as_of, max_price_age_days, this_machine())
    arrivals = trace_of(workload, market)
    splits = make_splits(
        workload.holdout, workload.calibration, workload.search_n, workload.confirm_n, seed=settings.seed
    )
    out = Path(output_dir)
    with open_bench(workload, splits, settings, out, fresh, on_progress) as bench:
        yield Opened(bench=bench, market=market, arrivals=arrivals, splits=splits, out=out)


def _check_installed(engine: str) -> None:
    pip = find("engines", engine).missing()
    if pip is not None:
        raise EngineMissingError(f"the baseline runs in {engine}, which is not installed here", hint=pip)


def provenance_of(bench: Workbench, command: str) -> Provenance:
    """Command, seed, versions, hardware and where the time went."""
    total = bench.elapsed_s()
    seconds = {k: round(v, 3) for k, v in bench.seconds.items()}
    seconds["parent"] = round(max(0.0, total - sum(seconds.values())), 3)
    seconds["total"] = round(total, 3)
    return Provenance(
        command=command,
        seed=bench.settings.seed,
        versions=versions(),
        hardware=bench.hardware,
        fingerprint=bench.fingerprint,
        started_at=bench.started_at,
        seconds=seconds,
        parent_peak_mib=peak_memory_mib(),
    )
