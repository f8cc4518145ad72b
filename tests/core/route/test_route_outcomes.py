from __future__ import annotations

import numpy as np
import pytest
from route_worlds import world

from farthing.core.route.outcomes import OutcomeMatrix, Score, cheapest_first, halves, require_disjoint, take


def matrix(**changes):
    given = {
        "request_ids": ("a", "b"),
        "tiers": ("small", "large"),
        "quality": [[1, 1], [0, 1]],
        "cost_usd": [[1e-5, 1e-3]] * 2,
    }
    return OutcomeMatrix(**{**given, **changes})


def test_arrays_cannot_be_changed() -> None:
    quality = np.ones((2, 2))
    found = matrix(quality=quality)
    quality[0, 0] = 0
    assert found.quality[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        found.quality[0, 0] = 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"request_ids": ("a", "a")}, "request ids must differ; 'a' comes twice"),
        ({"tiers": ("small", "small")}, "tiers must differ"),
        ({"quality": [[1, 1], [0, 1.5]]}, r"quality must lie in \[0, 1\]; request 'b', tier 'large' has 1.5"),
        ({"quality": [[1, 1], [0, np.nan]]}, "request 'b', tier 'large' has nan"),
        ({"cost_usd": [[1, 2], [-1, 2]]}, "cost_usd must be finite and ≥ 0; request 'b', tier 'small' has -1.0"),
        ({"cost_usd": [[1, 2], [np.inf, 2]]}, "tier 'small' has inf"),
        ({"quality": [[1, 1]]}, r"quality must have shape \(2, 2\), has \(1, 2\)"),
        ({"segments": ("x",)}, "1 segments for 2 requests"),
        ({"scores": {"m": Score(values=[1.0])}}, "score 'm' has 1 values for 2 requests"),
        ({"scores": {"m": Score(values=[1.0, 2.0], needs=("tiny",))}}, "needs the unknown tier 'tiny'"),
        ({"request_ids": (), "quality": np.zeros((0, 2)), "cost_usd": np.zeros((0, 2))}, "at least one request"),
    ],
)
def test_it_refuses(changes, said) -> None:
    with pytest.raises(ValueError, match=said):
        matrix(**changes)


def test_scores_must_be_finite() -> None:
    with pytest.raises(ValueError, match="1 values are not finite, the first is number 1: nan"):
        Score(values=[0.1, np.nan])
    with pytest.raises(ValueError, match="cost_usd must be finite"):
        Score(values=[0.1], cost_usd=-1)
    with pytest.raises(ValueError, match="shape"):
        Score(values=[[0.1]])


def test_parts_are_disjoint_and_whole() -> None:
    whole = world(100, 0, segments=True)
    choose, prove = halves(whole, np.random.default_rng(0), choose_frac=0.3)
    assert (choose.n, prove.n) == (30, 70)
    require_disjoint(choose.request_ids, prove.request_ids, what="requests")
    assert set(choose.request_ids) | set(prove.request_ids) == set(whole.request_ids)
    row = whole.request_ids.index(prove.request_ids[5])
    assert prove.quality[5].tolist() == whole.quality[row].tolist()
    assert prove.segments[5] == whole.segments[row]
    assert prove.scores["agreement"].values[5] == whole.scores["agreement"].values[row]
    with pytest.raises(ValueError, match="choose_frac"):
        halves(whole, np.random.default_rng(0), choose_frac=1.0)


def test_take_by_mask_and_by_index_agree() -> None:
    whole = world(20, 1)
    mask = np.arange(20) % 3 == 0
    assert take(whole, mask).request_ids == take(whole, np.flatnonzero(mask)).request_ids
    with pytest.raises(ValueError, match="comes twice"):
        take(whole, [1, 1])
    with pytest.raises(ValueError, match="at least one request"):
        take(whole, np.zeros(20, dtype=bool))


def test_cheapest_first_moves_quality_along() -> None:
    found = cheapest_first(matrix(cost_usd=[[5, 1], [5, 2]], quality=[[1, 0], [1, 0]]))
    assert found.tiers == ("large", "small")
    assert found.quality.tolist() == [[0, 1], [0, 1]]


def test_leakage_is_named() -> None:
    with pytest.raises(ValueError, match="texts of calibration and test overlap in 4: 'a', 'b', 'c' and 1 more"):
        require_disjoint("abcde", "zabcd", what="texts of calibration and test")
    with pytest.raises(ValueError, match="…"):
        require_disjoint(["x" * 100_000], ["x" * 100_000], what="texts")
    require_disjoint("ab", "cd", what="texts")


def test_unknown_tier() -> None:
    with pytest.raises(ValueError, match="no tier 'tiny'; there are small, large"):
        matrix().tier("tiny")
