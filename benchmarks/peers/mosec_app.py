"""mosec: its server in Rust, one Python worker a model, batching on with the shortest wait it takes (1 ms; default 10).

Raw tensors in and out, as its documentation lets a worker read and write bytes itself.
"""

# ruff: noqa: D101, D102 — the classes and methods are the framework's own
from __future__ import annotations

import os
from typing import Any

import numpy as np
from mosec import Runtime, Server, Worker
from onnx_session import MAX_BATCH, SHAPES, arguments, open_session

port, folder = arguments()


class Onnx(Worker):
    model = ""

    def __init__(self) -> None:
        super().__init__()
        self.session = open_session(folder / f"{self.model}.onnx")

    def deserialize(self, data: bytes) -> Any:
        return np.frombuffer(data, dtype=np.float32).reshape(SHAPES[self.model])

    def forward(self, data: list[Any]) -> list[Any]:
        return list(self.session.run(["y"], {"x": np.stack(data)})[0])

    def serialize(self, data: Any) -> bytes:
        return data.tobytes()


class Mlp(Onnx):
    model = "mlp"


class Conv(Onnx):
    model = "conv"


if __name__ == "__main__":
    os.environ |= {"MOSEC_ADDRESS": "127.0.0.1", "MOSEC_PORT": str(port), "MOSEC_LOG_LEVEL": "warning"}
    server = Server()
    server.register_runtime(
        {
            f"/predict/{kind.model}": [Runtime(worker=kind, num=1, max_batch_size=MAX_BATCH, max_wait_time=1)]
            for kind in (Mlp, Conv)
        }
    )
    server.run()
