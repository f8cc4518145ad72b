"""The highest rate of Poisson arrivals at which a server keeps a bound on its 99th percentile."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
import uvloop

from serving.client import Connection, Lost, Reply, open_loop

__all__ = ["p99_s", "rate_within"]

STEP = 1.06
"""From one offered rate to the next, until two neighbours lie on either side of the bound."""
PROBES = 10


def p99_s(port: int, requests: Sequence[bytes], rps: float, seconds: float, seed: int) -> float:
    """99th percentile under Poisson arrivals, from the scheduled time; the first fifth is left out; failures are inf.

    Args:
        port: On loopback.
        requests: Sent in turn, again and again.
        rps: Mean rate.
        seconds: For how long requests come.
        seed: Of the arrivals.
    """
    found: list[float] = []
    sent = 0

    async def send(connection: Connection, scheduled_s: float) -> Connection:
        nonlocal sent
        request, sent = requests[sent % len(requests)], sent + 1
        try:
            reply: Reply | None = await connection.ask(request)
        except Lost:
            reply = None
        found.append(time.monotonic() - scheduled_s if reply is not None and reply.status == 200 else np.inf)
        return connection

    uvloop.run(open_loop(send, port, rps=rps, seconds=seconds, connections=1024, seed=seed))
    return float(np.quantile(found[len(found) // 5 :], 0.99, method="higher"))


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
    halvings: int = 0,
) -> float:
    """Highest rate whose p99 stays within the bound: walk from the predicted one until the bound lies between two
    neighbours, halve what lies between them some times, then go by the logarithm of p99; NaN when the bound is not
    found within the probes. A rate that exceeds the bound is tried once more, since the machine itself stalls at times.
    """

    def tail_s(at: float) -> float:
        rate = predicted_rps * step**at
        found = min(p99_s(port, requests, rate, seconds, seed), 100 * bound_s)
        if found > bound_s:
            found = min(p99_s(port, requests, rate, seconds, seed + 1000), found)
        print(f"  {rate:.0f}/s: p99 {found * 1e3:.1f} ms", file=sys.stderr)
        return found

    tails_s: dict[float, float] = {}
    at = 0.0
    for _ in range(probes):
        tails_s[at] = tail_s(at)
        at += 1 if tails_s[at] <= bound_s else -1
        between = (k for k in tails_s if k + 1 in tails_s and tails_s[k] <= bound_s < tails_s[k + 1])
        if (low := next(between, None)) is not None:
            break
    else:
        return float("nan")
    high = low + 1
    for _ in range(halvings):
        middle = (low + high) / 2
        tails_s[middle] = tail_s(middle)
        low, high = (middle, high) if tails_s[middle] <= bound_s else (low, middle)
    share = np.log(bound_s / tails_s[low]) / np.log(tails_s[high] / tails_s[low])
    return float(predicted_rps * step ** (low + (high - low) * share))
