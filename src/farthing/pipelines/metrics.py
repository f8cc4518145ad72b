"""Scores of answers: accuracy, agreement with the baseline, macro F1, and the user's own function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError, TrustError
from farthing.plugins import import_callable

__all__ = ["Accuracy", "Agreement", "CustomMetric", "F1Macro", "custom_metric", "top1"]


def top1(outputs: NDArray[Any], what: str = "outputs") -> NDArray[np.int64]:
    """Find the class that each answer names.

    Args:
        outputs: Scores of shape ``(n, classes)`` — further dimensions of size 1 are dropped —, or class indices
            of shape ``(n,)``.
        what: What to call it in messages.

    Returns:
        Class indices of shape ``(n,)``; the first class where scores tie.

    Raises:
        DataError: for NaN, numbers that are no class indices, or a shape that names no class.
    """
    values = np.asarray(outputs)
    shape = values.shape
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    bad = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    if bad:
        raise DataError(f"{bad:,} of {values.size:,} {what} are NaN", hint="the model overflows in this precision")
    if values.ndim == 1:
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            first = values[values != np.floor(values)][0]
            raise DataError(
                f"{what} are numbers such as {first:g}, not class indices", hint="give a metric of your own"
            )
        return values.astype(np.int64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise DataError(
            f"{what} have the shape {shape}; classes need (n, classes) or (n,)",
            hint="give a metric of your own: objective.metric file.py:function",
        )
    best: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
    return best


def _pair(outputs: NDArray[Any], labels: NDArray[Any], what: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    answers, truth = top1(outputs), top1(labels, what)
    if answers.shape != truth.shape:
        raise DataError(f"{answers.size:,} outputs for {truth.size:,} {what}")
    return answers, truth


class Accuracy:
    """Share of answers whose best class is the label."""

    name = "accuracy"
    per_sample = True

    def __call__(self, outputs: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 where right, else 0, shape ``(n,)``.

        Raises:
            DataError: when outputs or labels name no classes, or there are unequally many.
        """
        answers, truth = _pair(outputs, labels, "labels")
        return np.where(answers == truth, 1.0, 0.0)


class Agreement:
    """Share of answers whose best class is the baseline's: what can be said without labels."""

    name = "agreement"
    per_sample = True

    def __call__(self, outputs: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 where both agree, else 0, shape ``(n,)``.

        Args:
            outputs: The candidate's.
            labels: The baseline's outputs, scores or class indices.

        Raises:
            DataError: when either names no classes, or there are unequally many.
        """
        answers, truth = _pair(outputs, labels, "baseline outputs")
        return np.where(answers == truth, 1.0, 0.0)


class F1Macro:
    """Unweighted mean of the F1 score of each class that occurs among labels or answers (as scikit-learn has it)."""

    name = "f1_macro"
    per_sample = False

    def __call__(self, outputs: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """One number in [0, 1], shape ``()``.

        Raises:
            DataError: when outputs or labels name no classes, or there are unequally many or none.
        """
        answers, truth = _pair(outputs, labels, "labels")
        if not truth.size:
            raise DataError("macro F1 of no samples")
        classes, index = np.unique(np.concatenate([truth, answers]), return_inverse=True)
        said_true, said = index[: truth.size], index[truth.size :]
        right = np.bincount(said[said == said_true], minlength=classes.size)
        total = np.bincount(said, minlength=classes.size) + np.bincount(said_true, minlength=classes.size)
        return np.asarray((2 * right / total).mean())


class CustomMetric:
    """A function of the user's as a metric.

    Args:
        name: For reports.
        function: ``(outputs, labels) → score``; with an attribute ``per_sample = True`` it gives one score in
            [0, 1] a sample, else one number.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.per_sample = bool(getattr(function, "per_sample", False))
        self._function = function

    def __call__(self, outputs: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of shape ``(n,)`` in [0, 1], or one number of shape ``()``.

        Raises:
            DataError: when the function gives another shape, a number that is not finite, or a score outside [0, 1].
        """
        scores = np.asarray(self._function(outputs, labels), dtype=np.float64)
        wanted = (len(outputs),) if self.per_sample else ()
        if scores.shape != wanted:
            raise DataError(
                f"metric {self.name} gave the shape {scores.shape}, expected {wanted}",
                hint=f"set {self.name}.per_sample = True for one score a sample, leave it out for one number",
            )
        if not np.isfinite(scores).all():
            raise DataError(f"metric {self.name} gave {scores[~np.isfinite(scores)].flat[0]}")
        if self.per_sample and ((scores < 0) | (scores > 1)).any():
            raise DataError(f"metric {self.name} gave {scores.min():g} … {scores.max():g}; scores must lie in [0, 1]")
        return scores


def custom_metric(import_path: str, *, trust: bool) -> CustomMetric:
    """Load the user's own metric.

    Args:
        import_path: ``package.module:function`` or ``file.py:function``.
        trust: True when the path came from the command line or with ``--trust``.

    Raises:
        TrustError: when it is not trusted; nothing was imported then.
        InputError: when there is no such function.
    """
    if not trust:
        raise TrustError(
            f"the metric {import_path} is Python code that would run",
            hint="give --trust if you trust it, or name it on the command line",
        )
    return CustomMetric(import_path.rpartition(":")[2], import_callable(import_path))
