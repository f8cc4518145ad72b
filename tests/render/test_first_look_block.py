"""What a first look says on the screen: how right today's model is, what is needed and billed, what it does not prove."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from example_plan import est, met_plan

from farthing.core.plan.first_look import FirstLook
from farthing.nouns import AtUtilisation, Contention, Estimate, SavingPart, Verdict
from farthing.render.plan.first_look import first_look_block
from farthing.render.screen import console, say

PLAN = met_plan()
assert PLAN.chosen is not None
LOOK = FirstLook(
    workload="w",
    objective=PLAN.objective,
    baseline=PLAN.baseline.candidate,
    candidate=PLAN.chosen.candidate,
    baseline_rps=83.2,
    rate_rps=est(1500.0, 0.3),
    bill_usd_per_month=10_000.0,
    baseline_usd_per_month=est(9000.0),
    planned_usd_per_month=est(700.0, 0.3),
    gap=SavingPart(name="right-sizing", usd_per_month=est(1000.0), claimed=False, note="the bill is 11 % above"),
    utilisations=(),
    saving_frac=Estimate(value=0.41, lo=0.28, hi=0.52, n=2, method="first look"),
    score=est(0.993, 0.005),
    doubt="",
    accuracy=PLAN.chosen.accuracy,
    tried=7,
    left_out=("int8-nncf",),
    seconds=110.0,
    contention=Contention(contended=1, of=8),
    verdict=Verdict(outcome="unproven", reasons=("a first look",), hint="go on"),
)


def shown(look: FirstLook) -> list[str]:
    stream = io.StringIO()
    say(console(stream), first_look_block(look))
    return [re.sub(" {2,}", "  ", line.strip()) for line in stream.getvalue().splitlines()]


def line(look: FirstLook, name: str) -> str:
    """What stands behind a word at the head of a line; empty without that line."""
    return next((text.removeprefix(name).strip() for text in shown(look) if text.startswith(name + "  ")), "")


def test_all_of_it() -> None:
    assert shown(LOOK) == [
        "first look  1:50  ≈ 41 % cheaper [28, 52] with openvino int8-nncf b8 2×1",
        "accuracy  99.3 % [98.8, 99.8] today → 99.4 %, a change of +0.1 points (at worst −0.6, 95 % confidence), on 700 search "
        "samples",
        "needed  $9,000 a month for these arrivals today → $700 [490, 910] as planned",
        "a replica  83 requests/s at most today, whatever the latency → 1,500 within p99 ≤ 50 ms by the queue model",
        "busy  12 % of the blocks contended",
        "unproven  a first look",
        "not built  int8-nncf: that takes longer",
    ]


def test_without_a_bound_or_on_a_busy_machine() -> None:
    unbounded = replace(LOOK, objective=replace(LOOK.objective, latency=None))
    assert line(unbounded, "a replica") == "83 requests/s at most today → 1,500 by the queue model"
    assert line(replace(LOOK, contention=Contention(contended=2, of=8)), "busy") == ""  # which the verdict says


NOTHING = replace(LOOK, candidate=None, saving_frac=None, rate_rps=None, planned_usd_per_month=None, accuracy=None)


@pytest.mark.parametrize(("tried", "said"), [(7, " from 7 builds"), (1, " from 1 build"), (0, "")])
def test_without_an_answer(tried: int, said: str) -> None:
    assert shown(replace(NOTHING, tried=tried))[0] == f"first look  1:50  no answer yet{said}"


@pytest.mark.parametrize("look", [LOOK, NOTHING])
def test_how_right_it_is_today_stands_before_any_change(look: FirstLook) -> None:
    """A change alone, 0.0 points, read like an accuracy of nothing, and hid one of a third."""
    assert line(replace(look, score=est(0.335, 0.02)), "accuracy").startswith("33.5 % [32.8, 34.2] today")
    doubtful = shown(replace(look, doubt="the baseline is right on 33.5 % of 400 samples, no more than …"))
    assert "doubtful  the baseline is right on 33.5 % of 400 samples, no more than …" in doubtful
    other = replace(look, objective=replace(look.objective, metric="f1_macro"))
    assert line(other, "metric").startswith("f1_macro 99.3 % [98.8, 99.8] today")
    assert line(replace(look, score=None), "accuracy") == ""


def test_without_labels_it_is_how_many_answers_agree() -> None:
    assert line(replace(LOOK, score=None), "answers").startswith("99.4 % agree with today's, a change of ")


@pytest.mark.parametrize("look", [LOOK, NOTHING])
def test_a_bill_far_from_the_need_is_said(look: FirstLook) -> None:
    note = "over-provisioning: 98 % of the bill is more than the baseline needs; not credited"
    assert look.gap is not None
    far = replace(look, gap=replace(look.gap, usd_per_month=est(9844.0), note=note), baseline_usd_per_month=est(156.0))
    assert line(far, "bill") == note
    assert line(far, "needed").startswith("$156 a month")
    assert line(look, "bill") == ""


def test_figures_of_one_line_are_of_one_range() -> None:
    """69 % stood beside $1 to $2,466 of $8,422, which is another share at either end."""
    rows = tuple(
        AtUtilisation(
            utilisation_frac=u, requests_per_month=1e9, baseline_usd_per_month=est(8422.0 * u / 0.8),
            planned_usd_per_month=est(2464.0 * u / 0.8), saving_frac=est(0.69),
        )
        for u in (0.2, 0.5, 0.8)
    )  # fmt: skip
    ranged = replace(LOOK, utilisations=rows)
    assert shown(ranged)[0] == "first look  1:50  ≈ at least 41 % cheaper [28, 52] with openvino int8-nncf b8 2×1"
    assert line(ranged, "needed") == (
        "$2,106–$8,422 a month today → $616–$2,464 as planned, at 20 % to 80 % utilisation of what is paid for, since "
        "requests a month were not stated; the saving is the least over all of these"
    )
    unplanned = tuple(replace(row, planned_usd_per_month=None, saving_frac=None) for row in rows)
    assert line(replace(NOTHING, utilisations=unplanned), "needed").endswith("were not stated")
