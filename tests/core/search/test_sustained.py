"""Trials under load: the best sustained rate is found, and nobody is served who cannot win."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.core.search import sustained
from farthing.core.traffic.latency_rate import LatencyRate, latency_rates
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Candidate

A, B, C = (Candidate(engine="fake", variant=v, precision="fp32") for v in "abc")
BOUND_S = 0.05


@cache
def curve() -> LatencyRate:
    """One worker that takes 5 ms a request, in runs of 300."""
    known = ServiceCurve.exact(sizes=[1], seconds=[0.005], sigma=0.1)
    return latency_rates(known, instances=1, max_batch=1, percentiles=(0.99,), n=300)[0.99]


MODEL_RPS = curve().kept_rps(BOUND_S, 0.0)


def seen_s(rate_rps: float, slowness: float) -> float:
    """What a run sees on average on a machine that is slower by a factor."""
    load = rate_rps * math.exp(slowness) / curve().saturation_rps
    return math.exp(slowness + float(curve()._run_at(load)))


def settle(
    modelled: Mapping[Candidate, float], slowness: Mapping[Candidate, float], first: list[Candidate]
) -> tuple[sustained.Trials, list[tuple[Candidate, float]]]:
    trials, served = sustained.start(modelled, first, bound_s=BOUND_S), []
    while found := sustained.turn(trials):
        c, rate = found
        served.append(found)
        trials = sustained.step(trials, c, curve(), rate, seen_s(rate, slowness[c]))
        assert len(served) < 100
    return trials, served


def test_a_leader_as_good_as_its_model_is_served_as_often_as_wanted_and_nobody_else() -> None:
    trials, served = settle({A: MODEL_RPS, B: MODEL_RPS * 0.9}, {A: 0.0, B: 0.0}, [A])
    assert [c for c, _ in served] == [A] * sustained.RUNS
    assert sustained.best(trials) == A
    assert sustained.kept_rps(trials, A) == pytest.approx(MODEL_RPS, rel=0.01)


def test_a_leader_that_falls_short_is_overtaken() -> None:
    """The queue model promised both much the same; under load the first is 1.6 times slower than in blocks."""
    trials, served = settle({A: MODEL_RPS, B: MODEL_RPS * 0.95}, {A: math.log(1.6), B: 0.05}, [A])
    assert sustained.best(trials) == B
    assert sustained.kept_rps(trials, A) == pytest.approx(curve().kept_rps(BOUND_S, math.log(1.6)), rel=0.02)
    assert sustained.kept_rps(trials, B) == pytest.approx(curve().kept_rps(BOUND_S, 0.05), rel=0.02)
    assert [c for c, _ in served].count(B) == sustained.RUNS


def test_a_challenger_whose_model_is_no_clear_win_is_not_served() -> None:
    for share, tried in ((sustained.CLEAR - 0.005, False), (sustained.CLEAR + 0.01, True)):
        kept = curve().kept_rps(BOUND_S, 0.0)
        _, served = settle({A: kept, B: kept * share}, {A: 0.0, B: 0.0}, [A])
        assert (B in {c for c, _ in served}) == tried


def test_nobody_keeps_anything() -> None:
    trials, served = settle({A: MODEL_RPS, B: MODEL_RPS * 0.9}, {A: math.log(60), B: math.log(60)}, [A])
    assert sustained.best(trials) is None
    assert {c for c, _ in served} == {A, B}
    assert sustained.kept_rps(trials, A) == 0


def test_nobody_who_was_not_served_as_often_as_wanted_is_best() -> None:
    trials = sustained.start({A: MODEL_RPS}, [A], bound_s=BOUND_S)
    for _ in range(sustained.RUNS):
        assert sustained.best(trials) is None
        trials = sustained.step(trials, A, curve(), MODEL_RPS, 0.03)
    assert sustained.best(trials) == A


def test_ties_are_served_though_the_leader_keeps_its_rate() -> None:
    field = {A: MODEL_RPS, B: MODEL_RPS * 0.99, C: MODEL_RPS * 0.98}
    trials, served = settle(field, dict.fromkeys(field, 0.0), [A, B])
    assert {c for c, _ in served} == {A, B}
    assert sustained.best(trials) == A  # of equals the one tried first


def test_ties_take_turns_and_challengers_come_after_them() -> None:
    field = {A: MODEL_RPS, B: MODEL_RPS * 0.99, C: MODEL_RPS * 1.1}
    _, served = settle(field, {A: 0.3, B: 0.3, C: 0.3}, [A, B])
    assert [c for c, _ in served] == [A, B] * sustained.RUNS + [C] * sustained.RUNS


@pytest.mark.parametrize(("share", "tried"), [(0.95, False), (0.99, True)])
def test_where_servers_take_a_share_a_challenger_is_judged_by_what_others_kept(share: float, tried: bool) -> None:
    """The leader keeps two thirds; with shares that differ by 5 % at most, one that is modelled 5 % lower cannot win."""
    slowness = math.log(1.4)
    field = {A: MODEL_RPS, B: MODEL_RPS * share}
    trials = sustained.start(field, [A], bound_s=BOUND_S, shares_differ=1.05)
    while (found := sustained.turn(trials)) and found[0] == A:
        trials = sustained.step(trials, A, curve(), found[1], seen_s(found[1], slowness))
    assert sustained.kept_rps(trials, A) < 0.75 * MODEL_RPS
    assert (found is not None and found[0] == B) == tried


def test_unanswered_requests_send_the_next_run_down_and_no_further_than_half() -> None:
    trials = sustained.start({A: MODEL_RPS}, [A], bound_s=BOUND_S)
    trials = sustained.step(trials, A, curve(), MODEL_RPS, math.inf)
    found = sustained.turn(trials)
    assert found is not None
    assert MODEL_RPS * sustained.MOST_DOWN <= found[1] < MODEL_RPS * 0.6


def test_a_quick_run_sends_the_next_one_up_and_no_further_than_a_step() -> None:
    trials = sustained.start({A: 20.0}, [A], bound_s=BOUND_S)
    trials = sustained.step(trials, A, curve(), 20.0, 0.0055)
    found = sustained.turn(trials)
    assert found == (A, pytest.approx(20.0 * sustained.MOST_UP))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from([A, B, C]), st.floats(0.0, 0.7), min_size=1))
def test_the_best_is_found_within_two_per_cent(slowness: dict[Candidate, float]) -> None:
    modelled = dict.fromkeys(slowness, MODEL_RPS)
    trials, served = settle(modelled, slowness, [next(iter(slowness))])
    truth = {c: curve().kept_rps(BOUND_S, f) for c, f in slowness.items()}
    winner = sustained.best(trials)
    assert winner is not None
    assert truth[winner] >= max(truth.values()) / sustained.CLEAR * 0.98
    assert len(served) <= len(slowness) * sustained.RUNS


@pytest.mark.parametrize(("modelled", "first"), [({}, []), ({A: 0.0}, [A]), ({A: 1.0}, [B])])
def test_bad_rates_are_refused(modelled: dict[Candidate, float], first: list[Candidate]) -> None:
    with pytest.raises(ValueError, match="rates must be"):
        sustained.start(modelled, first, bound_s=BOUND_S)


def test_a_promise_that_is_kept_at_no_rate_does_not_send_the_runs_to_a_standstill() -> None:
    """A bound of 1 µs halved the rate from run to run, down to one request in minutes."""
    found, runs = curve(), [(0.8 * curve().saturation_rps, seen_s(0.8 * curve().saturation_rps, 0.0))]
    for _ in range(12):
        rate = sustained.next_rate(found, runs, 1e-6)
        runs.append((rate, seen_s(rate, 0.0)))
    assert runs[-1][0] == pytest.approx(sustained.EASY_FRAC * found.saturation_rps, rel=0.05)
