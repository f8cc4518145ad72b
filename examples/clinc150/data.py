"""CLINC150's in-scope questions in three parts that share no text: to train on, to calibrate on, to report on.

15,000 questions are meant for training, 3,000 for validation, 4,500 for testing. Out of the first 3,000 are withheld,
20 of each intent, and join the validation questions for calibration: no model ever learns from them.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Question", "Questions", "read_questions", "write_csv"]

WITHHELD_PER_INTENT = 20

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
