"""The frontier keeps what nothing beats and joins what cannot be told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.core.money.frontier import FrontierGroup, FrontierPoint, frontier, non_dominated, point_of
from farthing.nouns import AccuracyEvidence, Candidate, Estimate, Evaluation, Latency, Status

axis = st.integers(0, 6).map(float)
rows = st.lists(st.tuples(axis, axis, axis), min_size=1, max_size=25)


def estimate(value: float, half: float = 0.0) -> Estimate:
    return Estimate(value=value, lo=value - half, hi=value + half, n=8, method="test")


def point(cost: float, drop: float, p99: float, half: float = 0.0, label: str = "x") -> FrontierPoint:
    return FrontierPoint(
        label=label,
        cost_usd_per_month=estimate(cost, half),
        drop_frac=estimate(drop, half),
        tail_ms=estimate(p99, half),
    )


def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b)) and a != b


@given(values=rows)
def test_non_dominated_by_definition(values: list[tuple[float, float, float]]) -> None:
    kept = non_dominated(np.array(values))
    assert kept.tolist() == [not any(beats(other, row) for other in values) for row in values]
    assert kept.any()


@settings(max_examples=100)
@given(values=rows, half=st.sampled_from([0.0, 0.3, 0.6, 2.0]))
def test_groups(values: list[tuple[float, float, float]], half: float) -> None:
    points = [point(*row, half=half) for row in values]
    groups = frontier(points)
    leaders = [g.leader for g in groups]
    grouped = leaders + [i for g in groups for i in g.tied]
    assert len(grouped) == len(set(grouped))  # nobody twice
    for leader in leaders:
        assert not any(beats(other, values[leader]) for other in values)
    kept = non_dominated(np.array(values))
    assert {i for i in range(len(values)) if kept[i]} <= set(grouped)  # nothing good is lost
    for g in groups:
        for i in g.tied:
            assert all(abs(a - b) <= 2 * half for a, b in zip(values[g.leader], values[i]))
    assert [values[i][0] for i in leaders] == sorted(values[i][0] for i in leaders)


def test_exact_points_are_their_own_groups_and_equal_ones_are_one() -> None:
    points = [point(2, 1, 1), point(1, 2, 1), point(1, 2, 1), point(3, 3, 3)]
    assert frontier(points) == (FrontierGroup(leader=1, tied=(2,)), FrontierGroup(leader=0))
    assert frontier(()) == ()


def test_ties_do_not_chain() -> None:
    points = [point(cost, 0, 0, half=0.6) for cost in (1.0, 2.0, 3.0)]
    assert frontier(points) == (FrontierGroup(leader=0, tied=(1,)),)


def test_one_sided_intervals_are_mirrored() -> None:
    def one_sided(drop: float, cost: float, label: str) -> FrontierPoint:
        limit = Estimate(value=drop, lo=-math.inf, hi=drop + 0.01, n=450, method="exact upper limit")
        return FrontierPoint(label=label, cost_usd_per_month=estimate(cost, 5), drop_frac=limit, tail_ms=estimate(1, 1))

    far = [one_sided(0.05, 1, "cheap"), one_sided(0.0, 2, "exact")]
    assert [g.tied for g in frontier(far)] == [(), ()]
    near = [one_sided(0.015, 1, "cheap"), one_sided(0.0, 2, "exact")]
    assert [g.tied for g in frontier(near)] == [(1,)]


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="without NaN"):
        non_dominated(np.array([[1.0, math.nan]]))


def evaluation(status: Status = "lost", **fields: object) -> Evaluation:
    candidate = Candidate(engine="openvino", variant="int8-nncf", precision="int8")
    return Evaluation(candidate=candidate, status=status, cost_usd_per_month=estimate(590.0), **fields)


def p99(ms: float) -> Latency:
    return Latency(percentile=0.99, ms=estimate(ms))


def test_points_of_evaluations() -> None:
    evidence = AccuracyEvidence(
        metric="accuracy",
        split="search",
        n=200,
        n_differ=1,
        n_worse=1,
        n_better=0,
        baseline_frac=estimate(0.99),
        candidate_frac=estimate(0.985),
        drop_frac=estimate(0.005),
        verdict="met",
    )
    found = point_of(evaluation(accuracy=evidence, single=(p99(3.0),), at_peak=p99(9.0)), 0.99)
    assert found is not None
    assert found.label == "openvino int8-nncf b1 1×1"
    assert [e.value for e in found.axes] == [590.0, 0.005, 9.0]
    assert point_of(evaluation(single=(p99(3.0),)), 0.99) is None
    assert point_of(evaluation(accuracy=evidence), 0.99) is None
    assert point_of(evaluation(accuracy=evidence, at_peak=p99(9.0)), 0.999) is None
    baseline = point_of(evaluation("baseline", single=(p99(30.0),)), 0.99)
    assert baseline is not None
    assert [e.value for e in baseline.axes] == [590.0, 0.0, 30.0]
