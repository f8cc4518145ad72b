"""The simulations that hold farthing's statistics to their word; run by the tests and by ``error_rates.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from farthing.nouns import Estimate
from queues import rate_kept_misses, tail_misses
from simulations import (
    ALPHA,
    REPEATS,
    alarms,
    bernstein_misses,
    betting_misses,
    block_ratio,
    bounded_gate_passes,
    conformal_losses,
    f1_gate_passes,
    fallback_passes,
    gate_passes,
    learn_then_test_errors,
    learn_then_test_power,
    proportion_misses,
    quantile_misses,
)

__all__ = ["NULLS", "POWERS", "Case"]

Body = Callable[[np.random.Generator, int], Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A simulation: what it counts and what the rate must not exceed (None: only shown).

    Attributes:
        name: Figure's name.
        body: Gives the rate.
        alpha: Stated error rate, None for power.
        repeats: Number of them.
        slow: Takes more than a few seconds.
    """

    name: str
    body: Body
    alpha: float | None = ALPHA
    repeats: int = REPEATS
    slow: bool = False

    def run(self, seed: int = 0) -> Estimate:
        """Simulate with a seed."""
        return self.body(np.random.default_rng([seed, *self.name.encode()]), self.repeats)


_TRUE_NULLS: dict[str, tuple[Callable[..., Estimate], dict[str, object]]] = {
    "block-ratio/white/8": (block_ratio, {"n": 8, "noise": "white"}),
    "block-ratio/bursty-drifting/8": (block_ratio, {"n": 8, "noise": "bursty"}),
    "block-ratio/bursty-drifting/24": (block_ratio, {"n": 24, "noise": "bursty"}),
    "quantile/p99/400": (quantile_misses, {"n": 400, "q": 0.99}),
    "quantile/p50/60": (quantile_misses, {"n": 60, "q": 0.5}),
    "proportion/0.03/200": (proportion_misses, {"n": 200, "p": 0.03}),
    "gate/exact/450": (gate_passes, {"n": 450, "worse": 0.0105, "better": 0.0005, "allowed": 0.01}),
    "gate/exact/700": (gate_passes, {"n": 700, "worse": 0.013, "better": 0.003, "allowed": 0.01}),
    "gate/exact/1000": (gate_passes, {"n": 1000, "worse": 0.02, "better": 0.01, "allowed": 0.01}),
    "gate/exact/60-many": (gate_passes, {"n": 60, "worse": 0.4, "better": 0.3, "allowed": 0.1}),
    "gate/tango/40000": (gate_passes, {"n": 40_000, "worse": 0.015, "better": 0.005, "allowed": 0.01}),
    "gate/fall-back-3": (fallback_passes, {"n": 900, "k": 3, "allowed": 0.01}),
    "gate/betting-sparse/450": (bounded_gate_passes, {"n": 450, "share": 0.02, "mean": 0.01, "allowed": 0.01}),
    "gate/betting-dense/450": (bounded_gate_passes, {"n": 450, "share": 1.0, "mean": 0.01, "allowed": 0.01}),
    "sequence/betting/rare": (betting_misses, {"n": 1000, "noise": "coin", "mean": 0.03}),
    "sequence/betting/beta": (betting_misses, {"n": 1000, "noise": "beta", "mean": 0.3}),
    "sequence/betting/bursty": (betting_misses, {"n": 1000, "noise": "bursty", "mean": 0.4}),
    "sequence/empirical-bernstein/rare": (bernstein_misses, {"n": 1000, "noise": "coin", "mean": 0.03}),
    "sequence/empirical-bernstein/bursty": (bernstein_misses, {"n": 1000, "noise": "bursty", "mean": 0.4}),
    "change/coin/1000": (alarms, {"n": 1000, "noise": "coin", "mean": 0.05}),
    "change/bursty/1000": (alarms, {"n": 1000, "noise": "bursty", "mean": 0.4}),
    "risk/binomial/300": (learn_then_test_errors, {"n": 300, "binary": True}),
    "risk/hoeffding-bentkus/300": (learn_then_test_errors, {"n": 300, "binary": False}),
    "risk/bonferroni/300": (learn_then_test_errors, {"n": 300, "binary": True, "procedure": "bonferroni"}),
}

_SLOW = frozenset({"gate/exact/1000", "gate/fall-back-3", "gate/1000: 1 % worse, 1 % better, 1 point allowed"})

COVERAGE = 0.93
"""Least coverage that is asked of nominal 95 % intervals of a queue's latency, from runs of a second or two."""
_QUEUES: tuple[tuple[int, int, float, int], ...] = (
    (1, 1, 0.5, 500), (1, 1, 0.8, 150), (1, 1, 0.8, 500), (1, 16, 0.8, 500), (2, 1, 0.7, 40), (2, 4, 0.8, 500),
    (2, 16, 0.7, 2000), (2, 16, 0.8, 500), (4, 1, 0.8, 500), (4, 4, 0.6, 500), (4, 16, 0.8, 500),
)  # fmt: skip
"""Workers, largest batch, rate over saturation, requests of a run."""
_STALLS = ((1, 1, 0.5, 2000, 0.002), (1, 1, 0.1, 5000, 0.02))
"""The same, and the share of services that take many times as long."""


def _queue(
    body: Callable[..., Estimate], name: str, workers: int, batch: int, load: float, n: int, **more: float
) -> Case:
    said = "".join(f", {share:.1%} of services stalled" for share in more.values())
    return Case(
        name=f"{name}/{workers} workers, batch {batch}, {load:.0%} of saturation, runs of {n}{said}",
        body=partial(body, workers=workers, batch=batch, load=load, n=n, **more),
        alpha=1 - COVERAGE,
        slow=True,
    )


NULLS: tuple[Case, ...] = (
    *(Case(name=name, body=partial(body, **given), slow=name in _SLOW) for name, (body, given) in _TRUE_NULLS.items()),
    Case(name="risk/conformal/100", body=partial(conformal_losses, n=100), alpha=0.1),
    Case(name="gate/bootstrap-t-f1/120", body=partial(f1_gate_passes, n=120, flips=0.1, allowed=None), slow=True),
    *(_queue(tail_misses, "queue/p99", *given) for given in _QUEUES),
    *(_queue(tail_misses, "queue/p99", *given, stalls=share) for *given, share in _STALLS),
    *(_queue(rate_kept_misses, "queue/rate kept", *given) for given in ((1, 1, 0.8, 500), (2, 16, 0.8, 500))),
)
"""At the null: the rate is an error rate, α what it must not exceed."""

_EFFECTS: dict[str, tuple[Callable[..., Estimate], dict[str, object]]] = {
    "block-ratio/8: 5 % faster, bursty": (block_ratio, {"n": 8, "noise": "bursty", "ratio": 1.05}),
    "block-ratio/24: 5 % faster, bursty": (block_ratio, {"n": 24, "noise": "bursty", "ratio": 1.05}),
    "gate/700: 0.15 % of answers worse, 1 point allowed": (
        gate_passes,
        {"n": 700, "worse": 0.0015, "better": 0.0, "allowed": 0.01},
    ),
    "gate/1000: 1 % worse, 1 % better, 1 point allowed": (
        gate_passes,
        {"n": 1000, "worse": 0.01, "better": 0.01, "allowed": 0.01},
    ),
    "gate/betting/450: no drop on 2 % changed, 1 point allowed": (
        bounded_gate_passes,
        {"n": 450, "share": 0.02, "mean": 0.0, "allowed": 0.01},
    ),
    "sequence/betting/1000: 0.40 against 0.30": (
        betting_misses,
        {"n": 1000, "noise": "coin", "mean": 0.4, "asked": 0.3},
    ),
    "sequence/empirical-bernstein/1000: 0.40 against 0.30": (
        bernstein_misses,
        {"n": 1000, "noise": "coin", "mean": 0.4, "asked": 0.3},
    ),
    "change/1000: 5 % to 12 % at half time": (alarms, {"n": 1000, "noise": "coin", "mean": 0.05, "after": 0.12}),
    "risk/300: risk 4 %, target 10 %": (learn_then_test_power, {"n": 300}),
}

POWERS: tuple[Case, ...] = (
    *(
        Case(name=name, body=partial(body, **given), alpha=None, slow=name in _SLOW)
        for name, (body, given) in _EFFECTS.items()
    ),
    Case(
        name="gate/bootstrap-t-f1/400: 1 % flipped, 5 points allowed",
        body=partial(f1_gate_passes, n=400, flips=0.01, allowed=0.05),
        alpha=None,
        repeats=2_000,  # a power is shown, not judged: a fifth of the repeats tells it within two points
        slow=True,
    ),
)
"""At a named effect: the rate is the power, printed and not judged."""
