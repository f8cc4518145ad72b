"""Availability of zones: what can be had, when it is taken back, and what the fleet hears of it."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.simulation.spot.histories import Reclaiming, ZoneHistory, reclaimed


def history(*available: int, zone: str = "a") -> ZoneHistory:
    return ZoneHistory(zone=zone, step_s=100.0, available=np.array(available, dtype=np.int64))


def test_what_can_be_had_now_and_it_repeats() -> None:
    zone = history(1, 0, 2)
    assert [zone.at(s) for s in (0.0, 99.9, 100.0, 250.0, 300.0, 410.0)] == [1, 1, 0, 2, 1, 0]
    assert (zone.least(0.0, 99.0), zone.least(0.0, 100.0), zone.least(200.0, 350.0)) == (1, 0, 1)


def test_falls_with_their_size_over_the_seam_too() -> None:
    assert list(history(2, 0, 1).falls(900.0)) == [(100.0, 2), (400.0, 2), (700.0, 2)]
    assert list(history(1, 3).falls(250.0)) == [(200.0, 2)]
    assert list(history(1).falls(1e4)) == []


def test_a_notice_lets_it_serve_until_it_drains() -> None:
    found = reclaimed([history(1, 0), history(1, zone="b")], 150.0, Reclaiming(notice_s=30.0, drain_s=5.0))
    assert [(d.at_s, d.pool, d.count, d.kind, d.notice_s) for d in found] == [(125.0, "a", 1, "preempted", 5.0)]


@pytest.mark.parametrize(
    "wrong", [{"step_s": 0.0}, {"available": np.array([], dtype=np.int64)}, {"available": np.array([-1])}]
)
def test_a_history_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    usual: dict[str, object] = {"zone": "a", "step_s": 1.0, "available": np.array([1])}
    with pytest.raises(ValueError, match="ZoneHistory a"):
        ZoneHistory(**(usual | wrong))  # type: ignore[arg-type]


def test_a_drain_longer_than_the_notice_is_refused() -> None:
    with pytest.raises(ValueError, match="drain_s ≤ notice_s"):
        Reclaiming(notice_s=5.0, drain_s=10.0)
