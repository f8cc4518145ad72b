"""Whole replicas of one who knows: against every assignment on small cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from farthing.core.simulation.rules.clairvoyant import clairvoyant_replicas, clairvoyant_usd


def cheapest(counts: np.ndarray, rate: float, missed_frac: float, least: int) -> int:
    """Replica-steps of the cheapest assignment that misses few enough, by trying all."""
    most = [max(least, int(np.ceil(c / rate))) for c in counts]
    found = []
    for replicas in itertools.product(*(range(least, m + 1) for m in most)):
        missed = sum(max(0.0, c - n * rate) for c, n in zip(counts, replicas))
        if missed <= missed_frac * counts.sum() + 1e-9:
            found.append(sum(replicas))
    return min(found)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_who_misses_as_few_has_fewer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 40, 5).astype(float)
    counts[0] += 1
    missed_frac, least = float(rng.uniform(0, 0.4)), int(rng.integers(0, 2))
    found = clairvoyant_replicas(counts, 1.0, 10.0, missed_frac=missed_frac, min_replicas=least)
    missed = np.maximum(0.0, counts - found * 10.0).sum()
    assert missed <= missed_frac * counts.sum() + 1e-9
    assert found.min() >= least
    assert found.sum() <= cheapest(counts, 10.0, missed_frac, least) + 1  # taking the least first is off by one at most


def test_none_missed_is_the_ceiling_and_paid_to_the_second() -> None:
    found = clairvoyant_replicas(np.array([0.0, 600.0, 601.0]), 60.0, 10.0, missed_frac=0.0, min_replicas=1)
    assert found.tolist() == [1, 1, 2]
    assert clairvoyant_usd(found, 60.0, 0.6) == pytest.approx(4 * 0.01)
