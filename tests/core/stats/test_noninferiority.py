from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.core.stats.noninferiority import (
    EXACT_DISCORDANT,
    drop_upper,
    fallback_confidences,
    gate_of_counts,
    paired_bootstrap_t,
    paired_gate,
)
from farthing.core.stats.paired_limits import exact_upper, miss_probability, tango_upper
from simulations import f1_binary

counts = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(60, 2000))


@pytest.mark.parametrize(("n", "points"), [(450, 1.05), (700, 0.68)])
def test_one_worse_answer_gives_the_known_limit(n: int, points: float) -> None:
    before = np.ones(n)
    after = before.copy()
    after[7] = 0
    result = paired_gate(before, after, allowed_drop_frac=0.01, confidence=0.95)
    assert round(100 * result.drop_frac.hi, 2) == points
    assert result.verdict == ("met" if points <= 1 else "unproven")
    assert (result.n, result.n_worse, result.n_better) == (n, 1, 0)
    assert result.drop_frac.lo == -math.inf


@given(counts, st.floats(0.55, 0.99), st.floats(0.55, 0.99))
@settings(max_examples=40, deadline=None)
def test_limits_are_nested_in_confidence_and_ordered(c, one, two) -> None:
    w, b, n = c
    low, high = sorted((one, two))
    inner, outer = (gate_of_counts(w, b, n, allowed_drop_frac=0.01, confidence=x) for x in (low, high))
    assert outer.lower_frac <= inner.lower_frac + 1e-9
    assert inner.drop_frac.hi <= outer.drop_frac.hi + 1e-9
    assert inner.lower_frac <= (w - b) / n <= inner.drop_frac.hi


@given(counts)
@settings(max_examples=60, deadline=None)
def test_limit_grows_with_worse_and_shrinks_with_better(c) -> None:
    w, b, n = c
    here = exact_upper(w, b, n, confidence=0.95)
    assert exact_upper(w + 1, b, n, confidence=0.95) >= here - 1e-9
    # The nuisance parameter's interval moves with b: see the module's docstring.
    assert exact_upper(w, b + 1, n, confidence=0.95) <= here + 0.01 * (here - (w - b) / n)


@given(counts)
@settings(max_examples=40, deadline=None)
def test_lower_limit_mirrors_the_upper(c) -> None:
    w, b, n = c
    result = gate_of_counts(w, b, n, allowed_drop_frac=0.01, confidence=0.95)
    assert result.lower_frac == -exact_upper(b, w, n, confidence=0.95)


@pytest.mark.parametrize(("p_w", "p_b"), [(0.01, 0.0), (0.0105, 0.0005), (0.02, 0.01), (0.05, 0.05), (0.1, 0.05)])
@pytest.mark.parametrize("n", [40, 90])
def test_exact_limit_covers_by_enumeration(n: int, p_w: float, p_b: float) -> None:
    from scipy import stats

    missed = 0.0
    for w in range(n + 1):
        for b in range(n + 1 - w):
            weight = stats.multinomial.pmf([w, b, n - w - b], n, [p_w, p_b, 1 - p_w - p_b]) if w + b < 40 else 0.0
            if weight > 1e-7 and exact_upper(w, b, n, confidence=0.95) < p_w - p_b - 1e-9:
                missed += weight
    assert missed <= 0.05 + 1e-6


def test_reported_interval_region_is_the_largest_it_could_be() -> None:
    """With no answer better the nuisance is at its edge: the limit is Clopper and Pearson's."""
    from scipy import stats

    for w, n in ((0, 300), (1, 450), (2, 900)):
        assert exact_upper(w, 0, n, confidence=0.95) == pytest.approx(stats.beta.ppf(0.95, w + 1, n - w), rel=2e-3)


def test_tango_is_close_enough_where_it_takes_over() -> None:
    worst = max(
        miss_probability(20_000, ratio * pairs / (1 + ratio) / 20_000, pairs / (1 + ratio) / 20_000, confidence=0.95)
        for pairs in (EXACT_DISCORDANT, 2 * EXACT_DISCORDANT)
        for ratio in (0.5, 1.0, 1.2, 2.0, 5.0, 20.0)
    )
    assert worst <= 0.0505
    few = max(miss_probability(1000, r * 0.005, 0.005, confidence=0.95) for r in (1.001, 1.3, 2.0))
    assert few > 0.051  # the reason for the exact limit below
    exact, score = (f(260, 240, 20_000, confidence=0.95) for f in (exact_upper, tango_upper))
    assert exact == pytest.approx(score, rel=0.01)


@pytest.mark.parametrize(
    ("w", "b", "n", "verdict"),
    [(0, 0, 450, "met"), (0, 0, 100, "unproven"), (50, 2, 1000, "not_met"), (9, 3, 400, "unproven")],
)
def test_verdicts_and_samples_needed(w, b, n, verdict) -> None:
    result = gate_of_counts(w, b, n, allowed_drop_frac=0.01, confidence=0.95)
    assert result.verdict == verdict
    assert (result.n_needed is not None) == (verdict == "unproven")
    if result.n_needed is not None:
        m = result.n_needed
        again = gate_of_counts(round(w * m / n), round(b * m / n), m, allowed_drop_frac=0.01, confidence=0.95)
        assert m > n
        assert again.verdict != "unproven"


def test_no_discordant_pair_needs_about_three_over_the_allowed_drop() -> None:
    assert gate_of_counts(0, 0, 50, allowed_drop_frac=0.01, confidence=0.95).n_needed in range(298, 303)
    assert gate_of_counts(0, 0, 50, allowed_drop_frac=0.0, confidence=0.95).n_needed is None
    assert gate_of_counts(5, 0, 500, allowed_drop_frac=0.01, confidence=0.95).n_needed is None


def test_agreement_is_the_gate_with_a_perfect_baseline() -> None:
    agree = np.r_[np.ones(990), np.zeros(10)]
    result = paired_gate(np.ones(1000), agree, allowed_drop_frac=0.02, confidence=0.95)
    assert result.drop_frac.value == pytest.approx(0.01)
    assert result.verdict == "met"


def test_averaged_scores_take_the_betting_limit() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0.5, 1, 600)
    same = paired_gate(before, before, allowed_drop_frac=0.01, confidence=0.95)
    assert same.verdict == "met"
    assert "betting" in same.drop_frac.method
    worse = paired_gate(before, before - 0.2, allowed_drop_frac=0.01, confidence=0.95)
    assert worse.verdict == "not_met"
    unsure = paired_gate(
        before, np.clip(before + rng.normal(0, 0.2, 600), 0, 1), allowed_drop_frac=0.015, confidence=0.95
    )
    assert unsure.verdict == "unproven"
    assert unsure.n_needed is None or unsure.n_needed > 600


@pytest.mark.parametrize(
    ("a", "b", "allowed", "confidence", "word"),
    [
        ([1.0], [1.0, 0.0], 0.01, 0.95, "pairs"),
        ([1.2], [1.0], 0.01, 0.95, r"\[0, 1\]"),
        ([math.nan], [1.0], 0.01, 0.95, r"\[0, 1\]"),
        ([1.0], [1.0], 1.0, 0.95, "allowed_drop_frac"),
        ([1.0], [1.0], 0.01, 0.5, "confidence"),
        ([], [], 0.01, 0.95, "not empty"),
    ],
)
def test_gate_refuses(a, b, allowed, confidence, word) -> None:
    with pytest.raises(ValueError, match=word):
        paired_gate(a, b, allowed_drop_frac=allowed, confidence=confidence)
    with pytest.raises(ValueError, match="impossible counts"):
        gate_of_counts(3, 3, 5, allowed_drop_frac=0.01, confidence=0.95)


def test_fallback_shares_the_error() -> None:
    assert fallback_confidences(1, 0.95) == (0.95,)
    three = fallback_confidences(3, 0.95)
    assert sum(1 - c for c in three) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="k ≥ 1"):
        fallback_confidences(0, 0.95)


def macro_f1(outputs, labels) -> float:
    answers, k = outputs.argmax(axis=-1), outputs.shape[-1]
    table = np.bincount(labels.astype(int) * k + answers, minlength=k * k).reshape(k, k)
    return float(np.mean(2 * np.diag(table) / np.maximum(1, table.sum(0) + table.sum(1))))


def _class_outputs(rng, labels, error: float):
    answers = np.where(rng.random(labels.size) < error, rng.integers(5, size=labels.size), labels)
    return np.eye(5)[answers]


def test_bootstrap_t_passes_equals_fails_worse_and_repeats_itself() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(5, size=500)
    a = _class_outputs(rng, labels, 0.02)

    def gate(b, allowed: float):
        return paired_bootstrap_t(
            macro_f1, a, b, labels, np.random.default_rng(1), allowed_drop_frac=allowed, confidence=0.95, resamples=299
        )

    same = gate(a, 0.01)
    assert same.verdict == "met"
    assert same.drop_frac.hi > 0.004  # never nothing, though no answer differs
    assert gate(a, 0.003).verdict == "unproven"
    worse = _class_outputs(rng, labels, 0.25)
    result = gate(worse, 0.01)
    assert result.verdict == "not_met"
    assert result == gate(worse, 0.01)
    assert result.n_worse > result.n_better


def test_bootstrap_t_groups_many_samples_and_refuses_few() -> None:
    rng = np.random.default_rng(6)
    labels = (rng.random(2500) < 0.5).astype(float)
    a, b = labels.copy(), np.where(rng.random(2500) < 0.02, 1 - labels, labels)
    result = paired_bootstrap_t(f1_binary, a, b, labels, rng, allowed_drop_frac=0.05, confidence=0.9, resamples=199)
    assert result.lower_frac < result.drop_frac.value < result.drop_frac.hi
    assert result.verdict == "met"
    with pytest.raises(ValueError, match="at least 20"):
        paired_bootstrap_t(f1_binary, a[:9], b[:9], labels[:9], rng, allowed_drop_frac=0.05, confidence=0.9)
    with pytest.raises(ValueError, match="outputs"):
        paired_bootstrap_t(f1_binary, a, b[:9], labels, rng, allowed_drop_frac=0.05, confidence=0.9)


def test_drop_upper_switches_once() -> None:
    w = EXACT_DISCORDANT // 2
    assert drop_upper(w, w, 10_000, confidence=0.95) == exact_upper(w, w, 10_000, confidence=0.95)
    assert drop_upper(w + 1, w, 10_000, confidence=0.95) == tango_upper(w + 1, w, 10_000, confidence=0.95)
