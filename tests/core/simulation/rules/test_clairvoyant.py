"""Whole replicas of one who knows: against every assignment on small cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from farthing.core.simulation.rules.clairvoyant import ClairvoyantScaler, Known, clairvoyant_replicas, clairvoyant_rules
from farthing.nouns import FleetSeen, Trace


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


def test_none_missed_is_the_ceiling() -> None:
    found = clairvoyant_replicas(np.array([0.0, 600.0, 601.0]), 60.0, 10.0, missed_frac=0.0, min_replicas=1)
    assert found.tolist() == [1, 1, 2]


def seen(at_s: float) -> FleetSeen:
    return FleetSeen(
        at_s=at_s, interval_s=15.0, arrived=0, answered=0, within_promise=0, failed=0, in_flight=0, waiting=0,
        mean_in_flight=0.0, busy_frac=0.0, ready=1, starting=0,
    )  # fmt: skip


def test_a_replica_is_asked_for_its_lag_before_and_given_up_when_it_is_over() -> None:
    known = Known(replicas=np.array([1, 1, 5, 1]), step_s=60.0, lag_s=30.0, max_replicas=4)
    scaler = ClairvoyantScaler(known)
    wanted = [scaler.decide(seen(at_s)).replicas for at_s in (60.0, 74.0, 75.0, 179.0, 180.0, 900.0)]
    assert wanted == [1, 1, 4, 4, 1, 1]  # 75 s: who asks 45 s before has it at 105 s, and is asked next at 90 s


def test_rules_go_from_cautious_to_bold_on_whole_minutes() -> None:
    trace = Trace(name="t", step_s=30.0, counts=np.array([300.0, 0.0, 900.0, 900.0, 0.0]))
    rules = list(clairvoyant_rules(trace, 10.0, attainment_frac=0.9, lag_s=0.0, min_replicas=1, max_replicas=9))
    middle = [rule.decide(seen(60.0)).replicas for rule in rules]
    assert middle[0] == 4  # 1,800 in a minute, at 0.9 of what a replica takes
    assert min(middle) == 3  # at 1.3 of it
    assert len({rule.decide(seen(120.0)).replicas for rule in rules}) == 1
