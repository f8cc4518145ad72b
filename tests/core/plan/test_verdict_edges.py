"""Verdicts at their edges: each bound met exactly, missed by a hair, and the words that go with it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from search_examples import BASE, FP32, INT8, est, evaluated, evidence, nearest_at_p99, objective

from farthing.core.plan.verdicts import decide
from farthing.nouns import Contention, Estimate, Verdict

GOOD = evaluated(
    INT8, status="chosen", accuracy=evidence(), at_peak_ms=est(40.0, 38.0, 42.0), cost_usd_per_month=est(500.0)
)
SAVED = est(0.4, 0.3, 0.5)


def judged(saving: Estimate | None = SAVED, bound_ms: float | None = 50.0, **more: object) -> Verdict:
    return decide(objective(bound_ms, **more), GOOD, None, saving)


# --- nothing to choose from -----------------------------------------------------------------------------------


def test_nothing_that_runs() -> None:
    verdict = decide(objective(), None, None, None)
    assert (verdict.outcome, verdict.reasons) == ("not_met", ("no candidate could be run",))


def test_without_a_bound_the_nearest_ones_reason_is_said() -> None:
    other = evaluated(INT8, alone_ms=est(7.2), reason="loses 4 points")
    for promise, found in ((objective(None), other), (objective(), replace(evaluated(INT8), reason="loses 4 points"))):
        verdict = decide(promise, None, found, None)
        assert (verdict.outcome, verdict.reasons) == ("not_met", ("no candidate is usable: loses 4 points",))


@pytest.mark.parametrize(
    ("ms", "wanted"),
    [
        (est(7.2, 7.0, 7.5), "9.4"),  # 7.5 · 1.25 = 9.375
        (est(8.0, 7.0, 8.0), "10"),
        (est(8.0, 7.0, math.inf), "10"),  # too few requests for an upper end
        (est(0.5, 0.4, 0.52), "0.7"),  # 0.65
    ],
)
def test_the_bound_that_would_be_kept_is_a_quarter_above_the_slow_end(ms: Estimate, wanted: str) -> None:
    verdict = decide(objective(5.0), None, evaluated(INT8, alone_ms=ms), None)
    assert verdict.outcome == "not_met"
    assert verdict.hint.startswith(f"--p99 {wanted}ms,")


def test_the_nearest_is_named_with_its_reason_and_its_figures_stand_beside() -> None:
    other = evaluated(INT8, alone_ms=est(7.24, 7.0, 7.56), reason="p99 9 ms at half the rate")
    first, second = decide(objective(5.0), None, other, None).reasons
    assert first == "no candidate answers within 5 ms at p99"
    assert second == "openvino int8 b8 2×1 comes nearest; p99 9 ms at half the rate"
    silent = decide(objective(5.0), None, evaluated(INT8, alone_ms=est(7.0)), None)
    assert silent.reasons[1] == "openvino int8 b8 2×1 comes nearest; not tried under load"


def test_the_nearest_is_the_quickest_that_ran_but_for_the_baseline() -> None:
    slow, quick = evaluated(FP32, alone_ms=est(9.0)), evaluated(INT8, alone_ms=est(7.0))
    baseline = evaluated(BASE, alone_ms=est(1.0), status="baseline")
    unmeasured = evaluated(replace(INT8, max_batch=1))
    assert nearest_at_p99([slow, baseline, unmeasured, quick]) == quick
    assert nearest_at_p99([baseline, unmeasured]) is None
    assert nearest_at_p99([]) is None


# --- accuracy -------------------------------------------------------------------------------------------------


def test_what_was_never_tried_on_the_confirm_split_is_unproven() -> None:
    verdict = decide(objective(), replace(GOOD, accuracy=None), None, SAVED)
    assert verdict.outcome == "unproven"
    assert verdict.reasons == ("openvino int8 b8 2×1 was not tried on the confirm split",)


@pytest.mark.parametrize(("upper", "asked"), [(0.0401, "4.1"), (0.04, "4"), (0.0309, "3.1")])
def test_a_proven_loss_is_not_met_and_its_upper_limit_is_asked_for(upper: float, asked: str) -> None:
    lost = evidence("not_met", est(0.03, -1.0, upper))
    verdict = decide(objective(max_drop_frac=0.01), replace(GOOD, accuracy=lost), None, SAVED)
    assert verdict.outcome == "not_met"
    assert verdict.reasons == ("int8 loses 3.0 points, more than 1 allowed",)
    assert verdict.hint == f"--max-drop {asked}pt"


def test_an_open_case_says_what_would_settle_it() -> None:
    lost = evidence("unproven", est(0.0075, -1.0, 0.0187), n=400, n_needed=1400)
    verdict = decide(objective(max_drop_frac=0.015), replace(GOOD, accuracy=lost), None, SAVED)
    assert verdict.outcome == "unproven"
    assert verdict.reasons == (
        "int8 loses 0.75 points on 400 confirm samples; with them “at most 1.5 points” cannot be shown "
        "(upper limit 1.87)",
    )
    assert verdict.hint == "about 1,400 labelled samples would settle it; or allow more with --max-drop 1.9pt"
    endless = decide(objective(), replace(GOOD, accuracy=replace(lost, n_needed=None)), None, SAVED)
    assert endless.hint == "allow more with --max-drop 1.9pt"


def test_a_met_plan_says_what_its_accuracy_did() -> None:
    assert judged().outcome == "met"
    assert judged().reasons == ("accuracy +0.50 points (at worst −0.25, 95 % confidence) on 700 untouched samples",)
    worse = evidence(drop=est(0.0034, -1.0, 0.009), n=1200)
    verdict = decide(objective(), replace(GOOD, accuracy=worse), None, SAVED)
    assert verdict.reasons == ("accuracy −0.34 points (at worst −0.9, 95 % confidence) on 1,200 untouched samples",)
    gained = decide(objective(), replace(GOOD, accuracy=evidence(drop=est(-0.02, -1.0, -0.01))), None, SAVED)
    assert "(at worst −0, 95 % confidence)" in gained.reasons[0]


# --- the saving -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saving", "outcome"),
    [
        (None, "not_met"),
        (est(-0.1, -0.2, -0.05), "not_met"),
        (est(-0.1, -0.2, 0.0), "not_met"),
        (est(0.0, -0.1, 0.001), "unproven"),
        (est(0.1, 0.0, 0.2), "unproven"),
        (est(0.1, 0.001, 0.2), "met"),
    ],
)
def test_any_saving_will_do_when_it_is_proven_to_be_one(saving: Estimate | None, outcome: str) -> None:
    verdict = judged(saving)
    assert verdict.outcome == outcome
    if outcome == "not_met":
        assert verdict.reasons[0] == "nothing is cheaper than the baseline"
        assert verdict.hint == "keep what runs now"
    if outcome == "unproven":
        assert verdict.reasons[0].endswith("which may be none")
    assert verdict.reasons[-1].startswith("accuracy")


@pytest.mark.parametrize(
    ("lo", "hi", "outcome"),
    [(0.3, 0.5, "met"), (0.299, 0.5, "unproven"), (0.2, 0.3, "unproven"), (0.2, 0.299, "not_met")],
)
def test_a_saving_that_was_asked_for(lo: float, hi: float, outcome: str) -> None:
    verdict = judged(est(lo, lo, hi), min_saving_frac=0.3)
    assert verdict.outcome == outcome
    if outcome != "met":
        assert verdict.reasons[0].endswith(f"[{lo * 100:.1f}, {hi * 100:.1f}], wanted 30 %")


def test_a_saving_is_said_in_percent_with_a_true_minus() -> None:
    assert judged(est(0.123, -0.0456, 0.2)).reasons[0].startswith("the saving is 12.3 % [−4.6, 20.0],")


# --- budget and latency ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "outcome"), [(500.0, "met"), (499.5, "not_met"), (None, "met")])
def test_a_budget_may_be_used_up(budget: float | None, outcome: str) -> None:
    verdict = judged(budget_usd_per_month=budget)
    assert verdict.outcome == outcome
    if outcome == "not_met":
        assert verdict.reasons[0] == "the plan costs $500 a month, the budget is $500"
        assert verdict.hint == "--budget 500"


def test_a_dear_plan_asks_for_whole_dollars_above() -> None:
    dear = replace(GOOD, cost_usd_per_month=est(1234.2))
    verdict = decide(objective(budget_usd_per_month=1000.0), dear, None, SAVED)
    assert verdict.reasons[0] == "the plan costs $1,234 a month, the budget is $1,000"
    assert verdict.hint == "--budget 1235"
    unknown = replace(GOOD, cost_usd_per_month=None)
    assert decide(objective(budget_usd_per_month=1.0), unknown, None, SAVED).outcome == "met"


@pytest.mark.parametrize(
    ("bound_ms", "outcome"),
    [(42.0, "met"), (100.0, "met"), (None, "met"), (41.9, "unproven"), (38.0, "unproven"), (37.9, "not_met")],
)
def test_latency_at_the_peak_is_held_with_its_whole_interval(bound_ms: float | None, outcome: str) -> None:
    """p99 is 40 ms [38, 42]: kept when the slow end is within the bound, missed when even the quick end is beyond."""
    verdict = judged(bound_ms=bound_ms)
    assert verdict.outcome == outcome
    if outcome != "met":
        assert verdict.reasons[0].startswith("p99 is 40.0 ms [38.0, 42.0] at the plan's peak rate")
        assert verdict.reasons[0].endswith(f"promised {bound_ms:g} ms")
        assert "--fresh" in verdict.hint


def test_a_plan_that_was_not_served_is_not_judged_by_its_latency() -> None:
    unserved = evaluated(INT8, status="chosen", accuracy=evidence(), cost_usd_per_month=est(500.0))
    assert decide(objective(1.0), unserved, None, SAVED).outcome == "met"


# --- a busy machine -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("contended", "outcome"), [(0, "not_met"), (2, "not_met"), (3, "unproven"), (12, "unproven")])
@pytest.mark.parametrize("why", ["latency", "saving", "no saving", "budget", "out of reach"])
def test_what_was_timed_on_a_busy_machine_is_never_not_met(why: str, contended: int, outcome: str) -> None:
    """MiniLM, 12 of 12 blocks contended, was “not met: nothing is cheaper than the baseline”."""
    seen, slow = Contention(contended=contended, of=12), replace(GOOD, at_peak=None)
    late = evaluated(
        INT8, status="chosen", accuracy=evidence(), at_peak_ms=est(80.0, 70.0, 90.0), cost_usd_per_month=est(500.0)
    )
    verdict = {
        "latency": decide(objective(), late, None, SAVED, contention=seen),
        "saving": decide(objective(min_saving_frac=0.9), GOOD, None, SAVED, contention=seen),
        "no saving": decide(objective(), GOOD, None, est(-0.2, -0.3, -0.1), contention=seen),
        "budget": decide(objective(None, budget_usd_per_month=1.0), slow, None, SAVED, contention=seen),
        "out of reach": decide(objective(5.0), None, evaluated(INT8, alone_ms=est(7.2)), None, contention=seen),
    }[why]
    assert verdict.outcome == outcome
    busy = f"the machine was busy: others used its cores in {contended} of 12 blocks and runs"
    assert (verdict.reasons[0] == busy) == (outcome == "unproven")
    assert len(verdict.reasons) > (outcome == "unproven")  # what was found stands below


def test_what_does_not_hang_on_time_is_judged_on_a_busy_machine_too() -> None:
    seen = Contention(contended=12, of=12)
    assert decide(objective(), GOOD, None, SAVED, contention=seen).outcome == "met"
    assert decide(objective(), None, None, None, contention=seen).reasons == ("no candidate could be run",)
    for said in ("not_met", "unproven"):
        lossy = replace(GOOD, accuracy=evidence(said, est(0.02, -1.0, 0.03), n_needed=900))
        verdict = decide(objective(), lossy, None, SAVED, contention=seen)
        assert verdict.outcome == said
        assert "busy" not in verdict.reasons[0]
