"""Answers that were waited for say so over gRPC too; those that were computed say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from served_plans import write_plan

from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import WrittenRule
from farthing.load.serve.models import served_models
from farthing.nouns import Candidate, LocalModel, TensorSpec
from farthing.serve.grpc.tensors import answer_message
from farthing.serve.protocol.signatures import Wish
from farthing.serve.scaling.scaled_model import with_scaling
from farthing.store.artefacts import check_artefact
from farthing.wire.requests import Answer, LiveModel, Request


def live(*, emulated: bool) -> LiveModel:
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=1, instances=1, threads=1)
    spec = LocalModel(
        name="m", path=Path(__file__), candidate=candidate, service_ms={1: 5.0}, emulated=emulated
    )  # fmt: skip
    tensors = (TensorSpec(name="x", dtype="float32", shape=(None, 2)),)
    return LiveModel(spec=spec, inputs=tensors, outputs=tensors, batched=True, queue=cast("Any", None), state="ready")


@pytest.mark.parametrize("emulated", [True, False])
def test_grpc_marks_emulated_answers(emulated: bool) -> None:
    model = live(emulated=emulated)
    request = Request(model=model, wishes=[Wish(index=0, binary=True)])
    answer = Answer(outputs=[np.zeros((1, 2), np.float32)], queue_s=0.0, service_s=0.005, batch_rows=1)
    said = answer_message(model, request, True, answer).parameters
    assert {name: value.string_param for name, value in said.items()} == ({"emulated": "true"} if emulated else {})


def test_a_model_cannot_be_emulated_without_times() -> None:
    with pytest.raises(ValueError, match="needs service times"):
        replace(live(emulated=True).spec, service_ms={})


def test_a_plan_tells_rate_price_promise_and_times(tmp_path: Path) -> None:
    specs = served_models([write_plan(tmp_path)], cores=2, check=check_artefact)
    (spec,) = specs
    assert isinstance(spec, LocalModel)
    policy = LivePolicy(rule=WrittenRule(name="cost-aware"), max_replicas=8, emulated=True)
    (loaded,), scaled = with_scaling(specs, policy, cores=2)
    assert isinstance(loaded, LocalModel)
    assert loaded.emulated
    assert loaded.service_ms == spec.service_ms
    assert spec.capacity_rps is not None
    assert scaled.bounds.rate_rps == pytest.approx(spec.capacity_rps * 1.15 / 2)
    assert spec.offer is not None
    assert spec.offer.usd_per_hour is not None
    assert scaled.usd_per_hour == pytest.approx(spec.offer.usd_per_hour / 2)
    assert scaled.promise_s == spec.deadline_s
