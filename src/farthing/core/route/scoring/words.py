"""Words of a text as a sparse vector: hashed words and pairs of words, weighted by how rare they are (TF-IDF).

Words are hashed, so that no word of a request is ever stored: what is kept is one number a bucket. A row is computed
by one function wherever it is needed, so that what is served is what was calibrated, to the last bit.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["BUCKETS", "fit_idf", "word_row", "word_table"]

BUCKETS = 2**15
"""Of the hash; words that share one share a weight."""
MOST_WORDS = 4000
"""Of a text, so that a very long one takes a few milliseconds."""
LEAST_TEXTS = 2
"""A bucket that fewer of the fitted texts have tells nothing of others."""
_WORD = re.compile(r"\w+|[^\w\s]")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fit_idf(texts: Sequence[str]) -> Floats:
    """Weight of each bucket, shape ``(BUCKETS,)``: 1 + ln((1 + n) / (1 + texts that have it)), 0 for those of one text.

    Raises:
        ValueError: when there is no text.
    """
    if not texts:
        raise ValueError("weights of words need texts, has none")
    seen = np.zeros(BUCKETS)
    for text in texts:
        seen[_counted(text)[0]] += 1
    idf = 1 + np.log((1 + len(texts)) / (1 + seen))
    return np.asarray(np.where(seen >= LEAST_TEXTS, idf, 0.0).astype(np.float32).astype(np.float64))


def word_row(text: str, idf: Floats) -> tuple[Ints, Floats]:
    """Buckets of a text, rising, and their values: (1 + ln count) · idf, of length 1 together; empty where none counts.

    Args:
        text: Any text; case does not matter, and only its first words count.
        idf: See :func:`fit_idf`.
    """
    places, counts = _counted(text)
    values = (1 + np.log(counts)) * idf[places]
    length = float(np.sqrt(values @ values))
    return places, values / length if length > 0 else values


def word_table(texts: Sequence[str], idf: Floats) -> sparse.csr_matrix:
    """All rows, shape ``(n, BUCKETS)``."""
    rows = [word_row(text, idf) for text in texts]
    ends = np.concatenate([[0], np.cumsum([places.size for places, _ in rows])])
    places = np.concatenate([places for places, _ in rows]) if rows else np.zeros(0, dtype=np.int64)
    values = np.concatenate([values for _, values in rows]) if rows else np.zeros(0)
    return sparse.csr_matrix((values, places, ends), shape=(len(texts), BUCKETS))


def _counted(text: str) -> tuple[Ints, Floats]:
    words = _WORD.findall(text.lower())[:MOST_WORDS]
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    hashed = Counter(zlib.crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS for word in (*words, *pairs))
    places = np.array(sorted(hashed), dtype=np.int64)
    return places, np.array([hashed[k] for k in places.tolist()], dtype=np.float64)
