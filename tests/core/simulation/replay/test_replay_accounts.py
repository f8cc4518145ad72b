"""A replay in replica-hours and dollars, and how it moved."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from autoscalers import external, hpa, scaled_object, written
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.hpa.reconcile import Metric, Spec
from farthing.core.simulation.billing import Billing
from farthing.core.simulation.replay.accounts import accounts_of, steadiness_of, turns_of
from farthing.core.simulation.replay.autoscaler import Autoscaler, Followed
from farthing.core.simulation.replay.passes import Change, Fleet, Replayed
from farthing.core.simulation.replay.recording import Recorded, Recording
from farthing.core.simulation.replay.replay import replay
from farthing.load.scaling.hpa_manifest import hpa_of
from farthing.load.scaling.scaled_object import scaled_object_of


def recording(load: list[float]) -> Recording:
    one = Recorded(
        at_s=15.0 * np.arange(len(load)), load=np.array(load, dtype=np.float64), step_s=15, loop="open", read_as=""
    )
    return Recording(start_s=0, length_s=15.0 * len(load), metrics=(one,))


def autoscaler(lowest: int, highest: int) -> Autoscaler:
    metric = Metric(kind="external", target_type="average_value", target=100_000)
    return Autoscaler(
        kind="HorizontalPodAutoscaler",
        name="web",
        target="Deployment/web",
        spec=Spec(min_replicas=lowest, max_replicas=highest, metrics=(metric,)),
        followed=(Followed(name="requests", path="spec.metrics[0]", metric=metric, target_text="100"),),
    )


def test_steady_load(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa(minReplicas=2)))
    found = replay(scaler, recording([400.0] * 240), Fleet(initial=4))
    a = accounts_of(scaler, found, 0.5)
    assert a.fewest is not None
    assert [one.replica_hours for one in (a.decided, a.always_max, a.always_min, a.fewest)] == [4, 10, 2, 4]
    assert [one.usd for one in (a.decided, a.always_max, a.always_min, a.fewest)] == [2, 5, 1, 2]
    unpriced = accounts_of(scaler, found, None)
    assert (unpriced.decided.replica_hours, unpriced.decided.usd) == (4, None)


def test_a_pod_is_paid_from_its_running_a_minute_at_least(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa()))
    found = replay(scaler, recording([400.0] * 40), Fleet(initial=1, start_s=60, load_s=0))
    assert accounts_of(scaler, found, None).decided.replica_hours * 3600 == 600 + 3 * 540
    whole = accounts_of(scaler, found, None, Billing(unit_s=3600, since="requested"))
    assert whole.decided.replica_hours == 4


@given(st.lists(st.floats(0, 2000), min_size=30, max_size=90), st.integers(1, 4), st.integers(4, 12))
def test_accounts_lie_between_their_bounds(load: list[float], lowest: int, highest: int) -> None:
    scaler = autoscaler(lowest, highest)
    found = replay(scaler, recording(load), Fleet(initial=lowest, start_s=0, load_s=0))
    a = accounts_of(scaler, found, 1.0, Billing(minimum_s=0))
    assert a.fewest is not None
    slack_h = len(found.lives) / 3600 + 1e-9  # each life is rounded up to a second
    for one in (a.decided, a.fewest):
        assert a.always_min.replica_hours - 1e-9 <= one.replica_hours <= a.always_max.replica_hours + slack_h
    s = steadiness_of(scaler, found)
    assert 0 <= s.short_frac <= 1
    assert s.turns <= max(0, s.changes - 1)
    assert s.busiest_hour_turns == s.turns  # less than an hour


def test_beyond_the_maximum_and_short(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa(maxReplicas=4)))
    s = steadiness_of(scaler, replay(scaler, recording([400.0] * 30 + [900.0] * 10), Fleet(initial=4)))
    assert (s.at_max_frac, s.beyond_max_frac, s.most_asked) == (1.0, 0.25, 9)
    assert (s.short_frac, s.most_short, s.changes) == (0.25, 5, 0)


def test_more_than_needed(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa(minReplicas=4)))
    s = steadiness_of(scaler, replay(scaler, recording([100.0] * 20), Fleet(initial=8)))
    assert s.over_frac == pytest.approx((8 - 4) / 8)


def test_where_replicas_cannot_help_nothing_is_fewest(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa([external(type="Value", value=100)])))
    found = replay(scaler, recording([100.0] * 20), Fleet(initial=2))
    assert accounts_of(scaler, found, 1.0).fewest is None
    assert steadiness_of(scaler, found).short_frac == 0


def test_fewest_of_a_workload_that_may_be_off(tmp_path: Path) -> None:
    scaler = scaled_object_of(written(tmp_path, scaled_object()))
    found = replay(scaler, recording([0.0] * 120 + [200.0] * 120), Fleet(initial=0))
    fewest = accounts_of(scaler, found, None).fewest
    assert fewest is not None
    assert fewest.replica_hours == 1.0  # half an hour of two


def changes(*numbers: int) -> tuple[Change, ...]:
    return tuple(
        Change(at_s=60.0 * k, before=a, after=b, by="hpa", reason="") for k, (a, b) in enumerate(pairwise(numbers))
    )


def test_turns() -> None:
    assert turns_of(changes(1, 2, 4, 3, 2, 5)) == (120, 240)
    assert turns_of(()) == ()


@pytest.mark.parametrize("wrong", [{"initial": -1}, {"initial": 1, "start_s": -1}, {"initial": 1, "sync_s": 0}])
def test_a_fleet_is_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Fleet"):
        Fleet(**wrong)  # type: ignore[arg-type]


def test_a_replay_shows_its_arrays(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa()))
    found: Replayed = replay(scaler, recording([250.0] * 3), Fleet(initial=1))
    assert list(found.after) == [3, 3, 3]
    assert list(found.needed) == [3, 3, 3]
    assert list(found.asked) == [3, 3, 3]
    assert list(found.ready) == [1, 1, 1]
