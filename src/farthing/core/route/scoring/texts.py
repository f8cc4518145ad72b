"""Scores and features of a text itself, before any tier runs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["TEXT_FEATURES", "brevity", "length", "text_features"]

TEXT_FEATURES = ("log_characters", "log_words", "mean_word_length", "digit_frac", "non_ascii_frac", "questions")
"""Names of the columns of :func:`text_features`."""
_WORD = re.compile(r"\S+")

Floats = NDArray[np.float64]


def text_features(texts: Sequence[str]) -> Floats:
    """Simple features of texts, shape ``(n, 6)`` in the order of ``TEXT_FEATURES``; an empty text gives zeros."""
    return np.array([_features(text) for text in texts], dtype=np.float64).reshape(len(texts), len(TEXT_FEATURES))


def brevity(texts: Sequence[str]) -> Floats:
    """−log(1 + characters): short texts first."""
    return -np.log1p(np.array([len(text) for text in texts], dtype=np.float64))


def length(texts: Sequence[str]) -> NDArray[np.float64]:
    """log(1 + characters): long texts first, for tiers that lose least, or save most, on them."""
    return -brevity(texts)


def _features(text: str) -> tuple[float, ...]:
    size, words = len(text), len(_WORD.findall(text))
    letters = size - sum(map(str.isspace, text))
    return (
        float(np.log1p(size)),
        float(np.log1p(words)),
        letters / max(words, 1),
        sum(map(str.isdigit, text)) / max(size, 1),
        sum(ch > "\x7f" for ch in text) / max(size, 1),
        float(text.count("?")),
    )
