"""What a run's findings cost, by hand: an hour at 100 requests/s and one at 10, on replicas at ten cents an hour."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from search_examples import (
    BASE,
    FP32,
    INT8,
    artefact,
    curve,
    est,
    evidence,
    facts,
    findings,
    hours,
    market,
    measured,
    objective,
    offer,
    p99_alone,
    p99_at_peak,
    planned,
    pricing,
    provenance,
    workload,
)

from farthing.core.plan.assemble import assemble_baseline
from farthing.core.plan.evaluations import evaluation, everyone
from farthing.nouns import MachinePeaks, OperatorTime, Profile

ALONE = replace(INT8, max_batch=1)
REPLICA = 0.1 * 730 / 2
"""A replica for one of the two hours, all month."""


# --- costs ----------------------------------------------------------------------------------------------------


def test_a_candidates_cost_in_whole_replicas() -> None:
    """Baseline, 10 requests/s each: 10 + 1 replicas; INT8 at 100: 1 + 1; FP32 at 40: 3 + 1; at half that 5 + 1."""
    p = pricing()
    costs = {c: p.cost(c) for c in (BASE, INT8, FP32)}
    assert {c: cost.usd_per_month for c, cost in costs.items() if cost} == pytest.approx(
        {BASE: 11 * REPLICA, INT8: 2 * REPLICA, FP32: 4 * REPLICA}
    )
    halved = p.cost(FP32, 0.5)
    assert halved is not None
    assert halved.usd_per_month == pytest.approx(6 * REPLICA)
    assert p.cost(replace(FP32, max_batch=32)) is None
    assert pricing(findings(sla_rps={BASE: None})).cost(BASE) is None


def test_the_fewest_replicas_of_the_promise_are_paid() -> None:
    cost = pricing(promise=objective(min_replicas=3)).cost(INT8)
    assert cost is not None
    assert cost.usd_per_month == pytest.approx(6 * REPLICA)


def test_a_costs_interval_is_that_of_the_capacity_in_whole_replicas() -> None:
    """Baseline 12 [11.4, 12.6]: at 0.95 of the rate 11 + 2 replicas, at 1.05 of it 10 + 1; what was screened: ± 10 %."""
    p = pricing()
    base = p.cost(BASE)
    assert base is not None
    seen = p.spread(BASE, base)
    assert (seen.lo, seen.value, seen.hi) == pytest.approx((11 * REPLICA, 11 * REPLICA, 13 * REPLICA))
    assert (seen.n, seen.method) == (12, "capacity interval through whole replicas")
    assert seen.source == "aws/small@here:on_demand 2026-07-20"
    busy = pricing(trace=hours(120.0))  # 40 ± 4: 3 replicas at 40 and 44, 4 at 36
    fp32 = busy.cost(FP32)
    assert fp32 is not None
    screened = busy.spread(FP32, fp32)
    assert (screened.lo, screened.value, screened.hi) == pytest.approx((6 * REPLICA, 6 * REPLICA, 8 * REPLICA))
    assert (screened.n, screened.method) == (0, "screened capacity ± 10 % through whole replicas")


def test_of_a_rate_that_was_served_its_own_interval_counts() -> None:
    """INT8 kept 110 [99, 121] before headroom: 100 planned is [90, 110], and 10,000 requests/s take 112, 100 or 91."""
    p = pricing(findings(kept_rps={INT8: est(110.0, 99.0, 121.0, n=6)}), hours(10_000.0))
    cost = p.cost(INT8)
    assert cost is not None
    seen = p.spread(INT8, cost)
    one = 2 * REPLICA
    assert (seen.lo, seen.value, seen.hi) == pytest.approx((91 * one, 100 * one, 112 * one))
    assert (seen.n, seen.method) == (6, "rate kept through whole replicas")
    planned_rps = evaluation(p, INT8).sla_rps
    assert planned_rps is not None
    assert (planned_rps.lo, planned_rps.value, planned_rps.hi, planned_rps.n) == pytest.approx((90, 100, 110, 6))


def test_the_ratio_of_served_rates_comes_before_that_of_capacities() -> None:
    """Ratio 8 [7.2, 8.8] for rates of 10 and 100: [9, 11] of it; 10,000 requests/s take 1,000, then 112, 100, 91."""
    saving, versus = pricing(findings(rate_ratio=est(8.0, 7.2, 8.8)), hours(10_000.0)).savings()
    assert saving is not None
    assert versus is not None
    assert (saving.lo, saving.value, saving.hi) == pytest.approx((1 - 112 / 1000, 1 - 100 / 1000, 1 - 91 / 1000))
    wide = math.exp(math.hypot(math.log(8.0 / 7.2), math.log(4.2 / 4.0)))
    assert versus.lo == pytest.approx(1 - math.ceil(10_000 / (100 / wide)) / 250)


# --- savings --------------------------------------------------------------------------------------------------


def test_savings_by_hand() -> None:
    """2 of 11 replica-hours are left of the baseline's; of the best FP32's 4 it is half."""
    saving, versus = pricing().savings()
    assert saving is not None
    assert versus is not None
    assert saving.value == pytest.approx(1 - 2 / 11)
    assert versus.value == pytest.approx(1 - 2 / 4)


def test_a_savings_interval_is_that_of_the_measured_ratio() -> None:
    """Rates 10 and 100, ratio 10 [9.5, 10.5]: at 95 requests/s 2 + 1 replicas, at 105 one each."""
    saving = pricing().savings()[0]
    assert saving is not None
    assert (saving.lo, saving.hi) == pytest.approx((1 - 3 / 11, 1 - 2 / 11))


def test_against_fp32_both_ratios_intervals_count() -> None:
    """Ratio 100/40, down by √(ln² 10/9.5 + ln² 4.2/4) = 7.08 %, up by √(ln² 10.5/10 + ln² 4/3.8) = 7.08 %: 10,000
    requests/s take 250 of FP32 at 40, and 100 of INT8, 108 at 93.2 and 94 at 107.3."""
    versus = pricing(trace=hours(10_000.0)).savings()[1]
    assert versus is not None
    assert (versus.lo, versus.value, versus.hi) == pytest.approx((1 - 108 / 250, 1 - 100 / 250, 1 - 94 / 250))
    assert versus.method.endswith("in quadrature on logarithms")


@pytest.mark.parametrize(
    "missing",
    [{"best_fp32": None}, {"sla_rps": {BASE: 10.0, INT8: 100.0}}, {"ratios": {INT8: est(10.0, 9.5, 10.5)}}],
)
def test_without_a_proven_fp32_engine_there_is_one_saving(missing: dict[str, object]) -> None:
    saving, versus = pricing(findings(**missing)).savings()
    assert saving is not None
    assert versus is None


def test_without_a_choice_or_a_baselines_rate_there_is_no_saving() -> None:
    assert pricing(findings(chosen=None)).savings() == (None, None)
    assert pricing(findings(sla_rps={BASE: None, INT8: 100.0})).savings() == (None, None)


# --- hour by hour ---------------------------------------------------------------------------------------------


def test_the_plan_hour_by_hour() -> None:
    seen = pricing(trace=hours(100.0, 10.0, 0.0)).priced()
    assert seen.hourly.mean_rps == (100, 10, 0)
    assert (seen.hourly.baseline_replicas, seen.hourly.planned_replicas) == ((10, 1, 1), (1, 1, 1))
    assert seen.hourly.baseline_usd == pytest.approx((1.0, 0.1, 0.1))
    assert seen.hourly.planned_usd == pytest.approx((0.1, 0.1, 0.1))
    assert (seen.hourly.committed_replicas, seen.hourly.committed_term) == (0, None)
    assert seen.notes[0].startswith("purchase terms: nothing committed")


def test_the_way_from_the_bill_to_the_plan() -> None:
    """Bill $1,000; baseline 11 replica-hours, one at a time 2 + 1, in batches 1 + 1; no other terms were read."""
    seen = pricing().priced()
    assert seen.usd_per_month is not None
    values = {part.name: part.usd_per_month and part.usd_per_month.value for part in seen.parts}
    terms = values.pop("purchase terms")
    assert terms is None
    assert values == pytest.approx(
        {"right-sizing": 1000 - 11 * REPLICA, "efficiency": 8 * REPLICA, "batching": REPLICA}, abs=1e-5
    )
    assert seen.baseline_usd_per_month.value == pytest.approx(11 * REPLICA)
    assert seen.usd_per_month.value == pytest.approx(2 * REPLICA)
    unknown = findings(sla_rps={BASE: 10.0, INT8: 100.0})
    batching = pricing(unknown).priced().parts[2].usd_per_month
    assert batching is not None
    assert batching.value == 0  # never measured alone: nothing is credited to batching


def test_a_commitment_that_pays_scales_the_cost() -> None:
    """A replica reserved at six cents serves both hours: 60 % of the price on demand."""
    terms = (offer(), offer(term="reserved_1y", usd_per_hour=0.06))
    seen = pricing(terms=terms).priced()
    assert seen.usd_per_month is not None
    assert seen.usd_per_month.value == pytest.approx(2 * REPLICA * 0.6)
    assert (seen.hourly.committed_replicas, seen.hourly.committed_term) == (1, "reserved_1y")
    assert seen.parts[3].usd_per_month.value == pytest.approx(2 * REPLICA * 0.4, abs=1e-5)
    assert market(terms=terms).offers == terms
    other = offer(term="spot", usd_per_hour=0.03, interruptions_per_hour=0.1)
    assert market(terms=(other, offer())).offers == (offer(), other)


def test_nothing_chosen_is_the_baseline_alone() -> None:
    seen = pricing(findings(chosen=None)).priced()
    assert (seen.parts, seen.usd_per_month, seen.notes) == ((), None, ())
    assert seen.hourly.planned_replicas == ()
    assert pricing(findings(sla_rps={BASE: 10.0, INT8: None})).priced().usd_per_month is None
    with pytest.raises(ValueError, match="pytorch torch-module b1 2×1 has no rate"):
        pricing(findings(sla_rps={BASE: None})).priced()


# --- other machines -------------------------------------------------------------------------------------------


def test_elsewhere_capacity_goes_by_processors_between_half_and_twice() -> None:
    """Four processors for two: 50 requests/s become 100; 400/s take four replicas, from two to eight."""
    found = findings(sla_rps={BASE: 10.0, FP32: 40.0, INT8: 50.0})
    others = (
        offer("aws/large", usd_per_hour=0.3, vcpus=4),
        offer("aws/unknown", vcpus=None),
        offer("aws/serverless", usd_per_hour=None),
        offer("aws/cheap", usd_per_hour=0.05),
    )
    seen = pricing(found, hours(400.0), elsewhere=others).elsewhere()
    assert [e.offer.name for e in seen] == ["aws/cheap", "aws/large"]
    large = seen[1].cost_usd_per_month
    assert (large.lo, large.value, large.hi) == pytest.approx((2 * 0.3 * 730, 4 * 0.3 * 730, 8 * 0.3 * 730))
    assert large.source == "aws/large@here:on_demand"


def test_elsewhere_needs_a_choice_and_this_machines_processors() -> None:
    others = (offer("aws/large", vcpus=4),)
    assert pricing(findings(chosen=None), elsewhere=others).elsewhere() == ()
    assert pricing(findings(sla_rps={BASE: 10.0, INT8: None}), elsewhere=others).elsewhere() == ()
    assert pricing(elsewhere=others, bill_offer=offer(vcpus=None)).elsewhere() == ()
    three = pricing(elsewhere=others, promise=objective(min_replicas=3)).elsewhere()
    assert three[0].cost_usd_per_month.value == pytest.approx(6 * REPLICA)


# --- everyone -------------------------------------------------------------------------------------------------


def test_everyone_comes_once_baseline_and_choice_first_then_by_rate() -> None:
    slow, never = replace(FP32, max_batch=1), replace(FP32, max_batch=32)
    broken, lost = replace(FP32, engine="broken"), replace(FP32, engine="lost")
    found = findings(
        sla_rps={never: None, slow: 20.0, BASE: 10.0, FP32: 40.0, INT8: 100.0}, failed={broken: "signal 9"}, lost={lost: ""}
    )  # fmt: skip
    assert everyone(found) == (BASE, INT8, FP32, slow, never, lost, broken)
    assert everyone(findings(chosen=None, sla_rps={INT8: 100.0, BASE: 10.0})) == (BASE, INT8)


def test_all_that_is_known_of_a_candidate() -> None:
    found = findings(
        curves={ALONE: curve({1: est(20.0), 8: est(80.0)})},
        facts={ALONE: facts(321.0)},
        latency={INT8: measured(INT8, 3.0, 5.0, 9.0)},
        server={INT8: measured(INT8, 4.0, 6.0, 33.0)},
    )
    seen = evaluation(pricing(found), INT8)
    assert (seen.status, seen.reason) == ("chosen", "")
    assert [(b, e.value) for b, e in seen.service_ms] == [(1, 20), (8, 80)]
    assert (p99_alone(seen), p99_at_peak(seen)) == (est(9.0), est(33.0))
    assert seen.quantiles_ms == (3.0, 9.0)
    assert (seen.peak_memory_mib, seen.load_s, seen.first_inference_s) == (321, 0.8, 0.03)
    assert seen.artefact == artefact("int8", "int8")
    assert seen.cost_usd_per_month is not None
    assert seen.usd_per_million is not None
    requests = 110 * 3600 * 730 / 2
    assert seen.usd_per_million.value == pytest.approx(2 * REPLICA / requests * 1e6)
    assert seen.sla_rps is not None
    assert (seen.sla_rps.lo, seen.sla_rps.value, seen.sla_rps.n) == (100, 100, 0)


def test_what_was_not_measured_is_none() -> None:
    unknown = replace(FP32, engine="other")
    seen = evaluation(pricing(), unknown)
    assert (seen.capacity_rps, seen.sla_rps, seen.cost_usd_per_month, seen.usd_per_million) == (None,) * 4
    assert (p99_alone(seen), p99_at_peak(seen), seen.accuracy, seen.ratio) == (None,) * 4
    assert (seen.service_ms, seen.quantiles_ms, seen.peak_memory_mib, seen.load_s) == ((), (), None, None)


def test_capacity_from_service_times_when_no_rounds_were_run() -> None:
    """Two workers, batches of four in 20 ms [16, 25]: 400 requests/s, from 320 to 500."""
    build = replace(FP32, max_batch=1)
    p = pricing(findings(curves={build: curve({1: est(8.0), 4: est(20.0, 16.0, 25.0)})}))
    seen = evaluation(p, FP32).capacity_rps
    assert seen is not None
    assert (seen.lo, seen.value, seen.hi) == pytest.approx((320, 400, 500))
    assert evaluation(p, replace(FP32, max_batch=8)).capacity_rps is None
    assert evaluation(p, INT8).capacity_rps == est(120.0, 114.0, 126.0)


def test_accuracy_is_the_builds_and_the_confirm_split_comes_first() -> None:
    early, late = evidence("unproven", split="search"), evidence()
    p = pricing(findings(search={replace(INT8, max_batch=1): early, FP32: early}, confirm={INT8: late}))
    assert evaluation(p, replace(INT8, max_batch=2, threads=2)).accuracy == late
    assert evaluation(p, replace(FP32, max_batch=2)).accuracy == early
    for other in ({"engine": "x"}, {"variant": "x"}, {"precision": "bf16"}):
        assert evaluation(p, replace(INT8, **other)).accuracy is None


def test_what_became_of_each() -> None:
    tied, broken, never = replace(INT8, max_batch=4), replace(FP32, engine="broken"), replace(FP32, max_batch=32)
    sibling, plain = replace(FP32, max_batch=2), replace(FP32, variant="plain")
    found = findings(
        tied=(tied,),
        failed={broken: "signal 9"},
        lost={FP32: "slower at a first look", never: "p99 80 ms"},
        sla_rps={BASE: 10.0, INT8: 100.0, never: None, replace(never, variant="x"): None},
    )
    p = pricing(found)
    seen = {c: (evaluation(p, c).status, evaluation(p, c).reason) for c in (BASE, INT8, tied, broken, FP32, sibling)}
    assert seen == {
        BASE: ("baseline", ""),
        INT8: ("chosen", ""),
        tied: ("tied", "cannot be told apart from the chosen one"),
        broken: ("failed", "signal 9"),
        FP32: ("lost", "slower at a first look"),
        sibling: ("lost", "slower at a first look"),
    }
    assert evaluation(p, never).reason == "p99 80 ms"
    for c, reason in (
        (never, "p99 80 ms"),
        (replace(never, variant="x"), "does not keep the latency bound at any rate"),
    ):
        assert (evaluation(p, c).status, evaluation(p, c).reason) == ("infeasible", reason)
    assert evaluation(p, plain).reason == "slower than the chosen one at every batch size tried"
    assert evaluation(p, replace(plain, engine="x")).status == "lost"


# --- the plan -------------------------------------------------------------------------------------------------


def test_a_plan_holds_what_was_found() -> None:
    plan = planned()
    assert plan.verdict.outcome == "met"
    assert plan.chosen is not None
    assert (plan.chosen.candidate, plan.baseline.candidate, plan.nearest) == (INT8, BASE, None)
    assert {e.candidate for e in plan.evaluations} == {BASE, INT8, FP32, ALONE}
    assert plan.saving_frac is not None
    assert plan.saving_frac.value == pytest.approx(1 - 2 / 11)
    assert plan.requests_per_month == pytest.approx(110 * 3600 * 365)
    assert plan.assumptions[0] == "this machine stands for aws/small"
    assert plan.assumptions[1].startswith("purchase terms:")
    assert plan.artefacts == (artefact("int8", "int8"),)


def test_a_plan_without_a_choice_names_the_nearest() -> None:
    found = findings(
        chosen=None, latency={FP32: measured(FP32, 40.0, 60.0, 80.0), INT8: measured(INT8, 40.0, 60.0, 70.0)}
    )
    plan = planned(found)
    assert (plan.verdict.outcome, plan.chosen, plan.planned_usd_per_month) == ("not_met", None, None)
    assert plan.nearest is not None
    assert plan.nearest.candidate == INT8


def profile() -> Profile:
    operator = OperatorTime(
        name="x", kind="Conv", time_ms=1.0, share_frac=1.0, precision="f32", flops=1.0, bytes_moved=1.0,
        roofline_frac=None, mapped=True,
    )  # fmt: skip
    return Profile(
        candidate=BASE, batch=1, operators=(operator,), wall_ms=1.0, pipeline_ms=0.1, mapped_frac=1.0,
        peaks=MachinePeaks(fp32_gflops=1.0, bf16_gflops=None, int8_gops=None, memory_gb_per_s=1.0),
        bottleneck="compute", why="a test",
    )  # fmt: skip


def test_the_baseline_is_held_against_the_bill() -> None:
    def baseline(found):
        return assemble_baseline(
            workload(), found, market(), hours(100.0, 10.0), provenance(), score=None, assumptions=(), description="",
        )  # fmt: skip

    seen = baseline(findings(profiles=(profile(), replace(profile(), batch=2))))
    assert (seen.gap.name, seen.gap.claimed) == ("right-sizing", False)
    assert seen.gap.usd_per_month.value == pytest.approx(1000 - 11 * REPLICA, abs=1e-5)
    assert seen.profile.batch == 1
    with pytest.raises(ValueError, match="was not profiled"):
        baseline(findings())
