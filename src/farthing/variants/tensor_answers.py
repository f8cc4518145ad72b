"""A model whose first output is the tensor of its scores: ZipMaps taken off, labels behind the scores."""

from __future__ import annotations

import copy
from typing import Any

from farthing.models.answers import Answer

__all__ = ["give_tensors"]


def give_tensors(model: Any, answer: Answer) -> None:
    """Change a loaded model so that it gives the tensors of ``answer``, in that order, and nothing else.

    Nodes that only served other outputs, such as a ZipMap, are left out. A tensor that was no output becomes one of
    floats ``(n, classes)``; the samples are free where an output says that there is one.
    """
    from onnx import TensorProto, helper

    known = {value.name: copy.deepcopy(value) for value in (*model.graph.value_info, *model.graph.output)}
    scores = ["n", len(answer.classes) or "classes"]
    outputs = [known.get(n) or helper.make_tensor_value_info(n, TensorProto.FLOAT, scores) for n in answer.outputs]
    for dims in (value.type.tensor_type.shape.dim for value in outputs):
        if dims and dims[0].dim_value == 1:  # LightGBM's converter says (1,) of labels, whatever the batch
            dims[0].dim_param = "n"
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    _drop_idle(model.graph)


def _drop_idle(graph: Any) -> None:
    """Leave out nodes whose outputs nobody reads, from the end."""
    while True:
        read = {name for node in graph.node for name in _read_by(node)} | {value.name for value in graph.output}
        idle = [node for node in graph.node if not read.intersection(node.output)]
        if not idle:
            return
        for node in idle:
            graph.node.remove(node)


def _read_by(node: Any) -> set[str]:
    """Tensors that a node reads, those of its subgraphs included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                names |= _read_by(inner)
            names |= {value.name for value in graph.output}
    return names
