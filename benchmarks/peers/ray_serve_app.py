"""Ray Serve: one replica a model, ``serve.batch`` on, raw tensors, request log off. Ray is told of one core."""

# ruff: noqa: D101, D102 — the classes and methods are the framework's own
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from onnx_session import MAX_BATCH, SHAPES, arguments, open_session
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.2})
class Onnx:
    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self.session = open_session(Path(folder) / f"{name}.onnx")

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.001)
    async def infer(self, rows: list[Any]) -> list[Any]:
        return list(self.session.run(["y"], {"x": np.stack(rows)})[0])

    async def __call__(self, request: Request) -> Response:
        x = np.frombuffer(await request.body(), dtype=np.float32).reshape(SHAPES[self.name])
        y = await self.infer(x)
        return Response(y.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    port, folder = arguments()
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False})
    for name in SHAPES:
        serve.run(Onnx.bind(str(folder), name), name=name, route_prefix=f"/predict/{name}")
    while True:
        time.sleep(3600)
