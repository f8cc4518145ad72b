"""Quantiles of long rows are NumPy's, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from farthing.core.stats.quantiles import quantiles

LEVELS = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


@settings(deadline=None)  # the first example compiles
@given(
    arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 1e300) | st.sampled_from([0.0, 1.0, 5e-324])),
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
)
def test_any_row_at_any_level(row: np.ndarray, levels: list[float]) -> None:
    assert quantiles(row, levels).tolist() == np.quantile(row, levels).tolist()


def test_rows_beside_each_other() -> None:
    rows = np.random.default_rng(3).exponential(size=(5, 1_000)) * np.logspace(-6, 6, 5)[:, None]
    assert quantiles(rows, LEVELS).tolist() == np.quantile(rows, LEVELS, axis=1).tolist()


@pytest.mark.parametrize("size", [1, 2, 101, 50_000])
@pytest.mark.parametrize("kind", ["exponential", "all alike", "two values", "nine decades"])
def test_rows_of_a_queue(size: int, kind: str) -> None:
    rng = np.random.default_rng(1)
    row = {
        "exponential": rng.exponential(size=size),
        "all alike": np.full(size, 0.02),
        "two values": rng.choice([0.001, 0.002], size),
        "nine decades": 10 ** rng.uniform(-7, 2, size),
    }[kind]
    before = row.copy()
    assert quantiles(row, LEVELS).tolist() == np.quantile(row, LEVELS).tolist()
    assert (row == before).all()


def test_levels_in_any_order_and_a_row_with_gaps_between_its_items() -> None:
    row = np.random.default_rng(2).exponential(size=(500, 2))[:, 0]
    assert quantiles(row, [0.99, 0.1, 0.5]).tolist() == np.quantile(row, [0.99, 0.1, 0.5]).tolist()


@pytest.mark.parametrize(
    ("row", "levels"),
    [([], [0.5]), ([[[1.0]]], [0.5]), ([[]], [0.5]), ([1.0, -1.0], [0.5]), ([1.0, np.inf], [0.5]), ([np.nan], [0.5]), ([1.0], [1.1]),
     ([1.0], [-0.1]), ([1.0], [np.nan])],
)  # fmt: skip
def test_what_has_no_quantile_is_refused(row: list[float], levels: list[float]) -> None:
    with pytest.raises(ValueError, match=r"value|level"):
        quantiles(np.array(row, dtype=np.float64), levels)
