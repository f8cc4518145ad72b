"""The comparison with Ray's policy sees a difference, and asks about states that move it."""

from __future__ import annotations

from typing import Any

from farthing.core.scaling.ray_serve import Observation, Policy, State, step
from ray_policy import STEPS, compared, runs


def ours(given: list[dict[str, Any]]) -> list[list[list[Any]]]:
    found = []
    for run in given:
        state, rows = State(direction=(run["counter"] > 0) - (run["counter"] < 0), since_s=run["since_s"]), []
        for now_s, running, target, load in run["steps"]:
            seen = Observation(running_replicas=running, target_replicas=target, ongoing_requests=load)
            state, decision = step(Policy(**run["config"]), state, seen, now_s)
            rows.append([decision.replicas, state.direction, state.since_s])
        found.append(rows)
    return found


def test_a_difference_in_decision_or_state_is_told_once() -> None:
    given = runs(400, 3)
    oracle = ours(given)
    assert compared(given, oracle) == []
    oracle[0][0][0] += 1
    oracle[4][7][1] = 0 if oracle[4][7][1] else 1
    told = compared(given, oracle)
    assert len(told) in (2, 3)  # the altered state may move the next decision too
    assert "Ray (" in told[0]


def test_states_are_drawn_that_wait_and_that_change() -> None:
    given = runs(4000, 1)
    assert sum(len(run["steps"]) for run in given) == 4000 == len(given) * STEPS
    rows = [(row, seen) for run, of in zip(given, ours(given)) for row, seen in zip(of, run["steps"])]
    changed = sum(row[0] != seen[2] for row, seen in rows) / len(rows)
    waiting = sum(row[1] != 0 for row, _ in rows) / len(rows)
    assert 0.2 < changed < 0.9
    assert 0.1 < waiting < 0.8
    assert runs(80, 5) == runs(80, 5)
