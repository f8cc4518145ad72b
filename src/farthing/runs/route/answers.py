"""Answers of end points, which may cost money: kept in the route's folder until the route is written."""

from __future__ import annotations

import contextlib
from pathlib import Path

from farthing.machine.clock import MonotonicClock
from farthing.measure.route.remote_tiers import RemoteRun, RemoteTier, answers_about, run_remote_tier
from farthing.nouns import Dataset
from farthing.ports import Progress
from farthing.store.journal import Journal

__all__ = ["forget_answers", "kept_run"]

_FOLDER = "work"


def kept_run(tier: RemoteTier, dataset: Dataset, out: Path, tell: Progress) -> RemoteRun:
    """Ask an end point for the answers that an interrupted run has not left in ``out``.

    Raises:
        FarthingError: as :func:`~farthing.measure.route.remote_tiers.run_remote_tier`.
    """
    with Journal(out / _FOLDER / f"answers-{tier.name}.jsonl", answers_about(tier)) as journal:
        if journal.damaged:
            tell("damaged", 1, 1, f"{tier.name}: {journal.damaged} answers cannot be read ({journal.damaged_path})")
        if journal.resumed:
            tell("answers", 0, dataset.n, f"{tier.name}: {journal.resumed:,} were there, {journal.path} has them")
        return run_remote_tier(tier, dataset, clock=MonotonicClock(), tell=tell, journal=journal)


def forget_answers(out: Path) -> None:
    """The run is over: the next one asks anew, since what answers at a URL may have changed."""
    for path in (out / _FOLDER).glob("answers-*.jsonl"):
        if ".damaged" not in path.suffixes:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (out / _FOLDER).rmdir()
