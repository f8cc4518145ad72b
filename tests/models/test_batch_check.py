"""Requests alone against requests together, on functions that mix their rows in every way we know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from farthing.models.batch_check import MARGINS, Arithmetic, Batching, Trial, check_batching, distances

Function = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]


def checked(function: Function, *, most: int = 8, arithmetic: Arithmetic = "float", names: tuple[str, ...] = ("y",)):
    """What the check says of a function of a batch of rows."""

    def trial(seed: int) -> Trial:
        rows = np.random.default_rng(seed).standard_normal((16, 6)).astype(np.float32)
        return Trial(run=lambda k: function(rows[list(k)]), n=16)

    return check_batching(map(trial, range(3)), names, most, arithmetic=lambda: arithmetic, now_s=lambda: 0.0)


def quantized(x: NDArray[Any]) -> NDArray[Any]:
    """Eight bits with one step for the whole batch, as ``DynamicQuantizeLinear`` does it."""
    step = (max(float(x.max()), 0) - min(float(x.min()), 0)) / 255
    return (np.round(x / step) * step).astype(np.float32)


def sorted_rows(x: NDArray[Any]) -> NDArray[Any]:
    return x[np.argsort(x[:, 0])]


APART: dict[str, Function] = {
    "mean": lambda x: [x + 0.01 * x.mean(0)],
    "norm": lambda x: [(x - x.mean(0)) / (x.std(0) + 0.1) + x],
    "sorted": lambda x: [sorted_rows(x)],
    "turned round": lambda x: [x[::-1]],
    "shifted": lambda x: [np.roll(x, 1, axis=0)],
    "best alone": lambda x: [x * (x.sum(1, keepdims=True) >= x.sum(1).max())],
    "only the first five": lambda x: [x * (np.arange(len(x)) < 5)[:, None]],
    "ragged": lambda x: [x[x[:, 0] > 0]],
    "flattened": lambda x: [x.reshape(-1, 2)],
    "one answer": lambda x: [x.max(0, keepdims=True)],
    "no rows": lambda x: [np.float32(x.sum())],
    "labels of the batch": lambda x: [np.argsort(np.argsort(x[:, 0]))],
    "another length": lambda x: [np.tile(x[:, :1], (1, len(x)))],
}


@pytest.mark.parametrize("kind", APART)
def test_what_mixes_its_rows_is_answered_one_at_a_time(kind):
    found = checked(APART[kind])
    assert not found.batched
    assert "output y" in found.alone
    assert found.sentence.startswith("one request at a time, because output y")


ALIKE: dict[str, Function] = {
    "linear": lambda x: [x @ np.arange(12, dtype=np.float32).reshape(6, 2)],
    "softmax": lambda x: [np.exp(x) / np.exp(x).sum(1, keepdims=True)],
    "labels": lambda x: [x.argmax(1)],
    "rounding by order": lambda x: [x * np.float32(1 + 2e-7 * len(x))],
    "NaN of its own": lambda x: [np.where(x > 1, np.nan, x)],
    "texts": lambda x: [np.array([f"{row[0]:.3f}" for row in x], dtype=object)],
}


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("most", [1, 2, 8, 40])
def test_what_keeps_its_rows_apart_is_batched_at_sizes_that_were_tried(kind, most):
    found = checked(ALIKE[kind], most=most)
    assert found.batched, found.alone
    assert found.sizes == tuple(sorted({2, 3, most} - {1}))
    assert found.worst_frac < 1e-4
    assert found.sentence.startswith("batched: ")


def test_every_output_counts():
    found = checked(lambda x: [x, x, np.roll(x, 1, axis=0)], names=("a", "b", "c"))
    assert "output c" in found.alone


@pytest.mark.parametrize("kind", APART)
@pytest.mark.parametrize("arithmetic", ["half", "stepped", "dynamic"])
def test_no_wider_margin_lets_mixed_rows_through(kind, arithmetic):
    assert not checked(APART[kind], arithmetic=arithmetic).batched


def test_kernels_that_go_by_the_size_of_a_batch_are_told_from_mixed_rows():
    """BF16 and 8 bits round elsewhere in a batch, whoever is in it; what a mate changes is no rounding."""

    def elsewhere(x: NDArray[Any]) -> NDArray[Any]:
        return (x * (1 if len(x) == 1 else 1.004)).astype(np.float32)

    assert not checked(lambda x: [elsewhere(x)]).batched
    assert checked(lambda x: [elsewhere(x)], arithmetic="half").batched
    mixed = checked(lambda x: [elsewhere(x) + 0.003 * np.roll(x, 1, axis=0)], arithmetic="half")
    assert "changes with the request beside it" in mixed.alone


def test_steps_that_the_batch_sets_are_told_from_mixed_rows():
    """The step of a batch moves every answer a little: only where the model says so, and never a mean with it."""
    assert not checked(lambda x: [quantized(x)]).batched
    found = checked(lambda x: [quantized(x)], arithmetic="dynamic")
    assert found.batched, found.alone
    assert found.dynamic
    assert 1e-3 < found.worst_frac < 0.1
    assert "quantized over the whole batch" in found.sentence
    mixed = checked(lambda x: [quantized(x) + 0.04 * x.mean(0)], arithmetic="dynamic")
    assert "there twice" in mixed.alone


def test_a_step_that_another_request_can_widen_at_will_is_too_much():
    def widened(seed: int) -> Trial:
        rows = np.random.default_rng(seed).standard_normal((16, 6)).astype(np.float32)
        rows[::2] *= 1000
        return Trial(run=lambda k: [quantized(rows[list(k)])], n=16)

    found = check_batching(map(widened, range(3)), ("y",), 8, arithmetic=lambda: "dynamic", now_s=lambda: 0.0)
    assert not found.batched


def test_answers_that_are_all_alike_show_nothing():
    found = checked(lambda x: [np.ones((len(x), 2), dtype=np.float32)])
    assert not found.batched
    assert "all alike" in found.alone or "alike, which shows nothing" in found.alone


def only_where_large(x: NDArray[Any]) -> NDArray[Any]:
    """Zero for all made-up rows; for larger ones the batch's mean is in it."""
    return np.where(np.abs(x) > 1e3, x - x.mean(0), 0).astype(np.float32)


@pytest.mark.parametrize("still", [only_where_large, np.zeros_like, lambda x: x * 1e-6 + 1])
@pytest.mark.parametrize("at", [0, 1])
def test_an_output_that_varies_does_not_vouch_for_one_that_does_not(still, at):
    outputs = (lambda x: [still(x), x]) if at == 0 else (lambda x: [x, still(x)])
    found = checked(outputs, names=("a", "b"))
    assert not found.batched
    assert found.alone == f"output {'ab'[at]} is alike for all made-up requests, which shows nothing"
    assert found.one_row


LABELS: dict[str, Function] = {
    "label": lambda x: [np.zeros(len(x), dtype=np.int64), x],
    "text": lambda x: [x, np.full(len(x), "anomaly", dtype=object)],
    "whole numbers alone": lambda x: [np.zeros(len(x), dtype=np.int64), x.argmax(1)],
}


@pytest.mark.parametrize("kind", LABELS)
def test_a_label_may_stay_the_same_beside_what_varies(kind):
    assert checked(LABELS[kind], names=("a", "b")).batched


def test_an_output_that_only_a_later_trial_varies_has_varied():
    """The second trial's rows are larger; the time is up before, and trials go on."""

    def trial(scale: float) -> Trial:
        rows = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32) * np.float32(scale)
        return Trial(run=lambda k: [rows[list(k)], np.maximum(rows[list(k)] - 50, 0)], n=16)

    def check(*scales: float) -> Batching:
        now = iter(range(1000))
        settings: dict[str, Any] = {"arithmetic": lambda: "float", "now_s": lambda: float(next(now))}
        return check_batching(map(trial, scales), ("a", "b"), 8, **settings)

    assert "output b" in check(1, 1, 1).alone
    assert check(1, 1, 100).batched


def test_requests_that_are_refused_are_left_out_and_none_at_all_shows_nothing():
    def refused(rows: Sequence[int]) -> Sequence[NDArray[Any]]:
        raise RuntimeError("indices element out of data bounds\nsecond line")

    rows = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32)
    good = Trial(run=lambda k: [rows[list(k)]], n=16)
    bad = Trial(run=refused, n=16)
    settings: dict[str, Any] = {"arithmetic": lambda: "float", "now_s": lambda: 0.0}
    assert check_batching([bad, good, good], ("y",), 8, **settings).sizes == (2, 3, 8)
    found = check_batching([bad, bad], ("y",), 8, **settings)
    assert found.alone == "no made-up request fits it (indices element out of data bounds)"
    assert not found.one_row


def test_a_failure_of_requests_together_is_a_reason():
    def only_one(x: NDArray[Any]) -> Sequence[NDArray[Any]]:
        if len(x) > 1:
            raise ValueError("cannot reshape")
        return [x]

    found = checked(only_one)
    assert found.alone == "2 requests together fail: cannot reshape"
    assert found.one_row


def test_the_time_is_bounded():
    """Trials beyond the second are run only while time is left."""
    now, seen = [0.0], []

    def trial(seed: int) -> Trial:
        seen.append(seed)
        rows = np.random.default_rng(seed).standard_normal((16, 6)).astype(np.float32)

        def run(k: Sequence[int]) -> Sequence[NDArray[Any]]:
            now[0] += 0.1
            return [rows[list(k)]]

        return Trial(run=run, n=16)

    found = check_batching(map(trial, range(9)), ("y",), 8, arithmetic=lambda: "float", now_s=lambda: now[0])
    assert found.batched
    assert len(seen) == 3  # the third is made, but not run
    assert round(now[0] / 0.1) == 8 + 3 + 3 + 2


def test_large_answers_are_kept_for_few_requests():
    rows, alone = np.random.default_rng(0).standard_normal((16, 1)).astype(np.float32), []

    def run(k: Sequence[int]) -> Sequence[NDArray[Any]]:
        if len(k) == 1:
            alone.append(k[0])
        return [np.broadcast_to(rows[list(k)], (len(k), 5 * 2**20))]

    trial = Trial(run=run, n=16)
    found = check_batching([trial], ("y",), 4, arithmetic=lambda: "float", now_s=lambda: 0.0)
    assert found.batched
    assert alone == [0, 1, 2]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=8), st.integers(0, 7), st.floats(0.01, 1))
def test_distances_are_0_for_the_same_and_scale_with_the_change(values, at, change):
    row = np.array([values], dtype=np.float64)
    assert distances([[row]], [row.copy()]).max() == 0
    other = row.copy()
    largest = np.abs(row).max()
    other[0, at % len(values)] += change * (largest or 1.0)
    found = float(distances([[row]], [other]).max())
    assert found == pytest.approx(change, rel=1e-6) if largest else found == float("inf")


def test_margins_are_ordered():
    for margin in MARGINS.values():
        assert 0 < margin.typical_frac < margin.most_frac <= 0.1
    assert MARGINS["float"].most_frac < MARGINS["stepped"].most_frac < MARGINS["dynamic"].most_frac


def test_a_batching_is_said_in_a_sentence():
    shown = Batching(sizes=(2, 3, 8), answers=18, worst_frac=2.4e-7)
    assert shown.sentence == (
        "batched: 2, 3 and 8 requests together are answered as each alone "
        "(18 answers compared, at most 2e-07 of an answer's largest value apart)"
    )
