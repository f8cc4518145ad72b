"""Whether the metrics that compare classes can judge the answers of a model, told from its file before any work."""

from __future__ import annotations

from pathlib import Path

from farthing.errors import InputError
from farthing.load.workload.labels import check_labels
from farthing.models.answers import answer_of
from farthing.models.graph_content import graph_content
from farthing.nouns import Dataset

__all__ = ["check_judged"]

_OWN = "objective.metric: file.py:function, which takes (outputs, labels) and gives a score in [0, 1] a sample"


def check_judged(holdout: Dataset, metric: str, onnx_path: Path) -> None:
    """Check labels against the model's classes, and that each answer names one class.

    Args:
        holdout: With labels, or without.
        metric: ``accuracy``, ``f1_macro`` or ``agreement``.
        onnx_path: The model's file.

    Raises:
        DataError: when a label is no class of the model.
        InputError: when an answer is one number, or has a class for each of many places.
    """
    answer = answer_of(graph_content(onnx_path))
    if answer.spec is None:
        if answer.classes and metric != "agreement":
            check_labels(holdout, len(answer.classes))
        return
    shape = answer.spec.shape
    said = f"{onnx_path.name} answers with {answer.tensor} ({', '.join('n' if d is None else str(d) for d in shape)})"
    if any(d is not None and d > 1 for d in shape[2:]):
        raise InputError(f"{said}, which names no single class: {metric} cannot judge it", hint=_OWN)
    if len(shape) < 2 or shape[1] is None:
        return
    if shape[1] == 1 and None not in shape[2:]:
        raise InputError(f"{said}, one number a sample and no classes: {metric} cannot judge it", hint=_OWN)
    if metric != "agreement" and all(d == 1 for d in shape[2:]):
        check_labels(holdout, shape[1])
