"""A control listener over made-up traffic: ``PORT SECONDS``; for looking at the page by hand and in tests."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from made_up_traffic import IdleQueue, RealClock, answer, live_model, request

from farthing.serve.admin.control import Control
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.requests import Problem


class Models:
    """Fixed models."""

    def __init__(self, *models) -> None:
        self.models = models

    def find(self, name, version=None):
        return next(m for m in self.models if m.spec.name == name)

    def known(self):
        return self.models

    def not_ready(self):
        return next((Problem(503, m.reason) for m in self.models if m.state != "ready"), None)


async def traffic(metrics: Metrics, clock: RealClock, models, rng: np.random.Generator) -> None:
    step = 0
    while True:
        await asyncio.sleep(0.05)
        step += 1
        for k, model in enumerate(models[:2]):
            for _ in range(rng.poisson((20 if k else 90) * (1 + 0.5 * np.sin(step / 100)))):
                service_s = float(rng.gamma(20, 0.0008 * (1 + 4 * k)))
                queue_s = float(rng.exponential(0.004))
                rows = int(rng.integers(1, 9))
                metrics.answered(
                    request(model, arrived_s=clock.monotonic_s() - queue_s - service_s),
                    answer(queue_s=queue_s, service_s=service_s, batch_rows=rows),
                )
            if rng.random() < 0.05:
                metrics.failed(model, "http", Problem(503, "busy"), None)


async def main() -> None:
    clock = RealClock()
    busy, priceless, broken = (
        live_model(deadline_s=0.05, capacity_rps=2600.0),
        live_model("texts", "3", offer=None),
        live_model("new", "2"),
    )
    busy.queue = IdleQueue(7)
    broken.state, broken.reason = "unavailable", "worker died 5 times in 60 s (SIGSEGV), next start in 8 s"
    metrics = Metrics(clock)
    metrics.watch("farthing_open_connections", "Open.", lambda: [({}, 12)])
    metrics.watch("farthing_worker_restarts_total", "Workers started again.", lambda: [({}, 5)], "counter")
    models = (busy, priceless, broken) if "broken" in sys.argv else (busy, priceless)
    control = Control(Models(*models), metrics, workers=lambda m: (4711, 4712) if m is busy else ())
    print(await control.start("127.0.0.1", int(sys.argv[1])), flush=True)
    await asyncio.gather(traffic(metrics, clock, models, np.random.default_rng(1)), asyncio.sleep(float(sys.argv[2])))


if __name__ == "__main__":
    asyncio.run(main())
