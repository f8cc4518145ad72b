"""Curves of service times: made of samples, cut, scaled, carried over to another time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Estimate


def ms(value: float) -> Estimate:
    return Estimate(value=value, lo=0.9 * value, hi=1.2 * value, n=8, method="t")


def test_curve_interpolates_and_never_falls() -> None:
    curve = ServiceCurve.exact(sizes=(2, 4, 8), seconds=(0.004, 0.003, 0.007))
    assert curve.by_size_s(8) == pytest.approx([0.004, 0.004, 0.004, 0.004, 0.00475, 0.0055, 0.00625, 0.007])
    assert curve.by_size_s(2).shape == (2,)


def test_curve_of_an_evaluation() -> None:
    service_ms = ((4, ms(6.0)), (1, ms(2.0)))
    assert ServiceCurve.of(service_ms).seconds == pytest.approx((0.002, 0.006))
    slow = ServiceCurve.of(service_ms, sigma=0.2, end="hi")
    assert slow.seconds == pytest.approx((0.0024, 0.0072))
    assert slow.sigma == 0.2


@pytest.mark.parametrize(
    "fields",
    [
        {"sizes": (), "seconds": ()},
        {"sizes": (1, 2), "seconds": (0.1,)},
        {"sizes": (2, 1), "seconds": (0.1, 0.2)},
        {"sizes": (0,), "seconds": (0.1,)},
        {"sizes": (1,), "seconds": (0.0,)},
        {"sizes": (1,), "seconds": (math.nan,)},
        {"sizes": (1,), "seconds": (0.1,), "sigma": -0.1},
    ],
)
def test_bad_curves_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"ServiceCurve|NaN"):
        ServiceCurve.exact(**fields)


def test_curve_of_samples_has_means_and_the_spread_of_single_batches() -> None:
    rng = np.random.default_rng(0)
    samples = {b: 2.0 * b * np.exp(rng.normal(0, 0.2, 400)) for b in (8, 1)}
    curve = ServiceCurve.measured(samples)
    assert curve.sizes == (1, 8)
    assert curve.sigma == pytest.approx(0.2, rel=0.1)
    assert curve.service_ms[1].value == pytest.approx(samples[8].mean())


def test_busy_cores_widen_to_the_range() -> None:
    samples = {1: (2.0, 2.1, 9.0), 2: (3.0, 3.1, 3.2)}
    quiet, busy = ServiceCurve.measured(samples), ServiceCurve.measured(samples, contended=[2])
    assert quiet.service_ms[0] == busy.service_ms[0]
    assert (busy.service_ms[1].lo, busy.service_ms[1].hi) == (
        min(3.0, quiet.service_ms[1].lo),
        max(3.2, quiet.service_ms[1].hi),
    )
    assert "busy" in busy.service_ms[1].method


def test_curve_up_to_a_size_and_scaled() -> None:
    curve = ServiceCurve.exact(sizes=(1, 4, 16), seconds=(0.001, 0.002, 0.005), sigma=0.1)
    assert curve.upto(8).sizes == (1, 4)
    assert curve.scaled(2).seconds == pytest.approx((0.002, 0.004, 0.010))
    with pytest.raises(ValueError, match="at least one"):
        curve.upto(0)


def test_curve_carried_over_keeps_its_shape_where_it_was_not_seen_again() -> None:
    curve = ServiceCurve.exact(sizes=(1, 4, 8, 16), seconds=(0.001, 0.002, 0.004, 0.007))
    seen = curve.carried_over({1: ms(1.1), 8: ms(4.8), 32: ms(1.0)})
    factor = math.sqrt(1.1 * 1.2)
    assert [e.value for e in seen.service_ms] == pytest.approx([1.1, 2 * factor, 4.8, 7 * factor])
    assert curve.carried_over({}) == curve
