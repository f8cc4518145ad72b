"""What queueing theory says of queues that can be computed exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

__all__ = ["batch_chain_wait_s", "md1_wait_s", "mmc_wait_s"]


def mmc_wait_s(rate_rps: float, service_s: float, c: int) -> float:
    """Mean wait of M/M/c (Erlang's formula C)."""
    a = rate_rps * service_s
    rho = a / c
    queued = math.exp(c * math.log(a) - math.lgamma(c + 1)) / (1 - rho)
    none = sum(math.exp(i * math.log(a) - math.lgamma(i + 1)) for i in range(c))
    return queued / (none + queued) * service_s / (c - a)


def md1_wait_s(rate_rps: float, service_s: float) -> float:
    """Mean wait of M/D/1 (Pollaczek and Khinchine)."""
    rho = rate_rps * service_s
    return rho * service_s / (2 * (1 - rho))


def batch_chain_wait_s(rate_rps: float, service_s: Sequence[float], *, most_waiting: int = 2000) -> tuple[float, float]:
    """Mean wait where an idle worker takes all that waits, up to B, for an exponential time with a mean by size.

    A Markov chain on (requests that wait, size in service); its stationary distribution by one sparse solve, the wait
    from the mean number that wait by Little's law.

    Args:
        rate_rps: Of Poisson arrivals; below ``B / s(B)``.
        service_s: Mean time of 1 … B requests.
        most_waiting: Where the chain is cut; arrivals beyond are dropped.

    Returns:
        Mean wait in seconds, and the probability of the last state, which the cut must make negligible.
    """
    B = len(service_s)

    def state(waiting: int, size: int) -> int:
        return 1 + waiting * B + size - 1  # 0 is idle

    n = 1 + (most_waiting + 1) * B
    moves: list[tuple[int, int, float]] = [(0, state(0, 1), rate_rps)]
    for waiting in range(most_waiting + 1):
        for size in range(1, B + 1):
            here = state(waiting, size)
            if waiting < most_waiting:
                moves.append((here, state(waiting + 1, size), rate_rps))
            taken = min(waiting, B)
            then = state(waiting - taken, taken) if taken else 0
            moves.append((here, then, 1 / service_s[size - 1]))
    source, target, rate = (np.array(column) for column in zip(*moves))
    generator = coo_matrix((rate, (target, source)), shape=(n, n)) - coo_matrix((rate, (source, source)), shape=(n, n))
    balance = generator.tolil()
    balance[0, :] = 1.0
    p = spsolve(balance.tocsc(), np.eye(1, n)[0])
    waiting = np.concatenate(([0], np.repeat(np.arange(most_waiting + 1), B)))
    return float(p @ waiting / rate_rps), float(p[-B:].sum())
