"""The simulator of fleets: against theory, an exact chain, its own reference and Ciw; its speed and its memory.

    python benchmarks/simulate.py [--only theory,little,chain,agreement,ciw,speed,memory]

All on one core. Theory and chain are means over independent runs with Student's t at 99 %; *met* needs the whole
interval within 1 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from time import process_time

import numpy as np

from farthing.core.simulation.arrival_blocks import poisson_blocks
from farthing.core.simulation.outcomes import Observation, SimulationResult
from farthing.core.simulation.setup import BatchingServer, Disruption, Pool, Promise, Setup, Shedding, Window
from farthing.core.simulation.simulate import simulate
from farthing.core.stats.intervals import mean_t
from figures import emit
from simulating.against_ciw import apart_s
from simulating.resources import REPLICAS, peak_mib, requests_per_s, setup_at
from simulating.theory import batch_chain_wait_s, md1_wait_s, mmc_wait_s

RUNS = 20
REQUESTS = 3_000_000
"""Of one run: over 20 runs the standard error of M/M/1's mean wait at 80 % is 0.14 %."""
MMC = (
    (1, 0.5, REQUESTS),
    (1, 0.8, REQUESTS),
    (4, 0.5, REQUESTS),
    (4, 0.8, REQUESTS),
    (20, 0.8, 4 * REQUESTS),
    (20, 0.9, 4 * REQUESTS),
)
"""Workers, utilisation, requests of one run: more where few requests wait."""
LIMIT = 1_000_000
SPEED_RPS = 5e6


def _mean_wait_s(server: BatchingServer, rate_rps: float, seed: int, requests: int) -> float:
    setup = Setup(
        server=server, pools=(Pool(name="all", initial=1),), horizon_s=requests / rate_rps, seed=seed, max_replicas=1
    )
    totals = simulate(setup, poisson_blocks(rate_rps, seed)).totals
    return totals.wait_s / totals.answered


def _against(
    figure: str, server: BatchingServer, rate_rps: float, expected_s: float, said: list[str], requests: int = REQUESTS
) -> None:
    """Mean wait seen over the mean wait expected."""
    ratios = [_mean_wait_s(server, rate_rps, k, requests) / expected_s for k in range(RUNS)]
    seen = mean_t(ratios, confidence=0.99)
    met = seen.lo >= 0.99 and seen.hi <= 1.01
    said = [*said, f"{RUNS} runs of {requests:,} requests"]
    emit(figure, seen.value, seen.lo, seen.hi, "ratio", "1 ± 0.01", met, said=said)


def theory() -> None:
    for c, rho, requests in MMC:
        server = BatchingServer(service_s=(1.0,), spread="exponential", instances=c, queue_limit=LIMIT)
        expected_s = mmc_wait_s(rho * c, 1.0, c)
        _against(
            f"simulate/mean wait, M/M/{c} at {rho:.0%}", server, rho * c, expected_s, [f"{expected_s:.6g} s"], requests
        )
    for rho in (0.5, 0.8, 0.9):
        server = BatchingServer(service_s=(1.0,), queue_limit=LIMIT)
        expected_s = md1_wait_s(rho, 1.0)
        _against(f"simulate/mean wait, M/D/1 at {rho:.0%}", server, rho, expected_s, [f"{expected_s:.6g} s"])


def chain() -> None:
    """Batches with exponential times, their means by size as a model's would be."""
    for most, load, requests in ((3, 0.6, REQUESTS), (8, 0.5, REQUESTS), (8, 0.85, 4 * REQUESTS)):
        service_s = tuple(0.5 + 0.5 * b for b in range(1, most + 1))
        rate_rps = load * most / service_s[-1]
        expected_s, beyond = batch_chain_wait_s(rate_rps, service_s)
        server = BatchingServer(service_s=service_s, spread="exponential", queue_limit=LIMIT)
        said = [f"{expected_s:.6g} s by the chain", f"its last states have probability {abs(beyond):.1e}"]
        _against(f"simulate/mean wait, batches of ≤ {most} at {load:.0%}", server, rate_rps, expected_s, said, requests)


def little() -> None:
    """L = λ·W: the integral of what is in flight against what single requests took."""
    setup, rate_rps = setup_at(0.8, 10_000_000)
    totals = simulate(setup, poisson_blocks(rate_rps, 5)).totals
    in_flight = totals.in_flight_s / setup.horizon_s
    by_law = totals.answered / setup.horizon_s * (totals.latency_s / totals.answered)
    apart = abs(in_flight / by_law - 1)
    emit("simulate/Little's law", apart, None, None, "frac", "≤ 0.001", apart <= 0.001, said=[f"L = {in_flight:.4f}"])


def _eventful(seed: int) -> Setup:
    """A fleet to which everything happens."""
    rng = np.random.default_rng(seed)
    disruptions = [
        Disruption(at_s=float(at_s), pool=str(rng.choice(["on_demand", "spot"])), kind="killed")
        for at_s in range(9, 300, 37)
    ] + [Disruption(at_s=float(at_s), pool="spot", count=2, notice_s=0.1) for at_s in rng.uniform(0, 300, 15)]
    return Setup(
        server=BatchingServer(service_s=(0.01, 0.015, 0.02, 0.025), sigma=0.3, instances=2, queue_limit=40),
        pools=(
            Pool(name="on_demand", initial=2, start_s=2, load_s=1),
            Pool(name="spot", initial=4, start_s=1, load_s=1),
        ),
        horizon_s=300.0,
        promise=Promise(latency_s=0.05, deadline_s=0.2, shedding=Shedding() if seed % 2 else None),
        balancing=("round_robin", "random", "least_outstanding")[seed % 3],  # type: ignore[arg-type]
        control_s=5.0,
        held_limit=100,
        drain_limit_s=0.05,
        disruptions=tuple(disruptions),
        seed=seed,
        record=Window(count=600_000),
    )


class _Swing:
    """Wants another number each time."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, _: Observation) -> Mapping[str, int]:
        return {"on_demand": int(self._rng.integers(0, 4)), "spot": int(self._rng.integers(0, 7))}


def _differences(a: SimulationResult, b: SimulationResult) -> int:
    """Requests that ended otherwise, and replicas that lived otherwise."""
    columns = ("arrival_s", "outcome", "replica", "batch", "start_s", "end_s")
    rows = np.zeros(a.records.outcome.size, dtype=bool)
    for x, y in ((getattr(a.records, name), getattr(b.records, name)) for name in columns):
        rows |= ~((x == y) | (np.isnan(x) & np.isnan(y)))
    return int(rows.sum()) + sum(x != y for x, y in zip(a.lives, b.lives)) + abs(len(a.lives) - len(b.lives))


def agreement() -> None:
    differ = requests = 0
    seconds = 0.0
    for seed in range(6):
        setup = _eventful(seed)
        quick = simulate(setup, poisson_blocks(600, seed), _Swing(seed))
        start = process_time()
        plain = simulate(setup, poisson_blocks(600, seed), _Swing(seed), queues="reference")
        seconds += process_time() - start
        differ += _differences(quick, plain)
        requests += quick.totals.arrived
    said = [f"{requests:,} requests in 6 fleets with kills, preemptions, drains, deadlines and all three balancings"]
    emit("simulate/requests that the reference ends otherwise", differ, None, None, "count", 0, differ == 0, said=said)
    emit("simulate/requests/s of the reference", requests / seconds, None, None, "1/s", None, None)


def ciw() -> None:
    for servers, load, n in ((1, 0.8, 50_000), (4, 0.9, 50_000)):
        figure = f"simulate/largest difference from Ciw, M/M/{servers} at {load:.0%}"
        try:
            apart, wait_s = apart_s(servers, load, n)
        except RuntimeError as e:
            emit(figure, float("nan"), None, None, "s", "≤ 1e-6", None, said=["not comparable", str(e)])
            continue
        said = [f"start and end of each of {n:,} requests", f"mean wait {wait_s:.3f} s"]
        emit(figure, apart, None, None, "s", "≤ 1e-6", apart <= 1e-6, said=said)


def speed() -> None:
    cases = [(0.8, "least_outstanding"), (0.5, "least_outstanding"), (0.95, "least_outstanding")]
    for load, balancing in [*cases, (0.8, "round_robin"), (0.8, "random")]:
        found = requests_per_s(load, 10_000_000, balancing, 5)
        middle = float(np.median(found))
        asked = balancing == "least_outstanding"
        emit(
            f"simulate/requests/s on one core, {REPLICAS} replicas at {load:.0%}, {balancing}",
            middle,
            min(found),
            max(found),
            "1/s",
            "≥ 5e6" if asked else None,
            middle >= SPEED_RPS if asked else None,
            said=["median of 5 runs of 10,000,000 requests, the slowest and the fastest; arrivals made before"],
        )


def memory() -> None:
    (few, few_mib), (many, many_mib) = peak_mib(1_000_000), peak_mib(100_000_000)
    emit("simulate/peak memory, 10⁶ requests", few_mib, None, None, "MiB", None, None, said=[f"{few:,} requests"])
    emit("simulate/peak memory, 10⁸ requests", many_mib, None, None, "MiB", None, None, said=[f"{many:,} requests"])
    ratio = many_mib / few_mib
    emit("simulate/peak memory, 10⁸ against 10⁶ requests", ratio, None, None, "ratio", "≤ 1.02", ratio <= 1.02)


PARTS: Mapping[str, Callable[[], None]] = {
    "theory": theory,
    "little": little,
    "chain": chain,
    "agreement": agreement,
    "ciw": ciw,
    "speed": speed,
    "memory": memory,
}


def _named(words: str) -> Iterator[Callable[[], None]]:
    for word in words.split(","):
        if word not in PARTS:
            raise SystemExit(f"no part {word!r}; there are {', '.join(PARTS)}")
        yield PARTS[word]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS))
    for part in list(_named(parser.parse_args().only)):
        part()
