"""A bill for one offer and a machine that stands for another: one fleet is priced, and it is said which."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from small_inputs import write_images, write_onnx

from farthing.core.money.price import usd_per_month
from farthing.errors import InputError
from farthing.load.workload.workload import workload_from_flags
from farthing.machine.hardware import this_machine
from farthing.nouns import Plan
from farthing.runs.market import Arrived, market_of, trace_of
from farthing.verbs.report import report

GOLDEN = Path(__file__).parents[1] / "golden" / "v2"
DAY = date(2026, 11, 24)
OTHERS = ["aws/c7i.large", "aws/c6i.2xlarge", "aws/m7i.4xlarge"]


def arrived(folder: Path, **flags: object) -> Arrived:
    if not (folder / "model.onnx").exists():
        write_onnx(folder / "model.onnx")
        write_images(folder / "holdout", ["cat", "dog", "owl"] * 4)
    given = {"model": str(folder / "model.onnx"), "labels": str(folder / "holdout"), "offer": "aws/m7i.large"}
    workload = workload_from_flags({**given, **flags})
    return trace_of(workload, market_of(workload, DAY, 180, this_machine()))


def again(folder: Path, **asked: object) -> Plan:
    for name in ("plan.yaml", "workload.json"):
        shutil.copy(GOLDEN / name, folder)
    return report(folder / "plan.yaml", as_of=DAY, asked=asked)[0]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("paid", [{"replicas": 12}, {"bill": 10_000}])
def test_a_fixed_fleet_of_another_offer_is_refused(tmp_path: Path, other: str, paid: dict[str, int]) -> None:
    fleet = "12 × aws/m7i.large" if "replicas" in paid else "aws/m7i.large"
    flags = {**paid, "utilisation": "40%", "fixed_fleet": True, "priced_as": other}
    said = f"the fixed fleet is {fleet}, and this machine is priced as {other}"
    with pytest.raises(InputError, match=said) as e:
        arrived(tmp_path, **flags)
    assert f"--offer {other}" in str(e.value.hint)
    with pytest.raises(InputError, match=said):
        again(tmp_path, **flags, offer="aws/m7i.large")


@pytest.mark.parametrize("named", [{}, {"priced_as": "aws/m7i.large"}])
def test_a_fixed_fleet_of_ones_own_offer_costs_today_what_the_bill_says(tmp_path: Path, named: dict[str, str]) -> None:
    flags = {"replicas": 12, "utilisation": "40%", "fixed_fleet": True, "offer": "aws/m7i.large"}
    plan = again(tmp_path, **flags, **named)
    assert plan.fixed_fleet is not None
    today = next(size for size in plan.fixed_fleet.sizes if size.replicas == plan.fixed_fleet.today)
    assert (today.replicas, today.usd_per_month) == (12, pytest.approx(plan.bill_usd_per_month))


@pytest.mark.parametrize("other", [OTHERS[0], *(pytest.param(o, marks=pytest.mark.slow) for o in OTHERS[1:])])
def test_replicas_of_another_offer_are_the_amount_that_they_cost(tmp_path: Path, other: str) -> None:
    """125 of one offer and a bill of as many dollars are the same question, priced in the other offer throughout."""
    shared = {"utilisation": "40%", "offer": "aws/m7i.large", "priced_as": other}
    counted = again(tmp_path, replicas=125, **shared)
    billed = again(tmp_path, bill=9198, **shared)
    assert counted.bill_usd_per_month == pytest.approx(125 * 0.1008 * 730) == pytest.approx(9198)
    assert counted.baseline_usd_per_month.value == pytest.approx(billed.baseline_usd_per_month.value)
    assert counted.hourly.baseline_replicas == billed.hourly.baseline_replicas
    assert counted.requests_per_month == pytest.approx(billed.requests_per_month)
    assert {offer.name for offer in counted.offers} == {other}


def test_what_is_counted_is_said(tmp_path: Path) -> None:
    flags = {"replicas": 12, "utilisation": "40%", "priced_as": "aws/c6i.2xlarge"}
    there = arrived(tmp_path, **flags)
    paid = usd_per_month(there.market.bill_offer, there.replicas)
    assert paid == pytest.approx(there.market.bill_usd_per_month) == pytest.approx(12 * 0.1008 * 730)
    said = dict(there.understood())["arrivals"]
    assert "3.56 replicas of aws/c6i.2xlarge that the bill for 12 × aws/m7i.large pays for" in said
    assert said == there.assumptions()[1].replace("the arrivals", "they")
    billed = arrived(tmp_path, bill=10_000, priced_as="aws/c6i.2xlarge")
    assert "40.3 replicas of aws/c6i.2xlarge that the bill for aws/m7i.large pays for" in str(list(billed.understood()))
    own = arrived(tmp_path, replicas=12, utilisation="40%")
    assert "12 replicas of aws/m7i.large that the bill pays for" in dict(own.understood())["arrivals"]
