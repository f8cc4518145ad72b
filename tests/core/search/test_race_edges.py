"""The race, the screens, the gate and the space of candidates, each at its edges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from search_examples import artefact, est, objective

from farthing.core.search import racing
from farthing.core.search.accuracy_gate import evidence, score
from farthing.core.search.space import BATCHES, baseline_candidates, builds, layouts, with_batches
from farthing.core.search.trials import SCREEN_NOISE_FRAC, Screen, promising
from farthing.core.stats.intervals import ratio_of_blocks
from farthing.core.stats.noninferiority import gate_of_counts
from farthing.nouns import BaselineSpec, Candidate
from farthing.pipelines.metrics import Accuracy, F1Macro

A, B, C = (Candidate(engine="fake", variant=name, precision="fp32") for name in "abc")
WOBBLE = (0.99, 1.01) * 12


def raced(scores: dict[Candidate, list[float]], looks: tuple[int, ...] = (8, 12), **more: float) -> racing.Race:
    """A race after one round for each score; those that were dropped are no longer measured."""
    race = racing.start(dict.fromkeys(scores, 1.0), looks=looks, **more)  # type: ignore[arg-type]
    for k in range(len(next(iter(scores.values())))):
        race = racing.step(race, {c: scores[c][k] for c in race.running})
    return race


# --- racing ---------------------------------------------------------------------------------------------------


def test_the_rounds_and_looks_of_a_run() -> None:
    assert racing.LOOKS == (8, 12, 16, 24)
    race = racing.start({A: 1.0, B: 0.5})
    assert (race.rounds, race.looks, race.confidence) == (0, (8, 12, 16, 24), 0.95)
    assert racing.running(race) == (A, B)
    with pytest.raises(ValueError, match="at least 8 rounds, is after 7"):
        racing.start({A: 1.0}, looks=(12, 7))
    assert racing.start({A: 1.0}, looks=(8,)).looks == (8,)


@pytest.mark.parametrize("weight", [0.0, -0.5, 1.01])
def test_weights_are_shares(weight: float) -> None:
    with pytest.raises(ValueError, match="weights must be in"):
        racing.start({A: 1.0, B: weight})
    assert racing.start({A: 1.0}).weights == {A: 1.0}


@pytest.mark.parametrize("nothing", [0.0, -1.0])
def test_a_block_that_did_nothing_is_no_round(nothing: float) -> None:
    with pytest.raises(ValueError, match="no throughput of fake b"):
        racing.step(racing.start({A: 1.0, B: 1.0}), {A: 1.0, B: nothing})


def test_a_score_is_the_throughput_times_its_usable_share() -> None:
    race = racing.step(racing.start({A: 0.5, B: 1.0}), {A: 10.0, B: 7.0})
    assert race.scores == {A: (5.0,), B: (7.0,)}
    assert racing.leader(race) == B


def test_nobody_is_dropped_between_looks() -> None:
    slow, fast = [w * 50 for w in WOBBLE], [100.0 / w for w in WOBBLE]
    for rounds, running in ((7, 2), (8, 1)):
        race = raced({A: fast[:rounds], B: slow[:rounds]})
        assert (race.rounds, len(race.running)) == (rounds, running)
    assert race.drops[0].after == 8
    assert (race.drops[0].candidate, race.drops[0].leader) == (B, A)


def test_a_loser_is_not_measured_again_and_stays_dropped() -> None:
    race = raced({A: [100 / w for w in WOBBLE[:9]], B: [50.0 * w for w in WOBBLE[:9]]}, looks=(8, 12))
    assert (len(race.scores[A]), len(race.scores[B])) == (9, 8)
    assert [d.candidate for d in race.drops] == [B]


def test_drops_are_kept_in_the_order_in_which_they_came() -> None:
    """C is half as fast and goes at the first look; B, 4 % behind with noise, at a later one."""
    a = [100 / w**2 for w in WOBBLE]
    race = raced({A: a, B: [96 * w**2 for w in WOBBLE], C: [50 * w for w in WOBBLE]}, looks=(8, 12, 16, 24))
    assert [d.candidate for d in race.drops] == [C, B]
    assert race.drops[0].after == 8
    assert 8 < race.drops[1].after <= 24


def test_confidence_is_shared_over_rivals_and_looks() -> None:
    """Three candidates and two looks: 4 comparisons, one-sided: a two-sided interval of 1 − 2 · 5 % / 4 = 97.5 %."""
    scores = {c: [x * w for w in WOBBLE[:8]] for c, x in ((A, 100.0), (B, 99.0), (C, 98.0))}
    scores[B] = scores[B][::-1]
    race = raced(scores)
    expected = ratio_of_blocks(scores[B], scores[A], confidence=0.975)
    seen = racing.ratio(race, B, A)
    assert (seen.lo, seen.value, seen.hi) == (expected.lo, expected.value, expected.hi)
    alone = racing.ratio(raced({A: scores[A]}), A, A)
    assert alone.confidence == pytest.approx(0.9)
    loose = raced(scores, confidence=0.2)
    assert racing.ratio(loose, B, A).confidence == pytest.approx(0.6)
    assert racing.ratio(raced({A: scores[A], B: scores[B]}, looks=(8,), confidence=0.1), B, A).confidence == 0.5


def test_a_ratio_takes_the_rounds_that_both_ran() -> None:
    race = raced({A: [100 / w for w in WOBBLE[:9]], B: [50.0 * w for w in WOBBLE[:9]]}, looks=(8, 12))
    assert racing.ratio(race, B, A).n == 8
    assert racing.ratio(race, A, B).value == pytest.approx(1 / racing.ratio(race, B, A).value)


def test_the_leader_has_the_best_geometric_mean_and_among_equals_the_smaller_batch() -> None:
    """4 and 25 have the mean 10 of a product: less than 11 and 11, although their sum is more."""
    assert racing.leader(raced({A: [4.0, 25.0], B: [11.0, 11.0]})) == B
    big, small = replace(A, max_batch=8), replace(A, max_batch=2)
    assert racing.leader(raced({big: [10.0], small: [10.0]})) == small
    assert racing.leader(raced({small: [10.0], big: [10.0]})) == small


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (0.985, True), (0.981, True), (0.979, False), (0.95, False)])
def test_ties_lie_within_two_percent_with_their_whole_interval(factor: float, same: bool) -> None:
    still = [100.0] * 8
    race = raced({A: still, B: [100.0 * factor] * 8}, looks=(12,))
    assert (racing.ties(race) == (A, B)) == same
    noisy = raced({A: still, B: [100.0 * w for w in (0.97, 1.03) * 4]}, looks=(12,))
    assert racing.ties(noisy) == (A,)


@pytest.mark.parametrize(("half", "tied"), [(0.0197, True), (0.0200, False), (0.0205, False)])
def test_an_upper_end_above_the_band_is_no_tie_either(half: float, tied: bool) -> None:
    """Equal means within ± half in logarithms: e^0.02 lies above 1.02 while e^−0.02 still lies above 0.98."""
    x = half * math.sqrt(7) / stats.t.ppf(1 - 0.05 / 4, 7)  # two candidates, four looks
    wave = tuple(math.exp(x * sign) for sign in (1, -1) * 4)
    race = racing.Race(scores={A: (1.0,) * 8, B: wave}, weights={A: 1.0, B: 1.0}, running=(A, B))
    seen = racing.ratio(race, B, A)
    assert (math.log(seen.lo), math.log(seen.hi)) == pytest.approx((-half, half))
    assert (len(racing.ties(race)) == 2) == tied


def test_a_race_ends_when_all_are_tied_or_at_the_last_look() -> None:
    tied = raced({A: [100.0] * 8, B: [100.0] * 8})
    assert racing.running(tied) == ()
    assert racing.running(raced({A: [100.0] * 7, B: [100.0] * 7})) == (A, B)
    open_ = {A: [100.0] * 12, B: [100.0 * w**3 for w in WOBBLE[:12]]}
    assert racing.running(raced({c: s[:11] for c, s in open_.items()})) == (A, B)
    assert racing.running(raced(open_)) == ()


# --- screens --------------------------------------------------------------------------------------------------


def screen(name: str, value: float, lo: float, hi: float) -> Screen:
    return Screen(candidate=replace(A, variant=name), ratio=est(value, lo, hi))


def test_a_screen_that_reaches_the_best_ones_lower_end_goes_on() -> None:
    """The best lower end is 10, less 10 % is 9; an upper end of 8.2 widened to 9.02 reaches it, 8.1 to 8.91 not."""
    screens = [screen("no", 7, 6, 8.1), screen("best", 11, 10, 12), screen("yes", 7.5, 7, 8.2)]
    assert SCREEN_NOISE_FRAC == 0.10
    assert [c.variant for c in promising(screens, keep_at_least=1)] == ["best", "yes"]
    exactly = [screen("best", 12, 11, 13), screen("edge", 8, 7, 9)]  # 11 · 0.9 = 9 · 1.1
    assert [c.variant for c in promising(exactly, keep_at_least=1)] == ["best", "edge"]


def test_three_are_kept_whatever_their_intervals_say() -> None:
    screens = [screen(str(k), 10 - k, 10 - k, 10 - k) for k in range(10)]
    assert [c.variant for c in promising(screens[::-1])] == ["0", "1", "2"]
    assert [c.variant for c in promising(screens[:2])] == ["0", "1"]
    apart = [screen("a", 10, 10, 10), screen("b", 5, 5, 5), screen("c", 4, 4, 4), screen("d", 3, 3, 3)]
    assert [c.variant for c in promising(apart)] == ["a", "b", "c"]
    assert [c.variant for c in promising(apart, keep_at_least=1)] == ["a"]
    assert promising([]) == ()


# --- the gate -------------------------------------------------------------------------------------------------

LABELS = np.tile([0, 1, 2, 3], 25)


def answers(labels: np.ndarray) -> np.ndarray:
    return np.eye(4)[labels]


def gate(baseline: np.ndarray, candidate: np.ndarray, labels: np.ndarray | None = LABELS, **more: object):
    settings = {"split": "confirm", "metric": Accuracy(), "objective": objective(max_drop_frac=0.05), "seed": 3}
    truth = None if labels is None else labels.tolist()
    return evidence(answers(baseline), answers(candidate), truth, **{**settings, **more})  # type: ignore[arg-type]


def test_the_gate_counts_sample_by_sample() -> None:
    """Of 100 the baseline gets the first 4 wrong; the candidate repairs one of them and spoils three others."""
    before, after = LABELS.copy(), LABELS.copy()
    before[:4] = (LABELS[:4] + 1) % 4
    after[1:4] = before[1:4]
    after[10:13] = (LABELS[10:13] + 2) % 4
    seen = gate(before, after)
    assert (seen.n, seen.n_differ, seen.n_worse, seen.n_better) == (100, 4, 3, 1)
    assert (seen.baseline_frac.value, seen.candidate_frac.value) == (0.96, 0.94)
    same = gate_of_counts(3, 1, 100, allowed_drop_frac=0.05, confidence=0.95)
    assert (seen.drop_frac, seen.verdict, seen.n_needed) == (same.drop_frac, same.verdict, same.n_needed)
    assert (seen.metric, seen.split) == ("accuracy", "confirm")
    strict = gate(before, after, objective=objective(max_drop_frac=0.05, confidence=0.99))
    assert strict.drop_frac.hi > seen.drop_frac.hi


def test_without_labels_the_baselines_answers_are_the_truth() -> None:
    after = LABELS.copy()
    after[:5] = (LABELS[:5] + 1) % 4
    seen = gate(LABELS, after, None)
    assert (seen.metric, seen.n_differ, seen.n_worse, seen.n_better) == ("agreement", 5, 5, 0)
    assert (seen.baseline_frac.value, seen.candidate_frac.value) == (1.0, 0.95)


def test_a_metric_of_all_samples_is_tried_by_the_bootstrap() -> None:
    after = LABELS.copy()
    after[:10] = (LABELS[:10] + 1) % 4
    seen = gate(LABELS, after, metric=F1Macro())
    assert "bootstrap" in seen.drop_frac.method
    assert (seen.n_worse, seen.n_better, seen.metric) == (10, 0, "f1_macro")
    assert seen.baseline_frac.value == 1
    assert (seen.candidate_frac.lo, seen.candidate_frac.hi) == (seen.candidate_frac.value,) * 2
    assert seen == gate(LABELS, after, metric=F1Macro())
    assert seen.drop_frac.hi != gate(LABELS, after, metric=F1Macro(), seed=4).drop_frac.hi


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(99, 4\), the baseline's are \(100, 4\)"):
        gate(LABELS, LABELS[:99])


class Halves:
    """A score per sample that is not 0 or 1."""

    name, per_sample = "halves", True

    def __call__(self, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.where(outputs.argmax(axis=1) == labels, 1.0, 0.5)


def test_shares_get_exact_intervals_and_other_scores_students() -> None:
    after = LABELS.copy()
    after[:10] = (LABELS[:10] + 1) % 4
    share = score(answers(after), LABELS.tolist(), Accuracy())
    assert (share.value, share.n, share.method) == (0.9, 100, "Clopper-Pearson")
    mean = score(answers(after), LABELS.tolist(), Halves())
    assert (mean.value, mean.method) == (pytest.approx(0.95), "t on 100 samples")
    point = score(answers(after), LABELS.tolist(), F1Macro())
    assert (point.lo, point.hi, point.n) == (point.value, point.value, 100)


# --- the space ------------------------------------------------------------------------------------------------


def test_layouts_of_a_machine() -> None:
    assert layouts(1) == ((1, 1),)
    assert layouts(6) == ((6, 1), (3, 2), (2, 3), (1, 6))
    assert BATCHES == (1, 2, 4, 8, 16, 32)


def test_what_serves_today_in_every_layout() -> None:
    for engine, variant in (("pytorch", "torch-module"), ("torch-compile", "torch-module"), ("openvino", "fp32")):
        found = baseline_candidates(BaselineSpec(engine=engine, precision="bf16", max_batch=2), 2)
        assert {(c.variant, c.precision, c.max_batch) for c in found} == {(variant, "bf16", 2)}
        assert [(c.instances, c.threads) for c in found] == [(2, 1), (1, 2)]


def test_builds_are_tried_once_with_one_worker_a_core() -> None:
    found = builds([artefact("int8", "int8")] * 2, {"openvino": None}, (), 4)
    assert [(c.max_batch, c.instances, c.threads, c.precision) for c in found] == [(1, 4, 1, "int8")]
    assert [c.precision for c in builds([artefact("x", "fp32")], {"openvino": None}, ("bf16",), 1)] == ["bf16", "fp32"]
    assert [c.precision for c in builds([artefact("x", "fp16")], {"openvino": None}, ("bf16",), 1)] == ["fp16"]


def test_batches_and_layouts_leave_the_build_alone() -> None:
    build = Candidate(engine="openvino", variant="int8", precision="int8", device="cuda:0", instances=4)
    found = with_batches(build, (1, 8), ((2, 1), (1, 2)))
    assert [(c.max_batch, c.instances, c.threads) for c in found] == [(1, 2, 1), (8, 2, 1), (1, 1, 2), (8, 1, 2)]
    assert {(c.engine, c.variant, c.precision, c.device) for c in found} == {("openvino", "int8", "int8", "cuda:0")}
