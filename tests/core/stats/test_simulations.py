"""The stated error rates hold, 10,000 repeats each; power is printed."""

from __future__ import annotations

import numpy as np
import pytest

from cases import NULLS, POWERS, Case
from simulations import (
    REPEATS,
    block_ratio,
    correlated_pairs,
    peeking_misses,
    percentile_bootstrap,
    student_gate_passes,
)

QUICK = [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.slow else []) for c in NULLS]
EFFECTS = [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.slow else []) for c in POWERS]


@pytest.mark.parametrize("case", QUICK)
def test_error_rate_does_not_exceed_alpha(case: Case) -> None:
    seen = case.run()
    assert seen.n >= 10_000
    assert case.alpha is not None
    assert seen.lo <= case.alpha, f"{case.name}: error {seen.value:.4f} [{seen.lo:.4f}, {seen.hi:.4f}] > {case.alpha}"


@pytest.mark.parametrize("case", EFFECTS)
def test_named_effects_are_found(case: Case) -> None:
    seen = case.run()
    print(f"power {case.name}: {seen.value:.3f} [{seen.lo:.3f}, {seen.hi:.3f}]")
    assert seen.lo > 0.3


def test_the_percentile_bootstrap_over_eight_blocks_undercovers() -> None:
    seen = percentile_bootstrap(np.random.default_rng(0), REPEATS)
    assert seen.lo > 0.09
    assert seen.hi < 0.15


def test_blocks_one_after_the_other_let_drift_in() -> None:
    rng = np.random.default_rng(1)
    assert block_ratio(rng, REPEATS, n=8, noise="bursty", interleaved=False).lo > 0.3
    assert block_ratio(rng, REPEATS, n=8, noise="bursty").lo <= 0.05


@pytest.mark.parametrize(("phi", "least"), [(0.3, 0.1), (0.5, 0.2)])
def test_autocorrelation_that_does_not_cancel_is_not_covered(phi: float, least: float) -> None:
    assert correlated_pairs(np.random.default_rng(2), REPEATS, n=12, phi=phi).lo > least


def test_repeated_looks_break_fixed_sample_intervals() -> None:
    assert peeking_misses(np.random.default_rng(3), REPEATS, n=1000).lo > 0.3


def test_students_gate_fails_on_sparse_drops() -> None:
    assert student_gate_passes(np.random.default_rng(4), REPEATS, n=450, share=0.005, mean=0.0025).lo > 0.2
