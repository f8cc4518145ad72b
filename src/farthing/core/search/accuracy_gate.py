"""The accuracy gate of a candidate: paired with the baseline, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.numerals import number
from farthing.core.stats.intervals import mean_t, proportion
from farthing.core.stats.noninferiority import answers_of, paired_bootstrap_t, paired_gate
from farthing.nouns import AccuracyEvidence, Estimate, Objective
from farthing.ports import Metric

__all__ = ["evidence", "no_better_than_guessing", "score"]

Array = NDArray[np.float64]


def evidence(
    baseline: Array,
    candidate: Array,
    labels: Sequence[float] | None,
    *,
    split: Literal["search", "confirm"],
    metric: Metric,
    objective: Objective,
    seed: int,
) -> AccuracyEvidence:
    """Compare two sets of answers.

    Args:
        baseline: Outputs of the baseline, shape ``(n, …)``.
        candidate: Outputs of the candidate on the same samples.
        labels: Truth, or None: then the baseline's answers are the truth and the metric is agreement.
        split: Which samples these are.
        metric: Scores answers against labels.
        objective: Allowed drop and confidence.
        seed: Of the bootstrap, for metrics that are not averages.

    Raises:
        ValueError: when the shapes differ.
    """
    if baseline.shape != candidate.shape:
        raise ValueError(f"answers of shape {candidate.shape}, the baseline's are {baseline.shape}")
    differ = int((answers_of(baseline) != answers_of(candidate)).sum())
    truth = answers_of(baseline).astype(np.float64) if labels is None else np.asarray(labels, dtype=np.float64)
    if metric.per_sample:
        before, after = metric(baseline, truth), metric(candidate, truth)
        result: Any = paired_gate(
            before, after, allowed_drop_frac=objective.max_drop_frac, confidence=objective.confidence
        )
    else:
        result = paired_bootstrap_t(
            metric,
            baseline,
            candidate,
            truth,
            np.random.default_rng(seed),
            allowed_drop_frac=objective.max_drop_frac,
            confidence=objective.confidence,
        )
    return AccuracyEvidence(
        metric=metric.name if labels is not None else "agreement",
        split=split,
        n=len(truth),
        n_differ=differ,
        n_worse=result.n_worse,
        n_better=result.n_better,
        baseline_frac=score(baseline, truth, metric),
        candidate_frac=score(candidate, truth, metric),
        drop_frac=result.drop_frac,
        verdict=result.verdict,
        n_needed=result.n_needed,
    )


def score(outputs: Array, labels: Sequence[float] | Array, metric: Metric) -> Estimate:
    """The metric of one set of answers, with its interval where it is an average."""
    truth = np.asarray(labels, dtype=np.float64)
    return _mean(metric(outputs, truth)) if metric.per_sample else _point(float(metric(outputs, truth)), len(truth))


def no_better_than_guessing(found: Estimate, labels: Sequence[float]) -> str:
    """What to ask of a model that is right no more often than the most frequent class is; empty for all others.

    Labels in another order, or inputs prepared in another way than in training, end so; nothing can be lost then, and
    every candidate passes.

    Args:
        found: Share of right answers.
        labels: Of the same samples.
    """
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    most_frac = float(counts.max() / counts.sum())
    if counts.size == 1 or found.value > most_frac:
        return ""
    right, guessed = (number(100 * share, 1) for share in (found.value, most_frac))
    return (
        f"the baseline is right on {right} % of {len(labels):,} samples, no more than always answering the most "
        f"frequent of their {counts.size} classes ({guessed} %): are labels, their order and the preparation of inputs "
        "those of its training? A candidate can lose nothing on that"
    )


def _mean(scores: Array) -> Estimate:
    if set(np.unique(scores)) <= {0.0, 1.0}:
        return proportion(int(scores.sum()), scores.size)
    return mean_t(scores)


def _point(value: float, n: int) -> Estimate:
    return Estimate(value=value, lo=value, hi=value, n=n, method="point; the paired drop carries the interval")
