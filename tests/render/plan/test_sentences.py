from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import date

import pytest
from example_plan import PLANS, hardware, met_plan, not_met_plan, unproven_plan

from farthing.nouns import Estimate, Latency, MachinePeaks, Offer
from farthing.render.plan import sentences as s
from farthing.render.plan.tables import candidate_columns, candidate_rows


def test_met_headline_names_saving_accuracy_and_latency():
    assert s.headline(met_plan()) == (
        "met: 95.7 % cheaper [95.0, 96.2] than pytorch FP32, one request at a time · "
        "accuracy +0.1 points (at worst −0.6, 95 % confidence) · p99 12.2 ms ≤ 50 ms"
    )


def test_the_headline_names_what_it_is_cheaper_than():
    plan = met_plan()
    batched = replace(plan.baseline, candidate=replace(plan.baseline.candidate, max_batch=8, precision="bf16"))
    assert "than pytorch BF16, in batches of up to 8 ·" in s.headline(replace(plan, baseline=batched))


def test_not_met_says_the_reason_and_the_nearest():
    plan = not_met_plan()
    assert s.headline(plan) == "not met: no candidate answers within 5 ms at p99 on aws/m7i.large"
    assert s.nearest_sentence(plan).startswith("openvino int8-nncf b1 2×1, p99 7.2 ms [7.0, 7.5] at 715/s, ")
    assert s.nearest_sentence(plan).endswith("91 % cheaper")
    assert s.nearest_sentence(met_plan()) == ""


def test_unproven_headline():
    assert s.headline(unproven_plan()).startswith("unproven: INT8 loses 0.75 points on 400 images;")


def test_a_latency_above_the_promise_is_said():
    plan = met_plan()
    assert plan.chosen is not None
    slow = replace(plan.chosen, at_peak=Latency(percentile=0.99, ms=Estimate(value=60, lo=58, hi=62, n=9, method="t")))
    assert s.headline(replace(plan, chosen=slow)).endswith("p99 60 ms > 50 ms")


def test_cheaper_and_dearer():
    assert s.cheaper(0.762) == "76 % cheaper"
    assert s.cheaper(Estimate(value=-0.03, lo=-0.05, hi=-0.01, n=8, method="t")) == "3 % dearer [1, 5]"
    assert s.cheaper(Estimate(value=0.941, lo=0.932, hi=0.948, n=8, method="t")) == "94.1 % cheaper [93.2, 94.8]"


def test_summary_rows():
    rows = {r.name: r for r in s.summary_rows(met_plan())}
    assert list(rows) == ["cost a month", "replicas", "accuracy", "p99"]
    assert rows["cost a month"].now == "$10,000"
    assert "efficiency −$" in rows["cost a month"].note
    assert rows["replicas"].note == "4 of them reserved 1 year"
    assert rows["accuracy"].note == "700 untouched samples, 1 answer differs"
    assert all(r.planned == "" for r in s.summary_rows(not_met_plan()))


def test_promise_words_every_condition():
    objective = replace(met_plan().objective, budget_usd_per_month=500, min_replicas=2, max_drop_frac=0.005)
    assert s.promise(objective) == (
        "p99 ≤ 50 ms, accuracy drop ≤ 0.5 points at 95 % confidence, saving ≥ 30 %, "
        "cost ≤ $500 a month, at least 2 replicas"
    )


def test_control_characters_become_visible():
    assert s.printable("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
    assert s.printable("ÄÖ–−×🙂") == "ÄÖ–−×🙂"


def test_prices_in_their_own_units():
    offer = Offer(
        name="aws/lambda",
        provider="aws",
        region="us-east-1",
        term="serverless",
        hardware=hardware("aws/lambda"),
        dated=date(2026, 7, 20),
        source="list",
        usd_per_request=2e-7,
        usd_per_gib_s=1.66667e-5,
    )
    assert s.offer_price(offer) == "$0.20 per M requests + $0.06 per GiB-hour"
    assert (
        s.price_sentence(met_plan().offers[0])
        == "aws/m7i.large on demand in us-east-1: $0.1008/h (price of 2026-07-20)"
    )


def test_unknown_peaks_are_left_out():
    peaks = MachinePeaks(fp32_gflops=104.2, bf16_gflops=None, int8_gops=None, memory_gb_per_s=11.9)
    assert s.peaks_sentence(peaks) == "FP32 104 GFLOP/s, memory 11.9 GB/s"


def test_infinite_interval_in_a_plan_is_printable():
    plan = met_plan()
    assert plan.planned_usd_per_month is not None
    open_ended = replace(plan.planned_usd_per_month, hi=math.inf)
    assert "≥" in s.summary_rows(replace(plan, planned_usd_per_month=open_ended))[0].planned


@pytest.mark.parametrize("name", PLANS)
def test_no_latency_stands_without_its_interval_and_what_a_replica_was_asked(name: str) -> None:
    """Now at 9 requests/s beside planned at 1,452 looked like one load, and 10 ms hid that it was 2 to 52."""
    plan = PLANS[name]()
    for row in (r for r in s.summary_rows(plan) if r.name.startswith("p")):
        for side in filter(None, (row.now, row.planned)):
            assert re.fullmatch(r".* m?s [\[≥≤].* (one at a time|under load|at [\d.,]+/s)", side), side
    cells = [cells for _, cells in candidate_rows(plan)]
    at = [c.title for c in candidate_columns(plan)].index(f"p{100 * s.shown_level(plan):g} of a replica")
    for cell in (row[at] for row in cells if row[at].text):
        assert re.search(r"(one at a time|under load|at [\d.,]+/s)$", cell.detail), cell


def test_the_rates_are_those_that_were_measured() -> None:
    plan = met_plan()
    assert plan.chosen is not None
    asked = replace(
        plan, baseline=replace(plan.baseline, at_peak_rps=8.84), chosen=replace(plan.chosen, at_peak_rps=801)
    )
    row = s.summary_rows(asked)[-1]
    assert (row.now.endswith(" at 8.8/s"), row.planned.endswith(" at 801/s")) == (True, True)
    older = replace(plan, baseline=replace(plan.baseline, at_peak_rps=None))
    assert s.summary_rows(older)[-1].now.endswith(" under load")
    alone = replace(plan, baseline=replace(plan.baseline, at_peak=None))
    assert s.summary_rows(alone)[-1].now.endswith(" one at a time")
    assert "own rate" not in s.summary_rows(alone)[-1].note


@pytest.mark.parametrize("name", PLANS)
def test_no_two_candidates_of_a_plan_have_one_name(name: str) -> None:
    """FP32 and BF16 of one file, INT8 and what is left of it in BF16, were rows that nobody could tell apart."""
    plan = PLANS[name]()
    other = tuple(replace(e, candidate=replace(e.candidate, precision="bf16")) for e in plan.evaluations)
    every = {e.candidate: e for e in (*plan.evaluations, *other)}
    shown = [cells[0].text for _, cells in candidate_rows(replace(plan, evaluations=tuple(every.values())))]
    assert len(set(shown)) == len(every)


@pytest.mark.parametrize("right", range(690, 701))
@pytest.mark.parametrize("better", range(-3, 4))
def test_accuracy_today_and_planned_differ_by_the_change_that_is_said(right: int, better: int) -> None:
    """+0.1 points stood beside 99.4 % and 99.6 %."""
    n = 700
    was, now = right / n, min(n, right + better) / n
    exact = [Estimate(value=v, lo=v, hi=v, n=n, method="t") for v in (was, now, was - now)]
    plan = met_plan()
    assert plan.chosen is not None
    assert plan.chosen.accuracy is not None
    seen = replace(plan.chosen.accuracy, baseline_frac=exact[0], candidate_frac=exact[1], drop_frac=exact[2])
    before, after = (float(text.removesuffix(" %")) for text in s.now_and_then(seen))
    change = float(s.accuracy_change(seen).partition(" ")[0].replace("\N{MINUS SIGN}", "-"))
    assert after - before == pytest.approx(change, abs=0.051)
