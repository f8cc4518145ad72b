"""How right the baseline is on labelled data, and what to ask where it is no better than guessing."""

from __future__ import annotations

from farthing.core.search import accuracy_gate as gate
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, Estimate

__all__ = ["baseline_score", "guessing"]


def baseline_score(bench: Workbench, baseline: Candidate) -> Estimate | None:
    """The metric of the baseline's own answers on the search split; None without labels."""
    labels = bench.workload.holdout.labels
    if labels is None:
        return None
    truth = [labels[k] for k in bench.splits.search]
    return gate.score(bench.answers(baseline, "search", bench.splits.search), truth, bench.metric)


def guessing(bench: Workbench, score: Estimate | None) -> str:
    """What to ask where the baseline is right no more often than by guessing: the accuracy promise would mean nothing.

    Args:
        bench: With labels and metric.
        score: From :func:`baseline_score`.

    Returns:
        A sentence; empty where it knows something, and for other metrics than accuracy.
    """
    labels = bench.workload.holdout.labels
    if score is None or labels is None or bench.metric.name != "accuracy":
        return ""
    return gate.no_better_than_guessing(score, [labels[k] for k in bench.splits.search])
