"""Time that a route adds to its small tier's answer: blocks with and without the route in turns, in one process.

CPU time of the thread, so that other processes count as little as can be; still, run it on a quiet machine. A real ONNX
model with 150 classes runs in the loop's own thread; one request follows the other. The route computes a
score of each answer, decides that it suffices, prices it and tells its observer. ``python benchmarks/routing/decision.py``
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from farthing.core.route.routes import Route, RoutedPolicy, Rung, ScoreSpec, Tier
from farthing.core.route.served import Place, RoutedModel
from farthing.core.stats.intervals import mean_t
from farthing.machine.clock import MonotonicClock
from farthing.nouns import Candidate, Estimate, LocalModel, Verdict
from farthing.serve.protocol.route_words import header_lines, parameters_of
from farthing.serve.routing.loader import Loader
from farthing.wire.requests import Answer, LiveModel, Problem, Request
from farthing.workers.pool import Pool
from figures import emit

BLOCKS, PER_BLOCK, WARM_UP = 24, 2000, 2000
INPUTS, CLASSES = 32, 150
LIMIT_US = 20.0
YOUNG = 20_000
"""As the server sets it (``farthing/serve/garbage.py``)."""
KINDS = ("margin", "max_probability", "negative_entropy", "energy")


def small_model(folder: Path) -> LocalModel:
    """Logits = x · w, 150 classes."""
    weights = np.random.default_rng(0).normal(size=(INPUTS, CLASSES)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", INPUTS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = folder / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=8)
    return LocalModel(name="small", path=path, candidate=candidate, inline="always")


def route_over(small: LocalModel, kind: str) -> RoutedModel:
    """A cascade whose small tier always suffices; the large tier is never asked."""
    zero = Estimate(value=0.0, lo=0.0, hi=0.0, n=1, method="made up", source="benchmark")
    policy = RoutedPolicy(kind="cascade", tiers=("small", "large"), scores=("score",), thresholds=(-math.inf,))
    shares = {"small": 1.0, "large": 0.0}
    route = Route(
        name="auto",
        verdict=Verdict(outcome="met", reasons=("made up",)),
        tiers=tuple(Tier(name=name, source="small.onnx", usd_per_request=1e-6) for name in shares),
        scores=(ScoreSpec(name="score", kind=kind, needs=("small",), temperature=1.3, classes=CLASSES),),  # type: ignore[arg-type]
        ladder=(Rung(policy=policy, loss_frac=zero, cost_usd=1e-6, answered_frac=shares, called_frac=shares),),
        chosen=0,
        reference="large",
        quality="accuracy",
        max_loss_frac=0.005,
        confidence=0.95,
    )
    places = {"small": (Place(model="small"),), "large": (Place(model="small"),)}
    return RoutedModel(name="auto", origin=small.path, max_batch=small.max_batch, route=route, places=places)


async def block_s(model: LiveModel, rows: list[np.ndarray], count: int, *, told: bool = False) -> float:
    """CPU time of so many requests, one after the other."""
    done = asyncio.get_running_loop().create_future()
    left = count

    def reply(request: Request, outcome: Answer | Problem) -> None:
        nonlocal left
        assert isinstance(outcome, Answer), outcome
        if told and outcome.route is not None:
            header_lines(parameters_of(outcome.route))
        left -= 1
        if left:
            send()
        else:
            done.set_result(None)

    def send() -> None:
        tensors = [rows[left % len(rows)]]
        model.queue.submit(Request(model=model, reply=reply, tensors=tensors, arrived_s=time.monotonic()))

    start_s = time.thread_time()
    send()
    await done
    return time.thread_time() - start_s


async def measure(kind: str, folder: Path) -> None:
    """Print the added time and the ratio for one score."""
    clock = MonotonicClock()
    pool = Pool(clock, 2048.0)
    loader = Loader(pool, clock)
    try:
        spec = small_model(folder)
        small = await loader.start(spec)
        loader.find = lambda name: small
        auto = await loader.start(route_over(spec, kind))
        rows = list(np.random.default_rng(1).normal(size=(64, 1, INPUTS)).astype(np.float32))
        for model in (small, auto):
            await block_s(model, rows, WARM_UP)
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, 10, 10)
        added, told, ratios = [], [], []
        for _ in range(BLOCKS):
            alone = await block_s(small, rows, PER_BLOCK)
            routed = await block_s(auto, rows, PER_BLOCK)
            said = await block_s(auto, rows, PER_BLOCK, told=True)
            again = await block_s(small, rows, PER_BLOCK)
            base = (alone + again) / 2
            added.append((routed - base) / PER_BLOCK * 1e6)
            told.append((said - base) / PER_BLOCK * 1e6)
            ratios.append(math.log(routed / base))
        _emit(f"route/decision/{kind}", added, f"≤ {LIMIT_US:g} µs")
        _emit(f"route/decision and headers/{kind}", told, None)
        found = mean_t(np.array(ratios))
        ratio = [math.exp(x) for x in (found.value, found.lo, found.hi)]
        emit(f"route/decision/{kind}/through the route ÷ small tier alone", *ratio, "ratio", None, None)
    finally:
        loader.close()
        await pool.close()


def _emit(name: str, values_us: list[float], target: str | None) -> None:
    found = mean_t(np.array(values_us))
    emit(name, found.value, found.lo, found.hi, "µs", target, None if target is None else found.value <= LIMIT_US)


def main() -> None:
    """Measure every score of an answer."""
    import uvloop

    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(measure(kind, Path(folder)))


if __name__ == "__main__":
    main()
