"""Labels as numbers: class indices, class names or plain numbers, checked against samples and model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from farthing.errors import DataError
from farthing.load.workload.class_names import matched_classes, numbering
from farthing.load.workload.models import configured_classes
from farthing.load.written_numbers import cell_number
from farthing.nouns import Dataset

__all__ = ["LABEL_NAMES", "as_beside_tokenizer", "check_labels", "encode_labels", "renumbered"]

LABEL_NAMES = ("label", "labels", "class", "category", "intent", "target", "targets", "y", "wnid")
"""Usual names of the column or array that holds the labels."""


_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)):
        return float(value)
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    if not isinstance(value, str):
        return None
    return float(value) if _NOT_FINITE.fullmatch(value.strip()) else cell_number(value)


def encode_labels(
    values: Sequence[Any], *, source: str, names: Sequence[str], classes: Sequence[str] = ()
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Turn labels into numbers.

    Integers are class indices — unless the model's own classes are called by other numbers, such as 1, 2, 3, and all
    labels are among them: then their places count —, other numbers stay as they are, anything else is a class name: its
    index is its place in ``classes`` as :func:`matched_classes` finds it; where none is known, in the sorted names.

    Args:
        values: One label a sample.
        source: Where they come from, for messages.
        names: What to call each sample in messages (``line 12``, a file name), as many as ``values``.
        classes: Class names of the model in index order, empty when unknown.

    Returns:
        ``(labels, class names in index order)``; numeric labels are their own names where they are exactly
        0 … k − 1, else the names are empty, as they are where labels are ``LABEL_k`` and the classes unknown.

    Raises:
        DataError: when a label is missing or not finite, some are known classes and others not, or all are the same.
    """
    for value, name in zip(values, names, strict=True):
        if value is None or (isinstance(value, str) and not value.strip()):
            raise DataError(f"{source}: {name} has no label")
    numbers = [_number(value) for value in values]
    known = [x for x in numbers if x is not None]
    if len(known) == len(numbers):
        bad = next((k for k, x in enumerate(known) if not math.isfinite(x)), None)
        if bad is not None:
            raise DataError(f"{source}: {names[bad]} has the label {values[bad]!r}, which is no finite number")
        places = _places(known, classes)
        labels, order = places or tuple(known), tuple(classes) or _numbered(known)
    else:
        texts = [str(value).strip() for value in values]
        _refuse_decimal_commas(texts, source, names)
        matched = matched_classes(texts, classes, source=source, names=names)
        order = tuple(sorted(set(texts))) if matched is None else tuple(classes)
        index = {name: float(k) for k, name in enumerate(order)}
        labels = matched or tuple(index[text] for text in texts)
    _require_two(labels, values, source)
    return labels, order


def renumbered(data: Dataset, classes: Sequence[str]) -> Dataset:
    """Data whose labels are numbered as a model that was loaded since names its classes.

    Args:
        data: With labels, or without (then it stays as it is).
        classes: Of the model in index order, empty when it names none (likewise).

    Raises:
        DataError: when some labels are known classes and others not.
    """
    if data.labels is None or not classes:
        return data
    values = [data.classes[int(label)] for label in data.labels] if data.classes else list(data.labels)
    names = data.ids or [f"sample {k}" for k in range(data.n)]
    labels, order = encode_labels(values, source=data.source, names=names, classes=classes)
    return replace(data, labels=labels, classes=order, numbered=numbering(order, classes))


def as_beside_tokenizer(data: Dataset, tokenizer: Path) -> Dataset:
    """Labels in words numbered as ``config.json`` beside a tokenizer names classes, where all of them fit.

    Args:
        data: Judges a model that has not said its classes yet.
        tokenizer: Its file, or the folder of it.

    Raises:
        ModelError: when config.json cannot be read.
    """
    if not data.classes:
        return data
    classes = configured_classes(tokenizer if tokenizer.is_dir() else tokenizer.parent)
    try:
        found = renumbered(data, classes)
    except DataError:  # of another model
        return data
    fits = bool(classes) and not found.numbered
    return replace(found, numbered="as config.json beside the tokenizer has them") if fits else data


def _refuse_decimal_commas(texts: Sequence[str], source: str, names: Sequence[str]) -> None:
    """Labels that are all numbers but for commas are no names of classes."""
    commas = [k for k, text in enumerate(texts) if _DECIMAL_COMMA.fullmatch(text)]
    if commas and all(k in set(commas) or _number(text) is not None for k, text in enumerate(texts)):
        raise DataError(
            f"{source}: {names[commas[0]]} has the label {texts[commas[0]]!r}; a comma marks no decimals",
            hint="write decimals with a point",
        )


def _places(labels: Sequence[float], classes: Sequence[str]) -> tuple[float, ...] | None:
    """Places of numeric labels among classes that are called by numbers other than 0 … k − 1; None for all others."""
    numbers = [_number(name) for name in classes]
    if not numbers or None in numbers or numbers == list(range(len(numbers))) or not set(labels) <= set(numbers):
        return None
    place = {number: float(k) for k, number in enumerate(numbers)}
    return tuple(place[label] for label in labels)


def _numbered(labels: Sequence[float]) -> tuple[str, ...]:
    found = sorted(set(labels))
    return tuple(str(k) for k in range(len(found))) if found == list(range(len(found))) else ()


def _require_two(labels: Sequence[float], values: Sequence[Any], source: str) -> None:
    if len(set(labels)) < 2:
        raise DataError(
            f"{source}: all {len(labels)} samples have the same label {values[0]!r}",
            hint="accuracy needs at least two classes; for images, one sub-folder a class",
        )


def check_labels(dataset: Dataset, n_classes: int) -> None:
    """Check that every label is one of the classes that the model knows.

    Args:
        dataset: With labels, or without (then there is nothing to check).
        n_classes: Width of the model's output, ≥ 1.

    Raises:
        DataError: when a label is no class index of the model; names the first sample and the value.
    """
    if dataset.labels is None:
        return
    labels = np.asarray(dataset.labels)
    wrong = (labels < 0) | (labels >= n_classes) | (labels != np.floor(labels))
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    name = dataset.ids[first] if dataset.ids else f"sample {first}"
    value = labels[first]
    shown = dataset.classes[int(value)] if dataset.classes and 0 <= value < len(dataset.classes) else f"{value:g}"
    raise DataError(
        f"labels do not match the model: {name} in {dataset.source} has label {shown} (class {value:g}), "
        f"but the model has {n_classes} classes (0 … {n_classes - 1}); {int(wrong.sum()):,} of {dataset.n:,} samples",
        hint=f"{len(Counter(dataset.labels)):,} different labels were found; check that data and model belong together",
    )
