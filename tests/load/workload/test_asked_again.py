"""Other traffic, another bill, another promise for a workload that was measured: what is given replaces its like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from farthing.errors import InputError
from farthing.load.workload.content import without_paths
from farthing.load.workload.workload import asked_again
from farthing.nouns import (
    BaselineSpec,
    Bill,
    Dataset,
    LatencyBound,
    ModelRef,
    Objective,
    PipelineSpec,
    Trace,
    Workload,
)

HOUR = Trace(name="hour", step_s=60.0, counts=np.full(60, 30.0))


def measured(**more: object) -> Workload:
    fields: dict[str, object] = {
        "name": "w", "model": ModelRef(kind="onnx", path="m.onnx"), "pipeline": PipelineSpec(kind="tensor"),
        "holdout": Dataset(kind="tensor", items=(), n=0), "baseline": BaselineSpec(),
        "bill": Bill(offer="aws/m7i.large", region="us-east-1", usd_per_month=1000.0),
        "objective": Objective(latency=LatencyBound(ms=50), max_drop_frac=0.02),
    }  # fmt: skip
    return Workload(**{**fields, **more})  # type: ignore[arg-type]


def test_any_word_on_the_volume_replaces_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "timestamp,count\n" + "".join(f"2026-11-02T{h:02}:00:00,{7 * h % 24}\n" for h in range(24))
    )
    (tmp_path / "u.csv").write_text(
        "timestamp,cpu\n" + "".join(f"2026-11-02T{h:02}:00:00,{7 * h % 24}\n" for h in range(24))
    )
    busy = measured(utilisation_frac=0.3, shape="flat")
    cases = {
        "trace": (str(tmp_path / "t.csv"), (True, None, None, False)),
        "per_month": ("3B", (False, 3e9, None, False)),
        "utilisation": ("40%", (False, None, 0.4, False)),
    }
    for key, (value, expected) in cases.items():
        w = asked_again(busy, {key: value})
        assert (w.trace is not None, w.requests_per_month, w.utilisation_frac, w.usage is not None) == expected, key
        assert (w.bill, w.objective, w.shape) == (busy.bill, busy.objective, "flat")
    series = asked_again(busy, {"utilisation": str(tmp_path / "u.csv")})
    assert series.usage is not None
    assert series.utilisation_frac == pytest.approx(sum(range(24)) / 24 / 100)
    assert asked_again(series, {"per_month": "1B"}).usage is None


def test_a_trace_is_scaled_to_a_volume_and_a_volume_keeps_beside_a_shape() -> None:
    w = asked_again(measured(trace=HOUR), {"per_month": "1M"})
    assert w.trace is not None
    assert w.trace.requests_per_month() == pytest.approx(1e6)
    flat = asked_again(measured(requests_per_month=5e6), {"shape": "flat"})
    assert (flat.shape, flat.requests_per_month) == ("flat", 5e6)


def test_a_bill_is_replaced_by_parts() -> None:
    assert asked_again(measured(), {"bill": "$500"}).bill == replace(measured().bill, usd_per_month=500.0)
    fleet = asked_again(measured(), {"replicas": 12, "fixed_fleet": True}).bill
    assert (fleet.replicas, fleet.usd_per_month, fleet.fixed_fleet) == (12, None, True)
    assert asked_again(measured(bill=fleet), {"bill": 10}).bill.fixed_fleet
    there = asked_again(measured(priced_as="aws/c7i.large"), {"offer": "gcp/n2-standard-2"})
    assert (there.bill.offer, there.bill.region, there.bill.usd_per_month) == ("gcp/n2-standard-2", None, 1000.0)
    assert there.priced_as is None  # this machine stood for another offer
    assert asked_again(measured(priced_as="aws/c7i.large"), {"bill": 5}).priced_as == "aws/c7i.large"


def test_a_promise_is_replaced_by_parts() -> None:
    w = asked_again(measured(), {"p95": "30ms"})
    assert w.objective == Objective(latency=LatencyBound(ms=30, percentile=0.95), max_drop_frac=0.02)
    assert asked_again(measured(), {"min_saving": "30%"}).objective.latency == LatencyBound(ms=50)


@pytest.mark.parametrize(
    "flags",
    [
        {"utilisation": "40%", "per_month": "1B"}, {"bill": 5, "replicas": 3}, {"p99": "5ms", "p95": "3ms"},
        {"utilisation": "0%"}, {"replicas": 0}, {"nonsense": 1}, {"p99": "5"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(flags: dict[str, object]) -> None:
    with pytest.raises(InputError):
        asked_again(measured(), flags)


def test_what_prices_alone_hang_on_is_not_part_of_what_was_measured(tmp_path: Path) -> None:
    """Adding a trace, another bill or another offer measures nothing anew; another promised latency does."""
    (tmp_path / "t.csv").write_text(
        "timestamp,count\n" + "".join(f"2026-11-02T{h:02}:00:00,{7 * h % 24}\n" for h in range(24))
    )
    before = without_paths(measured())
    for flags in (
        {"trace": str(tmp_path / "t.csv")}, {"per_month": "1B"}, {"utilisation": "40%"}, {"shape": "flat"}, {"bill": 5},
        {"replicas": 3, "fixed_fleet": True}, {"offer": "aws/c7i.large"}, {"priced_as": "aws/c7i.large"},
        {"budget": 5, "min_saving": "3%", "min_replicas": 2},
    ):  # fmt: skip
        assert without_paths(asked_again(measured(), flags)) == before, flags
    assert without_paths(asked_again(measured(), {"p99": "30ms"})) != before
    assert without_paths(measured(baseline=BaselineSpec(max_batch=8))) != before
