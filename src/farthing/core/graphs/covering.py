"""Which nodes of the model an engine's operator stands for, from the name that the engine gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from farthing.core.graphs.costs import NodeCost

__all__ = ["covered_nodes", "original_name"]

_APPENDED = re.compile(r"(/WithoutBiases|/MatMulScaleFusion/|_nchwc|_token_\d+)$")
"""OpenVINO names a convolution without its bias so, ONNX Runtime its scaled products, its blocked
and its quantised operators."""
_QUANTISERS = {"DequantizeLinear", "QuantizeLinear"}
_LONGEST_CHAIN = 4
"""Nodes behind one another that engines fuse into one operator: product, addition, activation, quantisation."""


def covered_nodes(name: str, kind: str, costs: Mapping[str, NodeCost]) -> tuple[str, ...]:
    """Nodes that an operator stands for, in the graph's order; empty when it cannot be told.

    Its own name; or several joined by ``+``, ``,`` or ``;``; what an engine is known to append is taken off. An
    operator named after a tensor (ONNX Runtime names blocked convolutions after their output) stands for the node
    that writes the tensor and those before it, as far as a node of the operator's own kind.
    """
    if name in costs:
        return (name,)
    parts = {part.strip() for part in re.split(r"[+,;]", name)}
    parts |= {_APPENDED.sub("", part) for part in parts}
    found = parts & costs.keys()
    if not found:
        writers = {tensor.name: node for node, cost in costs.items() for tensor in cost.writes}
        found = {n for part in parts & writers.keys() for n in _chain(writers[part], kind, costs, writers)}
    return tuple(node for node in costs if node in found) if len(found) > 1 else tuple(found)


def _chain(last: str, kind: str, costs: Mapping[str, NodeCost], writers: Mapping[str, str]) -> tuple[str, ...]:
    """Find the way from a node of that kind to ``last`` over tensors that nobody else reads; else ``last`` alone."""
    ways: list[tuple[str, ...]] = [(last,)]
    for _ in range(_LONGEST_CHAIN):
        for way in ways:
            if kind in costs[way[0]].kinds:
                return way
        ways = [
            (writers[tensor.name], *way)
            for way in ways
            for tensor in costs[way[0]].reads
            if _only_for(way[0], tensor.name, costs, writers)
        ]
    return (last,)


def _only_for(node: str, tensor: str, costs: Mapping[str, NodeCost], writers: Mapping[str, str]) -> bool:
    return tensor in writers and costs[writers[tensor]].readers[tensor] == {node}


def original_name(name: str, nodes: tuple[str, ...], costs: Mapping[str, NodeCost]) -> str:
    """Join the nodes that an operator stands for, without those that only quantise where there are others.

    The engine's own ``name`` where no node is known.
    """
    working = [node for node in nodes if not _QUANTISERS.issuperset(costs[node].kinds)]
    return "+".join(working or nodes) or name
