"""LitServe: one worker on the CPU, batching on, its ZeroMQ queue on (recommended above 100 requests/s).

Tensors come as JSON for the small model and as a file upload for images, as its documentation shows both.
"""

# ruff: noqa: D101, D102 — the classes and methods are the framework's own
from __future__ import annotations

from typing import Any

import litserve as ls
import numpy as np
from onnx_session import MAX_BATCH, SHAPES, arguments, open_session

port, folder = arguments()


class Onnx(ls.LitAPI):
    model = ""

    def setup(self, device: str) -> None:
        self.session = open_session(folder / f"{self.model}.onnx")

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        return self.session.run(["y"], {"x": x})[0]

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"y": output.tolist()}


class Mlp(Onnx):
    model = "mlp"

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return np.asarray(request["x"][0], dtype=np.float32)


class Conv(Onnx):
    model = "conv"

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return np.frombuffer(request["x"].file.read(), dtype=np.float32).reshape(SHAPES["conv"])


if __name__ == "__main__":
    apis = [
        kind(max_batch_size=MAX_BATCH, batch_timeout=0.001, api_path=f"/predict/{kind.model}") for kind in (Mlp, Conv)
    ]
    server = ls.LitServer(apis, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
