"""pytriton (Triton with a Python function behind it): dynamic batching on, binary tensors, metrics off."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from onnx_session import MAX_BATCH, SHAPES, arguments, open_session
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

port, folder = arguments()


def infer_with(name: str) -> Any:
    session = open_session(folder / f"{name}.onnx")

    @batch
    def infer(x: Any) -> list[Any]:
        return session.run(["y"], {"x": x})

    return infer


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1", http_port=port, grpc_port=int(sys.argv[3]), allow_metrics=False, log_verbose=0
    )
    with Triton(config=config) as triton:
        for name, shape in SHAPES.items():
            triton.bind(
                model_name=name,
                infer_func=infer_with(name),
                inputs=[Tensor(name="x", dtype=np.float32, shape=shape)],
                outputs=[Tensor(name="y", dtype=np.float32, shape=(-1,))],
                config=ModelConfig(max_batch_size=MAX_BATCH, batcher=DynamicBatcher()),
                strict=False,
            )
        triton.serve()
