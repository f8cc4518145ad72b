"""KServe's model server: one uvicorn worker, binary tensors. It batches only in a Kubernetes side-car, so not here."""

# ruff: noqa: D101, D102 — the classes and methods are the framework's own
from __future__ import annotations

import sys
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from onnx_session import SHAPES, arguments, open_session

port, folder = arguments()
sys.argv = sys.argv[:1]  # kserve parses the command line too


class Onnx(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.session = open_session(folder / f"{name}.onnx")
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        (y,) = self.session.run(["y"], {"x": payload.inputs[0].as_numpy()})
        output = InferOutput(name="y", shape=list(y.shape), datatype="FP32")
        output.set_data_from_numpy(y, binary_data=payload.use_binary_outputs)
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    server = ModelServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False)
    server.start([Onnx(name) for name in SHAPES])
