"""The first look prices what was screened, is as wide as it says, and never claims to have proven anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_examples import BASE, INT8, est, evidence, findings, hours, market, objective, workload

from farthing.core.search.findings import Findings
from farthing.core.search.first_look import SPREAD, FirstLook, first_look, widely
from farthing.nouns import Contention, Objective, Trace

ALONE = replace(INT8, max_batch=1)
LOOKED = findings(ratios={ALONE: est(10.0, 9.0, 12.0)}, search={ALONE: evidence(split="search")}, confirm={})


def looked(
    found: Findings = LOOKED, *, by_utilisation: dict[float, Trace] | None = None, promise: Objective | None = None
) -> FirstLook:
    return first_look(
        workload(promise), found, market(), hours(10_000.0, 1000.0), by_utilisation=by_utilisation or {},
        left_out=("int8-nncf",), seconds=90.0,
    )  # fmt: skip


def test_the_ratio_is_as_wide_as_the_screen_and_the_spread() -> None:
    wide = widely(100.0, est(10.0, 9.0, 12.0), "x")
    assert (wide.lo, wide.hi) == pytest.approx((100 * 0.9 / SPREAD, 100 * 1.2 * SPREAD))
    alone = widely(100.0, None, "x")
    assert (alone.lo, alone.hi) == pytest.approx((100 / SPREAD, 100 * SPREAD))


def test_a_saving_with_a_wide_interval_and_never_proven() -> None:
    look = looked()
    assert look.candidate == INT8
    assert look.saving_frac is not None
    assert look.saving_frac.value == pytest.approx(0.9, abs=0.005)  # 100 requests/s against 10
    assert look.saving_frac.lo == pytest.approx(1 - SPREAD / (10 * 0.9), abs=0.005)
    assert look.saving_frac.hi == pytest.approx(1 - 1 / (10 * 1.2 * SPREAD), abs=0.005)
    assert look.planned_usd_per_month is not None
    assert look.baseline_usd_per_month is not None
    assert look.planned_usd_per_month.hi > 1.3 * look.planned_usd_per_month.value
    assert look.rate_rps is not None
    assert look.rate_rps.value == 100.0
    assert look.accuracy is not None
    assert look.accuracy.split == "search"
    assert look.verdict.outcome == "unproven"
    assert "nothing was served under load" in look.verdict.reasons[-1]
    assert (look.tried, look.left_out, look.seconds) == (1, ("int8-nncf",), 90.0)


def test_without_traffic_it_is_the_least_of_all_utilisations() -> None:
    traces = {u / 100: hours(10_000.0 * u, 1000.0 * u) for u in (20, 50, 80)}
    look = looked(by_utilisation=traces)
    assert look.saving_frac is not None
    assert "least over 3 utilisations" in look.saving_frac.method


@pytest.mark.parametrize("bound_ms", [50.0, None])
def test_nothing_found_yet_is_said_and_is_no_failure(bound_ms: float | None) -> None:
    look = looked(replace(LOOKED, chosen=None), promise=objective(bound_ms))
    assert (look.saving_frac, look.candidate, look.verdict.outcome) == (None, None, "unproven")
    kept = "is usable" if bound_ms is None else "answers within 50 ms at p99 by the queue model"
    assert look.verdict.reasons[0] == f"none of the 1 builds looked at {kept}"


def test_a_baseline_without_a_rate_leaves_the_saving_open() -> None:
    look = looked(replace(LOOKED, sla_rps={**LOOKED.sla_rps, BASE: None}))
    assert (look.saving_frac, look.candidate) == (None, INT8)


def test_a_busy_machine_comes_first() -> None:
    look = looked(replace(LOOKED, contention=Contention(contended=5, of=8)))
    assert look.verdict.reasons[0] == "the machine is busy: others used its cores in 5 of 8 blocks"
