"""A pool with a small model, and clients that ask it without any protocol in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from farthing.nouns import Candidate, LocalModel
from farthing.wire.requests import Answer, LiveModel, Problem, Request
from farthing.workers.pool import Pool

__all__ = ["RealClock", "ask", "fake", "mark", "pooled", "run", "tiny_mlp", "until"]


class RealClock:
    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def run(main: Coroutine[Any, Any, Any], limit_s: float = 60.0) -> Any:
    return uvloop.run(asyncio.wait_for(main, limit_s))


def fake(name: str = "m", *, max_batch: int = 8, instances: int = 1, threads: int = 1, **more: Any) -> LocalModel:
    options = more.pop("options", {"service_ms": 0.2})
    candidate = Candidate(
        engine=more.pop("engine", "fake"), variant="fp32", precision=more.pop("precision", "fp32"),
        max_batch=max_batch, instances=instances, threads=threads,
    )  # fmt: skip
    return LocalModel(name=name, path=more.pop("path", Path(__file__)), candidate=candidate, options=options, **more)


@asynccontextmanager
async def pooled(memory_budget_mib: float = 8192.0, **settings: Any) -> AsyncIterator[Pool]:
    pool = Pool(RealClock(), memory_budget_mib, **settings)
    try:
        yield pool
    finally:
        await pool.close()


def mark(number: float, rows: int = 1) -> np.ndarray[Any, Any]:
    """Rows that the fake engine answers with their double: number, number + 1/8, …"""
    first = number + np.arange(rows, dtype=np.float32) / 8
    return np.stack([first, -first], axis=1).astype(np.float32)


def ask(model: LiveModel, *tensors: Any, **more: Any) -> asyncio.Future[Answer | Problem]:
    """Submit one request; the future holds its answer, and a second answer would raise."""
    future: asyncio.Future[Answer | Problem] = asyncio.get_running_loop().create_future()
    rows = more.pop("rows", len(tensors[0]) if tensors and model.batched else 1)
    request = Request(
        model=model,
        reply=lambda _, outcome: future.set_result(outcome),
        rows=rows,
        tensors=tensors or None,
        arrived_s=time.monotonic(),
        **more,
    )
    model.queue.submit(request)
    return future


async def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    async def poll() -> None:
        while not true():
            await asyncio.sleep(0.01)

    waiting: Awaitable[None] = poll()
    await asyncio.wait_for(waiting, limit_s)


def tiny_mlp(path: Path, *, inputs: int = 16, fixed_batch: bool = False) -> Path:
    """An ONNX file that computes ``relu(x · w) · v``; the weights are all small whole numbers, so answers are exact."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    w, v = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((inputs, 32), (32, 4)))
    batch = 1 if fixed_batch else "n"
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "v"], ["y"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(v, "v")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
