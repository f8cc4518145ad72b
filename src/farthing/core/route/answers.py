"""What a tier answered to every request: classes, and the numbers behind them where it gives any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.route.outcomes import Floats
from farthing.errors import DataError

__all__ = [
    "NO_CLASS",
    "TierAnswers",
    "agreement_quality",
    "answers_of",
    "label_quality",
    "require_alike",
    "require_alike_names",
]

NO_CLASS = -1
"""Stands for an answer that names none of the classes; it is wrong for every label."""
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TierAnswers:
    """A tier's answers, one a request.

    Attributes:
        tier: Its name.
        classes: Index of the class answered, shape ``(n,)``; −1 for none.
        table: Logits or probabilities, shape ``(n, number of classes)``; None when it says classes alone.
        logits: Whether the table holds logits; else rows are ≥ 0 and add up to 1.
        embedding: Shape ``(n, dimensions)``, None when it has none.
        embedding_output: Name of the output that the embedding was read from.
    """

    tier: str
    classes: NDArray[np.int64]
    table: Floats | None = None
    logits: bool = True
    embedding: Floats | None = None
    embedding_output: str = ""


def answers_of(
    tier: str, output: ArrayLike, *, embedding: ArrayLike | None = None, embedding_output: str = ""
) -> TierAnswers:
    """Understand a tier's output.

    Args:
        tier: Its name.
        output: Logits or probabilities of shape ``(n, classes)`` — further dimensions of size 1 are dropped — or class
            indices of shape ``(n,)`` or ``(n, 1)``.
        embedding: Shape ``(n, dimensions)`` after dimensions of size 1 are dropped.
        embedding_output: Its name.

    Raises:
        DataError: when values are not finite, or the shape names no class.
    """
    values = np.asarray(output)
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    shape = np.asarray(output).shape
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    _finite(tier, values, "answers")
    vectors = None if embedding is None else _vectors(tier, embedding, embedding_output)
    if values.ndim == 1 and (values == np.floor(values)).all() and values.min(initial=0) >= NO_CLASS:
        return TierAnswers(
            tier=tier, classes=values.astype(np.int64), embedding=vectors, embedding_output=embedding_output
        )
    if values.ndim != 2:
        raise DataError(
            f"the tier {tier!r} answers with the shape {shape}; a route needs logits or probabilities of shape "
            "(n, classes), or class indices of shape (n,)",
            hint="give a model whose first output is the classifier's",
        )
    table = values.astype(np.float64)
    sums = table.sum(axis=1)
    return TierAnswers(
        tier=tier,
        classes=table.argmax(axis=1).astype(np.int64),
        table=table,
        logits=not ((table >= 0).all() and (np.abs(sums - 1) <= _SUM_TOLERANCE).all()),
        embedding=vectors,
        embedding_output=embedding_output,
    )


def _vectors(tier: str, embedding: ArrayLike, name: str) -> Floats:
    vectors = np.asarray(embedding, dtype=np.float64)
    while vectors.ndim > 2 and 1 in vectors.shape[1:]:
        vectors = vectors.squeeze(axis=1 + vectors.shape[1:].index(1))
    if vectors.ndim != 2 or vectors.shape[1] < 2:
        raise DataError(f"the output {name!r} of the tier {tier!r} has the shape {np.asarray(embedding).shape}: no "
                        "embedding of shape (n, dimensions)")  # fmt: skip
    _finite(tier, vectors, f"output {name!r}")
    return vectors


def _finite(tier: str, values: NDArray[np.generic], what: str) -> None:
    flat = np.asarray(values, dtype=np.float64).reshape(values.shape[0], -1)
    bad = np.flatnonzero(~np.isfinite(flat).all(axis=1))
    if bad.size:
        raise DataError(
            f"{what} of the tier {tier!r} are not finite for {bad.size:,} of {flat.shape[0]:,} requests, the first is "
            f"number {bad[0]}",
            hint="the model overflows in this precision, or the request breaks it: look at that request",
        )


def require_alike(answers: Sequence[TierAnswers], names: Sequence[Sequence[str]]) -> None:
    """Refuse tiers that answer different questions: other numbers or other names of classes.

    Args:
        answers: One a tier.
        names: Class names in index order a tier, empty where unknown.

    Raises:
        DataError: when two differ, or a class index is beyond the classes of another tier.
    """
    widths = {a.tier: a.table.shape[1] for a in answers if a.table is not None}
    if len(set(widths.values())) > 1:
        said = ", ".join(f"{tier} {width}" for tier, width in widths.items())
        raise DataError(
            f"tiers answer different numbers of classes: {said}",
            hint="tiers of one route must have the same classes in the same order",
        )
    known = {a.tier: tuple(n) for a, n in zip(answers, names, strict=True) if n}
    require_alike_names(list(known.items()))
    most = next(iter(widths.values()), None)
    for a in answers:
        if most is not None and a.table is None and int(a.classes.max()) >= most:
            raise DataError(f"the tier {a.tier!r} answers class {int(a.classes.max())}; others have {most} classes")
        if a.tier in widths and known.get(a.tier) and len(known[a.tier]) != widths[a.tier]:
            raise DataError(f"the tier {a.tier!r} names {len(known[a.tier])} classes and answers {widths[a.tier]}")


def require_alike_names(names: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Refuse tiers whose class names differ; known before any of them runs.

    Args:
        names: Tier and its class names in index order, empty where unknown.

    Raises:
        DataError: when two differ.
    """
    known = [(tier, tuple(labels)) for tier, labels in names if labels]
    for tier, labels in known[1:]:
        if labels != known[0][1]:
            _refuse_names(known[0][0], known[0][1], tier, labels)


def _refuse_names(first: str, one: Sequence[str], tier: str, other: Sequence[str]) -> None:
    lost, new = sorted(set(one) - set(other)), sorted(set(other) - set(one))
    if not lost and not new:
        k = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        raise DataError(
            f"the tiers {first!r} and {tier!r} have the same classes in another order: class {k} is {one[k]!r} and "
            f"{other[k]!r}",
            hint="export one of them again with the other's order of classes",
        )
    parts = [f"only in {first!r}: {', '.join(map(repr, lost[:3]))}"] if lost else []
    parts += [f"only in {tier!r}: {', '.join(map(repr, new[:3]))}"] if new else []
    raise DataError(
        f"tiers have different label sets: {'; '.join(parts)}", hint="tiers of one route must answer the same classes"
    )


def label_quality(answers: Sequence[TierAnswers], labels: NDArray[np.int64]) -> Floats:
    """1 where a tier's class is the label, else 0, shape ``(n, k)``."""
    return np.column_stack([(a.classes == labels).astype(np.float64) for a in answers])


def agreement_quality(answers: Sequence[TierAnswers], reference: str) -> Floats:
    """1 where a tier's class is the reference's, else 0, shape ``(n, k)``; the reference agrees with itself.

    Raises:
        ValueError: when there is no such tier.
    """
    truth = next((a.classes for a in answers if a.tier == reference), None)
    if truth is None:
        raise ValueError(f"there is no tier {reference!r}")
    return np.column_stack(
        [
            np.ones(truth.size) if a.tier == reference else ((a.classes == truth) & (truth != NO_CLASS)).astype(float)
            for a in answers
        ]
    )
