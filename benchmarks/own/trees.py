"""Trees, pipelines and other models of scikit-learn, XGBoost and LightGBM, converted as their users convert them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from own.folders import WITHIN, halves, write_metric, write_onnx, write_workload

__all__ = ["classifier", "regressor"]

Convert = Callable[[Any, NDArray[np.float32]], Any]


def by_skl2onnx(model: Any, x: NDArray[np.float32], **options: Any) -> Any:
    """As skl2onnx's own first example does it; ``zipmap`` is its default."""
    from skl2onnx import to_onnx

    return to_onnx(model, x[:1], options={id(model): options} if options else None)


def without_zipmap(model: Any, x: NDArray[np.float32]) -> Any:
    return by_skl2onnx(model, x, zipmap=False)


def by_xgboost(model: Any, x: NDArray[np.float32]) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    return convert_xgboost(model, initial_types=[("input", FloatTensorType([None, x.shape[1]]))])


def by_lightgbm(model: Any, x: NDArray[np.float32]) -> Any:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    return convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, x.shape[1]]))])


CONVERT: dict[str, Convert] = {
    "skl2onnx": by_skl2onnx,
    "skl2onnx without ZipMap": without_zipmap,
    "xgboost": by_xgboost,
    "lightgbm": by_lightgbm,
}


def _data(name: str) -> tuple[NDArray[np.float32], NDArray[Any]]:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    return found.data.astype(np.float32), found.target


def classifier(make: Callable[[], Any], data: str, convert: str, names: Sequence[str] = ()) -> Callable[[Path], None]:
    """A case: fit on half of a data set of scikit-learn's, convert, keep the other half as npz.

    Args:
        make: The estimator.
        data: ``digits``, ``breast_cancer`` …
        convert: One of :data:`CONVERT`.
        names: Classes as texts in place of their numbers.
    """

    def build(folder: Path) -> None:
        x, y = _data(data)
        y = np.asarray(names)[y] if names else y
        train, held = halves(len(y))
        model = make().fit(x[train], y[train])
        write_onnx(folder, CONVERT[convert](model, x))
        np.savez(folder / "holdout.npz", features=x[held], y=y[held])
        write_workload(folder, "model.onnx", {"tensors": "holdout.npz"})

    return build


def regressor(make: Callable[[], Any], data: str, tolerance: float) -> Callable[[Path], None]:
    """A case whose answers are numbers, judged by a metric of its own: right within a tolerance."""

    def build(folder: Path) -> None:
        x, y = _data(data)
        train, held = halves(len(y))
        model = make().fit(x[train], y[train])
        write_onnx(folder, by_skl2onnx(model, x))
        np.savez(folder / "holdout.npz", features=x[held], y=y[held].astype(np.float64))
        write_metric(folder, WITHIN.format(tolerance=tolerance))
        write_workload(folder, "model.onnx", {"tensors": "holdout.npz"}, {"metric": "metric.py:within"})

    return build
