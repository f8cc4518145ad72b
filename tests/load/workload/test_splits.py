from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import DataError
from farthing.load.workload.splits import MAX_CALIBRATION_N, MIN_CONFIRM_N, MIN_SEARCH_N, make_splits
from farthing.nouns import Dataset

LEAST = MIN_SEARCH_N + MIN_CONFIRM_N


def data(labels: list[float] | None, n: int | None = None, name: str = "t") -> Dataset:
    n = len(labels) if labels is not None else (n or 0)
    items = tuple(f"{name}{k}" for k in range(n))
    return Dataset(
        kind="text", items=items, n=n, labels=None if labels is None else tuple(labels), source="holdout.csv"
    )


label_lists = st.lists(st.integers(0, 5).map(float), min_size=LEAST, max_size=400)


@given(label_lists, st.integers(0, 2**32 - 1))
def test_splits_cover_the_holdout_once_and_repeat(labels: list[float], seed: int) -> None:
    splits = make_splits(data(labels), None, None, None, seed)
    assert sorted(splits.search + splits.confirm) == list(range(len(labels)))
    assert len(splits.search) >= MIN_SEARCH_N
    assert len(splits.confirm) >= MIN_CONFIRM_N
    assert set(splits.calibrate) <= set(splits.search)
    assert splits == make_splits(data(labels), None, None, None, seed)


@given(label_lists, st.integers(0, 99), st.data())
def test_every_label_keeps_its_share(labels: list[float], seed: int, draw: st.DataObject) -> None:
    n = len(labels)
    search = draw.draw(st.integers(MIN_SEARCH_N, n - MIN_CONFIRM_N))
    confirm = draw.draw(st.integers(MIN_CONFIRM_N, n - search))
    splits = make_splits(data(labels), None, search, confirm, seed)
    assert (len(splits.search), len(splits.confirm)) == (search, confirm)
    whole = Counter(labels)
    part = Counter(labels[k] for k in splits.search)
    classes = len(whole)
    assert all(abs(part[c] - whole[c] * search / n) <= classes for c in whole)


def test_balanced_labels_stay_balanced_up_to_one() -> None:
    labels = [float(k % 10) for k in range(900)]
    splits = make_splits(data(labels), None, 200, 700, 0)
    found = Counter(labels[k] for k in splits.search)
    assert all(abs(m - 20) <= 1 for m in found.values())


def test_defaults_are_the_documented_ones() -> None:
    sizes = {n: len(make_splits(data(None, n), None, None, None, 0).search) for n in (50, 200, 900, 10_000)}
    assert sizes == {50: 20, 200: 44, 900: 198, 10_000: 200}


def test_another_seed_is_another_draw() -> None:
    a, b = (make_splits(data(None, 500), None, None, None, seed) for seed in (0, 1))
    assert a != b


def test_unlabelled_draws_are_uniform() -> None:
    hits = np.zeros(100)
    for seed in range(400):
        hits[list(make_splits(data(None, 100), None, 25, 75, seed).search)] += 1
    # each sample is drawn with probability 1/4: mean 100, standard deviation 8.7; 5 standard deviations
    assert hits.min() > 56
    assert hits.max() < 144


def test_too_small_a_holdout_says_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"holdout\.csv has 49 samples; at least 50 are needed") as e:
        make_splits(data(None, LEAST - 1), None, None, None, 0)
    assert "300" in str(e.value.hint)
    with pytest.raises(DataError, match=r"at least 900 are needed \(200 to choose on, 700 to prove on\)"):
        make_splits(data(None, 899), None, 200, 700, 0)
    with pytest.raises(DataError, match=r"splits\.confirm is 5 samples; at least 30"):
        make_splits(data(None, 899), None, None, 5, 0)


def test_calibration_comes_from_its_own_data_without_what_the_holdout_holds() -> None:
    holdout, train = data(None, 100), data(None, 1000, "train")
    splits = make_splits(holdout, train, None, None, 0)
    assert len(splits.calibrate) == MAX_CALIBRATION_N
    mixed = Dataset(kind="text", items=(*holdout.items, *train.items[:50]), n=150, source="mixed.csv")
    assert set(make_splits(holdout, mixed, None, None, 0).calibrate) == set(range(100, 150))
    with pytest.raises(DataError, match=r"only 0 of 100 samples in the calibration data"):
        make_splits(holdout, holdout, None, None, 0)
