"""What the server must survive: killed workers, overload, mixed batches, restarts, swaps, malformed requests.

    python benchmarks/serve_faults.py [--only kills,overload,isolation,kinds,restarts,swaps,census] [--kills 1000] …

Every answer is checked: rows carry marks that come back doubled. The server has one core, the client the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
import yaml

from figures import emit
from serving.alone import AloneTraffic, asked_of
from serving.client import Connection, MarkedTraffic, Tally, saturate
from serving.coupled import COUPLED, INDEPENDENT, write_graph
from serving.farthing_server import Farthing, farthing
from serving.malformed import hold, hold_peers
from serving.models import SUBJECTS, build, oip_binary_post
from serving.overload import Offered, capacity, measured, offer, one_batch_s, place_workers
from serving.processes import ask
from serving.wrk import Load, press

CONNECTIONS = 16
FLOOD = 256
"""So many connections ask again at once: more than can be answered within the deadline."""
DEADLINE_S = 0.1
LARGEST = 16
DISTINCT = 64
"""Requests of each kind of model, no two alike, which are sent again and again in a random order."""
OVERLOAD_BATCH = 4
"""Small, so that the Python client has time to spare at twice the capacity."""
Section = Callable[["Faults"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What all sections share.

    Attributes:
        folder: Of models, files and logs.
        core: Of the server.
        client: Core of the client.
        kills: Workers to kill.
        requests: Of the isolation run, and of that over the kinds of models.
        restarts: Rolling restarts.
        swaps: Version swaps.
        seconds: Of one part of the overload.
        fuzzed: Requests of the fuzzer.
        peers: Whether other servers are held to the census.
    """

    folder: Path
    core: int
    client: int
    kills: int
    requests: int
    restarts: int
    swaps: int
    seconds: float
    fuzzed: int
    peers: bool

    def entry(self, name: str, **more: Any) -> dict[str, Any]:
        """The model in a serve.yaml: one thread an instance."""
        path = self.folder / f"{name}.onnx"
        if not path.exists():
            build(SUBJECTS[name], self.folder)
        return {"source": str(path), "name": name, "max_batch": LARGEST, "instances": 1, "threads": 1} | more

    def flood(self, url: str) -> Load:
        """Far more than the capacity of ``dense``, from wrk."""
        post = oip_binary_post("dense", SUBJECTS["dense"].sample())
        return press(url, post, connections=FLOOD, seconds=self.seconds, core=self.client)


def count(figure: str, value: float, target: str | None = None, met: bool | None = None) -> None:
    """Emit a count."""
    emit(f"serve-faults/{figure}", value, None, None, "count", target, met)


def report(section: str, tally: Tally) -> None:
    """The counts that every run of marked requests ends with; wrong and failed must be 0."""
    count(f"{section}/answered right", tally.right)
    count(f"{section}/wrong answers", tally.wrong, "0", tally.wrong == 0)
    count(f"{section}/lost, or failed with anything but 503", tally.failed, "0", tally.failed == 0)
    count(f"{section}/not taken (503)", tally.statuses[503])
    if tally.raced:
        count(f"{section}/sent again: idle connection closed meanwhile", tally.raced)
    for example in tally.examples:
        print(f"  {section}: {example}", file=sys.stderr)


# — kills ——————————————————————————————————————————————————————————————————————————————————————————


async def kill_under_load(server: Farthing, tally: Tally, kills: int) -> int:
    """SIGKILL one worker after the other while requests flow; how many were killed.

    Which one and when is random: some work, some still load. Between two kills at least one request was answered;
    when that takes longer than a minute the run ends early.
    """
    rng, done, load_goes_on = random.Random(0), 0, True
    traffic = MarkedTraffic(tally)
    load = asyncio.create_task(
        saturate(traffic, lambda: server.port, connections=CONNECTIONS, go_on=lambda: load_goes_on)
    )
    answered, since_s = 0, time.monotonic()
    while done < kills and not load.done() and time.monotonic() - since_s < 60:
        await asyncio.sleep(rng.uniform(0.005, 0.1))
        alive = [p.pid for p in server.workers()]
        if not alive or tally.right == answered:
            continue
        with suppress(ProcessLookupError):
            os.kill(rng.choice(alive), signal.SIGKILL)
            done += 1
            answered, since_s = tally.right, time.monotonic()
    load_goes_on = False
    await load
    return done


def kills(faults: Faults) -> None:
    """Kill -9 of workers under load."""
    tally = Tally()
    models = [faults.entry("marked", instances=2)]
    with farthing(faults.folder / "kills", models, inline="never", cores=[faults.core]) as server:
        start_s = time.monotonic()
        done = uvloop.run(kill_under_load(server, tally, faults.kills))
        took_s = time.monotonic() - start_s
        ready = ask(server.port, "/v2/health/ready")[0]
    count("kills/workers killed", done, f"≥ {faults.kills}", done >= faults.kills)
    emit("serve-faults/kills/took", took_s, None, None, "s", None, None)
    report("kills", tally)
    if tally.latencies_s:
        worst_s = float(np.max(tally.latencies_s))
        emit("serve-faults/kills/slowest answer", worst_s, None, None, "s", None, None)
    count("kills/ready afterwards", ready, "200", ready == 200)


# — overload ———————————————————————————————————————————————————————————————————————————————————————


def overload(faults: Faults) -> None:
    """Twice the capacity: goodput, p99 of what was accepted, what a refusal costs."""
    hasty = faults.entry("dense", max_batch=OVERLOAD_BATCH, deadline=f"{DEADLINE_S * 1e3:.0f}ms")
    models = [hasty, hasty | {"name": "patient", "deadline": "none"}]
    with farthing(faults.folder / "overload", models, inline="never", cores=[faults.core, faults.client]) as server:
        server.process.cpu_affinity([faults.client])
        place_workers(server, faults.core)
        offer(server.port, 100, 1)
        top_rps = capacity(server.port, faults.seconds, 3 * OVERLOAD_BATCH)
        batch_s = one_batch_s(server)
        below, below_cpu_s = measured(server, lambda: offer(server.port, 0.8 * top_rps, faults.seconds))
        above = offer(server.port, 2.0 * top_rps, faults.seconds)
        after_rps = capacity(server.port, faults.seconds, 3 * OVERLOAD_BATCH)
        flood, flood_cpu_s = measured(server, lambda: faults.flood(server.url))
    show_overload(faults, (top_rps + after_rps) / 2, batch_s, above)
    answer_us = below_cpu_s / max(len(below.good_s), 1) * 1e6
    refusals = max(flood.failed, 1)
    refusal_us = (flood_cpu_s * 1e6 - answer_us * flood.answers) / refusals
    count(f"overload/refusals under a flood from {FLOOD} connections", flood.failed)
    emit("serve-faults/overload/parent's CPU per answer", answer_us, None, None, "us", None, None)
    emit("serve-faults/overload/parent's CPU per refusal", refusal_us, None, None, "us", "≤ an answer's", refusal_us <= answer_us)  # fmt: skip


def show_overload(faults: Faults, top_rps: float, batch_s: float, seen: Offered) -> None:
    """Goodput and the tail of what was accepted."""
    total = len(seen.good_s) + len(seen.refused_s) + len(seen.late_s) + seen.broken
    goodput = len(seen.good_s) / faults.seconds / top_rps
    tail_s = float(np.quantile(seen.good_s, 0.99)) if seen.good_s else float("inf")
    limit_s = DEADLINE_S + batch_s
    emit("serve-faults/overload/capacity, mean of before and after", top_rps, None, None, "1/s", None, None)
    emit("serve-faults/overload/goodput at 2 × capacity", goodput, None, None, "of capacity", "≥ 0.9", goodput >= 0.9)
    emit("serve-faults/overload/p99 of the accepted", tail_s * 1e3, None, None, "ms", f"≤ {limit_s * 1e3:.1f}", tail_s <= limit_s)  # fmt: skip
    count("overload/offered", total)
    count("overload/refused at once (503)", len(seen.refused_s))
    count("overload/accepted and then too late (504)", len(seen.late_s))
    count("overload/broken or another status", seen.broken, "0", seen.broken == 0)
    if seen.refused_s:
        emit("serve-faults/overload/median time to a refusal", float(np.median(seen.refused_s)) * 1e3, None, None, "ms", None, None)  # fmt: skip


# — isolation, restarts, swaps ———————————————————————————————————————————————————————————————————————


def isolation(faults: Faults) -> None:
    """Marked requests of 1 to 4 rows through mixed batches of up to 16 rows."""
    tally = Tally()
    traffic = MarkedTraffic(tally)
    models = [faults.entry("marked")]
    with farthing(faults.folder / "isolation", models, inline="never", cores=[faults.core]) as server:
        go_on = lambda: tally.right + tally.wrong < faults.requests  # noqa: E731
        start_s = time.monotonic()
        uvloop.run(saturate(traffic, lambda: server.port, connections=4 * CONNECTIONS, go_on=go_on))
        rate = (tally.right + tally.wrong) / (time.monotonic() - start_s)
        rows = server.metric("nv_inference_count", model="marked")
        batches = server.metric("nv_inference_exec_count", model="marked")
    report("isolation", tally)
    emit("serve-faults/isolation/rows a batch", rows / max(batches, 1), None, None, "rows", None, None)
    emit("serve-faults/isolation/rate of the checking client", rate, None, None, "1/s", None, None)


def kinds(faults: Faults) -> None:
    """Requests to models whose first dimension is no batch or whose rows change one another, and to some whose do not.

    Half of them go to workers, half to the server's own thread; each answer must be that of its request alone.
    """
    names = [*COUPLED, *INDEPENDENT]
    folder = faults.folder / "kinds"
    folder.mkdir()
    models = [
        {"source": str(write_graph(name, folder)), "name": name, "max_batch": LARGEST, "instances": 1, "threads": 1}
        for name in names
    ]
    asked = [one for name in names for one in asked_of(folder / f"{name}.onnx", name, DISTINCT)]
    count("kinds/models", len(names), "≥ 8", len(COUPLED) >= 8)
    for inline, where in (("never", "workers"), ("always", "the server's thread")):
        tally = Tally()
        with farthing(folder / inline, models, inline=inline, cores=[faults.core]) as server:
            _send_alone(server, AloneTraffic(tally, asked), faults.requests // 2)
            batched = {name for name in names if _was_batched(server, name)}
        report(f"kinds in {where}", tally)
        wrong = len(batched & set(COUPLED))
        count(f"kinds in {where}/models batched that must not be", wrong, "0", wrong == 0)
        count(f"kinds in {where}/models batched", len(batched), f"{len(INDEPENDENT)}", batched == set(INDEPENDENT))


def _send_alone(server: Farthing, traffic: AloneTraffic, requests: int) -> None:
    tally = traffic.tally
    go_on = lambda: tally.right + tally.wrong + tally.failed < requests  # noqa: E731
    uvloop.run(saturate(traffic, lambda: server.port, connections=4 * CONNECTIONS, go_on=go_on))


def _was_batched(server: Farthing, model: str) -> bool:
    """Whether some batch held more than one request, all of which have one row."""
    return server.metric("nv_inference_count", model=model) > server.metric("nv_inference_exec_count", model=model)


async def _restart_in_turn(faults: Faults, tally: Tally) -> int:
    """A new server beside the old one, then SIGTERM for the old one, as replicas are rolled behind a balancer: half of
    the connections move over before, half stay until the old server hangs up.
    """
    loop, done, go_on = asyncio.get_running_loop(), 0, True
    with ExitStack() as first:
        open_one = lambda k: farthing(  # noqa: E731
            faults.folder / f"restart-{k}",
            [faults.entry("marked")],
            inline="never",
            cores=[faults.core],
            options=["--notice", "200ms"],
        )
        stack = first.enter_context(ExitStack())
        current = stack.enter_context(open_one(0))
        traffic = MarkedTraffic(tally)
        load = asyncio.create_task(
            saturate(
                traffic,
                lambda: current.port,
                connections=CONNECTIONS,
                go_on=lambda: go_on,
                loyal=CONNECTIONS // 2,
            )
        )
        for k in range(1, faults.restarts + 1):
            fresh = ExitStack()
            try:
                successor = await loop.run_in_executor(None, fresh.enter_context, open_one(k))
                await asyncio.sleep(0.2)
                current = successor
                await loop.run_in_executor(None, stack.close)  # SIGTERM, then wait until it is gone
            finally:
                stack = first.enter_context(fresh)
            done += 1
        go_on = False
        await load
    return done


def restarts(faults: Faults) -> None:
    """Rolling restarts under load."""
    tally = Tally()
    done = uvloop.run(_restart_in_turn(faults, tally))
    count("restarts/rolling restarts", done, f"≥ {faults.restarts}", done >= faults.restarts)
    report("restarts", tally)


async def _swap_under_load(faults: Faults, server: Farthing, file: Path, tally: Tally) -> int:
    go_on, done = True, 0
    load = asyncio.create_task(
        saturate(MarkedTraffic(tally), lambda: server.port, connections=CONNECTIONS, go_on=lambda: go_on)
    )
    for version in range(2, faults.swaps + 2):
        entry = faults.entry("marked", version=version)
        text = yaml.safe_dump({"schema": "farthing/serve/1", "models": [entry]})
        draft = file.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(file)
        server.process.send_signal(signal.SIGHUP)
        connection = await Connection.open(server.port)
        for _ in range(400):
            reply = await connection.ask(b"GET /v2/models/marked HTTP/1.1\r\nHost: benchmark\r\n\r\n")
            if reply.status == 200 and yaml.safe_load(reply.body)["versions"] == [str(version)]:
                done += 1
                break
            await asyncio.sleep(0.025)
        connection.close()
    go_on = False
    await load
    return done


def swaps(faults: Faults) -> None:
    """Version after version of a model under load: a new serve.yaml and SIGHUP."""
    tally = Tally()
    folder = faults.folder / "swaps"
    with farthing(folder, [faults.entry("marked")], inline="never", cores=[faults.core]) as server:
        start_s = time.monotonic()
        done = uvloop.run(_swap_under_load(faults, server, folder / "serve.yaml", tally))
        took_s = (time.monotonic() - start_s) / max(done, 1)
        left = len(server.workers())
    count("swaps/version swaps", done, f"≥ {faults.swaps}", done >= faults.swaps)
    emit("serve-faults/swaps/time of one", took_s, None, None, "s", None, None)
    report("swaps", tally)
    count("swaps/workers at the end", left)


def census(faults: Faults) -> None:
    """Malformed requests, hand-made and fuzzed; the hand-made ones on other servers too."""
    models = [faults.entry("mlp"), faults.entry("conv", max_batch=1)]
    with farthing(faults.folder / "census", models, inline="auto", cores=[faults.core]) as server:
        hold("farthing", server.port, fuzzed=faults.fuzzed, judged=True)
    if faults.peers:
        hold_peers(faults.folder, faults.core)


SECTIONS: dict[str, Section] = {
    "kills": kills,
    "overload": overload,
    "isolation": isolation,
    "kinds": kinds,
    "restarts": restarts,
    "swaps": swaps,
    "census": census,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help="Sections, separated by commas.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="Of each part of the overload.")
    parser.add_argument("--fuzzed", type=int, default=100_000, help="Requests of the fuzzer.")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="Leave other servers out.")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the client")
    os.sched_setaffinity(0, {cores[1]})
    amounts = {k: getattr(given, k) for k in ("kills", "requests", "restarts", "swaps", "seconds", "fuzzed", "peers")}
    with tempfile.TemporaryDirectory(prefix="farthing-faults-") as folder:
        faults = Faults(folder=Path(folder), core=cores[0], client=cores[1], **amounts)
        for name, section in SECTIONS.items():
            if name in given.only.split(","):
                start_s = time.monotonic()
                section(faults)
                print(f"  {name}: {time.monotonic() - start_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
