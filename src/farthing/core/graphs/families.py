"""Work of operators that an engine only tells by kind: PyTorch sums all convolutions of a model in one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farthing.core.graphs.costs import NodeCost
from farthing.nouns import OperatorTime

__all__ = ["family_work"]


@dataclass(frozen=True, slots=True)
class _Family:
    """Kinds of an engine that do the work of some of the model's kinds.

    Attributes:
        engine_kinds: As the profiler calls them.
        kinds: As the model does.
        weighted: True for nodes with constant operands only, False for those without, None for both.
    """

    engine_kinds: frozenset[str]
    kinds: frozenset[str]
    weighted: bool | None = None


def _family(engine_kinds: str, kinds: str, weighted: bool | None = None) -> _Family:
    return _Family(frozenset(engine_kinds.split()), frozenset(kinds.split()), weighted)


_FAMILIES = (
    _family("mkldnn_convolution mkldnn_convolution_pointwise _slow_conv2d_forward", "Conv ConvTranspose"),
    _family("addmm mkl_linear mkldnn_linear mm", "Gemm MatMul", True),
    _family("bmm baddbmm", "MatMul", False),
    _family("native_layer_norm", "LayerNormalization"),
    _family("native_batch_norm _native_batch_norm_legit_no_training", "BatchNormalization"),
    _family("max_pool2d_with_indices mkldnn_max_pool2d", "MaxPool"),
    _family("mean adaptive_avg_pool2d _adaptive_avg_pool2d avg_pool2d", "ReduceMean GlobalAveragePool AveragePool"),
    _family("relu relu_ clamp_min clamp_min_", "Relu"),
    _family("_scaled_dot_product_flash_attention_for_cpu", "MatMul", False),
    _family("embedding index_select", "Gather", True),
    _family("gelu", "Gelu Erf"),
    _family("_softmax", "Softmax"),
    _family("add add_", "Add"),
    _family("sigmoid sigmoid_", "Sigmoid"),
    _family("tanh tanh_", "Tanh"),
    _family("cat", "Concat"),
)
_HEADERS = (
    "_reshape_alias _to_copy _unsafe_view alias as_strided clone contiguous conv2d convolution _convolution copy_ "
    "detach empty empty_like empty_strided expand expand_as fill_ flatten full layer_norm lift_fresh linear matmul "
    "permute reshape resolve_conj resolve_neg scalar_tensor select slice softmax split squeeze t to transpose "
    "unsqueeze view zero_"
)
_NO_WORK = frozenset(_HEADERS.split())
"""Kinds of PyTorch that make headers, copies or calls of others: what they take is not work that the model needs."""


def family_work(
    operators: Sequence[OperatorTime], costs: Mapping[str, NodeCost]
) -> dict[int, tuple[tuple[NodeCost, ...], float]]:
    """Nodes whose work a row does and the row's share of it, by index into ``operators``.

    Rows that only make headers or copies, or call others, have no nodes and nothing to do.

    Where several kernels do a family's work (PyTorch picks one by size), how they share it is not known: it is
    split by their time, so that all of them show what the family attains. Nothing is fused: eager engines write
    every result to memory.
    """
    found: dict[int, tuple[tuple[NodeCost, ...], float]] = {
        i: ((), 1.0) for i, operator in enumerate(operators) if operator.kind in _NO_WORK
    }
    for family in _FAMILIES:
        rows = [i for i, operator in enumerate(operators) if operator.kind in family.engine_kinds]
        nodes = tuple(cost for cost in costs.values() if _belongs(cost, family))
        spent_ms = sum(operators[i].time_ms for i in rows)
        if nodes and spent_ms > 0:
            found.update({i: (nodes, operators[i].time_ms / spent_ms) for i in rows})
    return found


def _belongs(cost: NodeCost, family: _Family) -> bool:
    weighted = any(tensor.weight for tensor in cost.reads)
    return bool(cost.reads) and family.kinds.issuperset(cost.kinds) and family.weighted in (None, weighted)
