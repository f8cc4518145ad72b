"""Outcome matrices: one row a request, with quality and cost of every tier, from CSV, JSON Lines or Parquet.

Columns by name:

| column | meaning |
|---|---|
| ``request_id`` (or ``id``, ``sample_id``, ``query_id``) | any text, no two alike |
| ``quality:TIER``, ``cost_usd:TIER`` | for every tier: in [0, 1], and dollars a request ≥ 0 |
| ``text`` (or ``prompt``, ``query``, …) | the request itself, optional |
| ``segment`` | its group, optional |
| ``feature:NAME`` | a number for a trained score, optional |
| ``score:NAME`` or ``score:NAME@TIER+TIER`` | a score, with the tiers that it needs the answers of, optional |

Files with other names (published router benchmarks) are read with ``columns={tier: (quality, cost)}``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import OutcomeMatrix, Score, cheapest_first
from farthing.errors import DataError
from farthing.load.tables import ID_NAMES, SEGMENT_NAMES, Table, find_column, read_table, request_ids, words
from farthing.load.written_numbers import cell_number

__all__ = ["OutcomeFile", "read_outcomes"]

_TEXT_NAMES = ("text", "prompt", "query", "question", "utterance", "sentence", "input")
_QUALITY, _COST, _FEATURE, _SCORE = "quality:", "cost_usd:", "feature:", "score:"
_SHOWN = 5
_LONGEST_SHOWN = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutcomeFile:
    """What a file of outcomes holds.

    Attributes:
        matrix: Qualities, costs, segments and scores, tiers in the order of their mean cost.
        texts: The requests, None when the file has none.
        features: Shape ``(n, number of features)``; no columns when the file has none.
        feature_names: Of the columns.
        source: Path as given.
        table: All that was read.
    """

    matrix: OutcomeMatrix
    texts: tuple[str, ...] | None
    features: Floats
    feature_names: tuple[str, ...]
    source: str
    table: Table


def read_outcomes(
    path: Path,
    *,
    columns: Mapping[str, tuple[str, str]] | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    segment_column: str | None = None,
    free: Collection[str] | None = None,
) -> OutcomeFile:
    """Read a file of outcomes.

    Args:
        path: CSV, TSV, JSON Lines or Parquet.
        columns: Names of the quality and the cost column by tier; None or empty for ``quality:TIER`` and
            ``cost_usd:TIER``.
        id_column: Column of the request ids, None to guess.
        text_column: Column of the texts, None to guess; without a guess there are none.
        segment_column: Column of the segments, None for ``segment`` where there is one.
        free: Tiers whose costs of 0 are meant, all others' are refused; None for not looking.

    Raises:
        DataError: when the file is unreadable, a column is missing, a value is missing or out of its domain, or a cost
            is 0 that was not said to be meant.
    """
    table = read_table(path)
    tiers = dict(columns) if columns else _tiers(table)
    for tier, pair in tiers.items():
        for name in pair:
            if name not in table.columns:
                raise DataError(
                    f"{path} has no column {name!r} for the tier {tier!r}", hint=f"it has: {_some(list(table.columns))}"
                )
    quality = np.column_stack([_numbers(table, q, 0.0, 1.0) for q, _ in tiers.values()])
    cost = np.column_stack([_numbers(table, c, 0.0, np.inf) for _, c in tiers.values()])
    if free is not None:
        _refuse_unpriced(table, tiers, cost, free)
    segment = find_column(table, segment_column, SEGMENT_NAMES, "segment_column")
    text = find_column(table, text_column, _TEXT_NAMES, "text_column")
    features = [name for name in table.columns if name.startswith(_FEATURE)]
    matrix = OutcomeMatrix(
        request_ids=_ids(table, id_column),
        tiers=tuple(tiers),
        quality=quality,
        cost_usd=cost,
        segments=None if segment is None else words(table, segment),
        scores=_scores(table, tuple(tiers)),
    )
    numbers = [_numbers(table, name, -np.inf, np.inf) for name in features]
    return OutcomeFile(
        matrix=cheapest_first(matrix),
        texts=None if text is None else _texts(table, text),
        features=np.column_stack(numbers) if numbers else np.zeros((matrix.n, 0)),
        feature_names=tuple(name.removeprefix(_FEATURE) for name in features),
        source=str(path),
        table=table,
    )


def _refuse_unpriced(table: Table, tiers: Mapping[str, tuple[str, str]], cost: Floats, free: Collection[str]) -> None:
    """Refuse costs of 0, which stand for a price that was not known more often than for none."""
    unknown = next((name for name in free if name not in tiers), None)
    if unknown is not None:
        raise DataError(f"--free names the tier {unknown!r}; {table.path} has {_some(list(tiers))}")
    for column, (tier, names) in zip(cost.T, tiers.items(), strict=True):
        zero = np.flatnonzero(column == 0)
        if zero.size and tier not in free:
            where = "on every request" if zero.size == column.size else (
                f"on {zero.size:,} of {column.size:,} requests, line {table.lines[int(zero[0])]} first"
            )  # fmt: skip
            raise DataError(
                f"{table.path}: the tier {tier!r} costs 0 {where} ({names[1]}); a missing price is never taken as 0",
                hint=f"fill in what it costs; where it is free, say so: --free {tier}",
            )
    if not cost.any():
        raise DataError(
            f"{table.path}: no tier costs anything, so that routing cannot save anything",
            hint="ask the best tier alone: it is free",
        )


def _tiers(table: Table) -> dict[str, tuple[str, str]]:
    """Quality and cost column by tier, in the order of the file."""
    known = {p: [n.removeprefix(p) for n in table.columns if n.startswith(p)] for p in (_QUALITY, _COST)}
    if not known[_QUALITY]:
        raise DataError(
            f"{table.path} has no column {_QUALITY}TIER; its columns are {_some(list(table.columns))}",
            hint="name them quality:TIER and cost_usd:TIER, or say which they are",
        )
    unpriced = [tier for tier in known[_QUALITY] if tier not in known[_COST]]
    if unpriced:
        raise DataError(
            f"{table.path} has no price of the tier {unpriced[0]!r}: the column {_COST}{unpriced[0]} is missing",
            hint="every tier needs its cost of a request in dollars; a missing price is never taken as 0",
        )
    unjudged = [tier for tier in known[_COST] if tier not in known[_QUALITY]]
    if unjudged:
        raise DataError(f"{table.path} has no quality of the tier {unjudged[0]!r}: {_QUALITY}{unjudged[0]} is missing")
    return {tier: (_QUALITY + tier, _COST + tier) for tier in known[_QUALITY]}


def _scores(table: Table, tiers: Sequence[str]) -> dict[str, Score]:
    found = {}
    for column in table.columns:
        if not column.startswith(_SCORE):
            continue
        name = column.removeprefix(_SCORE)
        needs = tuple(name.partition("@")[2].split("+")) if "@" in name else ()
        unknown = [tier for tier in needs if tier not in tiers]
        if unknown:
            raise DataError(
                f"{table.path}: the column {column!r} needs the tier {unknown[0]!r}, which has no quality",
                hint=f"tiers: {_some(list(tiers))}",
            )
        found[name] = Score(values=_numbers(table, column, -np.inf, np.inf), needs=needs)
    return found


def _ids(table: Table, given: str | None) -> tuple[str, ...]:
    column = find_column(table, given, ID_NAMES, "id_column")
    if column is None:
        raise DataError(
            f"{table.path} has no column of request ids; its columns are {_some(list(table.columns))}",
            hint="name it request_id, or give id_column",
        )
    return request_ids(table, column)


def _texts(table: Table, column: str) -> tuple[str, ...]:
    for value, line in zip(table.columns[column], table.lines, strict=True):
        if not isinstance(value, str):
            raise DataError(f"{table.path} line {line}: {column} is {_short(value)}, not a text")
    return tuple(table.columns[column])


def _numbers(table: Table, column: str, lo: float, hi: float) -> Floats:
    """A column as finite numbers in [lo, hi]."""
    found = np.empty(len(table.lines))
    for i, (value, line) in enumerate(zip(table.columns[column], table.lines, strict=True)):
        number = _number(value)
        if number is None or not np.isfinite(number):
            raise DataError(f"{table.path} line {line}: {column} is {_short(value)}, not a finite number")
        if not lo <= number <= hi:
            most = "" if hi == np.inf else f" and ≤ {hi:g}"
            raise DataError(f"{table.path} line {line}: {column} is {number:g}; it must be ≥ {lo:g}{most}")
        found[i] = number
    return found


def _number(value: Any) -> float | None:
    """A number, or true and false as 1 and 0; None for anything else."""
    if isinstance(value, bool | int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    word = value.strip()
    return float(word.lower() == "true") if word.lower() in ("true", "false") else cell_number(word)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "") or "none"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"
