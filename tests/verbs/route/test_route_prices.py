"""What a request costs at each tier: one basis for all that run here, stated prices as stated, never 0 for unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from farthing.core.money.request_cost import usd_at_capacity, usd_of_service
from farthing.core.route.answers import TierAnswers
from farthing.errors import InputError, UnknownOfferError
from farthing.load.route.tiers import NamedTier, TierPrice
from farthing.measure.route.remote_tiers import RemoteRun
from farthing.measure.route.tier_answers import LocalRun
from farthing.nouns import Candidate, Estimate, Hardware, LocalModel
from farthing.runs.route.prices import offer_named, refuse_unpriced, tier_costs

DAY = date(2026, 11, 24)
OFFER = offer_named("aws/m7i.large", DAY)
N = 5


def model(name: str, **facts: object) -> LocalModel:
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32")
    return replace(LocalModel(name=name, path=Path("m.onnx"), candidate=candidate), **facts)  # type: ignore[arg-type]


def run(ms: float, threads: int = 1) -> LocalRun:
    return LocalRun(answers=answers(), service_ms=estimate(ms), threads=threads, busy_frac=0.0, batch=1)


def answers() -> TierAnswers:
    return TierAnswers(tier="t", classes=np.zeros(N, dtype=np.int64))


def estimate(value: float) -> Estimate:
    return Estimate(value=value, lo=value, hi=value, n=16, method="median")


NAMED = (NamedTier(name="a", source="a"), NamedTier(name="b", source="b"))


def test_the_share_of_the_machine_by_time() -> None:
    assert OFFER is not None
    assert OFFER.usd_per_hour is not None
    models = {"a": model("a", capacity_rps=500.0), "b": model("b")}  # one is no plan: time for both
    found = tier_costs(NAMED, {"a": run(1.0), "b": run(10.0, threads=2)}, models, OFFER, N)
    core_s = OFFER.usd_per_hour / 3600 / 2
    assert found.cost_usd["a"] == pytest.approx(np.full(N, core_s * 0.001))
    assert found.cost_usd["b"] == pytest.approx(np.full(N, core_s * 0.010 * 2))
    assert found.usd_per_core_s == pytest.approx(core_s)
    assert found.currency == "usd"
    assert "2026-07-20" in found.assumptions[0]


def test_the_machine_stands_beside_the_price_and_64_cores_cost_32_times_two() -> None:
    assert OFFER is not None
    models = {t: model(t, capacity_rps=rate, offer=OFFER) for t, rate in (("a", 5000.0), ("b", 100.0))}
    runs = {"a": run(1.0), "b": run(10.0)}
    small = Hardware(name="here", vcpus=2, threads_per_core=2, arch="x86_64", cpu="Intel", generation="Sapphire Rapids")
    large = replace(small, vcpus=64, threads_per_core=1)
    two, many = (tier_costs(NAMED, runs, models, None, N, machine) for machine in (small, large))
    assert many.cost_usd["b"] == pytest.approx(32 * two.cost_usd["b"])
    assert any("not alike, dollars are estimates until measured there" in text for text in many.assumptions)
    assert any("2 there for 64 here" in text for text in many.assumptions)
    with pytest.raises(InputError, match="cannot stand for"):
        tier_costs(NAMED, runs, models, None, N, replace(small, arch="arm64"))


def test_plans_at_their_capacity() -> None:
    assert OFFER is not None
    assert OFFER.usd_per_hour is not None
    models = {t: model(t, capacity_rps=rate, offer=OFFER) for t, rate in (("a", 5000.0), ("b", 100.0))}
    found = tier_costs(NAMED, {"a": run(1.0), "b": run(10.0)}, models, None, N, Hardware(name="here", vcpus=2))
    assert found.cost_usd["b"][0] == pytest.approx(OFFER.usd_per_hour / 3600 / 100)
    assert "capacity of each plan" in found.assumptions[0]


def test_without_any_price_cpu_seconds_are_counted_and_said() -> None:
    models = {t: model(t) for t in "ab"}
    found = tier_costs(NAMED, {"a": run(1.0), "b": run(10.0, threads=2)}, models, None, N)
    assert found.currency == "cpu_s"
    assert found.cost_usd["b"][0] == pytest.approx(0.020)
    assert found.usd_per_core_s == 1.0
    assert "ratios hold" in found.assumptions[0]


def test_stated_prices_are_taken_as_stated() -> None:
    named = (
        replace(NAMED[0], price=TierPrice(usd_per_request=0.25)),
        NamedTier(name="s", kind="open_inference", source="http://h", price=TierPrice(usd_per_second=2.0)),
        NamedTier(
            name="l", kind="openai", source="http://h",
            price=TierPrice(usd_per_input_token=1e-6, usd_per_output_token=3e-6),
        ),
    )  # fmt: skip
    tokens = np.arange(N, dtype=float)
    far = RemoteRun(answers=answers(), service_ms=estimate(5.0), input_tokens=tokens, output_tokens=np.ones(N))
    found = tier_costs(named, {"a": run(1.0), "s": far, "l": far}, {"a": model("a")}, None, N)
    assert found.cost_usd["a"][0] == 0.25
    assert found.cost_usd["s"][0] == pytest.approx(0.010)
    assert found.cost_usd["l"] == pytest.approx(1e-6 * tokens + 3e-6)
    assert any("has no price: scores count nothing" in text for text in found.assumptions)


def test_prices_in_dollars_are_not_mixed_with_none() -> None:
    models = {t: model(t) for t in "ab"}
    refuse_unpriced(NAMED, models, None)  # none at all: CPU-seconds
    refuse_unpriced(NAMED, models, OFFER)
    half = (replace(NAMED[0], price=TierPrice(usd_per_request=1.0)), NAMED[1])
    with pytest.raises(InputError, match="the tier 'b' has no price while others have one"):
        refuse_unpriced(half, models, None)
    with pytest.raises(InputError, match="the tier 'a' has no price"):
        refuse_unpriced(NAMED, {"a": model("a"), "b": model("b", offer=OFFER)}, None)


def test_offers_must_be_known() -> None:
    assert offer_named(None, None) is None
    with pytest.raises(UnknownOfferError):
        offer_named("aws/none", DAY)


def test_shares_need_positive_numbers() -> None:
    assert usd_at_capacity(3.6, 10) == pytest.approx(1e-4)
    with pytest.raises(ValueError, match="capacity_rps"):
        usd_at_capacity(1.0, 0.0)
    with pytest.raises(ValueError, match="service_s"):
        usd_of_service(0.0, usd_per_hour=1.0, worker_cores=1, replica_cores=2)
