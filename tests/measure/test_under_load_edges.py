"""What is made of trials under load, by hand: latency–rate curves of straight lines, runs that lie on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_queues import BASE, CHOSEN, CURVE, run_state
from straight_rates import IDLE_S, RUN_SLOPE, STEADY_SLOPE, straight

from farthing.core.traffic.latency_rate import LatencyRate, latency_rates
from farthing.measure import under_load as room
from farthing.measure.open_loop import RunSeen, levels_of, requests_at, seen_of
from farthing.measure.state import RunState
from farthing.measure.under_load import BesideServer, beside_server, rates_of, seed_of, under_load
from farthing.nouns import Candidate, Dataset

BOUND_S, SATURATION_RPS = 0.03, 1000.0
A = CHOSEN
B, C, D, E = (replace(CHOSEN, variant=v) for v in "bcde")


def kept(slowness: float) -> float:
    """The rate that such a candidate keeps, solved by hand."""
    return SATURATION_RPS * math.exp(-slowness) * (math.log(BOUND_S / IDLE_S) - slowness) / STEADY_SLOPE


def tail_s(rate: float, slowness: float, saturation_rps: float = SATURATION_RPS) -> float:
    return IDLE_S * math.exp(slowness + RUN_SLOPE * rate * math.exp(slowness) / saturation_rps)


@dataclass
class Straight:
    """Trials whose runs lie on the curve of a candidate's slowness."""

    slowness: Mapping[Candidate, float]
    most_rps: float = math.inf
    slower: float = 1.0
    shares_differ: float | None = None
    saturation_rps: float = SATURATION_RPS
    asked: list[tuple[Candidate, float, int]] = field(default_factory=list)

    def __enter__(self) -> Straight:
        return self

    def __exit__(self, *_: object) -> None: ...

    def capacity(self, c: Candidate) -> tuple[float, float]:
        return self.slower, self.most_rps

    def run(self, c: Candidate, rate_rps: float, n: int) -> RunSeen:
        self.asked.append((c, rate_rps, n))
        seconds = tail_s(rate_rps, self.slowness[c], self.saturation_rps)
        tails = {f"{level:.6g}": seconds if level == 0.99 else math.nan for level in levels_of(0.99)}
        return RunSeen(rate_rps=rate_rps, n=n, seed=0, tails_s=tails, answered_frac=1.0, achieved_rps=rate_rps)


@dataclass
class Told:
    lines: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, *said: Any) -> None:
        self.lines.append(said)


@pytest.fixture
def state(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunState]:
    found = run_state(dataset, tmp_path)
    for c in (B, C, D, E):
        found.curves[replace(c, max_batch=1)] = CURVE
    found.bench.tell = Told()
    monkeypatch.setattr(room, "rates_of", lambda *_: {0.99: straight(SATURATION_RPS)})
    with found.bench:
        yield found


def rated(state: RunState, **rates: float) -> None:
    by_name = {"a": A, "b": B, "c": C, "d": D, "e": E}
    state.sla = {BASE: 200.0, **{by_name[name]: rate for name, rate in rates.items()}}


def test_the_best_and_the_others_are_rated_by_what_they_kept(state: RunState) -> None:
    rated(state, a=600.0, b=600.0)
    state.tied = (B,)
    assert under_load(state, A, [], Straight({A: 0.0, B: 0.1})) == A
    assert state.sla[A] == pytest.approx(kept(0.0) / 1.15, rel=2e-3)
    assert state.sla[B] == pytest.approx(kept(0.1) / 1.15, rel=2e-3)
    assert state.lost == {B: f"under load: keeps {kept(0.1):.0f} requests/s, best {kept(0.0):.0f}"}
    assert state.tied == ()
    assert state.tried == {A, B}
    told = state.bench.tell.lines  # type: ignore[attr-defined]
    assert told[-1] == ("under load", 1, 1, f"{A.label} keeps {kept(0.0):.0f} requests/s")
    assert told[0] == ("under load", 0, 2, f"{A.label} at 600 requests/s")


@pytest.mark.parametrize(("slowness", "is_lost"), [(0.004, False), (0.03, True)])
def test_who_keeps_two_per_cent_less_is_as_good(state: RunState, slowness: float, is_lost: bool) -> None:
    rated(state, a=600.0, b=600.0)
    state.tied = (B,)
    assert (kept(0.0) / kept(slowness) > 1.02) is is_lost
    assert under_load(state, A, [], Straight({A: 0.0, B: slowness})) == A
    assert (B in state.lost) is is_lost
    assert state.tied == (() if is_lost else (B,))


def test_only_those_who_were_tried_stay_tied(state: RunState) -> None:
    """Three are tried in any case; the fourth of equals cannot win any more, and is as good as nobody knows."""
    rated(state, a=600.0, b=600.0, c=600.0, d=545.0)
    state.tied = (B, C, D)
    runs = Straight(dict.fromkeys((A, B, C, D), 0.0))
    assert under_load(state, A, [], runs) == A
    assert [c for c, _, _ in runs.asked[:4]] == [A, B, C, A]
    assert {c for c, _, _ in runs.asked} == {A, B, C}
    assert state.tied == (B, C)


def test_a_contender_that_lost_before_and_wins_here_has_not_lost(state: RunState) -> None:
    rated(state, a=400.0, b=900.0)
    state.lost = {B: "a reason of the race"}
    assert under_load(state, A, [B], Straight({A: 0.2, B: 0.0})) == B
    assert B not in state.lost
    assert state.lost[A] == f"under load: keeps {kept(0.2):.0f} requests/s, best {kept(0.0):.0f}"


def test_who_lost_before_and_is_nearly_as_good_is_told_what_it_kept(state: RunState) -> None:
    rated(state, a=600.0, b=600.0)
    state.tied, state.lost = (B,), {B: "a reason of the race"}
    under_load(state, A, [], Straight({A: 0.0, B: 0.004}))
    assert state.lost[B] == f"under load: keeps {kept(0.004):.0f} requests/s, best {kept(0.0):.0f}"
    assert state.tied == ()


def test_nobody_keeps_a_promise_that_a_single_request_breaks(state: RunState) -> None:
    rated(state, a=600.0)
    runs = Straight({A: 3.0})
    assert under_load(state, A, [], runs) is None
    lowest = min(rate for _, rate, _ in runs.asked)
    assert lowest < 600.0
    assert state.sla[A] is None
    assert state.lost[A] == f"under load: p99 {1000 * tail_s(lowest, 3.0):.0f} ms at {lowest:.0f} requests/s"
    assert state.tried == {A}


def test_less_than_one_request_a_second_is_kept_all_the_same(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "rates_of", lambda *_: {0.99: straight(1.0)})
    rated(state, a=0.5, b=0.5)
    state.tied = (B,)
    assert under_load(state, A, [], Straight({A: 0.0, B: 0.1}, saturation_rps=1.0)) == A
    assert state.sla[A] == pytest.approx(kept(0.0) / SATURATION_RPS / 1.15, rel=2e-3)
    assert state.lost[B] == "under load: keeps 0 requests/s, best 1"


def test_whoever_was_not_tried_loses_the_share_that_the_others_lost(state: RunState) -> None:
    rated(state, a=2 * kept(0.0), b=4 * kept(0.1), c=400.0, d=5000.0)
    state.sla[E] = None
    state.tied = (B,)
    assert under_load(state, A, [], Straight({A: 0.0, B: 0.1})) == A
    assert state.sla[C] == pytest.approx(400.0 * 0.5 / 1.15, rel=2e-3)  # the most that anybody kept of the model's rate
    assert state.sla[D] == pytest.approx(kept(0.0) / 1.15, rel=2e-3)  # never more than the best
    assert state.sla[E] is None
    assert state.sla[BASE] == 200.0


def test_whoever_keeps_more_than_the_model_says_lifts_nobody(state: RunState) -> None:
    rated(state, a=0.8 * kept(0.0), c=100.0)
    assert under_load(state, A, [], Straight({A: 0.0})) == A
    assert state.sla[C] == pytest.approx(100.0 / 1.15, rel=1e-9)


def test_a_contender_without_a_rate_is_not_tried(state: RunState) -> None:
    rated(state, a=600.0)
    state.sla[B] = state.sla[C] = None
    state.tied = (B,)
    runs = Straight({A: 0.0})
    assert under_load(state, A, [C], runs) == A
    assert {c for c, _, _ in runs.asked} == {A}


def test_without_a_promise_the_leader_stays(state: RunState) -> None:
    workload = state.bench.workload
    state.bench.workload = replace(workload, objective=replace(workload.objective, latency=None))
    runs = Straight({})
    assert under_load(state, B, [A], runs) == B
    assert runs.asked == []


def test_the_first_run_is_at_no_more_than_the_server_answers(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def curves(*arguments: Any) -> dict[float, LatencyRate]:
        seen.append(arguments)
        return {0.99: straight(SATURATION_RPS)}

    monkeypatch.setattr(room, "rates_of", curves)
    rated(state, a=600.0)
    runs = Straight({A: 0.0}, most_rps=250.0, slower=1.5)
    under_load(state, A, [], runs)
    assert runs.asked[0] == (A, 250.0, requests_at(250.0, 0.99))
    assert runs.asked[1][1] == pytest.approx(1.3 * 250.0)  # a step up, no further
    assert {n for _, _, n in runs.asked} == {requests_at(250.0, 0.99)}
    assert seen == [(state.bench, CURVE, A, requests_at(250.0, 0.99), 1.5)]


@dataclass
class Poisson:
    """Notes what a bench is asked for."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    kept: list[list[Candidate]] = field(default_factory=list)

    def put_into(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(bench), "poisson", lambda _, *a: self.run(*a))
        monkeypatch.setattr(type(bench), "retire", lambda _, keep: self.kept.append(list(keep)))

    def run(self, c: Candidate, rate_rps: float, n: int, seed: int) -> RunSeen:
        self.asked.append((c, rate_rps, n, seed))
        latency_ms = np.full(n, 1000 * tail_s(rate_rps, 0.0))
        return seen_of(latency_ms, levels_of(0.99), rate_rps=rate_rps, seed=seed, achieved_rps=rate_rps)


def test_beside_the_server_each_run_of_a_candidate_has_arrivals_of_its_own(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Poisson()
    asked.put_into(state.bench, monkeypatch)
    with BesideServer(state) as runs:
        assert runs.capacity(A) == (1.0, math.inf)
        for c in (A, B, A):
            runs.run(c, 70.0, 500)
    seed = state.bench.seed
    first, second = seed_of(seed, "trial", 0), seed_of(seed, "trial", 1)
    assert asked.asked == [(A, 70.0, 500, first), (B, 70.0, 500, first), (A, 70.0, 500, second)]
    assert asked.kept == [[BASE, A], [BASE, B], [BASE, A]]


def test_seeds_differ_by_run_stage_and_seed_and_stay_the_same() -> None:
    """Frozen, since a journal's runs are known by them."""
    assert seed_of(0, "trial", 0) == 830429046
    assert len({seed_of(s, stage, k) for s in (0, 1) for stage in ("trial", "proof") for k in (0, 1)}) == 8


def test_curves_are_those_of_the_candidate_at_the_usual_levels(dataset: Dataset, tmp_path: Path) -> None:
    bench = run_state(dataset, tmp_path).bench
    known = CURVE.upto(1)
    for slower in ({}, {"slower": 2.0}):
        found = rates_of(bench, known, BASE, 600, **slower)
        plain = latency_rates(
            known.scaled(slower.get("slower", 1.0)), instances=1, max_batch=1, percentiles=levels_of(0.99), n=600,
            seed=bench.seed,
        )  # fmt: skip
        assert set(found) == set(levels_of(0.99))
        assert found[0.99].saturation_rps == plain[0.99].saturation_rps == 250.0 / slower.get("slower", 1.0)
        assert found[0.99].run_log_s.tolist() == plain[0.99].run_log_s.tolist()


def test_runs_for_what_is_not_planned_are_one_measurement(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Poisson()
    asked.put_into(state.bench, monkeypatch)
    times = iter([10.0, 12.5])
    monkeypatch.setattr(state.bench, "clock", type("Clock", (), {"monotonic_s": lambda _: next(times)})())
    lengths: list[tuple[Any, ...]] = []

    def curves(*arguments: Any) -> dict[float, LatencyRate]:
        lengths.append(arguments)
        return {level: replace(straight(SATURATION_RPS), percentile=level) for level in levels_of(0.99)}

    monkeypatch.setattr(room, "rates_of", curves)
    found = beside_server(state, A, 40.0, 3, "baseline")
    n = requests_at(40.0, 0.99)
    assert asked.asked == [(A, 40.0, n, seed_of(state.bench.seed, "baseline", k)) for k in range(3)]
    assert lengths == [(state.bench, CURVE, A, n)]
    assert found.seconds == pytest.approx(2.5)
    assert found.candidate == A
    assert found.hardware == "abc"
    assert state.bench.measurements == [found]
