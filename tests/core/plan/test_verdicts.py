"""The verdict is met only when accuracy, saving, budget and the latency at the plan's peak all hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_plan import est, met_plan

from farthing.core.plan.verdicts import decide
from farthing.nouns import Estimate, Evaluation, Latency, Objective

PLAN = met_plan()
OBJECTIVE = PLAN.objective


def chosen() -> Evaluation:
    assert PLAN.chosen is not None
    return PLAN.chosen


def test_met() -> None:
    assert decide(OBJECTIVE, chosen(), None, PLAN.saving_frac).outcome == "met"


@pytest.mark.parametrize(
    ("lo", "value", "hi", "outcome"),
    [
        (0.8, 0.9, 1.0, "met"),  # the whole interval keeps the promise, its end included
        (0.8, 0.9, 1.01, "unproven"),
        (0.99, 1.2, 1.4, "unproven"),
        (1.0, 1.2, 1.4, "unproven"),
        (1.01, 1.2, 1.4, "not_met"),
    ],
)
def test_a_promise_that_broke_at_the_peak_is_in_the_verdict_whatever_is_saved(
    lo: float, value: float, hi: float, outcome: str
) -> None:
    assert OBJECTIVE.latency is not None
    ms = OBJECTIVE.latency.ms
    tail = Estimate(value=value * ms, lo=lo * ms, hi=hi * ms, n=6, method="runs")
    slow = replace(chosen(), at_peak=Latency(percentile=0.99, ms=tail))
    verdict = decide(OBJECTIVE, slow, None, PLAN.saving_frac)
    assert verdict.outcome == outcome
    if outcome != "met":
        said = f"p99 is {tail.value:.1f} ms [{tail.lo:.1f}, {tail.hi:.1f}] at the plan's peak rate, promised {ms:g} ms"
        assert verdict.reasons[0] == said
        assert verdict.hint == "run it again on a quiet machine with --fresh, or promise more time with --p99"
    assert decide(replace(OBJECTIVE, latency=None), slow, None, PLAN.saving_frac).outcome == "met"


def test_no_change_of_accuracy_is_not_a_loss_of_nothing() -> None:
    """It read “accuracy -0.00 points”."""
    same = chosen()
    assert same.accuracy is not None
    drop = replace(same.accuracy.drop_frac, value=0.0, lo=-0.01)
    verdict = decide(OBJECTIVE, replace(same, accuracy=replace(same.accuracy, drop_frac=drop)), None, PLAN.saving_frac)
    assert verdict.reasons[-1].startswith(f"{same.accuracy.metric} 0.00 points (")


def test_an_endless_queue_at_the_peak_is_said_in_words() -> None:
    endless = Estimate(value=1e9, lo=40.0, hi=1e9, n=6, method="runs")
    slow = replace(chosen(), at_peak=Latency(percentile=0.99, ms=endless))
    verdict = decide(OBJECTIVE, slow, None, PLAN.saving_frac)
    assert verdict.outcome != "met"
    assert verdict.reasons[0].startswith("at the plan's peak rate requests came faster than they were answered, or ")


def test_a_saving_whose_interval_holds_zero_is_unproven() -> None:
    anything = replace(OBJECTIVE, min_saving_frac=None)
    verdict = decide(anything, chosen(), None, est(0.1, 2.0))
    assert verdict.outcome == "unproven"
    assert verdict.reasons[0] == "the saving is 10.0 % [−10.0, 30.0], which may be none"
    wanting = Objective(min_saving_frac=0.5)
    assert decide(wanting, chosen(), None, est(0.4, 0.5)).reasons[0].endswith("[20.0, 60.0], wanted 50 %")
    assert decide(wanting, chosen(), None, est(0.4, 0.1)).outcome == "not_met"


@pytest.mark.parametrize(
    ("value", "said"), [(0.1, "a longer run narrows the interval"), (-0.1, "keep what runs now"), (0.0, "keep what")]
)
def test_a_longer_run_is_advised_only_where_a_saving_was_seen(value: float, said: str) -> None:
    """A forest that costs a tenth more as planned was told to run for longer."""
    found = Estimate(value=value, lo=-0.3, hi=0.3, n=8, method="m")
    verdict = decide(Objective(), chosen(), None, found)
    assert verdict.outcome == "unproven"
    assert verdict.hint.startswith(said)


def test_over_budget_is_not_met() -> None:
    dear = chosen().cost_usd_per_month
    assert dear is not None
    tight = replace(OBJECTIVE, budget_usd_per_month=dear.value / 2)
    assert decide(tight, chosen(), None, PLAN.saving_frac).outcome == "not_met"
