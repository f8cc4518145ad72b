"""What clients and operators are told of each kind that is served, and what becomes of a kind that nobody knows."""

from __future__ import annotations

import asyncio
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_traffic import OFFER, IdleQueue, live_model
from small_route import cascade, margin_of, route_of, rung, tier

from farthing.core.route.served import Place, RoutedModel, UpstreamModel
from farthing.machine.clock import MonotonicClock
from farthing.nouns import Hardware, TensorSpec
from farthing.serve.admin.live import live_document
from farthing.serve.greeting import Addresses, model_line, ready_lines
from farthing.serve.pricing import pricing
from farthing.serve.protocol.documents import model_config
from farthing.serve.routing.loader import Loader
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.requests import LiveModel
from farthing.workers.pool import Pool

X = (TensorSpec(name="x", dtype="float32", shape=(None, 2)),)
CORES = float(len(os.sched_getaffinity(0)))
ROUTE = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"))


def live(spec: Any, platform: str) -> LiveModel:
    return LiveModel(spec=spec, inputs=X, outputs=X, batched=True, queue=IdleQueue(), state="ready", platform=platform)


def upstream(**more: Any) -> UpstreamModel:
    return UpstreamModel(
        name="large", origin=Path("r"), max_batch=64, kind="openai", url="http://h/v1", remote_name="there", **more
    )


def routed(**more: Any) -> RoutedModel:
    places = {name: (Place(model=name),) for name in ("small", "large")}
    return RoutedModel(name="auto", origin=Path("r"), max_batch=4, route=ROUTE, places=places, **more)


def config(backend: str, variant: str, precision: str, largest: int, workers: int, name: str, platform: str) -> Any:
    tensor = [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]
    return {
        "name": name,
        "platform": platform,
        "backend": backend,
        "version_policy": {"specific": {"versions": ["1"]}},
        "max_batch_size": largest,
        "input": tensor,
        "output": tensor,
        "instance_group": [{"name": name, "kind": "KIND_CPU", "count": workers}],
        "dynamic_batching": {
            "max_queue_delay_microseconds": 2000 if name == "resnet" else 0,
            "default_queue_policy": {"max_queue_size": 1024},
        },
        "parameters": {
            "variant": {"string_value": variant},
            "precision": {"string_value": precision},
            "threads": {"string_value": "1"},
            "pipeline": {"string_value": "tensor"},
            "batching": {"string_value": ""},
        },
    }


def test_configuration_of_each_kind() -> None:
    assert model_config(live_model(max_delay_s=0.002)) == config(
        "openvino", "int8-nncf", "int8", 8, 2, "resnet", "openvino"
    )
    assert model_config(live(upstream(), "openai")) == config("openai", "forwarded", "fp32", 64, 1, "large", "openai")
    assert model_config(live(routed(), "farthing_route")) == config(
        "route", "2-tiers", "fp32", 4, 1, "auto", "farthing_route"
    )


def test_live_page_of_each_kind() -> None:
    models = [live_model(), live(upstream(), "openai"), live(routed(), "farthing_route")]
    said = live_document(Metrics(MonotonicClock()), models, None, lambda m: (), None)["models"]
    assert [(one["runs"], one["workers"]["wanted"], one["capacity_rps"]) for one in said] == [
        ("openvino int8-nncf b8 2×1", 2, None), ("openai forwarded b64 1×1", 1, None), ("route 2-tiers b4 1×1", 1, None),
    ]  # fmt: skip


def test_the_live_page_says_what_the_greeting_says_of_where_a_model_runs() -> None:
    """A model in the server's thread was called 2×1 there, "inline or asleep"."""
    here, *others = models = [live_model(), live(upstream(), "openai"), live(routed(), "farthing_route")]
    for inline, in_loop in ((True, lambda m: m is here), (False, lambda m: False)):
        page = live_document(Metrics(MonotonicClock()), models, None, lambda m: (), None, in_loop=in_loop)["models"]
        assert len(page) == 1 + len(others)
        assert page[0]["runs"] in model_line(here, inline=inline)
        assert ("thread" in page[0]["without_workers"], "asleep" in page[0]["without_workers"]) == (inline, not inline)
        assert {one["without_workers"] for one in page[1:]} == {"none here: requests go on"}


def test_greeting_of_each_kind() -> None:
    here = live_model(classes=("a", "b"), deadline_s=0.05, capacity_rps=801.0)
    assert model_line(here, inline=False) == (
        "resnet 1 · openvino int8-nncf b8 2×1 · tensors · 2 classes · deadline 50 ms · up to 801 requests/s · "
        "$0.1008/h as aws/m7i.large@us-east-1:on_demand"
    )
    assert model_line(here, inline=True).startswith("resnet 1 · openvino int8-nncf b8 in the server's thread · tensors")
    assert model_line(live(upstream(), "openai"), inline=True) == "large 1 · forwarded to there at http://h/v1"
    assert model_line(live(routed(), "farthing_route"), inline=True).startswith("auto 1 · route over small, large · ")


def test_a_model_whose_plan_is_not_met_is_served_with_a_caution() -> None:
    where = Addresses(http="http://127.0.0.1:8000", grpc="127.0.0.1:8001")
    met, missed = live_model(), live_model(caution="the plan is unproven: the machine was busy")
    said = ready_lines(where, [(met, False), (missed, False)])
    assert said[0] == "ready: http://127.0.0.1:8000 · gRPC 127.0.0.1:8001"
    assert said[1:] == [
        f"  {model_line(met, inline=False)}",
        f"  {model_line(missed, inline=False)}",
        "    caution: the plan is unproven: the machine was busy",
    ]


def price(spec: Any) -> tuple[Any, float, float, float]:
    found = pricing(spec)
    return found.offer, found.usd_per_hour, found.worker_cores, found.replica_cores


def test_price_and_cores_of_each_kind() -> None:
    here = live_model().spec
    assert price(here) == (OFFER, 0.1008, 1.0, 2.0)
    assert price(routed(offer=OFFER)) == (OFFER, 0.1008, 0.0, 2.0)
    gpu = replace(OFFER, hardware=Hardware(name="gpu", vcpus=8, accelerators=4))
    assert price(replace(here, offer=gpu, candidate=replace(here.candidate, device="cuda:0", threads=2))) == (
        gpu, 0.1008, 1.0, 4.0,
    )  # fmt: skip
    for spec, busy in ((upstream(), 1.0), (routed(), 0.0), (replace(here, offer=None), 1.0)):
        offer, usd, *cores = price(spec)
        assert (offer, cores) == (None, [busy, CORES])
        assert math.isnan(usd)


def test_a_kind_that_nobody_knows_is_refused_everywhere() -> None:
    async def load() -> None:
        await Loader(Pool(MonotonicClock(), 64.0), MonotonicClock()).start(object())  # type: ignore[arg-type]

    for call in (
        lambda: pricing(object()),  # type: ignore[arg-type]
        lambda: model_line(live(object(), ""), inline=False),
        lambda: asyncio.run(load()),
    ):
        with pytest.raises(AssertionError, match="Expected code to be unreachable"):
            call()
