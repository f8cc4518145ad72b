"""Trials under load at their bounds, by hand: a latency–rate curve of straight lines."""

from __future__ import annotations

import math

import pytest
from straight_rates import IDLE_S, STEADY_SLOPE, straight

from farthing.core.search import sustained
from farthing.core.traffic.latency_rate import Slowness
from farthing.nouns import Candidate, Estimate

A, B, C = (Candidate(engine="fake", variant=v, precision="fp32") for v in "abc")
BOUND_S = 0.03


def kept(slowness: float, bound_s: float = BOUND_S, saturation_rps: float = 100.0) -> float:
    return saturation_rps * math.exp(-slowness) * (math.log(bound_s / IDLE_S) - slowness) / STEADY_SLOPE


def run_s(rate: float, slowness: float, saturation_rps: float = 100.0) -> float:
    return IDLE_S * math.exp(slowness + 1.5 * rate * math.exp(slowness) / saturation_rps)


def after(trials: sustained.Trials, c: Candidate, rate: float, slowness: float, runs: int = 3) -> sustained.Trials:
    for _ in range(runs):
        trials = sustained.step(trials, c, straight(), rate, run_s(rate, slowness))
    return trials


def test_challengers_come_by_their_rates_and_each_is_run_three_times() -> None:
    trials = sustained.start({A: 1.0, B: 2.0, C: 3.0}, [A], bound_s=BOUND_S)
    assert list(trials.modelled_rps) == [A, C, B]
    assert (trials.wanted, trials.must) == (3, 1)


def test_a_replica_of_less_than_one_request_a_second_is_tried_and_can_be_best() -> None:
    trials = sustained.start({A: 0.5}, [], bound_s=BOUND_S)
    assert sustained.turn(trials) == (A, 0.5)
    slow = straight(0.8)
    for _ in range(3):
        trials = sustained.step(trials, A, slow, 0.4, run_s(0.4, 0.0, 0.8))
    assert sustained.kept_rps(trials, A) == pytest.approx(kept(0.0, saturation_rps=0.8), rel=1e-3)
    assert sustained.best(trials) == A


def test_whoever_has_begun_goes_on() -> None:
    """A challenger was thought able to win when its first run was made; it gets the others, too."""
    trials = after(sustained.start({A: 60.0, B: 56.0}, [A], bound_s=BOUND_S), A, 50.0, 0.0)
    assert sustained.turn(trials) is None  # 56 is no more than 1.02 times what A keeps
    begun = after(trials, B, 50.0, 0.0, runs=1)
    found = sustained.turn(begun)
    assert found is not None
    assert found[0] == B


@pytest.mark.parametrize(
    ("last", "seen_s", "rate"),
    [
        (40.0, run_s(40.0, 0.0), 40.0 * 1.3),  # 55 are kept, a step is 1.3
        (50.0, run_s(50.0, 0.0), kept(0.0)),
        (90.0, run_s(90.0, 0.2), 45.0),  # 37 are kept, no less than half of the last
    ],
)
def test_the_next_run_is_at_what_is_kept_within_a_step(last: float, seen_s: float, rate: float) -> None:
    assert sustained.next_rate(straight(), [(last, seen_s)], BOUND_S) == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize(("value", "step"), [(0.0, 0.02), (0.3, 0.02)])
def test_the_rate_that_each_run_keeps_falls_as_the_curve_says(value: float, step: float) -> None:
    seen = Slowness(lo=0.0, value=value, hi=1.0, confidence=0.95, by_run=(value - 0.05, value, value + 0.1))
    fall = math.log(kept(value - step) / kept(value + step)) / (2 * step)
    rates, found = sustained.kept_by_run(straight(), BOUND_S, seen)
    assert found == pytest.approx(fall)
    assert rates == pytest.approx([kept(value) * math.exp(-fall * (f - value)) for f in seen.by_run])


def test_close_to_where_nothing_is_kept_the_fall_is_taken_from_below() -> None:
    """The curve begins at a utilisation of 0.02: 0.01 slower is the last that keeps anything."""
    value = math.log(BOUND_S / IDLE_S) - STEADY_SLOPE * 0.02 - 0.01
    seen = Slowness(lo=0.0, value=value, hi=1.0, confidence=0.95, by_run=(value, value))
    rates, found = sustained.kept_by_run(straight(), BOUND_S, seen)
    assert found == pytest.approx(math.log(kept(value - 0.02) / kept(value)) / 0.02)
    assert rates == pytest.approx([kept(value)] * 2)


def test_where_nothing_is_kept_there_is_nothing_to_fall() -> None:
    seen = Slowness(lo=0.0, value=2.0, hi=3.0, confidence=0.95, by_run=(2.0, 2.1, 1.9))
    assert sustained.kept_by_run(straight(), BOUND_S, seen) == ([1e-9] * 3, 1.0)


def test_runs_of_a_replica_of_less_than_one_request_a_second_differ_as_well() -> None:
    seen = Slowness(lo=0.0, value=0.0, hi=0.1, confidence=0.95, by_run=(-0.1, 0.1))
    rates, fall = sustained.kept_by_run(straight(0.5), BOUND_S, seen)
    assert rates[0] > rates[1]
    assert fall > 1


@pytest.mark.parametrize(
    ("slowness", "failed", "factor"),
    [
        (0.005, 1, 1.03),  # asks for less than the least
        (0.005, 2, 1.1),
        (0.05, 1, kept(0.0) / kept(0.05)),
        (0.08, 2, kept(0.0) / kept(0.08)),
        (0.3, 1, 1.25),
        (2.0, 1, 1.25),  # kept at no rate
    ],
)
def test_a_failed_proof_takes_off_what_its_upper_end_says(slowness: float, failed: int, factor: float) -> None:
    at = kept(0.0)
    hi_s = IDLE_S * math.exp(slowness + STEADY_SLOPE * at * math.exp(slowness) / 100)
    hi_s = 10.0 if slowness == 2.0 else hi_s
    assert sustained.cut(straight(), at, hi_s, BOUND_S, failed) == pytest.approx(factor, rel=2e-3)


def test_a_proof_without_a_percentile_takes_off_a_tenth_at_least() -> None:
    """At 97 requests/s a replica is without rest when it is 1.5 % slower; a bound of 80 ms would ask for 2 % less."""
    assert sustained.cut(straight(), 97.0, math.inf, 0.08, 1) == pytest.approx(1.1)


@pytest.mark.parametrize(("factor", "hi"), [(1.0, 12.0), (0.9, 12.0), (1.25, 15.0)])
def test_what_proofs_took_off_stays_within_the_interval(factor: float, hi: float) -> None:
    found = Estimate(value=10.0, lo=9.0, hi=12.0, n=3, method="t", confidence=0.95)
    allowed = sustained.allowing_for_cuts(found, factor)
    assert (allowed.lo, allowed.value, allowed.hi) == (9.0, 10.0, pytest.approx(hi))
    assert (allowed.method == "t") == (factor <= 1)
