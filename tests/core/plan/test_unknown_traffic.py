"""A bill alone cannot tell over-provisioning from inefficiency; with a utilisation, requests or a trace it can.

Worked by hand: a model that serves 13.09 times as much on each replica saves 92.36 % of whatever the baseline needs. If
the fleet that $10,000 a month pay for is busy to 30 %, the baseline needs $3,000 and the plan $229: $7,000 was idle, and
$2,771 come from the model. Crediting it with 92.36 % of the bill, $9,236, would be more than three times too much. The
replicas of these tests are so small that whole ones make no difference, and the traffic is flat: hours of a day-night week
are paid for their busiest minute.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.core.money.saving import on_grid_usd
from farthing.core.plan.assemble import Market, assemble
from farthing.core.plan.findings import Findings
from farthing.core.plan.repricing import reprice
from farthing.core.plan.unknown_traffic import least
from farthing.nouns import (
    BaselineSpec,
    Bill,
    Candidate,
    Dataset,
    Estimate,
    Hardware,
    ModelRef,
    Objective,
    Offer,
    PipelineSpec,
    Plan,
    Provenance,
    StandIn,
    Workload,
)
from farthing.runs.market import trace_of

NOW = Candidate(engine="pytorch", variant="torch-module", precision="fp32", instances=2)
NEW = Candidate(engine="openvino", variant="int8-nncf", precision="int8", max_batch=8, instances=2)
FP32 = Candidate(engine="openvino", variant="fp32", precision="fp32", max_batch=8, instances=2)
BF16 = replace(FP32, precision="bf16")
RATE_RPS, RATIO = 50.0, 1 / (1 - 0.9236)
PRICE = 0.1008


def offer(term: str = "on_demand", usd: float = PRICE) -> Offer:
    return Offer(
        name="aws/m7i.large", provider="aws", region="us-east-1", term=term, hardware=Hardware(name="m", vcpus=2),  # type: ignore[arg-type]
        dated=date(2026, 7, 20), source="made up", usd_per_hour=usd,
    )  # fmt: skip


def est(value: float, rel: float = 0.01) -> Estimate:
    return Estimate(value=value, lo=value * (1 - rel), hi=value * (1 + rel), n=12, method="t on 12 log ratios")


def market(
    bill_usd: float = 10_000.0, terms: tuple[Offer, ...] = (), stand_in: StandIn | None = None, price: float = PRICE
) -> Market:
    return Market(
        bill_offer=offer(usd=price), terms=(offer(usd=price), *terms), elsewhere=(), priced_as="aws/m7i.large",
        bill_usd_per_month=bill_usd, stand_in=stand_in,
    )  # fmt: skip


def workload(**said: object) -> Workload:
    return Workload(
        name="w", model=ModelRef(kind="onnx", path="m.onnx"), pipeline=PipelineSpec(kind="tensor"),
        holdout=Dataset(kind="tensor", items=(), n=0), baseline=BaselineSpec(),
        bill=Bill(offer="aws/m7i.large", usd_per_month=10_000), objective=Objective(), **said,  # type: ignore[arg-type]
    )  # fmt: skip


FINE = market(price=1e-4)


def findings(ratio: float = RATIO, half: bool = True) -> Findings:
    rates = {
        NOW: RATE_RPS,
        NEW: RATE_RPS * ratio,
        replace(NEW, max_batch=1): RATE_RPS * ratio * 0.8,
        FP32: RATE_RPS * 4,
    }
    rates |= {BF16: RATE_RPS * 6} if half else {}
    return Findings(
        baseline=NOW, chosen=NEW, artefacts={}, curves={}, facts={}, sla_rps=rates,
        ratios={c: est(r / RATE_RPS) for c, r in rates.items() if c != NOW},
        capacities_rps={c: est(r) for c, r in rates.items()}, best_fp32=FP32, best_half=BF16 if half else None,
    )  # fmt: skip


def plan_of(asked: Workload, prices: Market | None = None, ratio: float = RATIO, found: Findings | None = None) -> Plan:
    prices = prices or market()
    arrivals = trace_of(asked, prices)
    return assemble(
        asked, found or findings(ratio), prices, arrivals.at(RATE_RPS),
        Provenance(command="", seed=0, versions={}, hardware=Hardware(name="here"), fingerprint="",
                   started_at=datetime(2026, 7, 21, tzinfo=UTC), seconds={}),
        splits={}, assumptions=arrivals.assumptions(), description="", by_utilisation=arrivals.by_utilisation(RATE_RPS),
    )  # fmt: skip


def credited(plan: Plan) -> float:
    return sum(p.usd_per_month.value for p in plan.parts if p.claimed and p.usd_per_month)


def total(plan: Plan) -> float:
    return sum(p.usd_per_month.value for p in plan.parts if p.usd_per_month)


def part(plan: Plan, name: str) -> float | None:
    (found,) = (p for p in plan.parts if p.name == name)
    return None if found.usd_per_month is None else found.usd_per_month.value


def test_at_30_per_cent_the_model_is_credited_with_what_it_saves() -> None:
    plan = plan_of(workload(shape="flat", utilisation_frac=0.3), FINE)
    assert part(plan, "right-sizing") == pytest.approx(7_000, abs=1)
    assert credited(plan) == pytest.approx(2_771, abs=1)
    assert total(plan) == pytest.approx(10_000 - 229, abs=1)
    assert "over-provisioning: 70 %" in plan.parts[0].note
    assert not plan.parts[0].claimed
    assert plan.utilisations == ()
    assert "stated 30 %" in plan.assumptions[1]


def test_a_bill_alone_credits_nothing_and_is_not_split() -> None:
    plan = plan_of(workload(shape="flat"), FINE)
    assert [p.name for p in plan.parts] == ["saving", "purchase terms"]
    assert credited(plan) == 0  # not $9,236
    assert plan.planned_usd_per_month is not None
    assert total(plan) == on_grid_usd(10_000) - on_grid_usd(plan.planned_usd_per_month.value)
    assert [row.utilisation_frac for row in plan.utilisations] == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    at_30 = plan.utilisations[1]
    assert at_30.baseline_usd_per_month.value == pytest.approx(3_000, abs=1)
    assert at_30.planned_usd_per_month is not None
    assert at_30.planned_usd_per_month.value == pytest.approx(229, abs=1)
    assert "were not stated" in plan.assumptions[1]


def test_dollars_reach_from_the_lowest_to_the_highest_utilisation() -> None:
    plan = plan_of(workload())
    first, last = plan.utilisations[0], plan.utilisations[-1]
    planned, saved = plan.planned_usd_per_month, plan.parts[0].usd_per_month
    assert planned is not None
    assert saved is not None
    assert first.planned_usd_per_month is not None
    assert last.planned_usd_per_month is not None
    assert planned.value == last.planned_usd_per_month.value
    assert planned.lo == first.planned_usd_per_month.lo
    assert plan.requests_per_month == last.requests_per_month == pytest.approx(4 * first.requests_per_month)
    assert saved.value == pytest.approx(10_000 - planned.value, abs=1e-5)
    assert saved.hi == pytest.approx(10_000 - planned.lo, abs=1e-5)
    assert plan.baseline_usd_per_month.lo == first.baseline_usd_per_month.lo


def test_replicas_invent_nothing_from_the_shape() -> None:
    """A count of replicas says as little about the traffic as the dollars that pay for them, at any shape."""
    by_count = Bill(offer="aws/m7i.large", replicas=136)
    for shape in ("day-night", "flat"):
        plan = plan_of(replace(workload(shape=shape), bill=by_count), market(136 * PRICE * 730))
        assert plan.parts[0].name == "saving"
        busy = plan_of(replace(workload(shape=shape, utilisation_frac=0.5), bill=by_count), market(136 * PRICE * 730))
        assert part(busy, "right-sizing") == pytest.approx(0.5 * 136 * PRICE * 730, rel=0.06)


def test_stated_requests_are_held_against_the_bill() -> None:
    at_30 = trace_of(workload(shape="flat", utilisation_frac=0.3), FINE).at(RATE_RPS)
    plan = plan_of(workload(shape="flat", requests_per_month=at_30.requests_per_month()), FINE)
    assert part(plan, "right-sizing") == pytest.approx(7_000, abs=1)
    assert "over-provisioning: 70 %" in plan.parts[0].note
    assert credited(plan) == pytest.approx(2_771, abs=1)
    seen = plan_of(workload(trace=replace(at_30, name="log.csv")), FINE)
    assert part(seen, "right-sizing") == part(plan, "right-sizing")
    assert "those of log.csv" in seen.assumptions[1]


@settings(max_examples=15, deadline=None)
@given(
    bill=st.floats(80, 50_000), ratio=st.floats(0.7, 40), used=st.integers(20, 80),
    shape=st.sampled_from(["day-night", "flat"]),
)  # fmt: skip
def test_what_is_stated_without_traffic_holds_at_every_utilisation(
    bill: float, ratio: float, used: int, shape: str
) -> None:
    stated = plan_of(workload(shape=shape), market(bill), ratio)
    known = plan_of(workload(shape=shape, utilisation_frac=used / 100), market(bill), ratio)
    for mine, theirs in (
        (stated.saving_frac, known.saving_frac),
        (stated.saving_versus_best_fp32_frac, known.saving_versus_best_fp32_frac),
        (stated.saving_versus_best_half_frac, known.saving_versus_best_half_frac),
    ):
        assert mine is not None
        assert theirs is not None
        assert (mine.value, mine.lo, mine.hi) <= (theirs.value, theirs.lo + 1e-12, theirs.hi + 1e-12)
        assert mine.lo <= theirs.lo
        assert mine.hi <= theirs.hi
    for plan in (stated, known):
        assert plan.planned_usd_per_month is not None
        assert total(plan) == pytest.approx(bill - plan.planned_usd_per_month.value, abs=1e-5)
    assert stated.planned_usd_per_month is not None
    assert known.planned_usd_per_month is not None
    assert stated.planned_usd_per_month.value >= known.planned_usd_per_month.value - 1e-9
    assert stated.planned_usd_per_month.lo <= known.planned_usd_per_month.lo + 1e-9


def test_terms_are_priced_only_where_one_was_read() -> None:
    assert part(plan_of(workload(utilisation_frac=0.5)), "purchase terms") is None
    spot = offer("spot", 0.03)
    assert part(plan_of(workload(utilisation_frac=0.5), market(terms=(spot,))), "purchase terms") is None
    for asked in (workload(), workload(utilisation_frac=0.5)):
        reserved = plan_of(asked, market(terms=(offer("reserved_1y", 0.06),)))
        saved = part(reserved, "purchase terms")
        assert saved is not None
        assert saved > 0
        dear = part(plan_of(asked, market(terms=(offer("reserved_1y", 0.2),))), "purchase terms")
        assert dear == 0  # looked at, and it does not pay


def test_another_day_keeps_what_is_not_known_unknown() -> None:
    plan = plan_of(workload())
    cheaper = reprice(plan, offer(usd=PRICE / 2), (offer(usd=PRICE / 2), offer("reserved_1y", 0.03)))
    assert [p.name for p in cheaper.parts] == ["saving", "purchase terms"]
    assert part(plan, "purchase terms") is None
    assert (part(cheaper, "purchase terms") or 0) > 0
    assert cheaper.planned_usd_per_month is not None
    assert total(cheaper) == pytest.approx(10_000 - cheaper.planned_usd_per_month.value, abs=1e-5)
    last = cheaper.utilisations[-1].planned_usd_per_month
    assert last is not None
    assert last.value == pytest.approx(cheaper.planned_usd_per_month.value)
    assert cheaper.utilisations[0].baseline_usd_per_month.value == pytest.approx(
        plan.utilisations[0].baseline_usd_per_month.value / 2
    )


def test_64_cores_are_not_had_for_the_price_of_two() -> None:
    """Capacity is that of the offer's vCPUs: the same volume takes 32 times the replicas, and the saving stays."""
    small = StandIn(machine="64 cores", offer="2 vCPUs", capacity_factor=2 / 64, rule="by vCPUs")
    asked = workload(requests_per_month=50e9)
    whole, shared = plan_of(asked), plan_of(asked, market(stand_in=small))
    assert shared.baseline_usd_per_month.value == pytest.approx(32 * whole.baseline_usd_per_month.value, rel=0.02)
    assert whole.saving_frac is not None
    assert shared.saving_frac is not None
    assert shared.saving_frac.value == pytest.approx(whole.saving_frac.value, abs=0.01)
    assert shared.stand_in == small
    assert shared.baseline.sla_rps == whole.baseline.sla_rps  # as measured on this machine
    for used in (None, 0.5):
        alone = plan_of(workload(utilisation_frac=used), market(stand_in=small))
        apart = plan_of(workload(utilisation_frac=used))
        assert alone.requests_per_month == pytest.approx(apart.requests_per_month / 32)


def test_the_best_half_precision_engine_is_a_reference_of_its_own() -> None:
    plan = plan_of(workload(utilisation_frac=0.5), FINE)
    assert plan.best_half == BF16
    assert plan.saving_versus_best_half_frac is not None
    assert plan.saving_versus_best_half_frac.value == pytest.approx(1 - 6 / RATIO, abs=0.001)
    assert plan.saving_versus_best_fp32_frac is not None
    assert plan.saving_versus_best_fp32_frac.value == pytest.approx(1 - 4 / RATIO, abs=0.001)
    without = plan_of(workload(utilisation_frac=0.5), found=findings(half=False))
    assert (without.best_half, without.saving_versus_best_half_frac) == (None, None)


def test_the_least_of_claims() -> None:
    first, second = est(0.9, 0.05), est(0.8, 0.2)
    found = least([first, second])
    assert found is not None
    assert (found.value, found.lo, found.hi) == (0.8, second.lo, min(first.hi, second.hi))
    assert least([first, None]) is None
    assert least([]) is None
