"""MLServer's custom runtime. Tensors as Open Inference Protocol in JSON: its REST door reads no binary tensors."""

# ruff: noqa: D101, D102 — the classes and methods are the framework's own
from __future__ import annotations

from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_session import open_session


class Onnx(MLModel):
    async def load(self) -> bool:
        self.session = open_session(Path(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (y,) = self.session.run(["y"], {"x": x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
