"""More questions for the students: variations of the training questions, which the large tier then answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Neighbours", "neighbours", "varied"]

Neighbours = dict[int, np.ndarray]
"""Token ids of like meaning, by token id."""
Ids = list[int]

NEAREST = 12
DELETED, REPLACED, MIXED, SWAPPED = 0.1, 0.25, 0.25, 0.1
"""Shares: of words left out, of words replaced (twice that at most), of texts made of two, of texts with a swap."""
LONGEST = 40


def neighbours(embedding: np.ndarray, words: Sequence[str], used: set[int]) -> Neighbours:
    """For every used token the whole words that lie nearest in the embedding.

    Args:
        embedding: Of all tokens, shape (tokens, dimensions).
        words: All tokens.
        used: Ids of those that may be replaced.
    """
    whole = np.array([word.isascii() and word.isalpha() for word in words])
    known = np.flatnonzero(whole)
    directions = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    asked = np.array(sorted(k for k in used if whole[k]))
    near = directions[asked] @ directions[known].T
    best = known[np.argpartition(-near, NEAREST, axis=1)[:, : NEAREST + 1]]
    return {int(k): row[row != k] for k, row in zip(asked, best, strict=True)}


def varied(rows: Sequence[Ids], count: int, near: Neighbours, rng: np.random.Generator) -> list[Ids]:
    """``count`` variations of random rows: words left out, replaced or swapped, or two halves joined."""
    found = []
    for k in rng.integers(len(rows), size=count):
        row = list(rows[k])
        if rng.random() < MIXED:
            row = _joined(row, rows[rng.integers(len(rows))], rng)
        row = _reworded(row, near, rng) or row[:1]
        if len(row) > 1 and rng.random() < SWAPPED:
            k = int(rng.integers(len(row) - 1))
            row[k], row[k + 1] = row[k + 1], row[k]
        found.append(row)
    return found


def _joined(row: Ids, other: Ids, rng: np.random.Generator) -> Ids:
    """The begin of one and the end of the other, in one order or the other."""
    a, b = int(rng.integers(1, len(row) + 1)), int(rng.integers(len(other)))
    return (row[:a] + other[b:] if rng.random() < 0.5 else other[:b] + row[-a:])[:LONGEST]


def _reworded(row: Ids, near: Neighbours, rng: np.random.Generator) -> Ids:
    share = 2 * REPLACED * rng.random()
    found = []
    for token, (kept, replaced) in zip(row, rng.random((len(row), 2)), strict=True):
        if kept >= DELETED:
            others = near.get(token) if replaced < share else None
            found.append(token if others is None else int(others[rng.integers(others.size)]))
    return found
