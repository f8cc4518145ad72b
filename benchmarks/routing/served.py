"""A route in the running server: what it answers, and the rate it sustains beside the large tier alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import uvloop

from serving.client import Connection, Reply, http_bytes
from serving.farthing_server import Farthing
from serving.models import Post
from serving.processes import cpu_s, family
from serving.rates import p99_s, rate_within

__all__ = ["LOAD", "Answers", "Compared", "ask_all", "compared", "cpu_us", "requests_for"]

STEP, PROBES, HALVINGS = 1.3, 8, 3
LOAD = 0.5
"""Share of the reference's rate at which CPU time an answer is compared."""
AT_ONCE = 2
"""So few that none waits for longer than its deadline."""


@dataclass(slots=True)
class Answers:
    """What the server said to texts.

    Attributes:
        classes: Index of the class, −1 where the request failed, in the order asked.
        tiers: How often each tier answered.
    """

    classes: np.ndarray
    tiers: Counter[str] = field(default_factory=Counter)

    def share(self, tier: str) -> float:
        """Of the requests that this tier answered."""
        return self.tiers[tier] / self.classes.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One round.

    Attributes:
        auto_rps: Rate of the route within the bound.
        large_rps: Of the reference alone.
        auto_cpu_us: Server's CPU time an answer at one and the same load.
        large_cpu_us: The same of the reference alone.
    """

    auto_rps: float
    large_rps: float
    auto_cpu_us: float
    large_cpu_us: float


def requests_for(model: str, texts: Sequence[str]) -> list[bytes]:
    """One request a text, in the protocol's JSON with a binary answer."""
    found = []
    for text in texts:
        asked = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}
        document = {"inputs": [asked], "parameters": {"binary_data_output": True}}
        body = json.dumps(document, ensure_ascii=False).encode()
        found.append(http_bytes(Post(path=f"/v2/models/{model}/infer", body=body, content_type="application/json")))
    return found


def ask_all(port: int, requests: Sequence[bytes]) -> Answers:
    """Ask every request once, a few at a time."""
    found = Answers(np.full(len(requests), -1))

    async def walk(todo: list[int]) -> None:
        connection = await Connection.open(port)
        while todo:
            place = todo.pop()
            reply = await connection.ask(requests[place])
            if reply.status == 200:
                document = json.loads(reply.body[: reply.json_bytes])
                found.classes[place] = class_of(reply)
                found.tiers[document.get("parameters", {}).get("route_tier", "")] += 1
        connection.close()

    async def run() -> None:
        todo = list(range(len(requests)))[::-1]
        await asyncio.gather(*(walk(todo) for _ in range(AT_ONCE)))

    uvloop.run(run())
    return found


def class_of(reply: Reply) -> int:
    """Index of the greatest logit: the only output, in binary."""
    return int(np.frombuffer(reply.body, dtype="<f4", offset=reply.json_bytes).argmax())


def compared(
    server: Farthing,
    auto: Sequence[bytes],
    large: Sequence[bytes],
    *,
    predicted_rps: tuple[float, float],
    bound_s: float,
    seconds: float,
    seed: int,
) -> Compared:
    """The highest rates of both within the bound, and what both cost the server at one load.

    Args:
        server: That serves both.
        auto: Requests for the route.
        large: The same texts for its reference.
        predicted_rps: Rates to begin at, of the route and of the reference.
        bound_s: On the 99th percentile.
        seconds: Of each probe.
        seed: Of the arrivals.
    """
    rates = [
        rate_within(
            server.port, requests, predicted, bound_s, seconds, seed, step=STEP, probes=PROBES, halvings=HALVINGS
        )
        for requests, predicted in zip((auto, large), predicted_rps, strict=True)
    ]
    load = LOAD * rates[1] if np.isfinite(rates[1]) else LOAD * predicted_rps[1]
    cpus = [cpu_us(server, requests, load, seconds, seed) for requests in (auto, large)]
    return Compared(auto_rps=rates[0], large_rps=rates[1], auto_cpu_us=cpus[0], large_cpu_us=cpus[1])


def cpu_us(server: Farthing, requests: Sequence[bytes], rps: float, seconds: float, seed: int) -> float:
    """CPU time of all the server's processes an answer."""
    before_s = cpu_s(family(server.process))
    p99_s(server.port, requests, rps, seconds, seed)
    return (cpu_s(family(server.process)) - before_s) / max(1, round(rps * seconds)) * 1e6
