"""Models, requests and answers for tests of observers; no server needed."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

from farthing.nouns import Candidate, Hardware, LocalModel, Offer, TensorSpec
from farthing.wire.requests import Answer, LiveModel, Problem, Request

OFFER = Offer(
    name="aws/m7i.large",
    provider="aws",
    region="us-east-1",
    term="on_demand",
    hardware=Hardware(name="aws/m7i.large", vcpus=2),
    dated=date(2026, 7, 20),
    source="price list of 2026-07-20",
    usd_per_hour=0.1008,
)


class IdleQueue:
    """Nobody waits."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting = waiting

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        return None

    def submit(self, request: Request) -> None:
        raise AssertionError("nobody submits here")


class RealClock:
    """CLOCK_MONOTONIC."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def live_model(name: str = "resnet", version: str = "1", offer: Offer | None = OFFER, **spec) -> LiveModel:
    candidate = Candidate(engine="openvino", variant="int8-nncf", precision="int8", max_batch=8, instances=2)
    tensor = (TensorSpec(name="x", dtype="float32", shape=(None, 2)),)
    served = LocalModel(name=name, version=version, path=Path("m"), candidate=candidate, offer=offer, **spec)
    return LiveModel(
        spec=served, inputs=tensor, outputs=tensor, batched=True, queue=IdleQueue(), state="ready", platform="openvino"
    )


def request(model: LiveModel, *, arrived_s: float = 0.0, rows: int = 1, **more) -> Request:
    return Request(
        model=model,
        reply=lambda r, a: None,
        rows=rows,
        size_bytes=more.pop("size_bytes", 64),
        arrived_s=arrived_s,
        **more,
    )


def answer(queue_s: float = 0.001, service_s: float = 0.004, batch_rows: int = 1) -> Answer:
    return Answer(outputs=(), queue_s=queue_s, service_s=service_s, batch_rows=batch_rows)
