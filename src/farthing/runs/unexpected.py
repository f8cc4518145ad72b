"""What happens when something goes wrong after work was done: what is known is written, and how to go on is said."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farthing.codec import to_plain
from farthing.core.plan.findings import Findings
from farthing.errors import FarthingError, UnexpectedError
from farthing.measure.workbench import Workbench
from farthing.nouns import Plan
from farthing.runs.outputs import write_plan
from farthing.store.documents import write_json
from farthing.store.measurements import write_measurements

__all__ = ["Known", "keeping"]


@dataclass(slots=True)
class Known:
    """What a run knows so far; the verb puts in what it finds.

    Attributes:
        found: All that was measured, None while measuring goes on.
        plan: What was worked out from it, None until then.
    """

    found: Findings | None = None
    plan: Plan | None = None

    @property
    def doing(self) -> str:
        """What goes on now, for the message."""
        if self.plan is not None:
            return "writing the results"
        return "measuring" if self.found is None else "working out the costs of what was measured"


@contextlib.contextmanager
def keeping(bench: Workbench) -> Iterator[Known]:
    """Turn what nobody foresaw into an error that loses nothing; errors of farthing pass, their measurements written.

    Args:
        bench: Of the run; its journal is on disk after each step.

    Raises:
        UnexpectedError: in the place of any exception that is none of farthing's own.
    """
    known = Known()
    try:
        yield known
    except FarthingError:
        with contextlib.suppress(Exception):
            _write(bench, known)
        raise
    except Exception as e:
        files: list[Path] = []
        with contextlib.suppress(Exception):
            files = _write(bench, known)
        raise UnexpectedError(_said(e, known, files), hint=_hint(bench)) from e


def _write(bench: Workbench, known: Known) -> list[Path]:
    """The table of measurements, the plan if there is one, else what was found of each candidate."""
    files = []
    if bench.measurements:
        files.append(write_measurements(bench.out / "measurements.parquet", bench.measurements))
    if known.plan is not None:
        files.append(write_plan(bench.out / "plan.yaml", known.plan))
    elif known.found is not None:
        path = bench.out / "measured.json"
        write_json(path, "farthing/measured/1", _plain(known.found))
        files.append(path)
    return files


def _plain(found: Findings) -> dict[str, Any]:
    """Rates, times and evidence by candidate, in words a person can search."""
    every = dict.fromkeys((*found.sla_rps, *found.capacities_rps, *found.curves, *found.lost, *found.failed))
    return {
        "baseline": found.baseline.label,
        "chosen": None if found.chosen is None else found.chosen.label,
        "candidates": [
            {
                "candidate": to_plain(c),
                "planned_rps": found.sla_rps.get(c),
                "capacity_rps": to_plain(found.capacities_rps.get(c)),
                "ratio": to_plain(found.ratios.get(c)),
                "curve": to_plain(found.curves.get(c)),
                "reason": found.failed.get(c) or found.lost.get(c, ""),
            }
            for c in every
        ],
        "accuracy": [to_plain(e) for split in (found.confirm, found.search) for e in split.values()],
        "notes": list(found.notes),
    }


def _said(error: Exception, known: Known, files: list[Path]) -> str:
    where = f"; written: {', '.join(map(str, files))}" if files else ""
    kind = type(error).__name__
    return f"something that farthing does not foresee went wrong while {known.doing} ({kind}: {error}){where}"


def _hint(bench: Workbench) -> str:
    steps = bench.journal.done + bench.journal.reused
    return (
        f"nothing is lost: {steps} finished steps are in {bench.journal.path}; the same command (without --fresh) "
        "goes on from there, and with `farthing --debug …` it shows where it stopped, which is what a report of the "
        "fault needs"
    )
