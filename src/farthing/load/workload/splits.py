"""Splits of the holdout: choose on one part, prove once on the rest; calibrate elsewhere where possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError
from farthing.nouns import Dataset, Splits

__all__ = ["MAX_CALIBRATION_N", "MIN_CONFIRM_N", "MIN_SEARCH_N", "make_splits"]

MIN_SEARCH_N = 20
"""Fewest samples on which candidates are chosen."""
MIN_CONFIRM_N = 30
"""Fewest samples that can confirm anything; “at most 1 point” needs about 300 even when no answer differs."""
MAX_CALIBRATION_N = 300
"""Most samples that quantisation is calibrated on; more bring nothing (NNCF's default is 300)."""
_SEARCH_N, _SEARCH_FRAC = 200, 0.22


def make_splits(
    holdout: Dataset, calibration: Dataset | None, search_n: int | None, confirm_n: int | None, seed: int
) -> Splits:
    """Draw the splits, stratified by label: each label's share of a split is its share of the holdout, up to one.

    Args:
        holdout: What judges candidates.
        calibration: Data to calibrate on, None to calibrate on the search split. Samples of it that are also in the
            holdout are left out.
        search_n: Samples to choose on; None for 22 % of the holdout, at most 200.
        confirm_n: Samples to prove on; None for all others.
        seed: Decides the draw; the same data and seed give the same splits.

    Returns:
        Sorted indices; ``calibrate`` points into ``calibration``, or into the holdout when that is None.

    Raises:
        DataError: when there are too few samples; the message says how many are needed.
    """
    search, confirm = _sizes(holdout, search_n, confirm_n)
    rng = np.random.default_rng(seed)
    order = _stratified(holdout, np.arange(holdout.n), rng)
    chosen = order[:search]
    if calibration is None:
        calibrate = chosen[:MAX_CALIBRATION_N]
    else:
        calibrate = _stratified(calibration, _unseen(calibration, holdout), rng)[:MAX_CALIBRATION_N]
    return Splits(
        calibrate=_indices(calibrate), search=_indices(chosen), confirm=_indices(order[search : search + confirm])
    )


def _indices(rows: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.sort(rows))


def _sizes(holdout: Dataset, search_n: int | None, confirm_n: int | None) -> tuple[int, int]:
    """Sizes of the search and the confirm split."""
    n = holdout.n
    for name, size, least in (("search", search_n, MIN_SEARCH_N), ("confirm", confirm_n, MIN_CONFIRM_N)):
        if size is not None and size < least:
            raise DataError(f"splits.{name} is {size:,} samples; at least {least} are needed")
    least_n = (search_n or MIN_SEARCH_N) + (confirm_n or MIN_CONFIRM_N)
    if n < least_n:
        raise DataError(
            f"the holdout {holdout.source} has {n:,} samples; at least {least_n:,} are needed "
            f"({search_n or MIN_SEARCH_N:,} to choose on, {confirm_n or MIN_CONFIRM_N:,} to prove on)",
            hint="add labelled samples: about 300 can show “at most 1 point” when no answer differs, 700 leave room",
        )
    if search_n is None:
        search_n = min(_SEARCH_N, max(MIN_SEARCH_N, round(_SEARCH_FRAC * n)), n - (confirm_n or MIN_CONFIRM_N))
    return search_n, confirm_n if confirm_n is not None else n - search_n


def _stratified(dataset: Dataset, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Find an order of the rows each of whose beginnings holds every label in proportion.

    The r-th of the m samples of a label gets the key (r + u) / m with u uniform in [0, 1) for each label; sorting by
    it is systematic sampling within labels. A label of one sample gets a uniform key: plain random order.
    """
    rows = rng.permutation(rows)
    if dataset.labels is None:
        return rows
    keys = np.empty(rows.size)
    _, group = np.unique(np.asarray(dataset.labels)[rows], return_inverse=True)
    for k in range(int(group.max()) + 1 if rows.size else 0):
        members = np.flatnonzero(group == k)
        keys[members] = (np.arange(members.size) + rng.random()) / members.size
    return rows[np.argsort(keys, kind="stable")]


def _unseen(calibration: Dataset, holdout: Dataset) -> NDArray[np.int64]:
    """Calibration samples that the holdout does not hold: calibrating on what judges would flatter the result."""
    if calibration.kind == "tensor":
        if calibration.items[:1] == holdout.items[:1]:
            raise DataError(
                f"calibration and holdout are the same file {holdout.source}",
                hint="leave calibration out to calibrate on the search split",
            )
        return np.arange(calibration.n)
    judged = set(holdout.items)
    rows = np.array([k for k, item in enumerate(calibration.items) if item not in judged], dtype=np.int64)
    if rows.size < min(MIN_SEARCH_N, calibration.n):
        raise DataError(
            f"only {rows.size:,} of {calibration.n:,} samples in the calibration data {calibration.source} are not in "
            f"the holdout {holdout.source}; at least {MIN_SEARCH_N} are needed",
            hint="leave calibration out to calibrate on the search split",
        )
    return rows
