"""Costs of requests add up to the cost of the replica, whatever the batch sizes, and are never invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.money.attribution import Carry, attribute, busy_core_s, usage_nanodollars, whole

USD_PER_HOUR = 0.1008


def interval(rng: np.random.Generator, n: int, elapsed_s: float, carry: Carry, price: float = USD_PER_HOUR):
    rows = rng.integers(1, 4, n).astype(float)
    batch_rows = rows + rng.integers(0, 8, n)
    busy = busy_core_s(rng.exponential(40e-6, n), rows, batch_rows, np.ones(n))
    return attribute(elapsed_s, np.full(n, price), busy, np.full(n, 2.0), np.ones(n, bool), carry), busy


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 5)), min_size=1, max_size=12), st.integers(0, 2**31))
def test_requests_add_up_to_the_replica_on_both_bases(steps, seed):
    rng, carry = np.random.default_rng(seed), Carry()
    allocated = used = 0
    busy_s = elapsed_s = 0.0
    for n, seconds in steps:
        cost, busy = interval(rng, n, seconds, carry)
        carry = cost.carry
        allocated += int(cost.allocation_nusd.sum())
        used += int(cost.usage_nusd.sum())
        busy_s += busy.sum()
        elapsed_s += seconds
        assert (cost.allocation_nusd >= 0).all()
        assert (cost.usage_nusd >= 0).all()
    assert abs(allocated - USD_PER_HOUR / 3600 * elapsed_s * 1e9) <= 1 + 1e-6
    assert abs(used - USD_PER_HOUR / 3600 / 2 * busy_s * 1e9) <= 1 + 1e-6


@given(st.lists(st.floats(0, 1e6), max_size=50), st.floats(0, 0.999), st.integers(0, 50))
def test_integers_do_not_depend_on_where_the_interval_is_cut(amounts, carry, cut):
    array = np.array(amounts, dtype=float)
    once, left = whole(array, carry)
    first, between = whole(array[:cut], carry)
    second, end = whole(array[cut:], between)
    assert abs(int(once.sum()) - int(first.sum() + second.sum())) <= 1
    assert 0 <= left < 1
    assert 0 <= end < 1


def test_a_batch_is_shared_by_rows():
    busy = busy_core_s(np.array([0.012] * 2), np.array([1.0, 3.0]), np.array([4.0, 4.0]), np.array([2.0, 2.0]))
    np.testing.assert_allclose(busy, [0.006, 0.018])
    np.testing.assert_allclose(usage_nanodollars(np.full(2, 3.6), busy, np.full(2, 2.0)), [3000, 9000])


def test_a_request_without_a_price_has_no_cost_and_takes_its_time_with_it():
    price = np.array([0.36, np.nan])
    cost = attribute(1.0, price, np.array([1.0, 3.0]), np.ones(2), np.ones(2, bool), Carry())
    assert cost.known.tolist() == [True, False]
    assert cost.allocation_nusd[0] == pytest.approx(25_000, abs=1)


def test_requests_that_were_not_answered_bear_nothing():
    price, answered = np.full(3, 0.36), np.array([True, False, True])
    cost = attribute(1.0, price, np.zeros(3), np.ones(3), answered, Carry())
    assert cost.allocation_nusd.tolist() == pytest.approx([50_000, 0, 50_000], abs=1)
    assert cost.allocation_nusd[1] == 0
    none = attribute(1.0, price, np.zeros(3), np.ones(3), np.zeros(3, bool), Carry())
    assert none.allocation_nusd.tolist() == [0, 0, 0]


def test_nothing_happened():
    cost = attribute(1.0, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, bool), Carry(usage=0.5))
    assert cost.allocation_nusd.size == 0
    assert cost.carry.usage == pytest.approx(0.5)
