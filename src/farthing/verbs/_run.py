"""Opening a run's workbench, and what must be known to repeat it."""

from __future__ import annotations

import resource
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farthing.codec import to_plain
from farthing.measure.clock import MonotonicClock
from farthing.measure.hardware import fingerprint, this_machine, versions
from farthing.measure.workbench import Settings, Workbench
from farthing.nouns import Provenance, Splits, Workload
from farthing.store.journal import Journal

__all__ = ["open_bench", "provenance_of"]


def _silent(stage: str, done: int, total: int, note: str) -> None:
    """Progress that nobody watches."""


def open_bench(
    workload: Workload,
    splits: Splits,
    settings: Settings,
    out: Path,
    fresh: bool,
    on_progress: Callable[[str, int, int, str], object] | None,
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
        parent_peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
