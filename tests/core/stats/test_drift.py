"""What one stage's blocks do not show: the speed of another stage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.stats.drift import FEWEST_STAGES, Drift


def drift_of(stages: dict[str, list[float]]) -> Drift:
    found = Drift()
    for stage, speeds in stages.items():
        for speed in speeds:
            found.take_in(stage, speed)
    return found


def test_the_same_speed_in_each_stage_is_no_drift() -> None:
    assert drift_of({"layout": [100.0], "screen": [100.0, 100.0], "proof": [100.0]}).between_stages() == 0.0


def test_a_factor_between_stages_is_seen_whatever_the_unit() -> None:
    """A text model's baseline served 3,790 requests/s in the first stage and 2,000 in all that followed."""
    seen = {
        "layout": [3_789.0, 3_796.0, 3_792.0],
        "screen": [2_049.0],
        "screen2": [2_054.0],
        "proof": [2_102.0, 1_908.0],
    }
    found = drift_of(seen).between_stages()
    assert 0.25 < found < 0.35
    thousand = {stage: [1_000 * x for x in speeds] for stage, speeds in seen.items()}
    assert drift_of(thousand).between_stages() == pytest.approx(found)


def test_one_block_of_many_that_was_disturbed_is_not_drift() -> None:
    quiet = [2_000.0] * 9
    assert drift_of({"screen": [2_000.0], "proof": [2_000.0], "beside": [*quiet, 3_411.0]}).between_stages() < 1e-9


def test_two_stages_say_nothing() -> None:
    assert FEWEST_STAGES == 3
    assert drift_of({"screen": [1.0], "proof": [2.0]}).between_stages() == 0.0
    assert Drift().between_stages() == 0.0


def test_it_estimates_the_standard_deviation_of_the_logarithm() -> None:
    rng = np.random.default_rng(1)
    found = [
        drift_of({f"stage {k}": [math.exp(rng.normal(0, 0.05))] for k in range(5)}).between_stages() ** 2
        for _ in range(2_000)
    ]
    assert math.sqrt(float(np.mean(found))) == pytest.approx(0.05, rel=0.05)


def test_the_mean_of_all_stages_over_one_of_them() -> None:
    drift = drift_of({"layout": [100.0], "screen": [100.0, 400.0, 100.0], "proof": [800.0]})
    assert drift.typical_over("proof") == pytest.approx(0.25)
    assert drift.typical_over("layout") == pytest.approx(2.0)
    assert drift.typical_over("unknown") == 1.0
    assert drift_of({"layout": [100.0], "proof": [800.0]}).typical_over("proof") == 1.0
    assert drift.error() == pytest.approx(drift.between_stages() / math.sqrt(3) * 4.3027 / 1.96, rel=1e-4)
    assert Drift().error() == 0.0


@pytest.mark.parametrize("stages", [3, 4, 6])
def test_the_error_makes_an_interval_that_holds_the_truth(stages: int) -> None:
    rng = np.random.default_rng(5)
    held = []
    for _ in range(4000):
        drift = drift_of({f"stage {k}": [math.exp(rng.normal(0, 0.1))] for k in range(stages)})
        mean = math.log(drift.typical_over("stage 0")) + drift.logs["stage 0"][0]
        held.append(abs(mean) <= 1.96 * drift.error())
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)
