"""A trace as streams: known instants stay, counts are drawn by seed, halves are the halves."""

from __future__ import annotations

import numpy as np

from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.nouns import Trace


def trace(*counts: float) -> Trace:
    return Trace(name="t", step_s=60.0, counts=np.array(counts))


def whole(replayed: Replayed, seed: int) -> np.ndarray:
    return np.concatenate([*replayed.blocks(seed), np.empty(0)])


def test_counts_are_placed_by_seed() -> None:
    replayed = Replayed(trace=trace(3, 0, 5, 4))
    one, other = whole(replayed, 1), whole(replayed, 2)
    assert np.histogram(one, bins=[0, 60, 120, 180, 240])[0].tolist() == [3, 0, 5, 4]
    assert one.tolist() == whole(replayed, 1).tolist()
    assert one.tolist() != other.tolist()


def test_known_instants_stay_as_they_were() -> None:
    at_s = np.array([1.0, 59.0, 61.5, 200.0])
    replayed = Replayed(trace=trace(2, 1, 0, 1), at_s=at_s)
    assert whole(replayed, 1).tolist() == whole(replayed, 2).tolist() == at_s.tolist()
    first, second = replayed.halves()
    assert whole(first, 0).tolist() == [1.0, 59.0, 61.5]
    assert whole(second, 0).tolist() == [80.0]
    assert (first.length_s, second.length_s, first.requests, second.requests) == (120.0, 120.0, 3.0, 1.0)


def test_instants_in_whole_seconds_are_spread_over_them() -> None:
    at_s = np.repeat(np.arange(4.0), 250)
    replayed = Replayed(trace=Trace(name="t", step_s=1.0, counts=np.full(4, 250.0)), at_s=at_s, resolution_s=1.0)
    found = whole(replayed, 1)
    assert np.unique(found).size == found.size == 1_000
    assert np.histogram(found, bins=[0, 1, 2, 3, 4])[0].tolist() == [250] * 4


def test_a_half_without_instants_has_no_blocks() -> None:
    replayed = Replayed(trace=trace(2, 0), at_s=np.empty(0))
    assert list(replayed.blocks(0)) == []
