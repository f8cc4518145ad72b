from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from farthing.errors import DataError, InputError, TrustError
from farthing.pipelines.metrics import Accuracy, Agreement, F1Macro, custom_metric, top1
from farthing.plugins import find, names
from farthing.ports import Metric

pairs = st.integers(1, 80).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 6), min_size=n, max_size=n) for _ in range(2)))
)


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(7)[classes] + np.random.default_rng(0).uniform(0, 0.4, (len(classes), 7))


def test_they_come_in_by_the_plug_in_door() -> None:
    assert {"accuracy", "agreement", "f1_macro"} <= set(names("metrics"))
    assert all(isinstance(find("metrics", name), Metric) for name in ("accuracy", "agreement", "f1_macro"))


@given(pairs)
def test_they_agree_with_scikit_learn(pair: tuple[list[int], list[int]]) -> None:
    answers, labels = pair
    truth = np.array(labels, dtype=np.float64)
    for outputs in (one_hot(answers), np.array(answers), one_hot(answers)[:, :, None, None]):
        scores = Accuracy()(outputs, truth)
        assert scores.shape == (len(labels),)
        assert scores.mean() == pytest.approx(accuracy_score(labels, answers))
        f1 = F1Macro()(outputs, truth)
        assert f1.shape == ()
        assert float(f1) == pytest.approx(f1_score(labels, answers, average="macro", zero_division=0))
        np.testing.assert_array_equal(Agreement()(outputs, one_hot(labels)), scores)


def test_ties_go_to_the_first_class() -> None:
    assert list(top1(np.array([[0.5, 0.5], [0.2, 0.2]]))) == [0, 0]


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (np.array([[0.1, np.nan]]), "1 of 2 outputs are NaN"),
        (np.array([0.5]), "outputs are numbers such as 0.5, not class indices"),
        (np.zeros((3, 1)), r"outputs have the shape \(3, 1\)"),
        (np.zeros((3, 4, 5)), r"outputs have the shape \(3, 4, 5\)"),
        (np.zeros((2, 3)), "2 outputs for 1 labels"),
    ],
)
def test_outputs_that_name_no_class(outputs: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Accuracy()(outputs, np.zeros(1))


def test_infinite_logits_are_scores() -> None:
    assert list(top1(np.array([[-np.inf, 3.0]]))) == [1]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own_scores.py"
    path.write_text(
        "import numpy as np\n"
        "def close(outputs, labels):\n    return (abs(outputs[:, 0] - labels) < 1).astype(float)\n"
        "close.per_sample = True\n"
        "def rmse(outputs, labels):\n    return float(np.sqrt(np.mean((outputs[:, 0] - labels) ** 2)))\n"
        "def forgot(outputs, labels):\n    return np.ones(len(labels))\n"
        "def broken(outputs, labels):\n    return float('nan')\n"
        "def large(outputs, labels):\n    return np.full(len(labels), 2.0)\n"
        "large.per_sample = True\n"
        "constant = 3\n"
    )
    return path


def test_own_metrics(own: Path) -> None:
    outputs, labels = np.array([[1.0], [5.0]]), np.array([1.5, 1.0])
    close = custom_metric(f"{own}:close", trust=True)
    assert (close.name, close.per_sample, list(close(outputs, labels))) == ("close", True, [1, 0])
    rmse = custom_metric(f"{own}:rmse", trust=True)
    assert (rmse.per_sample, rmse(outputs, labels).shape) == (False, ())
    assert isinstance(rmse, Metric)


@pytest.mark.parametrize(
    ("name", "says"), [("forgot", "gave the shape"), ("broken", "gave nan"), ("large", "must lie in")]
)
def test_own_metrics_are_checked(own: Path, name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        custom_metric(f"{own}:{name}", trust=True)(np.zeros((2, 1)), np.zeros(2))


def test_nothing_runs_without_trust(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\ndef f(o, l): return 1.0\n")
    with pytest.raises(TrustError, match=r"the metric .*evil\.py:f is Python code"):
        custom_metric(f"{tmp_path / 'evil.py'}:f", trust=False)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("{}:constant", "has no callable 'constant'"),
        ("{}:none", "has no callable"),
        ("/none.py:f", "is not a Python file"),
        ("no.such.module:f", "importing no.such.module failed"),
        ("{}", "is not an import path"),
    ],
)
def test_wrong_import_paths(own: Path, path: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        custom_metric(path.format(own), trust=True)


def test_a_file_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad_scores.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match="failed: ZeroDivisionError: division by zero"):
        custom_metric(f"{tmp_path / 'bad_scores.py'}:f", trust=True)
