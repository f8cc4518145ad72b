"""BentoML: one worker (its default, one a core), adaptive batching on for the small model.

The image model takes a binary body, which BentoML reads as a file; its own JSON form of an array would be slower.

    bentoml serve bentoml_app:Peer --port PORT       with MODELS=folder
"""

# ruff: noqa: D101, D102 — the classes and methods are the framework's own
from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType
from onnx_session import MAX_BATCH, SHAPES, open_all


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}}, metrics={"enabled": True})
class Peer:
    def __init__(self) -> None:
        self.sessions = open_all(Path(os.environ["MODELS"]))

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000)
    def mlp(self, x: np.ndarray) -> np.ndarray:
        return self.sessions["mlp"].run(["y"], {"x": x.astype(np.float32)})[0]

    @bentoml.api
    def conv(self, x: Annotated[Path, ContentType("application/octet-stream")], /) -> np.ndarray:
        tensor = np.frombuffer(x.read_bytes(), dtype=np.float32).reshape(-1, *SHAPES["conv"])
        return self.sessions["conv"].run(["y"], {"x": tensor})[0]
