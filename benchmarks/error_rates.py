"""Figures of DESIGN section 6: error rates at the null, power at named effects, the exact gate's limits and speed."""

from time import perf_counter

import numpy as np

from cases import NULLS, POWERS
from farthing.core.stats.noninferiority import drop_upper, gate_of_counts
from figures import emit
from queues import order_statistics_misses, tail_misses
from route_watch import made_up
from simulations import (
    REPEATS,
    correlated_pairs,
    peeking_misses,
    percentile_bootstrap,
    student_gate_passes,
)

LIMITS = ((450, 0.0105), (700, 0.0068))
SPEED_S = 0.5


def limits() -> None:
    for n, target in LIMITS:
        upper = drop_upper(1, 0, n, confidence=0.95)
        emit(f"gate/limit/1 of {n}", upper, None, None, "frac", f"{target} ± 0.00005", abs(upper - target) < 5e-5)


def speed() -> None:
    """Time the gate, sample size needed included: 40 differing pairs, settled and just not settled."""
    worst = 0.0
    drop_upper(1, 0, 10, confidence=0.95)
    for worse in range(0, 41, 4):
        seen = (2 * worse - 40) / 10_000
        for allowed in (0.01, max(0.0, seen) + 0.0005):
            start = perf_counter()
            gate_of_counts(worse, 40 - worse, 10_000, allowed_drop_frac=allowed, confidence=0.95)
            worst = max(worst, perf_counter() - start)
    emit("gate/seconds/40 of 10000, slowest of 22", worst, None, None, "s", f"≤ {SPEED_S}", worst <= SPEED_S)


def errors() -> None:
    for case in NULLS:
        seen = case.run()
        emit(
            f"error/{case.name}",
            seen.value,
            seen.lo,
            seen.hi,
            "frac",
            f"lo ≤ {case.alpha}",
            seen.lo <= (case.alpha or 1),
        )


def powers() -> None:
    for case in POWERS:
        seen = case.run()
        emit(f"power/{case.name}", seen.value, seen.lo, seen.hi, "frac", None, None)


def reasons() -> None:
    rng = np.random.default_rng(0)
    for name, seen in (
        ("percentile bootstrap over 8 blocks", percentile_bootstrap(rng, REPEATS)),
        ("t on 12 log ratios that are AR(1), 0.5", correlated_pairs(rng, REPEATS, n=12, phi=0.5)),
        ("t at 99 looks", peeking_misses(rng, REPEATS, n=1000)),
        ("Student's gate, 0.5 % of 450 differ", student_gate_passes(rng, REPEATS, n=450, share=0.005, mean=0.0025)),
        (
            "order statistics of one run of 2000 at 70 % of saturation, 2 workers",
            order_statistics_misses(rng, REPEATS // 10, workers=2, batch=1, load=0.7, n=2000),
        ),
        (
            "latency–rate curve where service times burst slowly (AR(1) 0.98, 10 %), 2 workers, batch 8, 80 %",
            tail_misses(rng, REPEATS // 10, workers=2, batch=8, load=0.8, n=1000, drift=0.1),
        ),
    ):
        emit(f"instead/{name}", seen.value, seen.lo, seen.hi, "frac", None, None)


def watches() -> None:
    """Alarms of a route's watch on made-up streams; ``route_watch.py --demo`` has CLINC150 as well."""
    made_up(REPEATS // 10)


if __name__ == "__main__":
    limits()
    speed()
    errors()
    powers()
    reasons()
    watches()
