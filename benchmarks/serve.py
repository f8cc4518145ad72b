"""The server held against the raw loop, the model alone, the offline batch curve, and other servers.

    python benchmarks/serve.py [--no-peers] [--only tiny,latency,convolution,batching,idle,peers] [--peers uvicorn,…]

The server has one core and the load generator (wrk; where answers or arrival times matter a client of our own) the
other. Ratios come from interleaved blocks of one run. Needs wrk and two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from farthing.core.stats.intervals import quantile, ratio_of_blocks
from farthing.core.traffic.batch_queue import sla_rps
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Estimate
from figures import emit
from serving.against import compare
from serving.client import http_bytes
from serving.farthing_server import Farthing, farthing
from serving.in_process import Calls, InProcess
from serving.models import SUBJECTS, Floats, Post, build, oip_binary_post, oip_json_post
from serving.peers import PEERS, oip_answer
from serving.processes import ask, cpu_s, family, free_port, replies, rss_mb, running
from serving.rates import rate_within
from serving.wrk import Load, press

BLOCKS = 8
SIZES = (1, 2, 4, 8, 16)
BOUND_S = 0.030
"""p99 bound of the batching comparison, about 15 times the model's time for one."""
SEEDS = (0, 1, 2)
Section = Callable[["Bench"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all sections share.

    Attributes:
        folder: Of models, files and logs.
        core: Of the server.
        client: Core of the load generator.
        seconds: Of one block.
        peers: Names of those to compare with.
    """

    folder: Path
    core: int
    client: int
    seconds: float
    peers: list[str]

    def model(self, name: str) -> Path:
        """The model's file, built once."""
        path = self.folder / f"{name}.onnx"
        return path if path.exists() else build(SUBJECTS[name], self.folder)

    def entry(self, name: str, max_batch: int, **more: object) -> dict[str, object]:
        """The model in a serve.yaml: one instance, one thread."""
        return {
            "source": str(self.model(name)),
            "name": name,
            "max_batch": max_batch,
            "instances": 1,
            "threads": 1,
        } | more

    def press(self, url: str, post: Post, connections: int) -> Load:
        """One block of wrk; failures are named on standard error."""
        load = press(url, post, connections=connections, seconds=self.seconds, core=self.client)
        if load.failed:
            print(f"  {load.failed} failed at {url}{post.path}", file=sys.stderr)
        return load


def raw_loop(bench: Bench, stack: ExitStack, body_bytes: int) -> tuple[str, psutil.Process]:
    """Start the constant answer; its URL and process."""
    port = free_port()
    script = Path(__file__).parent / "serving" / "raw_loop.py"
    command = [sys.executable, str(script), str(port), str(body_bytes)]
    ready = partial(replies, port, "/")
    process = stack.enter_context(running(command, cores=[bench.core], ready=ready, log=bench.folder / "raw.log"))
    return f"http://127.0.0.1:{port}", process


def check_answer(server: Farthing, post: Post, expected: Floats) -> int:
    """Length of the reply's body, once its numbers are the model's.

    Raises:
        SystemExit: when they are not.
    """
    status, headers, body = ask(server.port, post)
    if status != 200 or not np.allclose(oip_answer(headers, body), expected, rtol=1e-3, atol=1e-3):
        raise SystemExit(f"{post.path}: status {status}, not the model's answer: {body[:200]!r}")
    return len(body)


def expected_answer(bench: Bench, name: str) -> Floats:
    """What the model alone says to the sample."""
    from farthing.plugins import find

    engine = find("engines", "onnxruntime")
    session = engine.load(bench.model(name), precision="fp32", threads=1, device="cpu", options={})
    found: Floats = session.run({"x": SUBJECTS[name].sample()})["y"].ravel()
    return found


def show(figure: str, e: Estimate, unit: str, target: str | None = None, met: bool | None = None) -> None:
    """Emit an estimate."""
    emit(figure, e.value, e.lo, e.hi, unit, target, met)


def median_of(samples: Sequence[float]) -> Estimate:
    """Median of blocks with its order-statistic interval."""
    return quantile(samples, 0.5)


def tiny(bench: Bench) -> None:
    """Requests/s on 32 connections: inline and through a worker, binary and JSON, beside the constant answer."""
    x = SUBJECTS["mlp"].sample()
    binary, text = oip_binary_post("mlp", x), oip_json_post("mlp", x)
    with ExitStack() as stack:
        start = lambda how: stack.enter_context(  # noqa: E731
            farthing(bench.folder / how, [bench.entry("mlp", 32)], inline=how, cores=[bench.core])
        )
        inline, worker = start("always"), start("never")
        raw, raw_process = raw_loop(bench, stack, check_answer(inline, binary, expected_answer(bench, "mlp")))
        runs = {
            "constant answer": (raw, binary, raw_process),
            "inline, binary": (inline.url, binary, inline.process),
            "inline, JSON": (inline.url, text, inline.process),
            "worker, binary": (worker.url, binary, worker.process),
        }
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(BLOCKS):
            for name, (url, post, process) in runs.items():
                before_s = cpu_s(family(process))
                load = bench.press(url, post, 32)
                seen[name].append((load.rps, (cpu_s(family(process)) - before_s) / load.answers * 1e6))
    for name, blocks in seen.items():
        show_tiny(name, [rps for rps, _ in blocks], [cpu_us for _, cpu_us in blocks])


def show_tiny(name: str, rates_rps: Sequence[float], cpus_us: Sequence[float]) -> None:
    """Rate and CPU time an answer; the latter hardly minds what else runs on the machine."""
    middle = median_of(rates_rps)
    judged = name == "inline, binary"
    show(f"serve/tiny/{name}", middle, "1/s", "≥ 35000" if judged else None, middle.value >= 35_000 if judged else None)
    show(f"serve/tiny/{name}, CPU an answer", median_of(cpus_us), "us")


def latency(bench: Bench) -> None:
    """Added at p50 over the round trip of a constant answer and the model's own time, on one connection."""
    post = oip_binary_post("mlp", SUBJECTS["mlp"].sample())
    added: dict[str, list[float]] = {"inline": [], "worker": []}
    floor: dict[str, list[float]] = {"round trip": [], "compute": []}
    with ExitStack() as stack:
        ours = {
            name: stack.enter_context(
                farthing(bench.folder / f"p50-{how}", [bench.entry("mlp", 32)], inline=how, cores=[bench.core])
            )
            for name, how in (("inline", "always"), ("worker", "never"))
        }
        raw, _ = raw_loop(bench, stack, check_answer(ours["inline"], post, expected_answer(bench, "mlp")))
        alone = stack.enter_context(InProcess(bench.model("mlp"), core=bench.core))
        for _ in range(BLOCKS):
            trip_us = bench.press(raw, post, 1).p50_us
            compute_us = alone.run(1, 1.0).p50_s * 1e6
            floor["round trip"].append(trip_us)
            floor["compute"].append(compute_us)
            for name, server in ours.items():
                added[name].append(bench.press(server.url, post, 1).p50_us - trip_us - compute_us)
    for name, values in floor.items():
        show(f"serve/latency/{name} at p50", median_of(values), "us")
    for name, limit_us in (("inline", 60), ("worker", 110)):
        middle = median_of(added[name])
        show(f"serve/latency/added at p50, {name}", middle, "us", f"≤ {limit_us}", middle.value <= limit_us)


def convolution(bench: Bench) -> None:
    """Throughput of the 15 ms model on 8 connections over that of the model alone on the same core."""
    post = oip_binary_post("conv", SUBJECTS["conv"].sample())
    ours: list[float] = []
    raw: list[Calls] = []
    with (
        farthing(bench.folder / "conv", [bench.entry("conv", 1)], inline="never", cores=[bench.core]) as server,
        InProcess(bench.model("conv"), core=bench.core) as alone,
    ):
        check_answer(server, post, expected_answer(bench, "conv"))
        for _ in range(BLOCKS):
            raw.append(alone.run(1, bench.seconds))
            ours.append(bench.press(server.url, post, 8).rps)
    ratio = ratio_of_blocks(ours, [c.rows_per_s for c in raw], confidence=0.95)
    show("serve/convolution/model alone", median_of([c.p50_s * 1e3 for c in raw]), "ms")
    show("serve/convolution/over the model alone", ratio, "ratio of throughputs", "≥ 0.95", ratio.value >= 0.95)


def offline_curve(bench: Bench, name: str) -> ServiceCurve:
    """The model alone at each batch size, three passes."""
    with InProcess(bench.model(name), core=bench.core) as alone:
        passes = [[alone.run(b, 1.0) for b in SIZES] for _ in range(3)]
    seconds = [float(np.median([calls[i].seconds / calls[i].calls for calls in passes])) for i in range(len(SIZES))]
    sigma = float(np.median([c.sigma for calls in passes for c in calls]))
    return ServiceCurve.exact(sizes=SIZES, seconds=tuple(seconds), sigma=sigma)


def place(server: Farthing, bench: Bench) -> None:
    """Workers alone on the model's core; the parent on the client's, so that only batching is compared."""
    server.process.cpu_affinity([bench.client])
    for worker in server.workers():
        for thread in worker.threads():
            os.sched_setaffinity(thread.id, {bench.core})


def batching(bench: Bench) -> None:
    """Rate within a p99 bound with batches over that of batch 1, against what the offline batch curve predicts."""
    curve = offline_curve(bench, "dense")
    predicted: dict[int, float] = {}
    for b in (1, SIZES[-1]):
        rps = sla_rps(curve, instances=1, max_batch=b, latency_s=BOUND_S, headroom=0.0)
        if rps is None:
            raise SystemExit(f"the model is too slow here for {BOUND_S * 1e3:.0f} ms: {curve}")
        predicted[b] = rps
    mine = os.sched_getaffinity(0)
    request = http_bytes(oip_binary_post("dense", SUBJECTS["dense"].sample()))
    seen: dict[int, list[float]] = {}
    for b in predicted:
        folder = bench.folder / f"batch-{b}"
        with farthing(folder, [bench.entry("dense", b)], inline="never", cores=[bench.core, bench.client]) as server:
            place(server, bench)
            os.sched_setaffinity(0, {bench.client})
            seen[b] = [
                rate_within(server.port, [request], predicted[b], BOUND_S, 2 * bench.seconds, seed) for seed in SEEDS
            ]
            os.sched_setaffinity(0, mine)
    show_batching(predicted, seen)


def show_batching(predicted_rps: dict[int, float], seen_rps: dict[int, list[float]]) -> None:
    """Rates, and the gain over the predicted gain, each with the range over seeds."""
    first, last = min(predicted_rps), max(predicted_rps)
    for b, rates in seen_rps.items():
        figure = f"serve/batching/p99 within {BOUND_S * 1e3:.0f} ms, batch {b}"
        emit(
            figure,
            float(np.median(rates)),
            float(np.min(rates)),
            float(np.max(rates)),
            "1/s",
            f"{predicted_rps[b]:.0f} predicted",
            None,
        )
    expected = predicted_rps[last] / predicted_rps[first]
    offs = [a / b / expected for a, b in zip(seen_rps[last], seen_rps[first], strict=True)]
    middle, low, high = float(np.median(offs)), float(np.min(offs)), float(np.max(offs))
    unit = f"ratio; predicted {expected:.2f}"
    emit("serve/batching/gain over predicted gain", middle, low, high, unit, "1 ± 0.1", abs(middle - 1) <= 0.1)


def idle(bench: Bench) -> None:
    """CPU of all its processes over 20 s without requests, and the parent's memory while a worker holds the model."""
    with farthing(bench.folder / "idle", [bench.entry("mlp", 32)], inline="never", cores=[bench.core]) as server:
        time.sleep(3)
        before_s, start_s = cpu_s(family(server.process)), time.monotonic()
        time.sleep(20)
        share = (cpu_s(family(server.process)) - before_s) / (time.monotonic() - start_s)
        memory_mb = rss_mb(server.process)
        others_mb = sum(rss_mb(p) for p in family(server.process)[1:])
    emit("serve/idle/share of a core", share, None, None, "frac", "≤ 0.01", share <= 0.01)
    emit("serve/idle/parent's resident memory", memory_mb, None, None, "MB", "≤ 150", memory_mb <= 150)
    emit("serve/idle/warm parent's and worker's resident memory", others_mb, None, None, "MB", None, None)


def peers(bench: Bench) -> None:
    """Other servers on both models, in blocks between farthing's."""
    models = [bench.entry("mlp", 32), bench.entry("conv", 8)]
    expected = {name: expected_answer(bench, name) for name in ("mlp", "conv")}
    with farthing(bench.folder / "peers", models, inline="auto", cores=[bench.core]) as server:
        compare(
            bench.peers,
            server,
            bench.folder,
            expected=expected,
            core=bench.core,
            client=bench.client,
            seconds=bench.seconds,
        )


SECTIONS: dict[str, Section] = {
    "tiny": tiny,
    "latency": latency,
    "convolution": convolution,
    "batching": batching,
    "idle": idle,
    "peers": peers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help="Sections, separated by commas.")
    parser.add_argument("--no-peers", action="store_true", help="Leave the other servers out.")
    parser.add_argument("--peers", default=",".join(PEERS), help="Which of them, separated by commas.")
    parser.add_argument("--seconds", type=float, default=2.0, help="Of one block.")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    with tempfile.TemporaryDirectory(prefix="farthing-serve-") as folder:
        names = given.peers.split(",")
        bench = Bench(folder=Path(folder), core=cores[0], client=cores[1], seconds=given.seconds, peers=names)
        for name, section in SECTIONS.items():
            if name in given.only.split(",") and not (name == "peers" and given.no_peers):
                start_s = time.monotonic()
                section(bench)
                print(f"  {name}: {time.monotonic() - start_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
