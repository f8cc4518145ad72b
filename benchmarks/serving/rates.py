"""The highest rate of Poisson arrivals at which a server keeps a bound on its 99th percentile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import uvloop

from serving.client import Connection, Lost, Reply, open_loop

__all__ = ["Asked", "p99_s", "rate_within"]

STEP = 1.06
"""From one offered rate to the next, until two neighbours lie on either side of the bound."""
PROBES = 6

Asked = Callable[[int, Reply], None]
"""Told of every good reply, with the place of its request."""


def p99_s(
    port: int, requests: Sequence[bytes], rps: float, seconds: float, seed: int, answered: Asked | None = None
) -> float:
    """99th percentile under Poisson arrivals, from the scheduled time; the first fifth is left out; failures are inf.

    Args:
        port: On loopback.
        requests: Sent in turn, again and again.
        rps: Mean rate.
        seconds: For how long requests come.
        seed: Of the arrivals.
        answered: Told of every answer of status 200.
    """
    found: list[float] = []
    sent = 0

    async def send(connection: Connection, scheduled_s: float) -> Connection:
        nonlocal sent
        place, sent = sent % len(requests), sent + 1
        try:
            reply: Reply | None = await connection.ask(requests[place])
        except Lost:
            reply = None
        good = reply is not None and reply.status == 200
        found.append(time.monotonic() - scheduled_s if good else np.inf)
        if good and answered is not None:
            assert reply is not None
            answered(place, reply)
        return connection

    uvloop.run(open_loop(send, port, rps=rps, seconds=seconds, connections=1024, seed=seed))
    return float(np.quantile(found[len(found) // 5 :], 0.99))


def rate_within(
    port: int,
    requests: Sequence[bytes],
    predicted_rps: float,
    bound_s: float,
    seconds: float,
    seed: int,
    *,
    step: float = STEP,
    probes: int = PROBES,
) -> float:
    """Highest rate whose p99 stays within the bound: walk from the predicted one until the bound lies between two
    neighbours, then go by the logarithm of p99; NaN when it is not found within the probes.
    """
    tails_s: dict[int, float] = {}
    at = 0
    for _ in range(probes):
        rate = predicted_rps * step**at
        tails_s[at] = min(p99_s(port, requests, rate, seconds, seed), 100 * bound_s)
        print(f"  {rate:.0f}/s: p99 {tails_s[at] * 1e3:.1f} ms", file=sys.stderr)
        at += 1 if tails_s[at] <= bound_s else -1
        between = (k for k in tails_s if k + 1 in tails_s and tails_s[k] <= bound_s < tails_s[k + 1])
        if (k := next(between, None)) is not None:
            share = np.log(bound_s / tails_s[k]) / np.log(tails_s[k + 1] / tails_s[k])
            return float(predicted_rps * step ** (k + share))
    return float("nan")
