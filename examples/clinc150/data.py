"""Questions in three parts that share no text: to train on, to calibrate on, to report on. CLINC150's, or your own.

Of your own (``read_own``) 20 % of each class are reported on, 30 % calibrate, the rest trains. Of CLINC150's 15,000
questions are meant for training, 3,000 for validation, 4,500 for testing. Out of the first 3,000 are withheld,
20 of each intent, and join the validation questions for calibration: no model ever learns from them.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from farthing.load.tables import find_column, read_table

__all__ = ["Question", "Questions", "read_own", "read_questions", "write_csv"]

WITHHELD_PER_INTENT = 20
TEST_FRAC, CALIBRATE_FRAC = 0.2, 0.3
LEAST_PER_CLASS = 10
"""Questions of a class, so that each part has some."""
TEXTS = ("text", "question", "query", "utterance", "sentence", "prompt", "input")
LABELS = ("label", "intent", "class", "category", "target")

Question = tuple[str, str]
"""Text and intent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """All parts.

    Attributes:
        train: What models are fitted on.
        calibrate: What routes are calibrated on.
        test: What figures are reported on.
        out_of_scope: Test questions that no intent fits.
        intents: Names of the classes, sorted.
        dropped: Questions left out because their text stands in a part before, by part.
    """

    train: list[Question]
    calibrate: list[Question]
    test: list[Question]
    out_of_scope: list[str]
    intents: list[str]
    dropped: dict[str, int]


def read_questions(path: Path, seed: int) -> Questions:
    """Split the data set.

    A text that comes twice stays where it weighs most against us: in the test part, else in the calibration part.
    """
    data: dict[str, list[list[str]]] = json.loads(path.read_text())
    offered = [(text, intent) for text, intent in data["train"]]
    withheld = _withheld(offered, np.random.default_rng(seed))
    parts = {
        "test": [(text, intent) for text, intent in data["test"]],
        "calibrate": [(t, i) for t, i in data["val"]] + [q for k, q in enumerate(offered) if k in withheld],
        "train": [q for k, q in enumerate(offered) if k not in withheld],
    }
    seen: set[str] = set()
    kept: dict[str, list[Question]] = {}
    for name, part in parts.items():
        kept[name] = _unseen(part, seen)
    return Questions(
        train=kept["train"],
        calibrate=kept["calibrate"],
        test=kept["test"],
        out_of_scope=[text for text, _ in data["oos_test"]],
        intents=sorted({intent for _, intent in offered}),
        dropped={name: len(parts[name]) - len(kept[name]) for name in parts},
    )


def read_own(path: Path, seed: int) -> Questions:
    """Your own texts and labels, parted at random within each class.

    Args:
        path: CSV, TSV, JSON Lines or Parquet with a column of texts and one of labels; or JSON: a list of such rows,
            or of pairs of text and label.
        seed: Of the parts.

    Raises:
        SystemExit: when columns are missing, there is one class alone, or a class has too few texts.
    """
    pairs = _unseen(_pairs(path), set())
    by_class: dict[str, list[Question]] = defaultdict(list)
    for text, label in pairs:
        by_class[label].append((text, label))
    few = {label: len(own) for label, own in by_class.items() if len(own) < LEAST_PER_CLASS}
    if len(by_class) < 2 or few:
        said = f"the class {min(few)!r} has {few[min(few)]} different texts" if few else "there is one class alone"
        sys.exit(f"error: {path}: {said}\n\nhint: at least two classes, each of {LEAST_PER_CLASS} different texts")
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Question]] = {"test": [], "calibrate": [], "train": []}
    for label in sorted(by_class):
        own = [by_class[label][k] for k in rng.permutation(len(by_class[label]))]
        test, calibrate = round(TEST_FRAC * len(own)), round((TEST_FRAC + CALIBRATE_FRAC) * len(own))
        for name, part in zip(parts, (own[:test], own[test:calibrate], own[calibrate:]), strict=True):
            parts[name] += part
    dropped = {"train": len(_pairs(path)) - len(pairs), "calibrate": 0, "test": 0}
    return Questions(**parts, out_of_scope=[], intents=sorted(by_class), dropped=dropped)


def _pairs(path: Path) -> list[Question]:
    if path.suffix.lower() != ".json":
        table = read_table(path)
        names = [find_column(table, None, usual, key) for usual, key in ((TEXTS, "text"), (LABELS, "label"))]
        if None in names:
            sys.exit(_no_columns(path, list(table.columns)))
        texts, labels = (table.columns[str(name)] for name in names)
        return [(str(text), str(label)) for text, label in zip(texts, labels, strict=True)]
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not rows:
        sys.exit(f'error: {path} is no list of rows\n\nhint: [[text, label], …] or [{{"text": …, "label": …}}, …]')
    return [_pair(row, path) for row in rows]


def _pair(row: object, path: Path) -> Question:
    if isinstance(row, list) and len(row) == 2:
        return str(row[0]), str(row[1])
    if isinstance(row, dict):
        found = [next((row[name] for name in usual if name in row), None) for usual in (TEXTS, LABELS)]
        if None not in found:
            return str(found[0]), str(found[1])
        sys.exit(_no_columns(path, list(row)))
    sys.exit(f"error: a row of {path} is {row!r}, no pair of text and label")


def _no_columns(path: Path, names: Sequence[str]) -> str:
    known = f"texts: {', '.join(TEXTS)}; labels: {', '.join(LABELS)}"
    return f"error: {path} has no column of texts or of labels, but {', '.join(names)}\n\nhint: names that are known: {known}"


def _withheld(offered: Sequence[Question], rng: np.random.Generator) -> set[int]:
    """Places of the questions that are kept from training."""
    places: dict[str, list[int]] = defaultdict(list)
    for k, (_, intent) in enumerate(offered):
        places[intent].append(k)
    return {int(k) for own in places.values() for k in rng.choice(own, WITHHELD_PER_INTENT, replace=False)}


def _unseen(part: Iterable[Question], seen: set[str]) -> list[Question]:
    """Questions whose text is new; ``seen`` grows."""
    kept = []
    for text, intent in part:
        plain = " ".join(text.lower().split())
        if plain not in seen:
            seen.add(plain)
            kept.append((text, intent))
    return kept


def write_csv(path: Path, rows: Iterable[Question]) -> None:
    """Questions with the columns ``text`` and ``intent``."""
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([("text", "intent"), *rows])
