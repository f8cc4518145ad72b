"""Which nodes of a model ONNX Runtime fused into each node of the graph that it really runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["fused_nodes"]

_MOST_NODES = 64
"""A walk that finds more has missed the fused node's inputs: then nothing is said about it."""


def fused_nodes(model: Path, optimized: Path) -> dict[str, tuple[str, ...]]:
    """Nodes of ``model`` that each node of ``optimized`` does the work of, where its own name does not say so.

    Fusing keeps the names of the tensors that go in and come out. The nodes in between, in the original graph, are
    what was fused.

    Args:
        model: The file that was loaded.
        optimized: What ONNX Runtime made of it and saved.

    Returns:
        By name of the optimized node, in the model's order; a node without name is called after its first output.
    """
    import onnx

    before = onnx.load(str(model), load_external_data=False).graph
    after = onnx.load(str(optimized), load_external_data=False).graph
    names = {_name(n) for n in before.node}
    writers, new_writers = _writers(before.node), _writers(after.node)
    order = {_name(n): k for k, n in enumerate(before.node)}
    outside = {v.name for v in before.input} | {t.name for t in before.initializer}
    found = {}
    for node in (n for n in after.node if n.name not in names and n.op_type != "Constant"):
        stops = _known_inputs(node, writers.keys() | outside, new_writers)
        covered = _between([o for o in node.output if o in writers], stops, writers)
        if covered:
            found[node.name] = tuple(sorted(covered, key=order.__getitem__))
    return found


def _name(node: Any) -> str:
    return str(node.name or next((o for o in node.output if o), node.op_type))


def _writers(nodes: Iterable[Any]) -> dict[str, Any]:
    return {output: node for node in nodes for output in node.output if output}


def _known_inputs(node: Any, known: set[str], writers: Mapping[str, Any]) -> set[str]:
    """Tensors of the original that a node reads, through nodes that were put in between (reorders, casts)."""
    stops: set[str] = set()
    seen: set[str] = set()
    todo = [name for name in node.input if name]
    while todo:
        name = todo.pop()
        if name in known:
            stops.add(name)
        elif name in writers and name not in seen:
            seen.add(name)
            todo += [n for n in writers[name].input if n]
    return stops


def _between(outputs: Iterable[str], stops: set[str], writers: Mapping[str, Any]) -> set[str]:
    """Nodes on the ways from ``stops`` to ``outputs``; empty when there are too many to believe."""
    found: set[str] = set()
    todo = list(outputs)
    while todo:
        tensor = todo.pop()
        if tensor in stops or tensor not in writers:
            continue
        node = writers[tensor]
        if _name(node) not in found:
            found.add(_name(node))
            todo += [n for n in node.input if n]
        if len(found) > _MOST_NODES:
            return set()
    return found
