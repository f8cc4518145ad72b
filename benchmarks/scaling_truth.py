"""What the simulator says of a fleet against what a real server does: the same instants, the same rule, the real loop.

    python benchmarks/scaling_truth.py [--only steady,bursty] [--repeats 5] [--seconds 40]

`farthing serve --scale` starts and stops real worker processes by Ray Serve's rule (asked once a second); they wait out
service times (emulated: 40 ms alone to 110 ms for eight), so that up to six fit on two cores. Of each trace the same
instants are replayed several times by a client over HTTP on this machine. The simulator is told the service times, the
lag of a start, and, from a run of its own, the time that a worker takes to load and that an answer takes beside its
service; it is not told anything else. Shown are the error of the
median over repeats, beside the largest deviation of a repeat from that median.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from real_server import start, write_tiny

from farthing.core.simulation.billing import Billing, billed_units
from farthing.core.simulation.outcomes import SimulationResult
from farthing.core.simulation.rules.written import Bounds, WrittenRule, scaler_of
from farthing.core.simulation.setup import BatchingServer, Disruption, Pool, Promise, Setup, Shedding, Window
from farthing.core.simulation.simulate import simulate
from farthing.core.simulation.steering import OnePool, Steering
from figures import emit

SERVICE_MS = {1: 40.0, 2: 50.0, 4: 70.0, 8: 110.0}
PROMISE_S, MOST, TARGET = 0.3, 6, 8.0
ONE_RPS = 8 / 0.110
RULE = {"target_ongoing_requests": TARGET, "look_back": 3.0, "upscale_delay": 2.0, "downscale_delay": 8.0}
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}]}).encode()
REQUEST = (
    b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
) + BODY
ERROR, COST_ERROR, ONSET_ERROR = 0.064, 0.04, 0.05
BIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A trace and what befalls the fleet.

    Attributes:
        name: Of the trace.
        rate: Requests/s at a share of the trace's time, over what one replica takes at most.
        initial: Replicas at the start.
        start_s: Lag of a machine.
        most: Replicas at most.
        kill_at: Share of the trace's time at which a worker process is killed; None for no kill.
    """

    name: str
    rate: Callable[[float], float]
    initial: int = 1
    start_s: float = 2.0
    most: int = MOST
    kill_at: float | None = None


CASES = (
    Case(name="steady", rate=lambda _: 1.4, initial=2),
    Case(name="diurnal", rate=lambda x: 1.2 + 0.9 * math.sin(2 * math.pi * (x - 0.25))),
    Case(name="bursty", rate=lambda x: 2.2 if x % 0.3 > 0.2 else 0.5),
    Case(name="cold start", rate=lambda x: 0.2 if x < 0.1 else 1.8, start_s=4.0),
    Case(name="replica kill", rate=lambda _: 1.3, initial=3, start_s=0.0, most=3, kill_at=0.5),
    Case(name="overload", rate=lambda x: 1.5 + 3.0 * x, initial=3, most=3),
)


def instants(case: Case, seconds: float) -> NDArray[np.float64]:
    """Poisson at the case's rate, the same in every repeat."""
    rng, top = np.random.default_rng(len(case.name)), 3.0 * ONE_RPS
    at = np.cumsum(rng.exponential(1 / top, int(2 * top * seconds)))
    at = at[at < seconds]
    keep = rng.random(at.size) < np.array([case.rate(t / seconds) * ONE_RPS / top for t in at])
    return at[keep]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A replay, real or simulated: latency by request in s (infinite where it was refused), replica-seconds."""

    latency_s: NDArray[np.float64]
    replica_s: float

    def of(self, level: float) -> float:
        """A quantile of the answered."""
        answered = self.latency_s[np.isfinite(self.latency_s)]
        return float(np.quantile(answered, level)) if answered.size else math.nan

    @property
    def attainment(self) -> float:
        """Share of all that came answered within the promise."""
        return float((self.latency_s <= PROMISE_S).mean())


async def replay(host: str, port: int, at_s: Sequence[float]) -> NDArray[np.float64]:
    """Send each request at its instant over kept connections; latency from the instant it was due."""
    loop = asyncio.get_running_loop()
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = [
        await asyncio.open_connection(host, port) for _ in range(64)
    ]
    found = np.full(len(at_s), math.inf)
    begun = loop.time() + 0.2

    async def one(k: int, due: float) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection(host, port)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        if head.startswith(b"HTTP/1.1 200"):
            found[k] = loop.time() - due
        free.append((reader, writer))

    async with asyncio.TaskGroup() as tasks:
        for k, at in enumerate(at_s):
            due = begun + at
            await asyncio.sleep(max(0.0, due - loop.time()))
            tasks.create_task(one(k, due))
    for _, writer in free:
        writer.close()
    return found


def document(metrics: str) -> Mapping[str, object]:
    with urllib.request.urlopen(f"{metrics}/scaling.json", timeout=10) as reply:
        return json.loads(reply.read())  # type: ignore[no-any-return]


def policy(case: Case) -> str:
    rule = "\n".join(f"{key}: {value:g}{'' if key.startswith('target') else 's'}" for key, value in RULE.items())
    service = ", ".join(f"{size}: {ms:g}ms" for size, ms in SERVICE_MS.items())
    return (
        f"schema: farthing/scaling/1\nrule: Ray Serve\n{rule}\nmin_replicas: 1\nmax_replicas: {case.most}\n"
        f"initial: {case.initial}\nstart: {case.start_s:g}s\nusd_per_hour: 1\nminimum_bill: 0s\n"
        f"promise: {PROMISE_S * 1000:g}ms\nemulated: true\nservice: {{{service}}}\n"
        f"rate: {ONE_RPS:.4g}\nin_flight: {2 * TARGET:g}\n"
    )


def real(case: Case, at_s: NDArray[np.float64], seconds: float, folder: Path) -> tuple[Seen, float]:
    """One replay; and the median time from a process' start to its being ready."""
    (folder / "scale.yaml").write_text(policy(case))
    served = start(
        write_tiny(folder / "tiny.onnx"), "--scale", folder / "scale.yaml", "--max-batch", 8, "--deadline",
        f"{PROMISE_S * 1000:g}ms",
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while document(served.metrics)["ready"] != case.initial and time.monotonic() < end:
            time.sleep(0.05)
        before = float(document(served.metrics)["replica_seconds"])  # type: ignore[arg-type]
        begun = time.monotonic()
        if case.kill_at is not None:
            _kill_later(served.metrics, case.kill_at * seconds)
        latency = asyncio.run(replay("127.0.0.1", served.port, at_s.tolist()))
        time.sleep(max(0.0, begun + seconds + 0.2 - time.monotonic()))
        found = document(served.metrics)
        used = float(found["replica_seconds"]) - before  # type: ignore[arg-type]
        used *= seconds / (time.monotonic() - begun)
        loads = [x["ready_s"] - x["started_s"] for x in found["lives"] if x["ready_s"] is not None]  # type: ignore[attr-defined]
        return Seen(latency_s=latency, replica_s=used), statistics.median([x for x in loads if x > 0] or [0.0])
    finally:
        served.stop()


def _kill_later(metrics: str, after_s: float) -> None:
    import threading

    def kill() -> None:
        with urllib.request.urlopen(f"{metrics}/live.json", timeout=10) as reply:
            pids = json.loads(reply.read())["models"][0]["workers"]["pids"]
        os.kill(pids[0], signal.SIGKILL)

    threading.Timer(after_s + 0.2, kill).start()


def simulated(case: Case, at_s: NDArray[np.float64], seconds: float, load_s: float, beside_s: float) -> Seen:
    """The same by the simulator."""
    sizes = np.arange(1, 9)
    service = np.interp(sizes, list(SERVICE_MS), [ms / 1000 for ms in SERVICE_MS.values()])
    bounds = Bounds(
        min_replicas=1, max_replicas=case.most, cores=1.0, lag_s=case.start_s, rate_rps=ONE_RPS, in_flight=2 * TARGET
    )
    rule = scaler_of(WrittenRule(name="Ray Serve", said=RULE), bounds)
    setup = Setup(
        server=BatchingServer(service_s=tuple(service.tolist())),
        pools=(Pool(name="p", initial=case.initial, start_s=case.start_s, load_s=load_s),),
        horizon_s=seconds,
        promise=Promise(latency_s=PROMISE_S, deadline_s=PROMISE_S, shedding=Shedding()),
        control_s=rule.interval_s,
        balancing="least_outstanding",
        held_limit=1024,
        max_replicas=2 * case.most,
        disruptions=() if case.kill_at is None else (Disruption(at_s=case.kill_at * seconds, pool="p"),),
        record=Window(count=at_s.size),
    )
    steering = Steering(rule, OnePool("p"), workers=1, initial=case.initial)
    result: SimulationResult = simulate(setup, [at_s], steering)
    units = billed_units(result.lives, seconds, Billing(unit_s=0.001, minimum_s=0.0))
    done = result.records
    latency = np.where(done.outcome == 1, done.end_s - at_s + beside_s, math.inf)
    return Seen(latency_s=latency, replica_s=sum(units.values()) * 0.001)


def onset_rps(seen: Seen, at_s: NDArray[np.float64], seconds: float) -> float:
    """Rate of the ramp from which on more than a tenth is refused or late, over windows of four seconds."""
    missed = ~(seen.latency_s <= PROMISE_S)
    for begin in np.arange(0.0, seconds - 4.0, 0.25):
        inside = (at_s >= begin) & (at_s < begin + 4.0)
        if inside.sum() and missed[inside].mean() > 0.1:
            return float(inside.sum() / 4.0)
    return math.inf


def shown(case: Case, name: str, mine: float, theirs: Sequence[float], most: float | None, unit: str) -> None:
    middle = statistics.median(theirs)
    spread = max(abs(x - middle) for x in theirs) / middle
    error = abs(mine - middle) / middle
    target = None if most is None else max(most, spread if unit == "s" else most)
    emit(
        f"scaling_truth/{case.name}/{name}", error, None, None, "frac",
        None if target is None else f"≤ {target:.3f}", None if target is None else error <= target,
        said=[f"simulated {mine:.4g}, real {', '.join(f'{x:.4g}' for x in theirs)}", f"real against real {spread:.3f}"],
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=40.0)
    args = parser.parse_args()
    wanted = set(filter(None, args.only.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        profile = Case(name="profile", rate=lambda _: 2.0, start_s=0.0)
        _, load_s = real(profile, instants(profile, 8.0), 8.0, Path(folder))
        alone, _ = real(profile, np.arange(0.0, 8.0, 0.25), 8.0, Path(folder))
        beside_s = alone.of(0.5) - SERVICE_MS[1] / 1000
        print(
            f"  to load a worker {load_s:.3f} s, beside its service an answer takes {beside_s:.4f} s", file=sys.stderr
        )
        for case in (c for c in CASES if not wanted or c.name in wanted):
            at_s = instants(case, args.seconds)
            reals = [real(case, at_s, args.seconds, Path(folder))[0] for _ in range(args.repeats)]
            mine = simulated(case, at_s, args.seconds, load_s, beside_s)
            for level, most in ((0.5, None), (0.99, ERROR)):
                shown(case, f"p{level * 100:g}", mine.of(level), [r.of(level) for r in reals], most, "s")
            shown(case, "attainment", mine.attainment, [r.attainment for r in reals], None, "frac")
            shown(case, "replica-seconds", mine.replica_s, [r.replica_s for r in reals], COST_ERROR, "usd")
            if case.name == "overload":
                onset = [onset_rps(r, at_s, args.seconds) for r in reals]
                shown(case, "onset of saturation", onset_rps(mine, at_s, args.seconds), onset, ONSET_ERROR, "rate")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
