"""The first look prices what was screened, is as wide as it says, and never claims to have proven anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_examples import BASE, FP32, INT8, est, evidence, findings, hours, market, objective, offer, workload

from farthing.core.plan.findings import Findings
from farthing.core.plan.first_look import SPREAD, FirstLook, first_look, widely
from farthing.nouns import Contention, Objective, Trace

ALONE = replace(INT8, max_batch=1)
OTHER = replace(FP32, variant="int8-qdq")
LOOKED = findings(ratios={ALONE: est(10.0, 9.0, 12.0)}, search={ALONE: evidence(split="search")}, confirm={})


def looked(
    found: Findings = LOOKED,
    *,
    by_utilisation: dict[float, Trace] | None = None,
    promise: Objective | None = None,
    trace: Trace | None = None,
    doubt: str = "",
    **of_market: object,
) -> FirstLook:
    return first_look(
        workload(promise), found, market(**of_market), trace or hours(10_000.0, 1000.0),
        by_utilisation=by_utilisation or {}, score=est(0.99), doubt=doubt, left_out=("int8-nncf",), seconds=90.0,
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


LOSSY = evidence("not_met", est(0.2, -1.0, 0.25), split="search")
SLOW = replace(LOOKED, chosen=None, sla_rps={BASE: 10.0, INT8: None, ALONE: None})
NONE = replace(SLOW, ratios={}, search={}, sla_rps={BASE: 10.0})
WHY_NONE = {
    "no build is fast enough": (
        replace(SLOW, sla_rps={**SLOW.sla_rps, FP32: None}, ratios={**SLOW.ratios, FP32: est(1.1), OTHER: est(1.0)}), 50.0,
        "none of the 2 builds whose rate was worked out has a rate within p99 ≤ 50 ms by the queue model",
    ),
    "the one build is not": (
        SLOW, 50.0,
        "the build whose rate was worked out, openvino/int8, has no rate within p99 ≤ 50 ms by the queue model",
    ),
    "no promise of latency": (
        SLOW, None, "the build whose rate was worked out, openvino/int8, has no stable rate by the queue model"
    ),
    "accuracy was lost": (
        replace(SLOW, sla_rps={BASE: 10.0}, search={ALONE: LOSSY}), 50.0,
        "no build whose answers were compared loses as little as is allowed, at most 1 point",
    ),
    "no answers": (
        replace(SLOW, sla_rps={BASE: 10.0}, search={}, failed={ALONE: "it died"}), 50.0,
        "the answers of no build could be compared: openvino/int8: it died",
    ),
    "no build": (
        replace(NONE, skipped={"variant int8": "no calibration"}, failed={FP32: "it died"}), 50.0,
        "no build could be run: variant int8: no calibration",
    ),
    "no build runs": (
        replace(NONE, failed={FP32: "it died"}), 50.0, "no build could be run: onnxruntime/fp32: it died"
    ),
    "no time": (NONE, 50.0, "no build could be run in the time of a first look"),
}  # fmt: skip


@pytest.mark.parametrize("case", WHY_NONE)
def test_nothing_found_yet_says_why_and_is_no_failure(case: str) -> None:
    found, bound_ms, why = WHY_NONE[case]
    look = looked(found, promise=objective(bound_ms))
    assert (look.saving_frac, look.candidate, look.verdict.outcome) == (None, None, "unproven")
    assert look.verdict.reasons[0] == why


def test_a_baseline_without_a_rate_leaves_the_saving_open() -> None:
    look = looked(replace(LOOKED, sla_rps={**LOOKED.sla_rps, BASE: None}))
    assert (look.saving_frac, look.candidate) == (None, INT8)


def test_a_busy_machine_comes_first() -> None:
    look = looked(replace(LOOKED, contention=Contention(contended=5, of=8)))
    assert look.verdict.reasons[0] == "the machine is busy: others used its cores in 5 of 8 blocks"


# --- what the bill, the arrivals and the accuracy mean for it -------------------------------------------------


@pytest.mark.parametrize("case", ["a choice", *WHY_NONE])
@pytest.mark.parametrize("asked", ["", "the baseline is right on 33.5 % …"])
def test_whatever_comes_of_it_the_baselines_own_accuracy_and_need_are_there(case: str, asked: str) -> None:
    """What an unanswered look left out, or one that lost, was what serves today: its accuracy, what it needs."""
    look = looked(WHY_NONE[case][0] if case in WHY_NONE else LOOKED, doubt=asked)
    assert look.score == est(0.99)
    assert look.doubt == asked
    assert look.baseline_usd_per_month is not None
    assert look.gap is not None
    assert look.bill_usd_per_month == 1000.0


@pytest.mark.parametrize("case", ["a choice", "no build"])
def test_a_bill_far_from_the_need_is_told(case: str) -> None:
    """Ten replicas of a cent an hour would do; the bill pays for a hundred times that."""
    found = WHY_NONE[case][0] if case in WHY_NONE else LOOKED
    notes = {usd: gap.note for usd in (1.0, 3e5, 1e7) if (gap := looked(found, bill_usd_per_month=usd).gap)}
    assert "less than the baseline needs" in notes[1.0]
    assert notes[1e7].startswith("over-provisioning: 9")
    ranged = looked(found, bill_usd_per_month=1e7, by_utilisation={u / 100: hours(100.0 * u) for u in (20, 80)}).gap
    assert ranged is not None
    assert ranged.usd_per_month is None  # a bill alone does not say how much of it idles


SMALL = offer("aws/tiny", usd_per_hour=0.01, vcpus=1)


def test_where_one_replica_idles_it_says_so_instead_of_advising_the_long_run() -> None:
    for small, hint in (((), "keep what runs now"), ((SMALL,), "smaller offer aws/tiny: about $7.30 a month")):
        look = looked(trace=hours(1.0, 0.5), small=small)
        assert look.saving_frac is not None
        assert look.saving_frac.value == 0
        assert look.verdict.reasons[0].startswith("one replica is enough, today and as planned (busy 1.0 %")
        assert look.verdict.hint.startswith(hint)
        assert "--quick" not in look.verdict.hint
    two = looked(trace=hours(1.0, 0.5), promise=objective(min_replicas=2))
    assert two.verdict.reasons[0].startswith("the fewest replicas that are wanted, 2, are enough, ")


@pytest.mark.parametrize("trace", [hours(10_000.0, 1000.0), hours(11.0)])
def test_where_something_is_saved_the_long_run_is_advised(trace: Trace) -> None:
    look = looked(trace=trace, small=(SMALL,))
    assert look.saving_frac is not None
    assert look.saving_frac.value > 0
    assert look.verdict.hint == "the same command without --quick proves it"


def test_without_traffic_each_utilisation_is_there() -> None:
    look = looked(by_utilisation={u / 100: hours(10_000.0 * u) for u in (20, 50, 80)})
    assert [row.utilisation_frac for row in look.utilisations] == [0.2, 0.5, 0.8]
    assert looked().utilisations == ()
