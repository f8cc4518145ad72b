"""Shapes have unit mean, the documented peaks, and repeat exactly."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.traffic.shapes import SHAPES, by_name, day_night, flat


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_unit_mean_week(name: str) -> None:
    trace = by_name(name)
    assert trace.name == name
    assert trace.hours == pytest.approx(168)
    assert (trace.counts / trace.step_s).mean() == pytest.approx(1.0)
    assert not trace.inferred


def test_day_night_has_the_documented_peak_and_trough() -> None:
    rate = day_night().counts / 60
    assert rate.max() == pytest.approx(1.63, abs=0.005)
    assert rate.min() == pytest.approx(0.26, abs=0.005)


def test_day_night_sleeps_at_night_and_rests_at_the_weekend() -> None:
    mean_rps, _ = day_night().hourly_rps()
    by_day = mean_rps.reshape(7, 24)
    assert (by_day.argmin(axis=1) < 6).all()
    assert by_day[5:].mean() < 0.85 * by_day[:5].mean()
    assert np.allclose(by_day[1], by_day[2])  # workdays are alike


def test_day_night_is_smooth_round_the_week() -> None:
    rate = day_night().counts / 60
    assert np.abs(np.diff(np.append(rate, rate[0]))).max() < 0.01


def test_shapes_are_deterministic_and_follow_their_step() -> None:
    assert np.array_equal(day_night().counts, day_night().counts)
    fine, coarse = day_night(60.0), day_night(300.0)
    # Same curve up to curvature inside a step, less than a thousandth of the mean.
    assert np.allclose(fine.counts.reshape(-1, 5).sum(axis=1), coarse.counts, atol=0.3)
    assert flat(3600, days=1).counts.tolist() == [3600.0] * 24


def test_unknown_shape_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="'bursty'; known: day-night, flat"):
        by_name("bursty")


@pytest.mark.parametrize(("step_s", "days"), [(7.0 / 3, 0), (0.0, 7), (-60.0, 7), (7201.0, 7), (61.0, 7), (60.0, 0)])
def test_bad_steps_and_days_are_refused(step_s: float, days: int) -> None:
    with pytest.raises(ValueError, match="must"):
        day_night(step_s, days)
