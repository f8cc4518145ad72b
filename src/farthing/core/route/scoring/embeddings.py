"""Scores of a request's content by an embedding of its text: a ridge of the signed loss, and nearest neighbours.

Neighbours average the signed loss as well: a request on which only the cheap tier is right counts for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import Floats
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.contents import ContentScore, Difference, dense_scores
from farthing.core.route.scoring.predictors import fit_neighbours
from farthing.core.route.scoring.ridge import LossRidge
from farthing.core.route.scoring.trained import Embed, Embedded

__all__ = ["ASKED", "embedding_scores"]

ASKED = (10, 30, 100)
"""Neighbours that are compared."""
MOST_NEIGHBOURS = 2000
Ints = NDArray[np.int64]


def embedding_scores(
    embed: Embed, texts: Sequence[str], by_tier: Mapping[str, Difference], choose: Ints, rng: np.random.Generator
) -> Iterator[ContentScore]:
    """Ridges in both forms and neighbours of every tier.

    Args:
        embed: See :data:`Embed`.
        texts: Of all requests.
        by_tier: What each tier loses and saves.
        choose: Rows of the choosing part.
        rng: Draws the rows that are kept where there are too many.
    """
    if not by_tier:
        return
    table = np.concatenate([embed([text]) for text in texts])
    for found in dense_scores("embedding_ridge", table, by_tier, choose, rng, kind="embedding_ridge", features=()):
        assert isinstance(found.predictor, LossRidge)
        yield replace(found, predictor=Embedded(predictor=found.predictor, embed=embed))
    kept = choose if choose.size <= MOST_NEIGHBOURS else np.sort(rng.choice(choose, MOST_NEIGHBOURS, replace=False))
    for tier, difference in by_tier.items():
        sizes = [k for k in ASKED if k < kept.size]
        if sizes and np.ptp(difference.loss[kept]) > 0:
            yield _neighbours(tier, difference, table, kept, sizes, embed)


def _neighbours(
    tier: str, difference: Difference, table: Floats, kept: Ints, sizes: Sequence[int], embed: Embed
) -> ContentScore:
    """With the number of neighbours whose leave-one-out error is least; directions as the file keeps them."""
    good = (1 - difference.loss[kept]) / 2
    stored = table[kept].astype(np.float32).astype(np.float64)
    fits = [replace(fit_neighbours(stored, good, k=k), directions=stored) for k in sizes]
    left_out = [fit.score(stored, leave_one_out=True) for fit in fits]
    best = int(np.argmin([((good - x) ** 2).mean() for x in left_out]))
    values = np.concatenate([fits[best].score(row[None]) for row in table])
    values[kept] = left_out[best]
    return ContentScore(
        spec=ScoreSpec(name=f"embedding_neighbours({tier})", kind="embedding_neighbours"),
        values=values,
        predictor=Embedded(predictor=fits[best], embed=embed),
    )
