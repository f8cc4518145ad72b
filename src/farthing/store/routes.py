"""What ``farthing route calibrate`` leaves: route.yaml, the weights of its learned scores, the outcomes it rests on."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import to_plain
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.routes import Route
from farthing.core.route.scoring.predictors import Logistic
from farthing.core.route.scoring.ridge import LossRidge
from farthing.core.route.scoring.trained import Embedded, PerUsd, Predictor
from farthing.store.documents import write_bytes, write_yaml

__all__ = ["OUTCOMES", "write_outcomes", "write_route", "write_weights"]

OUTCOMES = "outcomes.parquet"
"""What a route rests on, beside it."""


def write_route(route: Route, path: Path) -> Path:
    """Write ``route.yaml``; :func:`farthing.load.route.files.read_route` reads it.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    return write_yaml(path, "farthing/route/1", to_plain(route))


def write_weights(path: Path, predictors: Mapping[str, Predictor]) -> Path:
    """Write the arrays of learned scores, by the score's name, as one ``.npz``.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, fitted in predictors.items():
        arrays |= {f"{name}/{part}": array for part, array in _arrays(fitted).items()}
    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]
    return write_bytes(path, body.getvalue())


def _arrays(fitted: Predictor) -> dict[str, NDArray[Any]]:
    """By the names under which :func:`farthing.load.route.files.read_predictor` looks for them."""
    if isinstance(fitted, PerUsd):
        own = {
            "per_usd_scores": fitted.scores,
            "per_usd_losses": fitted.losses,
            "per_usd_weights": fitted.weights,
            "per_usd_intercept": np.array(fitted.intercept),
            "per_usd_floor": np.array(fitted.floor),
        }
        return own if fitted.base is None else own | _arrays(fitted.base)
    found = fitted.predictor if isinstance(fitted, Embedded) else fitted
    if isinstance(found, Logistic):
        return {"weights": found.weights, "intercept": np.array(found.intercept)}
    if isinstance(found, LossRidge):
        return {
            "weights": found.weights.astype(np.float32 if found.idf.size else np.float64),
            "intercept": found.intercept,
            "floor": np.array(found.floor),
            "idf": found.idf.astype(np.float32),
        }
    return {
        "directions": found.directions.astype(np.float32),
        "sufficient": found.sufficient,
        "k": np.array(found.k),
    }


def write_outcomes(
    path: Path,
    matrix: OutcomeMatrix,
    *,
    texts: Sequence[str] | None = None,
    marks: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write outcomes as :func:`farthing.load.route.outcomes.read_outcomes` reads them.

    Args:
        path: A ``.parquet`` file.
        matrix: What every tier did.
        texts: The requests, None to leave them out.
        marks: Further columns of words by name, for example which part a request was in.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {"request_id": list(matrix.request_ids)}
    if texts is not None:
        columns["text"] = list(texts)
    if matrix.segments is not None:
        columns["segment"] = list(matrix.segments)
    columns |= {name: list(values) for name, values in (marks or {}).items()}
    for k, tier in enumerate(matrix.tiers):
        columns[f"quality:{tier}"] = matrix.quality[:, k]
        columns[f"cost_usd:{tier}"] = matrix.cost_usd[:, k]
    for name, score in matrix.scores.items():
        needs = f"@{'+'.join(score.needs)}" if score.needs and "@" not in name else ""
        columns[f"score:{name}{needs}"] = score.values
    body = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), body)
    return write_bytes(path, body.getvalue())
