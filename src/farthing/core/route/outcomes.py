"""What every tier answered to every request: quality, cost, and the scores by which a router would choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["OutcomeMatrix", "Score", "cheapest_first", "halves", "require_disjoint", "take"]

_SHOWN = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Score:
    """One number a request: the higher, the more likely it is that the cheap tier suffices.

    Attributes:
        values: Shape ``(n,)``, finite.
        needs: Names of the tiers from whose answers it is computed; they run, and are paid for, wherever the score
            is. Empty when it is known before any tier runs.
        cost_usd: Of computing it once, beyond those tiers, ≥ 0.
    """

    values: Floats
    needs: tuple[str, ...] = ()
    cost_usd: float = 0.0

    def __post_init__(self) -> None:
        values = _frozen(self.values)
        object.__setattr__(self, "values", values)
        if values.ndim != 1:
            raise ValueError(f"Score: values must have shape (n,), have {values.shape}")
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise ValueError(f"Score: {bad.size} values are not finite, the first is number {bad[0]}: {values[bad[0]]}")
        if not 0 <= self.cost_usd < np.inf:
            raise ValueError(f"Score: cost_usd must be finite and ≥ 0, is {self.cost_usd}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutcomeMatrix:
    """Quality and cost of every tier on the same requests.

    Attributes:
        request_ids: One a request, no two alike.
        tiers: Names, cheapest first, no two alike, at least one.
        quality: Shape ``(n, k)`` in [0, 1], more is better: right or wrong, agreement with the reference, a grade.
        cost_usd: Shape ``(n, k)``, finite and ≥ 0: what the request costs when that tier answers it.
        segments: Group of each request (a class, a customer, a language) for limits of its own; None for no groups.
        scores: By name, each with ``n`` values.
    """

    request_ids: tuple[str, ...]
    tiers: tuple[str, ...]
    quality: Floats
    cost_usd: Floats
    segments: tuple[str, ...] | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        quality, cost = _frozen(self.quality), _frozen(self.cost_usd)
        object.__setattr__(self, "quality", quality)
        object.__setattr__(self, "cost_usd", cost)
        object.__setattr__(self, "scores", dict(self.scores))
        n, k = len(self.request_ids), len(self.tiers)
        if n == 0 or k == 0:
            raise ValueError(f"OutcomeMatrix: at least one request and one tier wanted, has {n} and {k}")
        for name, table in (("quality", quality), ("cost_usd", cost)):
            if table.shape != (n, k):
                raise ValueError(f"OutcomeMatrix: {name} must have shape ({n}, {k}), has {table.shape}")
        _check_unique(self.request_ids, "request ids")
        _check_unique(self.tiers, "tiers")
        self._check_range(quality, (quality >= 0) & (quality <= 1), "quality must lie in [0, 1]")
        self._check_range(cost, (cost >= 0) & np.isfinite(cost), "cost_usd must be finite and ≥ 0")
        if self.segments is not None and len(self.segments) != n:
            raise ValueError(f"OutcomeMatrix: {len(self.segments)} segments for {n} requests")
        self._check_scores(n)

    @property
    def n(self) -> int:
        """Number of requests."""
        return len(self.request_ids)

    def tier(self, name: str) -> int:
        """Column of a tier.

        Raises:
            ValueError: when there is no tier of that name.
        """
        if name not in self.tiers:
            raise ValueError(f"there is no tier {name!r}; there are {', '.join(self.tiers)}")
        return self.tiers.index(name)

    def _check_range(self, table: Floats, good: NDArray[np.bool_], rule: str) -> None:
        if not good.all():
            row, column = np.argwhere(~good)[0]
            where = f"request {self.request_ids[row]!r}, tier {self.tiers[column]!r}"
            raise ValueError(f"OutcomeMatrix: {rule}; {where} has {table[row, column]}")

    def _check_scores(self, n: int) -> None:
        for name, score in self.scores.items():
            if score.values.size != n:
                raise ValueError(f"OutcomeMatrix: score {name!r} has {score.values.size} values for {n} requests")
            unknown = [tier for tier in score.needs if tier not in self.tiers]
            if unknown:
                raise ValueError(f"OutcomeMatrix: score {name!r} needs the unknown tier {unknown[0]!r}")


def take(matrix: OutcomeMatrix, rows: ArrayLike) -> OutcomeMatrix:
    """The chosen requests, in the order given.

    Args:
        matrix: Where they come from.
        rows: Indices without repeats, shape ``(m,)``, or a mask of shape ``(n,)``.

    Raises:
        ValueError: when no row is left or one comes twice.
    """
    index = np.asarray(rows)
    index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
    return OutcomeMatrix(
        request_ids=tuple(matrix.request_ids[i] for i in index),
        tiers=matrix.tiers,
        quality=matrix.quality[index],
        cost_usd=matrix.cost_usd[index],
        segments=None if matrix.segments is None else tuple(matrix.segments[i] for i in index),
        scores={
            name: Score(values=score.values[index], needs=score.needs, cost_usd=score.cost_usd)
            for name, score in matrix.scores.items()
        },
    )


def halves(
    matrix: OutcomeMatrix, rng: np.random.Generator, *, choose_frac: float
) -> tuple[OutcomeMatrix, OutcomeMatrix]:
    """Two random parts: one to choose a policy on, one to certify it on.

    Args:
        matrix: At least two requests.
        rng: Source of the split.
        choose_frac: Share of the first part, in (0, 1); each part gets at least one request.

    Raises:
        ValueError: when there are too few requests or the share lies outside (0, 1).
    """
    if not 0 < choose_frac < 1 or matrix.n < 2:
        raise ValueError(f"needs choose_frac in (0, 1) and 2 requests: choose_frac = {choose_frac}, n = {matrix.n}")
    order = rng.permutation(matrix.n)
    cut = min(matrix.n - 1, max(1, round(choose_frac * matrix.n)))
    return take(matrix, np.sort(order[:cut])), take(matrix, np.sort(order[cut:]))


def cheapest_first(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """The same outcomes with the tiers in the order of their mean cost; equal ones stay in their order."""
    order = np.argsort(matrix.cost_usd.mean(axis=0), kind="stable")
    return OutcomeMatrix(
        request_ids=matrix.request_ids,
        tiers=tuple(matrix.tiers[t] for t in order),
        quality=matrix.quality[:, order],
        cost_usd=matrix.cost_usd[:, order],
        segments=matrix.segments,
        scores=matrix.scores,
    )


def require_disjoint(a: Sequence[str], b: Sequence[str], *, what: str) -> None:
    """Refuse two sets of requests that share one: a guarantee needs data that nothing was chosen or trained on.

    Args:
        a: Ids or texts of the one set.
        b: Of the other.
        what: Their name in the message, for example ``"texts of calibration and test"``.

    Raises:
        ValueError: when one occurs in both.
    """
    seen = set(a)
    shared = list(dict.fromkeys(x for x in b if x in seen))
    if shared:
        shown = ", ".join(repr(x if len(x) <= 60 else x[:57] + "…") for x in shared[:_SHOWN])
        more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        raise ValueError(f"{what} overlap in {len(shared)}: {shown}{more}")


def _check_unique(names: Sequence[str], what: str) -> None:
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"OutcomeMatrix: {what} must differ; {twice!r} comes twice")


def _frozen(values: ArrayLike) -> Floats:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
