"""What each node of a graph must compute and move at least, alone and fused with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from farthing.core.graphs.flops import PARTIAL_READS, VIEWS, operations, unpadded_frac
from farthing.core.graphs.records import NodeRecord, TensorRecord, elements

__all__ = ["NodeCost", "Traffic", "fused_cost", "node_costs"]

_FLOATS = {"float64", "float32", "float16", "bfloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One tensor that a node reads or writes.

    Attributes:
        name: Tensor's name.
        elements: Elements that have to move.
        element_bytes: As stored in the model.
        is_float: True for floating point, which an engine may run narrower.
        weight: True when constant.
    """

    name: str
    elements: float
    element_bytes: float
    is_float: bool
    weight: bool

    def bytes_at(self, float_bytes: float | None) -> float:
        """Bytes to move when floats take at most ``float_bytes`` each (None: as stored)."""
        width = self.element_bytes
        if float_bytes is not None and self.is_float:
            width = min(width, float_bytes)
        return self.elements * width


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """What a node, or several fused ones, must compute and move at least.

    Attributes:
        names: Nodes it stands for, in the graph's order.
        kinds: Their operator types.
        flops: Operations; None when the operator or a shape is unknown.
        least_flops: The same without products with padding zeros, which a kernel may leave out; ≤ ``flops``.
        reads: Tensors read, each once.
        writes: Tensors written, each once.
        readers: Nodes that read each written tensor; none for an output of the model.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    flops: float | None
    least_flops: float | None
    reads: tuple[Traffic, ...]
    writes: tuple[Traffic, ...]
    readers: Mapping[str, frozenset[str]]

    def bytes_moved(self, float_bytes: float | None = None, *, weights: bool | None = None) -> float | None:
        """Least traffic in bytes, None when unknown.

        Args:
            float_bytes: Width of floats in the engine's precision, None for the model's own.
            weights: True for constant tensors only, False for the others only, None for both.
        """
        if self.flops is None:
            return None
        moved = (*self.reads, *self.writes)
        return sum(t.bytes_at(float_bytes) for t in moved if weights is None or t.weight == weights)


def _traffic(tensors: Iterable[TensorRecord | None], limit: float | None = None) -> tuple[Traffic, ...]:
    """Each tensor once; the first moves at most ``limit`` elements."""
    found: dict[str, Traffic] = {}
    for index, tensor in enumerate(tensors):
        if tensor is None or tensor["shape"] is None:
            continue
        size = float(elements(tensor))
        found.setdefault(
            tensor["name"],
            Traffic(
                name=tensor["name"],
                elements=size if limit is None or index else min(size, limit),
                element_bytes=tensor["element_bytes"],
                is_float=tensor["dtype"] in _FLOATS,
                weight=tensor["weight"],
            ),
        )
    return tuple(found.values())


def _cost(node: NodeRecord, readers: Mapping[str, frozenset[str]]) -> NodeCost:
    if node["folded"] or node["kind"] in VIEWS:
        return NodeCost(
            names=(node["name"],), kinds=(node["kind"],), flops=0.0, least_flops=0.0, reads=(), writes=(), readers={}
        )
    flops = operations(node)
    written = [t for t in node["outputs"] if t is not None]
    partial = node["kind"] in PARTIAL_READS and node["known"]
    limit = float(sum(elements(t) for t in written)) if partial else None
    return NodeCost(
        names=(node["name"],),
        kinds=(node["kind"],),
        flops=flops,
        least_flops=None if flops is None else flops * unpadded_frac(node),
        reads=_traffic(node["inputs"], limit),
        writes=_traffic(written),
        readers={t["name"]: readers.get(t["name"], frozenset()) for t in written},
    )


def node_costs(records: Sequence[NodeRecord]) -> dict[str, NodeCost]:
    """Operations and least traffic of every node, by node name.

    Nodes that only give the same bytes another shape, and those worked out while loading, cost nothing. Of a
    table that is looked up (``Gather``) only the rows taken are counted.
    """
    readers: dict[str, set[str]] = {}
    for node in records:
        for tensor in node["inputs"]:
            if tensor is not None:
                readers.setdefault(tensor["name"], set()).add(node["name"])
    frozen = {name: frozenset(nodes) for name, nodes in readers.items()}
    return {node["name"]: _cost(node, frozen) for node in records}


def _sum(counts: Sequence[float | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def fused_cost(costs: Sequence[NodeCost]) -> NodeCost:
    """Several nodes run as one operator: operations add up, tensors that stay inside do not move.

    A tensor stays inside when a fused node writes it and only fused nodes read it. ``flops`` is None as soon as
    one node's are.

    Raises:
        ValueError: when there is no node.
    """
    if not costs:
        raise ValueError("fused_cost: no nodes given")
    if len(costs) == 1:
        return costs[0]
    names = tuple(name for cost in costs for name in cost.names)
    members = frozenset(names)
    readers = {name: nodes for cost in costs for name, nodes in cost.readers.items()}
    written = {t.name: t for cost in costs for t in cost.writes}
    read = {t.name: t for cost in costs for t in cost.reads if t.name not in written}
    kept = [t for t in written.values() if not (readers[t.name] and readers[t.name] <= members)]
    return NodeCost(
        names=names,
        kinds=tuple(kind for cost in costs for kind in cost.kinds),
        flops=_sum([cost.flops for cost in costs]),
        least_flops=_sum([cost.least_flops for cost in costs]),
        reads=tuple(read.values()),
        writes=tuple(kept),
        readers={t.name: readers[t.name] for t in kept},
    )
