"""The verdict is met only when accuracy, saving, budget and the latency at the plan's peak all hold."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "render"))
from example_plan import est, met_plan

from farthing.core.search.verdicts import decide
from farthing.nouns import Evaluation, Latency, Objective

PLAN = met_plan()
OBJECTIVE = PLAN.objective


def chosen() -> Evaluation:
    assert PLAN.chosen is not None
    return PLAN.chosen


def test_met() -> None:
    assert decide(OBJECTIVE, chosen(), None, PLAN.saving_frac).outcome == "met"


def test_a_promise_that_broke_at_the_peak_is_unproven_whatever_is_saved() -> None:
    assert OBJECTIVE.latency is not None
    bound = OBJECTIVE.latency.ms
    slow = replace(chosen(), at_peak=Latency(percentile=0.99, ms=est(bound * 1.2)))
    verdict = decide(OBJECTIVE, slow, None, PLAN.saving_frac)
    assert verdict.outcome == "unproven"
    assert (
        verdict.reasons[0]
        == f"p99 was {bound * 1.2:.1f} ms at the plan's peak rate in the last run, promised {bound:g} ms"
    )
    assert "quiet machine" in verdict.hint
    unbound = replace(OBJECTIVE, latency=None)
    assert decide(unbound, slow, None, PLAN.saving_frac).outcome == "met"


def test_a_saving_whose_interval_holds_zero_is_unproven() -> None:
    anything = replace(OBJECTIVE, min_saving_frac=None)
    verdict = decide(anything, chosen(), None, est(0.1, 2.0))
    assert verdict.outcome == "unproven"
    assert verdict.reasons[0] == "the saving is 10.0 % [−10.0, 30.0], which may be none"
    wanting = Objective(min_saving_frac=0.5)
    assert decide(wanting, chosen(), None, est(0.4, 0.5)).reasons[0].endswith("[20.0, 60.0], wanted 50 %")
    assert decide(wanting, chosen(), None, est(0.4, 0.1)).outcome == "not_met"


def test_over_budget_is_not_met() -> None:
    dear = chosen().cost_usd_per_month
    assert dear is not None
    tight = replace(OBJECTIVE, budget_usd_per_month=dear.value / 2)
    assert decide(tight, chosen(), None, PLAN.saving_frac).outcome == "not_met"
