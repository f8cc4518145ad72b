"""baseline = actual + saved, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.money.attribution import Carry, attribute
from farthing.core.money.routed_saving import of_ledger, routed_saving

USD = st.floats(0, 1e6, allow_nan=False)


@given(
    rows=st.integers(0, 10**9),
    price=st.floats(0, 1e-2),
    tiers=st.dictionaries(st.sampled_from(["small", "medium", "large"]), USD, min_size=1),
    scores=USD,
    audits=USD,
    idle=USD,
)
def test_the_identity_is_exact_whatever_was_counted(rows, price, tiers, scores, audits, idle):
    found = routed_saving(
        rows=rows,
        reference_usd_per_row=price,
        tiers_usd=tiers,
        scores_usd=scores,
        audits_usd=audits,
        idle_usd=idle,
    )
    assert found.baseline_nusd == found.actual_nusd + found.saved_nusd
    parts = [*found.tiers_nusd.values(), found.scores_nusd, found.audits_nusd, found.idle_nusd]
    assert found.actual_nusd == sum(parts)
    assert all(isinstance(part, int) for part in (*parts, found.baseline_nusd, found.saved_nusd))
    assert found.saved_busy_nusd - found.saved_nusd == found.idle_nusd
    spent = sum(tiers.values()) + scores + audits + idle
    assert abs(found.actual_nusd / 1e9 - spent) <= 0.01  # to the cent, and far below


@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    hours=st.floats(1e-4, 100),
    usd_per_hour=st.floats(0.01, 50),
    price=st.floats(0, 1e-2),
)
def test_the_ledgers_rows_add_up_to_what_the_replica_was_paid(n, seed, hours, usd_per_hour, price):
    rng = np.random.default_rng(seed)
    busy = rng.random(n) * hours * 3600 / n
    cost = attribute(hours * 3600, np.full(n, usd_per_hour), busy, np.full(n, 2.0), np.ones(n, dtype=bool), Carry())
    rows = rng.integers(1, 5, n)
    audit = rng.random(n) < 0.2
    found = of_ledger(
        rows=rows,
        tier=rng.choice(["small", "large", "small+large"], n),
        usage_nusd=cost.usage_nusd,
        allocation_nusd=cost.allocation_nusd,
        is_audit=audit,
        reference_usd_per_row=price,
    )
    assert found.baseline_nusd == found.actual_nusd + found.saved_nusd
    assert found.actual_nusd == int(cost.allocation_nusd.sum())
    assert abs(found.actual_nusd / 1e9 - usd_per_hour * hours) < 1e-8
    assert found.audits_nusd == int(cost.usage_nusd[audit].sum())
    assert found.rows == int(rows[~audit].sum())
    assert found.baseline_nusd == round(price * found.rows * 1e9)


def test_a_busy_route_saves_and_an_idle_one_does_not():
    of = {"rows": 1000, "reference_usd_per_row": 1e-6, "scores_usd": 1e-5, "audits_usd": 2e-5}
    busy = routed_saving(tiers_usd={"small": 1e-4, "large": 1e-4}, idle_usd=0, **of)
    idle = routed_saving(tiers_usd={"small": 1e-4, "large": 1e-4}, idle_usd=0.01, **of)
    assert busy.saved_nusd == 770_000
    assert idle.saved_nusd == 770_000 - 10_000_000
    assert idle.saved_busy_nusd == 770_000


def test_an_empty_ledger_has_a_bill_of_nothing():
    none = np.zeros(0, dtype=np.int64)
    found = of_ledger(
        rows=none, tier=np.zeros(0, dtype=str), usage_nusd=none, allocation_nusd=none,
        is_audit=np.zeros(0, dtype=bool), reference_usd_per_row=1.0,
    )  # fmt: skip
    assert (found.rows, found.baseline_nusd, found.actual_nusd, found.saved_nusd) == (0, 0, 0, 0)


def test_a_missing_price_is_not_nothing():
    with pytest.raises(ValueError, match="reference_usd_per_row"):
        routed_saving(rows=3, reference_usd_per_row=float("nan"), tiers_usd={}, scores_usd=0, audits_usd=0)
    with pytest.raises(ValueError, match="calls of small"):
        routed_saving(rows=3, reference_usd_per_row=1, tiers_usd={"small": float("nan")}, scores_usd=0, audits_usd=0)
    with pytest.raises(ValueError, match="one length"):
        of_ledger(
            rows=np.ones(2, dtype=np.int64), tier=np.array(["a"]), usage_nusd=np.ones(2, dtype=np.int64),
            allocation_nusd=np.ones(2, dtype=np.int64), is_audit=np.zeros(2, dtype=bool), reference_usd_per_row=1.0,
        )  # fmt: skip
