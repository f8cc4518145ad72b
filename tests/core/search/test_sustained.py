"""Trials under load: the best sustained rate is found, and nobody is served who cannot win."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.search import sustained
from farthing.nouns import Candidate

A, B, C = (Candidate(engine="fake", variant=v, precision="fp32") for v in "abc")


def settle(
    modelled: Mapping[Candidate, float], truth: Mapping[Candidate, float], first: list[Candidate]
) -> tuple[sustained.Trials, list[tuple[Candidate, float]]]:
    trials, served = sustained.start(modelled, first), []
    while found := sustained.turn(trials):
        c, rate = found
        served.append(found)
        trials = sustained.step(trials, c, rate, rate <= truth[c])
        assert len(served) < 100
    return trials, served


def test_a_leader_that_keeps_its_rate_is_served_once() -> None:
    trials, served = settle({A: 100.0, B: 90.0}, {A: 120.0, B: 120.0}, [A])
    assert served == [(A, 100.0)]
    assert sustained.best(trials) == A


def test_a_leader_that_falls_short_is_overtaken() -> None:
    """The queue model promised 1,455 and 1,377 requests/s; under load the first kept 872."""
    trials, served = settle({A: 1455.0, B: 1377.0}, {A: 880.0, B: 1300.0}, [A])
    assert sustained.best(trials) == B
    assert trials.kept_rps[B] == pytest.approx(1377 * 0.88)
    entry = next(rate for c, rate in served if c == B)
    assert entry == pytest.approx(trials.kept_rps[A] * 1.02)


def test_a_challenger_that_fails_just_above_the_best_is_out_after_one_trial() -> None:
    trials, served = settle({A: 1000.0, B: 990.0}, {A: 800.0, B: 700.0}, [A])
    assert sustained.best(trials) == A
    assert [c for c, _ in served].count(B) == 1


def test_nobody_keeps_anything() -> None:
    trials, served = settle({A: 100.0, B: 90.0}, {A: 0.0, B: 0.0}, [A])
    assert sustained.best(trials) is None
    assert {c for c, _ in served} == {A, B}


def test_ties_are_served_though_the_leader_keeps_its_rate() -> None:
    trials, served = settle({A: 100.0, B: 99.0, C: 98.0}, {A: 120.0, B: 120.0, C: 120.0}, [A, B])
    assert {c for c, _ in served} == {A, B}
    assert sustained.best(trials) == A


@given(
    st.dictionaries(st.sampled_from([A, B, C]), st.tuples(st.floats(10, 1e4), st.floats(0.3, 1.0)), min_size=1),
)
def test_the_best_is_found_within_one_cut(field: dict[Candidate, tuple[float, float]]) -> None:
    modelled = {c: m for c, (m, _) in field.items()}
    truth = {c: m * share for c, (m, share) in field.items()}
    trials, served = settle(modelled, truth, [max(modelled, key=lambda c: modelled[c])])
    assert all(kept <= truth[c] for c, kept in trials.kept_rps.items())
    winner = sustained.best(trials)
    reachable = {c: r for c, r in truth.items() if r >= modelled[c] * sustained.CUT**sustained.CUTS * 1.15}
    if reachable:
        assert winner is not None
        assert trials.kept_rps[winner] >= max(reachable.values()) * sustained.CUT / sustained.CLEAR - 1e-9
    assert len(served) <= len(field) * sustained.CUTS


@pytest.mark.parametrize(("modelled", "first"), [({}, []), ({A: 0.0}, [A]), ({A: 1.0}, [B])])
def test_bad_rates_are_refused(modelled: dict[Candidate, float], first: list[Candidate]) -> None:
    with pytest.raises(ValueError, match="rates must be"):
        sustained.start(modelled, first)
