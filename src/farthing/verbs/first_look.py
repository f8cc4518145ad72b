"""``farthing optimize --quick``: a first, wide answer within three minutes, before anything is proven."""

from __future__ import annotations

from farthing.core.plan.first_look import FirstLook
from farthing.nouns import Workload
from farthing.ports import Progress
from farthing.runs.first_look import look
from farthing.runs.opening import opened
from farthing.runs.options import USUAL, RunOptions

__all__ = ["first_look"]


def first_look(workload: Workload, *, options: RunOptions = USUAL, on_progress: Progress | None = None) -> FirstLook:
    """Measure the baseline, look at a few builds, price what they come to; nothing is served, nothing is confirmed.

    Args:
        workload: What :func:`farthing.load_workload` returns.
        options: As for :func:`farthing.optimize`, which takes up in the same folder what was measured here.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        FarthingError: for bad input, and when the baseline cannot be measured.
    """
    with opened(workload, options, on_progress) as run:
        return look(run)
