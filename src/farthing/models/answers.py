"""Which output of a model holds the scores that an answer is judged by, where it gives labels or maps beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farthing.models.graph_content import GraphContent, is_tensor
from farthing.nouns import TensorSpec

__all__ = ["Answer", "answer_of"]

_ML = "ai.onnx.ml"
_WHOLE = ("int64", "int32", "string")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The tensor that judges answers, and what has to be done to the graph to have it first.

    Attributes:
        tensor: Name of the tensor; None when the model has no tensor to judge by.
        spec: As it is declared; None when it is no output yet (what a ZipMap takes).
        outputs: Names of the tensors that the model should give, in order.
        classes: Class labels in the order of the scores, empty when the graph has none.
    """

    tensor: str | None
    spec: TensorSpec | None
    outputs: tuple[str, ...]
    classes: tuple[str, ...] = ()

    def changes(self, content: GraphContent) -> bool:
        """Whether the graph gives something else, or in another order."""
        return self.outputs != tuple(spec.name for spec in content.outputs)


def answer_of(content: GraphContent) -> Answer:
    """Find the scores among the outputs of a model.

    Converters of scikit-learn, XGBoost and LightGBM give the label first and the scores behind it, which a ZipMap
    turns into a sequence of maps: then the scores come first, as the tensor that the ZipMap takes. Other sequences,
    maps and optional values are left out where there is a tensor beside them.
    """
    mapped = [tensor for spec in content.outputs if (tensor := _zipped(spec, content)) is not None]
    tensors = [spec for spec in content.outputs if is_tensor(spec)]
    if mapped:
        names = dict.fromkeys([*mapped, *(s.name for s in tensors)])
        return Answer(tensor=mapped[0], spec=None, outputs=tuple(names), classes=_classes(content))
    scores = _scores_behind_labels(tensors, content)
    if scores is not None:
        names = dict.fromkeys([scores.name, *(s.name for s in tensors)])
        return Answer(tensor=scores.name, spec=scores, outputs=tuple(names), classes=_classes(content))
    if not tensors:
        return Answer(tensor=None, spec=None, outputs=())
    return Answer(tensor=tensors[0].name, spec=tensors[0], outputs=tuple(s.name for s in tensors))


def _zipped(spec: TensorSpec, content: GraphContent) -> str | None:
    """Tensor of scores of which a ZipMap makes an output."""
    writer = None if is_tensor(spec) else content.writer(spec.name)
    return writer.inputs[0] if writer is not None and writer.kind == "ZipMap" and writer.domain == _ML else None


def _scores_behind_labels(tensors: Sequence[TensorSpec], content: GraphContent) -> TensorSpec | None:
    """Scores ``(n, classes)`` that follow a label, in a model of ONNX's machine-learning operators."""
    if len(tensors) < 2 or tensors[0].dtype not in _WHOLE or not any(n.domain == _ML for n in content.nodes):
        return None
    return next((s for s in tensors[1:] if s.dtype in ("float32", "float64") and len(s.shape) == 2), None)


def _classes(content: GraphContent) -> tuple[str, ...]:
    """Labels of the last classifier that names any; the ZipMap, where there is one, stands behind it."""
    return next((node.classes for node in reversed(content.nodes) if node.domain == _ML and node.classes), ())
