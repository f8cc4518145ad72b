"""The race drops losers, keeps ties, and rarely drops the best."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.search import racing
from farthing.nouns import Candidate


def candidates(n: int) -> list[Candidate]:
    return [Candidate(engine="fake", variant=f"v{k}", precision="fp32") for k in range(n)]


def run(
    speeds: list[float], noise: float, rng: np.random.Generator, looks: tuple[int, ...] = (8, 12, 16)
) -> racing.Race:
    field = dict(zip(candidates(len(speeds)), speeds, strict=True))
    race = racing.start(dict.fromkeys(field, 1.0), looks=looks)
    while turn := racing.running(race):
        common = rng.normal(0, 0.2)  # the machine's own drift: the same for all of a round
        race = racing.step(race, {c: field[c] * np.exp(common + rng.normal(0, noise)) for c in turn})
    return race


def test_a_clear_winner_leaves_everybody_behind_at_the_first_look() -> None:
    race = run([100, 50, 30], 0.03, np.random.default_rng(0))
    assert racing.leader(race).variant == "v0"
    assert {d.candidate.variant for d in race.drops} == {"v1", "v2"}
    assert all(d.after == 8 and d.ratio.hi < 1 for d in race.drops)
    assert race.rounds == 8


def test_equals_stay_together() -> None:
    race = run([100, 100], 0.003, np.random.default_rng(1))
    assert len(race.running) == 2
    assert len(racing.ties(race)) == 2


def test_the_best_is_dropped_no_more_often_than_stated() -> None:
    """Three candidates equal but for 1 %: over 400 noisy races the best is dropped in at most 5 %."""
    rng = np.random.default_rng(2)
    races = [run([100, 99, 99], 0.05, rng) for _ in range(400)]
    dropped = sum(any(d.candidate.variant == "v0" for d in r.drops) for r in races)
    assert dropped / len(races) <= 0.05


def test_weights_decide_when_throughput_does_not() -> None:
    a, b = candidates(2)
    race = racing.start({a: 1.0, b: 0.5})
    for _ in range(8):
        race = racing.step(race, {a: 10.0, b: 12.0})
    assert racing.leader(race) == a


@pytest.mark.parametrize("weights", [{}, {Candidate(engine="e", variant="v", precision="fp32"): 0.0}])
def test_bad_weights_are_refused(weights: dict[Candidate, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        racing.start(weights)


def test_a_round_without_a_running_candidate_is_refused() -> None:
    a, b = candidates(2)
    race = racing.start({a: 1.0, b: 1.0})
    with pytest.raises(ValueError, match="no throughput of fake v1"):
        racing.step(race, {a: 1.0})
