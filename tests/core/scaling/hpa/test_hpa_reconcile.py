"""Whole passes, one after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.hpa.behavior import Behavior, Policy, Rules
from farthing.core.scaling.hpa.pods import Pod, Sample
from farthing.core.scaling.hpa.reconcile import (
    Controller,
    Metric,
    Observation,
    Outcome,
    Reading,
    Spec,
    State,
    reconcile,
)
from farthing.core.scaling.hpa.replicas import Tolerance

CPU = Metric(kind="resource", target_type="utilization", target=50)
QUEUE = Metric(kind="external", target_type="average_value", target=10_000)


def seen(replicas: int, usage_pct: int | None = None, queue: int | None = None) -> Observation:
    pods = tuple(
        Pod(name=f"p{k}", ready=True, start_age_s=9000, ready_transition_age_s=8990, request_m=1000)
        for k in range(replicas)
    )
    readings = []
    if usage_pct is not None:
        readings.append(Reading(samples={pod.name: Sample(value_m=usage_pct * 10) for pod in pods}))
    if queue is not None:
        readings.append(Reading(values_m=(queue * 1000,)) if queue >= 0 else Reading(failed=True))
    return Observation(spec_replicas=replicas, status_replicas=replicas, pods=pods, readings=tuple(readings))


def spec(*metrics: Metric, **told: object) -> Spec:
    return Spec(**({"max_replicas": 20, "metrics": metrics} | told))  # type: ignore[arg-type]


def run(of: Spec, loads: list[tuple[float, int]], replicas: int) -> list[int]:
    """Replicas after each pass; a load is spread over the replicas that there are."""
    state, found = State(), []
    for now_s, load_pct in loads:
        state, outcome = reconcile(of, state, seen(replicas, load_pct // replicas), now_s)
        replicas = outcome.replicas
        found.append(replicas)
    return found


def test_a_scale_down_waits_for_the_stabilisation_and_a_scale_up_does_not() -> None:
    loads = [(0.0, 200), (15.0, 400), *[(30.0 + 15 * k, 100) for k in range(22)]]
    found = run(spec(CPU), loads, 4)
    assert found[:2] == [4, 8]
    assert found[2:22] == [8] * 20
    assert found[-1] == 2


def test_the_highest_of_several_metrics_is_taken() -> None:
    _, outcome = reconcile(spec(CPU, QUEUE), State(), seen(4, 100, 120), 0.0)
    assert outcome.replicas == 8
    _, outcome = reconcile(spec(CPU, QUEUE), State(), seen(4, 100, 20), 0.0)
    assert outcome.replicas == 8
    assert outcome.utilizations_pct == (100, None)


def test_a_failing_metric_stops_a_scale_down_only() -> None:
    state, outcome = reconcile(spec(CPU, QUEUE), State(), seen(4, 100, -1), 0.0)
    assert (outcome.replicas, outcome.scaled) == (8, True)
    assert outcome.error is not None
    _, outcome = reconcile(spec(CPU, QUEUE), replace(state, recommendations=()), seen(4, 10, -1), 0.0)
    assert (outcome.replicas, outcome.scaled) == (4, False)
    assert outcome.conditions["ScalingActive"] == (False, "FailedGetExternalMetric")


def test_values_are_read_by_the_kind_and_target_of_their_metric() -> None:
    def decided(kind: str, target_type: str, ready: bool = True) -> int:
        of = spec(Metric(kind=kind, target_type=target_type, target=10_000))
        pods = tuple(replace(pod, ready=ready or k < 2) for k, pod in enumerate(seen(4).pods))
        values = Reading(values_m=(30_000,))
        now = Observation(spec_replicas=4, status_replicas=6, pods=pods, readings=(values,))
        return reconcile(of, State(), now, 0.0)[1].replicas

    for kind in ("external", "object"):
        assert decided(kind, "value") == 8
        assert decided(kind, "value", ready=False) == 6
        assert decided(kind, "average_value") == 4


def test_readiness_matters_for_cpu_and_not_for_metrics_of_pods() -> None:
    def decided(metric: Metric) -> int:
        now = seen(4, 100)
        pods = tuple(replace(pod, ready=k < 2, ready_transition_age_s=9000) for k, pod in enumerate(now.pods))
        return reconcile(spec(metric), State(), replace(now, pods=pods), 0.0)[1].replicas

    assert decided(CPU) == 4
    assert decided(replace(CPU, kind="container_resource")) == 4
    assert decided(replace(CPU, resource="memory")) == 8
    assert decided(Metric(kind="resource", target_type="average_value", target=500)) == 4
    assert decided(Metric(kind="pods", target_type="average_value", target=500)) == 8


def test_out_of_bounds_is_mended_without_looking_at_metrics() -> None:
    broken = spec(QUEUE, min_replicas=3, max_replicas=5)
    assert reconcile(broken, State(), seen(2, queue=-1), 0.0)[1].replicas == 3
    assert reconcile(broken, State(), seen(9, queue=-1), 0.0)[1].replicas == 5


def test_at_zero_the_autoscaler_is_off_unless_it_went_there_itself() -> None:
    gate = Controller(scale_to_zero=True)
    of = spec(QUEUE, min_replicas=0, controller=gate)
    _, off = reconcile(of, State(), seen(0, queue=50), 0.0)
    assert (off.replicas, off.conditions["ScalingActive"]) == (0, (False, "ScalingDisabled"))
    state, down = reconcile(of, State(recommendations=()), seen(3, queue=0), 0.0)
    assert (down.replicas, state.scaled_to_zero) == (0, True)
    state, up = reconcile(of, state, seen(0, queue=25), 400.0)
    assert (up.replicas, state.scaled_to_zero) == (3, False)


def test_rates_of_behavior_add_up_over_passes() -> None:
    slow = Behavior(scale_up=Rules(policies=(Policy(kind="Pods", value=2, period_s=60),), stabilization_s=0))
    loads = [(15.0 * k, 2000) for k in range(9)]
    assert run(spec(CPU, behavior=slow), loads, 2) == [4, 4, 4, 4, 6, 6, 6, 6, 8]


def test_tolerance_of_behavior_counts_where_the_gate_is_open() -> None:
    tight = Behavior(scale_up=Rules(policies=(Policy(kind="Pods", value=9, period_s=15),), tolerance=0.0))
    assert spec(CPU, behavior=tight).tolerance == Tolerance(down=0.1, up=0.0)
    closed = Controller(configurable_tolerance=False)
    assert spec(CPU, behavior=tight, controller=closed).tolerance == Tolerance()


def test_a_target_that_does_not_fit_its_metric_is_a_failure() -> None:
    for metric in (
        Metric(kind="pods", target_type="value", target=1),
        Metric(kind="resource", target_type="value", target=1),
        Metric(kind="object", target_type="utilization", target=1),
    ):
        _, outcome = reconcile(spec(metric), State(), seen(2, 50), 0.0)
        assert outcome.error is not None
        assert outcome.error.code == "no_target"


@given(
    loads=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    least=st.integers(1, 5),
    extra=st.integers(0, 10),
    behaves=st.booleans(),
)
def test_bounds_are_kept(loads: list[int], least: int, extra: int, behaves: bool) -> None:
    of = spec(CPU, min_replicas=least, max_replicas=least + extra, behavior=Behavior() if behaves else None)
    found = run(of, [(15.0 * k, load) for k, load in enumerate(loads)], least)
    assert all(least <= replicas <= least + extra for replicas in found)


@given(usage_pct=st.integers(45, 55), replicas=st.integers(1, 20))
def test_nothing_changes_within_tolerance(usage_pct: int, replicas: int) -> None:
    _, outcome = reconcile(spec(CPU), State(), seen(replicas, usage_pct), 0.0)
    assert (outcome.replicas, outcome.scaled) == (replicas, False)


@given(usage_pct=st.integers(0, 400), more=st.integers(0, 400), replicas=st.integers(1, 20), recent=st.integers(1, 20))
def test_more_load_never_gives_fewer_replicas(usage_pct: int, more: int, replicas: int, recent: int) -> None:
    def decided(load: int) -> Outcome:
        state, _ = reconcile(spec(CPU), State(), seen(recent, 50), 0.0)
        return reconcile(spec(CPU), state, seen(replicas, load), 15.0)[1]

    assert decided(usage_pct + more).replicas >= decided(usage_pct).replicas


def test_bad_specifications_are_refused() -> None:
    with pytest.raises(ValueError, match="min ≤ max"):
        spec(CPU, min_replicas=5, max_replicas=4)
    with pytest.raises(ValueError, match="needs a metric"):
        spec()
    with pytest.raises(ValueError, match="target must be > 0"):
        Metric(kind="resource", target_type="utilization", target=0)
    with pytest.raises(ValueError, match="need as many readings"):
        reconcile(spec(CPU, QUEUE), State(), seen(2, 50), 0.0)


def test_defaults_are_those_of_kubernetes() -> None:
    usual = Controller()
    assert (usual.downscale_stabilization_s, usual.scale_up_limit_factor, usual.scale_up_limit_minimum) == (300, 2, 4)
    assert (usual.configurable_tolerance, usual.scale_to_zero, usual.tolerance) == (
        True,
        False,
        Tolerance(down=0.1, up=0.1),
    )
    assert (spec(CPU).min_replicas, spec(CPU).behavior) == (1, None)


def test_negative_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="≥ 0"):
        Observation(spec_replicas=-1, status_replicas=0, pods=(), readings=())
    with pytest.raises(ValueError, match="≥ 0"):
        Observation(spec_replicas=0, status_replicas=-1, pods=(), readings=())
