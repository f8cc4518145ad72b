"""The accuracy gate at its edges: limits met exactly, sample sizes that just settle it, and what a bootstrap cannot see."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.stats.noninferiority import (
    GateResult,
    answers_of,
    drop_upper,
    fallback_confidences,
    gate_of_counts,
    paired_bootstrap_t,
    paired_gate,
)


def counted(w: int, b: int, n: int, allowed: float, confidence: float = 0.95) -> GateResult:
    return gate_of_counts(w, b, n, allowed_drop_frac=allowed, confidence=confidence)


# --- counts ---------------------------------------------------------------------------------------------------


def test_an_upper_limit_equal_to_the_allowed_drop_is_met() -> None:
    limit = drop_upper(1, 0, 450, confidence=0.95)
    assert counted(1, 0, 450, limit).verdict == "met"
    assert counted(1, 0, 450, math.nextafter(limit, 0)).verdict == "unproven"


def test_a_lower_limit_equal_to_the_allowed_drop_is_not_yet_a_miss() -> None:
    limit = -drop_upper(0, 20, 300, confidence=0.95)
    assert limit > 0
    assert counted(20, 0, 300, limit).verdict == "unproven"
    assert counted(20, 0, 300, math.nextafter(limit, 0)).verdict == "not_met"
    assert counted(20, 0, 300, limit).lower_frac == limit


def test_what_a_result_reports() -> None:
    seen = counted(5, 2, 400, 0.01)
    assert (seen.n, seen.n_worse, seen.n_better, seen.allowed_drop_frac) == (400, 5, 2, 0.01)
    assert seen.drop_frac.value == pytest.approx(3 / 400)
    assert (seen.drop_frac.n, seen.drop_frac.confidence) == (400, 0.95)
    assert seen.drop_frac.method == "exact unconditional limit, 400 pairs"
    assert counted(250, 250, 2000, 0.01).drop_frac.method.startswith("exact")
    assert counted(251, 250, 2000, 0.01).drop_frac.method == "Tango's score limit, 2000 pairs"


def test_the_samples_that_prove_no_drop_at_all_are_known() -> None:
    """No pair differs: the limit is 1 − (0.05 · 0.999)^(1/m), at most a point from 299 pairs on."""
    assert counted(0, 0, 100, 0.01).n_needed == 299
    assert counted(0, 0, 298, 0.01).n_needed == 299
    assert counted(0, 0, 299, 0.01).n_needed is None
    assert counted(0, 0, 299, 0.01).verdict == "met"


@pytest.mark.parametrize(("w", "b", "n", "allowed"), [(1, 0, 450, 0.01), (4, 2, 300, 0.02), (9, 0, 200, 0.02)])
def test_the_samples_asked_for_settle_it_and_a_few_percent_fewer_do_not(w: int, b: int, n: int, allowed: float) -> None:
    """The shares stay as seen; the side that is unfavourable is rounded against the proof."""
    here = counted(w, b, n, allowed)
    assert here.verdict == "unproven"
    assert here.n_needed is not None
    worse = (w - b) / n < allowed

    def settled(m: int) -> bool:
        up, down = (math.ceil, math.floor) if worse else (math.floor, math.ceil)
        return counted(up(w / n * m), down(b / n * m), m, allowed).verdict == ("met" if worse else "not_met")

    assert settled(math.ceil(here.n_needed * 1.02))
    assert not settled(int(here.n_needed * 0.93))


def test_a_drop_that_is_the_allowed_one_or_nearly_is_never_settled() -> None:
    assert counted(5, 1, 400, 0.01).n_needed is None  # exactly 1 point
    assert counted(5, 1, 400, 0.01 + 1e-7).n_needed is None  # beyond 10⁹
    assert counted(5, 1, 400, 0.01 + 4.5e-6).n_needed is None  # 2 · 10⁹
    near = counted(5, 1, 400, 0.01 + 2e-5).n_needed
    assert near is not None
    # z² (p_w + p_b − δ²) / gap² = 2.706 · 0.0149 / 4·10⁻¹⁰
    assert near == pytest.approx(2.706 * 0.0149 / 4e-10, rel=0.02)


@pytest.mark.parametrize(("w", "b", "n"), [(0, 0, 0), (-1, 0, 10), (0, -1, 10), (6, 5, 10)])
def test_impossible_counts(w: int, b: int, n: int) -> None:
    with pytest.raises(ValueError, match="impossible counts"):
        counted(w, b, n, 0.01)
    assert counted(6, 4, 10, 0.01).n == 10


@pytest.mark.parametrize(("allowed", "confidence"), [(-0.01, 0.95), (1.0, 0.95), (0.01, 0.5), (0.01, 1.0)])
def test_domains_of_the_gate(allowed: float, confidence: float) -> None:
    domain = r"allowed_drop_frac must lie in \[0, 1\)|confidence must lie in \(0\.5, 1\)"
    with pytest.raises(ValueError, match=domain):
        counted(0, 0, 10, allowed, confidence)
    with pytest.raises(ValueError, match=domain):
        paired_gate([0.5], [0.5], allowed_drop_frac=allowed, confidence=confidence)
    assert counted(0, 0, 10, 0.0, 0.51).verdict == "unproven"


def test_a_sequence_of_gates_shares_the_error() -> None:
    assert fallback_confidences(2, 0.9) == pytest.approx((0.95, 0.95))
    for k, confidence in ((0, 0.9), (1, 0.0), (1, 1.0)):
        with pytest.raises(ValueError, match="k ≥ 1 and confidence"):
            fallback_confidences(k, confidence)


# --- scores that are not 0 or 1 -------------------------------------------------------------------------------


def test_scores_between_count_pairs_that_differ() -> None:
    before, after = np.array([0.5, 0.5, 0.75, 1.0] * 50), np.array([0.25, 0.5, 1.0, 0.75] * 50)
    seen = paired_gate(before, after, allowed_drop_frac=0.2, confidence=0.9)
    assert (seen.n, seen.n_worse, seen.n_better) == (200, 100, 50)
    assert seen.drop_frac.value == pytest.approx(0.0625)
    assert seen.drop_frac.method == "betting limit for bounded means, 200 pairs"
    assert seen.lower_frac < 0.0625 < seen.drop_frac.hi


def test_a_constant_drop_is_bracketed_by_its_bets() -> None:
    """All drops 1/4: the bets' limits are those of 400 observations of 0.625, twice less one."""
    seen = paired_gate(np.full(400, 0.75), np.full(400, 0.5), allowed_drop_frac=0.5, confidence=0.95)
    assert seen.verdict == "met"
    assert 0.25 < seen.drop_frac.hi < 0.29
    assert 0.21 < seen.lower_frac < 0.25
    assert (
        paired_gate(np.full(400, 0.75), np.full(400, 0.5), allowed_drop_frac=0.1, confidence=0.95).verdict == "not_met"
    )


@pytest.mark.parametrize("allowed", [0.02, 0.08])
def test_what_settles_scores_grows_with_the_square_of_the_width(allowed: float) -> None:
    before = np.tile([0.9, 0.6, 0.7, 0.3], 30)
    after = np.tile([0.7, 0.6, 0.8, 0.2], 30)
    seen = paired_gate(before, after, allowed_drop_frac=allowed, confidence=0.95)
    assert seen.verdict == "unproven"
    value = seen.drop_frac.value
    width = seen.drop_frac.hi - value if allowed > value else value - seen.lower_frac
    assert seen.n_needed == math.ceil(120 * (width / (allowed - value)) ** 2)
    assert paired_gate(before, after, allowed_drop_frac=value, confidence=0.95).n_needed is None
    assert paired_gate(before, after, allowed_drop_frac=value + 1e-7, confidence=0.95).n_needed is None


def test_scores_are_one_row_between_zero_and_one() -> None:
    for bad in ([-0.1, 0.5], [[0.5, 0.5]], []):
        with pytest.raises(ValueError, match="scores must"):
            paired_gate(bad, [0.5, 0.5], allowed_drop_frac=0.1, confidence=0.95)
    assert paired_gate([0.0, 1.0], [1.0, 0.0], allowed_drop_frac=0.1, confidence=0.95).n_better == 1


# --- metrics of all samples together --------------------------------------------------------------------------


def mean_output(outputs: np.ndarray, _: np.ndarray) -> float:
    return float(outputs.mean())


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float((outputs.argmax(axis=1) == labels).mean())


def bootstrapped(metric, a, b, labels, *, allowed=0.05, confidence=0.95, resamples=999, seed=1) -> GateResult:
    return paired_bootstrap_t(
        metric, a, b, labels, np.random.default_rng(seed), allowed_drop_frac=allowed, confidence=confidence,
        resamples=resamples,
    )  # fmt: skip


@pytest.mark.parametrize("n", [300, 2500])
@pytest.mark.parametrize(("confidence", "z"), [(0.95, 1.645), (0.9, 1.282)])
def test_the_bootstraps_limits_of_a_mean_are_students(n: int, confidence: float, z: float) -> None:
    """A metric that is an average, with plenty of noise: mean ± z · sd / √n, groups or not."""
    rng = np.random.default_rng(3)
    a = rng.uniform(0.3, 0.7, n)
    b = np.clip(a + rng.normal(-0.02, 0.1, n), 0, 1)
    seen = bootstrapped(mean_output, a, b, np.full(n, -1.0), confidence=confidence)
    half = z * (a - b).std(ddof=1) / math.sqrt(n)
    assert seen.drop_frac.value == pytest.approx((a - b).mean())
    assert seen.drop_frac.hi - seen.drop_frac.value == pytest.approx(half, rel=0.12)
    assert seen.drop_frac.value - seen.lower_frac == pytest.approx(half, rel=0.12)
    assert (seen.n, seen.n_worse, seen.n_better) == (n, 0, 0)
    assert seen.drop_frac.method == f"paired bootstrap-t, 999 resamples of {n} pairs"


def test_answers_that_never_differed_are_held_at_the_exact_limit() -> None:
    """100 right answers of four classes, none differs: up to 2.96 % may be wrong, three of 100 rounded up."""
    labels = np.tile(np.arange(4), 25)
    a = np.eye(4)[labels]
    seen = bootstrapped(accuracy, a, a, labels, resamples=199)
    assert seen.drop_frac.value == 0
    assert seen.drop_frac.hi == pytest.approx(0.03, abs=1e-3)
    assert seen.lower_frac == 0
    assert bootstrapped(accuracy, a, a, labels, allowed=0.029, resamples=199).verdict == "unproven"
    assert bootstrapped(accuracy, a, a, labels, allowed=0.031, resamples=199).verdict == "met"


def test_where_nothing_is_right_nothing_can_go_wrong() -> None:
    labels = np.tile(np.arange(4), 25)
    wrong = np.eye(4)[(labels + 1) % 4]
    seen = bootstrapped(accuracy, wrong, wrong, labels, resamples=199)
    assert (seen.drop_frac.value, seen.drop_frac.hi, seen.lower_frac) == (0, 0, 0)


def test_worse_and_better_are_told_by_the_labels() -> None:
    labels = np.tile(np.arange(4), 25)
    a, b = labels.copy(), labels.copy()
    b[:10] = (labels[:10] + 1) % 4
    a[10:14] = (labels[10:14] + 1) % 4
    a[20], b[20] = (labels[20] + 1) % 4, (labels[20] + 2) % 4  # both wrong: neither
    seen = bootstrapped(accuracy, np.eye(4)[a], np.eye(4)[b], labels, resamples=199)
    assert (seen.n_worse, seen.n_better) == (10, 4)
    assert seen.drop_frac.value == pytest.approx(0.06)
    assert seen.lower_frac < 0.06 < seen.drop_frac.hi


def test_the_least_that_a_bootstrap_takes() -> None:
    labels = np.tile([0, 1], 10)
    a = np.eye(2)[labels]
    assert bootstrapped(accuracy, a, a, labels, resamples=199).n == 20
    for rows, resamples in ((19, 199), (20, 198)):
        with pytest.raises(ValueError, match="at least 20 samples and 199 resamples"):
            bootstrapped(accuracy, a[:rows], a[:rows], labels[:rows], resamples=resamples)
    for other in (a[:19], a[:, :1]):
        with pytest.raises(ValueError, match="outputs"):
            bootstrapped(accuracy, a, other, labels)
    with pytest.raises(ValueError, match="for 19 labels"):
        bootstrapped(accuracy, a, a, labels[:19])


def test_too_few_resamples_for_a_level_leave_it_open() -> None:
    """At 99.9 % the rank is ⌊0.001 · 200⌋ = 0: no limit short of the range."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.3, 0.7, 40), rng.uniform(0.3, 0.7, 40)
    seen = bootstrapped(mean_output, a, b, np.full(40, -1.0), confidence=0.999, resamples=199)
    assert (seen.lower_frac, seen.drop_frac.hi) == (-1, 1)
    enough = bootstrapped(mean_output, a, b, np.full(40, -1.0), confidence=0.995, resamples=199)
    assert -1 < enough.lower_frac < enough.drop_frac.hi < 1


def test_answers_are_classes_or_numbers_to_six_decimals() -> None:
    assert answers_of(np.array([[0.1, 0.9], [0.8, 0.2]])).tolist() == [1, 0]
    assert answers_of(np.array([[0.1234564], [0.1234561], [0.123457]])).tolist() == [0.123456, 0.123456, 0.123457]
    assert answers_of(np.array([1.0000004, 2.0])).tolist() == [1, 2]
