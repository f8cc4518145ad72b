"""Small files of the kinds that people bring: converted trees, quantised and FP16 models, odd inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
_RNG = np.random.default_rng(4)


def value(name: str, *shape: int | str | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def stored(**arrays: Any) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 17,
    ir_version: int = 8,
    functions: Sequence[onnx.FunctionProto] = (),
) -> Path:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights))
    versions = {"": opset, "ai.onnx.ml": 3, "com.microsoft": 1, "com.example": 1}
    domains = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    model = helper.make_model(graph, opset_imports=domains, ir_version=ir_version, functions=list(functions))
    onnx.save(model, path)
    return path


def matrix(rows: int = 8, columns: int = 3) -> np.ndarray:
    return _RNG.standard_normal((rows, columns)).astype(np.float32)


def float_net(path: Path, dtype: Any = np.float32, outputs: int = 3, **more: Any) -> Path:
    """Two products and an activation, all in one type."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Gemm", ["b", "v", "bias"], ["y"], "second"),
    ]
    weights = stored(
        w=matrix(8, 16).astype(dtype), v=matrix(16, outputs).astype(dtype), bias=np.zeros(outputs, dtype=dtype)
    )
    return save(path, nodes, [value("x", "n", 8, kind=kind)], [value("y", "n", outputs, kind=kind)], weights, **more)


def quantised(path: Path, source: Path, way: str) -> Path:
    """The float net through ONNX Runtime's own quantisers."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    if way == "dynamic":
        quantize_dynamic(onnx.load(source), str(path), per_channel=True, weight_type=QuantType.QInt8)
        return path

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter([{"x": _RNG.standard_normal((4, 8)).astype(np.float32)} for _ in range(4)])

        def get_next(self) -> Any:
            return next(self.rows, None)

    form = QuantFormat.QDQ if way == "QDQ" else QuantFormat.QOperator
    quantize_static(str(source), str(path), Reader(), quant_format=form, weight_type=QuantType.QInt8)
    return path


def forest(
    path: Path, *, zipmap: bool = True, labels: Sequence[int] | Sequence[str] = (0, 1, 2), features: int = 4
) -> Path:
    """Three stumps on the first feature as converters write them: label first, scores behind it (in a ZipMap)."""
    texts = isinstance(labels[0], str)
    names = {"classlabels_strings": list(labels)} if texts else {"classlabels_int64s": list(labels)}
    trees = helper.make_node(
        "TreeEnsembleClassifier", ["X"], ["label", "probabilities"], "trees", domain="ai.onnx.ml",
        nodes_treeids=[0] * 5, nodes_nodeids=[0, 1, 2, 3, 4], nodes_featureids=[0, 0, 0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[-0.5, 0.0, 0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 3, 0, 0], nodes_falsenodeids=[2, 0, 4, 0, 0], nodes_hitrates=[1.0] * 5,
        nodes_missing_value_tracks_true=[0] * 5, class_treeids=[0, 0, 0], class_nodeids=[1, 3, 4], class_ids=[0, 1, 2],
        class_weights=[1.0, 1.0, 1.0], post_transform="NONE", **names,
    )  # fmt: skip
    kind = STRING if texts else INT64
    outputs, nodes = [value("label", "n", kind=kind), value("probabilities", "n", 3)], [trees]
    if zipmap:
        nodes.append(
            helper.make_node("ZipMap", ["probabilities"], ["output_probability"], "zip", domain="ai.onnx.ml", **names)
        )
        inner = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(FLOAT, []))
        outputs[1] = helper.make_value_info("output_probability", helper.make_sequence_type_proto(inner))
    return save(path, nodes, [value("X", "n", features)], outputs)


def features(n: int, columns: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the three stumps and their classes."""
    x = _RNG.standard_normal((n, columns)).astype(np.float32)
    return x, np.digitize(x[:, 0], [-0.5, 0.5])
