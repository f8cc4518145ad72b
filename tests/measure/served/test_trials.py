"""Trials through servers: near-ties take turns, and who is better as users get it is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from served_queues import BASE, CHOSEN, CURVE, Paths, Queue, kept_rps, run_state

from farthing.core.search import sustained
from farthing.measure.served import live_server, trials
from farthing.measure.state import RunState
from farthing.measure.under_load import BesideServer, under_load
from farthing.nouns import Candidate, Dataset, LocalModel

OTHER = replace(CHOSEN, variant="other")


@pytest.fixture
def state(dataset: Dataset, tmp_path: Path) -> Iterator[RunState]:
    found = run_state(dataset, tmp_path)
    found.curves[replace(OTHER, max_batch=1)] = CURVE
    found.bench.artefacts["other"] = found.bench.artefacts["quick"]
    with found.bench:
        yield found


def served(monkeypatch: pytest.MonkeyPatch, slowness: dict[Candidate, float], busy: int = 0) -> list[Queue]:
    """A queue of its own for each candidate, so many times slower than was measured beside the server."""
    made: list[Queue] = []

    def serve(bench: object, model: LocalModel, key: str) -> Queue:
        queue = Paths([slowness[model.candidate]])(bench, model, key)  # type: ignore[arg-type]
        queue.busy = len(made) < busy
        made.append(queue)
        return queue

    monkeypatch.setattr(trials, "served_model", serve)
    return made


def test_of_near_ties_the_one_that_its_server_slows_down_less_is_chosen(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the server the first is a little better, through it a fifth worse."""
    state.sla = {BASE: 200.0, CHOSEN: kept_rps(), OTHER: kept_rps() * 0.98}
    state.tied = (OTHER,)
    made = served(monkeypatch, {CHOSEN: 1.25, OTHER: 1.02})
    with trials.ThroughServers(state) as runs:
        assert under_load(state, CHOSEN, [CHOSEN, OTHER], runs) == OTHER
    first, second = made
    assert len(first.asked) == len(second.asked) == state.bench.settings.trial_runs
    kept = state.sla[OTHER]
    assert kept is not None
    assert kept * sustained.HEADROOM == pytest.approx(kept_rps(1.02), rel=0.08)
    assert state.lost[CHOSEN].startswith("under load: keeps ")


def test_near_ties_take_turns(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    state.sla, state.tied = {BASE: 200.0, CHOSEN: kept_rps(), OTHER: kept_rps()}, (OTHER,)
    served(monkeypatch, {CHOSEN: 1.0, OTHER: 1.0})
    order: list[Candidate] = []

    class Noted(trials.ThroughServers):
        def run(self, c: Candidate, rate_rps: float, n: int) -> object:  # type: ignore[override]
            order.append(c)
            return super().run(c, rate_rps, n)

    with Noted(state) as runs:
        under_load(state, CHOSEN, [CHOSEN, OTHER], runs)  # type: ignore[arg-type]
    assert order == [CHOSEN, OTHER] * state.bench.settings.trial_runs


def test_nobody_is_tried_beyond_what_its_server_answers(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    state.sla = {BASE: 200.0, CHOSEN: kept_rps()}
    made = served(monkeypatch, {CHOSEN: 3.0})
    with trials.ThroughServers(state) as runs:
        under_load(state, CHOSEN, [CHOSEN], runs)
    assert max(rate for rate, _ in made[0].asked) < made[0].capacity_rps(0) < kept_rps()


def test_a_trial_that_others_disturbed_is_made_again_with_other_arrivals(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.sla = {BASE: 200.0, CHOSEN: kept_rps()}
    made = served(monkeypatch, {CHOSEN: 1.0}, busy=1)
    with trials.ThroughServers(state) as runs:
        under_load(state, CHOSEN, [CHOSEN], runs)
    seeds = [seed for _, seed in made[0].asked]
    assert len(seeds) == len(set(seeds)) == state.bench.settings.trial_runs + 3


def test_all_servers_are_ended(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(Queue, "__exit__", lambda self, *_: ended.append(self.key))
    served(monkeypatch, {CHOSEN: 1.0, OTHER: 1.0})
    with trials.ThroughServers(state) as runs:
        for c in (CHOSEN, OTHER):
            runs.capacity(c)
        assert not ended
    assert len(set(ended)) == 2


def test_without_a_server_here_trials_are_beside_it(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(trials.trial_runs(state), trials.ThroughServers)
    monkeypatch.setattr(live_server, "missing", lambda: "no reason")
    beside = trials.trial_runs(state)
    assert isinstance(beside, BesideServer)
    assert beside.capacity(CHOSEN) == (1.0, float("inf"))
    assert beside.shares_differ is None
