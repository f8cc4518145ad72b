"""The models of ``own_models.py``: what a user would bring, of eight kinds and more."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from own import arrays, pictures, trees, words

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model that somebody brings.

    Attributes:
        name: Of its folder.
        kind: What it is a model of, as one would say it.
        precision: The label that farthing has to print for what serves today.
        build: Writes model, samples and ``workload.yaml`` into an empty folder.
        needs: Modules that building takes beyond farthing's own.
    """

    name: str
    kind: str
    precision: str
    build: Callable[[Path], None]
    needs: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)


def _sklearn(module: str, name: str, **settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        return getattr(importlib.import_module(f"sklearn.{module}"), name)(random_state=0, **settings)

    return make


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=80, max_depth=5, random_state=0)


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=80, random_state=0, verbose=-1)


def _scaled(estimator: Callable[[], Any]) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), estimator())

    return make


_FOREST = _sklearn("ensemble", "RandomForestClassifier", n_estimators=120)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _tree(name: str, kind: str, make: Callable[[], Any], data: str, convert: str = "skl2onnx", **more: Any) -> Case:
    needs = {"xgboost": ("onnxmltools", "xgboost"), "lightgbm": ("onnxmltools", "lightgbm")}.get(convert, ("skl2onnx",))
    build = trees.classifier(make, data, convert, **more)
    return Case(name=name, kind=kind, precision="FP32", build=build, needs=("sklearn", *needs))


CASES: tuple[Case, ...] = (
    _tree("forest-digits", "scikit-learn forest", _FOREST, "digits"),
    _tree("forest-cancer", "scikit-learn forest", _FOREST, "breast_cancer", "skl2onnx without ZipMap"),
    _tree("extra-trees-named", "scikit-learn forest", _sklearn("ensemble", "ExtraTreesClassifier", n_estimators=60),
          "digits", names=_WORDS),
    _tree("boosting-digits", "gradient boosting", _sklearn("ensemble", "GradientBoostingClassifier", n_estimators=40),
          "digits"),
    _tree("xgboost-digits", "XGBoost", _xgboost, "digits", "xgboost"),
    _tree("xgboost-cancer", "XGBoost", _xgboost, "breast_cancer", "xgboost"),
    _tree("lightgbm-digits", "LightGBM", _lightgbm, "digits", "lightgbm"),
    _tree("pipeline-logistic", "scikit-learn pipeline",
          _scaled(_sklearn("linear_model", "LogisticRegression", max_iter=500)), "digits"),
    _tree("pipeline-svm", "scikit-learn pipeline", _scaled(_sklearn("svm", "SVC")), "digits"),
    _tree("perceptron", "scikit-learn network",
          _sklearn("neural_network", "MLPClassifier", hidden_layer_sizes=(256, 128)), "digits"),
    Case(name="forest-diabetes", kind="scikit-learn regressor", precision="FP32", needs=("sklearn", "skl2onnx"),
         build=trees.regressor(_sklearn("ensemble", "RandomForestRegressor", n_estimators=80), "diabetes", 50.0)),
    Case(name="module-grey", kind="CNN module", precision="FP32", needs=("sklearn",), build=pictures.module(1)),
    Case(name="module-colour", kind="CNN module", precision="FP32", needs=("sklearn",), build=pictures.module(3)),
    Case(name="cnn-fp16", kind="CNN file", precision="FP16", needs=("sklearn",), build=pictures.onnx_in("fp16")),
    Case(name="cnn-qdq", kind="CNN file", precision="INT8", needs=("sklearn",), build=pictures.onnx_in("QDQ")),
    Case(name="cnn-qoperator", kind="CNN file", precision="INT8", needs=("sklearn",),
         build=pictures.onnx_in("QOperator")),
    Case(name="cnn-one-by-one", kind="CNN file", precision="FP32", needs=("sklearn",), build=pictures.onnx_in("fixed")),
    Case(name="vit", kind="ViT folder", precision="FP32", needs=("sklearn", "transformers"),
         build=pictures.folder_of("vit")),
    Case(name="efficientnet", kind="EfficientNet folder", precision="FP32", needs=("sklearn", "transformers"),
         build=pictures.folder_of("efficientnet")),
    Case(name="detector", kind="detector", precision="FP32", needs=("sklearn",), build=pictures.detector),
    Case(name="classifier", kind="BERT-like classifier", precision="FP32", needs=("transformers",),
         build=words.classifier(int8=False)),
    Case(name="classifier-int8", kind="BERT-like classifier", precision="INT8", needs=("transformers",),
         build=words.classifier(int8=True)),
    Case(name="embedder", kind="embedder", precision="FP32", needs=("transformers",), build=words.embedder(int8=False)),
    Case(name="embedder-int8", kind="embedder", precision="INT8", needs=("transformers",),
         build=words.embedder(int8=True)),
    Case(name="forecast", kind="time-series network", precision="FP32", needs=("statsmodels",), build=arrays.forecast),
    Case(name="two-inputs-module", kind="multi-input module", precision="FP32", needs=("sklearn",),
         build=arrays.several_inputs(module=True)),
    Case(name="two-inputs", kind="multi-input file", precision="FP32", needs=("sklearn",),
         build=arrays.several_inputs(module=False)),
)  # fmt: skip
