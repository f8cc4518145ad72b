"""Costs of operators against formulas by hand."""

from __future__ import annotations

from typing import Any

import pytest

from farthing.core.graphs.costs import fused_cost, node_costs
from farthing.core.graphs.records import NodeRecord, TensorRecord, unsigned_weights


def tensor(name: str, *shape: int, dtype: str = "float32", weight: bool = False) -> TensorRecord:
    size = {"float32": 4.0, "int64": 8.0, "int8": 1.0, "uint8": 1.0, "int32": 4.0}[dtype]
    return TensorRecord(name=name, shape=list(shape), dtype=dtype, element_bytes=size, weight=weight)


def node(
    kind: str, inputs: list[TensorRecord | None], outputs: list[TensorRecord | None], name: str = "", **more: Any
) -> NodeRecord:
    record = NodeRecord(
        name=name or kind,
        kind=kind,
        domain="",
        scope="",
        inputs=inputs,
        outputs=outputs,
        attributes={},
        weight_bytes=0.0,
        known=True,
        folded=False,
    )
    record.update(more)  # type: ignore[typeddict-item]
    return record


def weight(*shape: int, dtype: str = "float32") -> TensorRecord:
    return tensor("w", *shape, dtype=dtype, weight=True)


X = tensor("x", 2, 8, 10, 10)
SCALE, ZERO = tensor("s", weight=True), tensor("z", dtype="uint8", weight=True)

CASES = [
    ("Conv", [X, weight(16, 8, 3, 3)], [tensor("y", 2, 16, 10, 10)], {}, 2 * 2 * 16 * 100 * 8 * 9),
    ("Conv", [X, weight(8, 1, 3, 3), tensor("b", 8)], [tensor("y", 2, 8, 10, 10)], {"group": 8}, 2 * 2 * 8 * 100 * 9),
    ("ConvTranspose", [X, weight(8, 4, 2, 2)], [tensor("y", 2, 4, 20, 20)], {}, 2 * 2 * 8 * 100 * 4 * 4),
    ("ConvInteger", [X, weight(16, 8, 3, 3, dtype="int8")], [tensor("y", 2, 16, 10, 10)], {}, 2 * 2 * 16 * 100 * 72),
    (
        "QLinearConv",
        [tensor("x", 2, 8, 10, 10, dtype="uint8"), SCALE, ZERO, weight(16, 8, 1, 1, dtype="int8"), SCALE, ZERO],
        [tensor("y", 2, 16, 10, 10, dtype="uint8")],
        {},
        2 * 2 * 16 * 100 * 8,
    ),
    ("Gemm", [tensor("x", 3, 5), weight(5, 7)], [tensor("y", 3, 7)], {}, 2 * 3 * 5 * 7),
    ("Gemm", [tensor("x", 5, 3), weight(5, 7)], [tensor("y", 3, 7)], {"transA": 1}, 2 * 3 * 5 * 7),
    ("MatMul", [tensor("x", 4, 6, 3, 5), tensor("v", 4, 6, 5, 7)], [tensor("y", 4, 6, 3, 7)], {}, 2 * 24 * 3 * 5 * 7),
    ("MatMul", [tensor("x", 5), tensor("v", 5)], [tensor("y")], {}, 2 * 5),
    ("MatMulInteger", [tensor("x", 3, 5, dtype="uint8"), weight(5, 7, dtype="int8")], [tensor("y", 3, 7)], {}, 210),
    ("MaxPool", [X], [tensor("y", 2, 8, 5, 5)], {"kernel_shape": [3, 3]}, 2 * 8 * 25 * 9),
    ("GlobalAveragePool", [X], [tensor("y", 2, 8, 1, 1)], {}, 1600),
    ("ReduceMean", [X], [tensor("y", 2, 8)], {}, 1600),
    ("Softmax", [tensor("x", 4, 9)], [tensor("y", 4, 9)], {}, 5 * 36),
    ("LayerNormalization", [tensor("x", 4, 9)], [tensor("y", 4, 9)], {}, 7 * 36),
    ("Relu", [X], [tensor("y", 2, 8, 10, 10)], {}, 1600),
    ("Transpose", [tensor("x", 3, 5)], [tensor("y", 5, 3)], {}, 0),
    ("Reshape", [tensor("x", 3, 5), tensor("n", 1, dtype="int64")], [tensor("y", 15)], {}, 0),
    ("Einsum", [tensor("x", 3, 5), tensor("v", 5, 7)], [tensor("y", 3, 7)], {"equation": "ij,jk->ik"}, 210),
    (
        "MultiHeadAttention",
        [tensor("q", 2, 6, 8), tensor("k", 2, 6, 8), tensor("v", 2, 6, 8)],
        [tensor("y", 2, 6, 8)],
        {"num_heads": 4},
        4 * 2 * 6 * 6 * 8 + 5 * 2 * 4 * 36,
    ),
    (
        "LSTM",
        [tensor("x", 7, 2, 3), weight(1, 16, 3), tensor("r", 1, 16, 4, weight=True)],
        [tensor("y", 7, 1, 2, 4)],
        {},
        2 * 7 * 2 * (16 * 3 + 16 * 4),
    ),
    ("NeverHeardOf", [X], [X], {}, None),
    ("Einsum", [X], [X], {"equation": "...a->a"}, None),
]


@pytest.mark.parametrize(("kind", "inputs", "outputs", "attributes", "flops"), CASES)
def test_flops_by_hand(kind: str, inputs: Any, outputs: Any, attributes: Any, flops: float | None) -> None:
    cost = node_costs([node(kind, inputs, outputs, attributes=attributes)])[kind]
    assert cost.flops == flops
    assert (cost.bytes_moved() is None) == (flops is None)


def test_packed_attention_of_the_contributed_domain_counts_its_projections() -> None:
    record = node(
        "Attention",
        [tensor("x", 2, 6, 8), weight(8, 24), tensor("b", 24, weight=True)],
        [tensor("y", 2, 6, 8)],
        domain="com.microsoft",
        attributes={"num_heads": 2},
    )
    assert node_costs([record])["Attention"].flops == 2 * 2 * 6 * 8 * 24 + 2 * 36 * (4 * 8 + 5 * 2)


def test_traffic_is_inputs_weights_and_outputs_once() -> None:
    cost = node_costs([node("Conv", [X, weight(16, 8, 3, 3)], [tensor("y", 2, 16, 10, 10)])])["Conv"]
    assert cost.bytes_moved(weights=True) == 4 * 16 * 8 * 9
    assert cost.bytes_moved(weights=False) == 4 * (1600 + 3200)
    assert cost.bytes_moved() == 4 * (1152 + 4800)
    assert cost.bytes_moved(1.0) == 1152 + 4800


def test_a_tensor_read_twice_moves_once() -> None:
    x = tensor("x", 10)
    assert node_costs([node("Mul", [x, x], [tensor("y", 10)])])["Mul"].bytes_moved() == 80


def test_lookups_move_only_the_rows_taken() -> None:
    table, rows = tensor("w", 30000, 384, weight=True), tensor("i", 16, dtype="int64")
    cost = node_costs([node("Gather", [table, rows], [tensor("y", 16, 384)])])["Gather"]
    assert cost.bytes_moved() == 16 * 8 + 2 * 16 * 384 * 4
    assert cost.bytes_moved(2.0) == 16 * 8 + 2 * 16 * 384 * 2, "integers keep their width"


def test_views_and_constant_nodes_cost_nothing() -> None:
    view = node("Reshape", [tensor("x", 4, 9), tensor("n", 1, dtype="int64")], [tensor("y", 36)])
    folded = node("DequantizeLinear", [weight(64, 64, dtype="int8"), SCALE], [tensor("f", 64, 64)], folded=True)
    for cost in node_costs([view, folded]).values():
        assert (cost.flops, cost.bytes_moved()) == (0.0, 0)


def test_an_unknown_shape_gives_no_cost() -> None:
    lost = TensorRecord(name="y", shape=None, dtype="", element_bytes=0.0, weight=False)
    cost = node_costs([node("Relu", [X], [lost], known=False)])["Relu"]
    assert cost.flops is None
    assert cost.bytes_moved() is None


def chain() -> list[NodeRecord]:
    x, a, b, c = (tensor(n, 100) for n in "xabc")
    return [node("Relu", [x], [a], "one"), node("Tanh", [a], [b], "two"), node("Add", [b, x], [c], "three")]


def test_fused_nodes_keep_what_stays_inside() -> None:
    costs = node_costs(chain())
    assert sum(c.bytes_moved() or 0 for c in costs.values()) == 400 * (2 + 2 + 3)
    fused = fused_cost([costs["one"], costs["two"], costs["three"]])
    assert fused.flops == 300
    assert fused.bytes_moved() == 400 * 2, "x is read, c written"
    partly = fused_cost([costs["two"], costs["three"]])
    assert partly.bytes_moved() == 400 * 3, "a and x are read, c written"


def test_a_fused_tensor_that_others_read_is_written() -> None:
    x, a, b, c = (tensor(n, 100) for n in "xabc")
    records = [node("Relu", [x], [a], "one"), node("Tanh", [a], [b], "two"), node("Exp", [a], [c], "other")]
    costs = node_costs(records)
    assert fused_cost([costs["one"], costs["two"]]).bytes_moved() == 400 * 3, "x, a and b"


def test_fusing_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no nodes"):
        fused_cost([])


def test_unsigned_weights_are_found_but_not_zero_points() -> None:
    bad = tensor("w1", 8, 8, dtype="uint8", weight=True)
    good = tensor("w2", 8, 8, dtype="int8", weight=True)
    zero = tensor("z", dtype="uint8", weight=True)
    records = [node("DequantizeLinear", [w, SCALE, zero], [tensor("f", 8, 8)]) for w in (bad, good)]
    assert unsigned_weights(records) == ("w1",)


@pytest.mark.parametrize(
    ("attributes", "share"),
    [
        ({"pads": [1, 1, 1, 1]}, (28 / 30) ** 2),
        ({"pads": [0, 0, 0, 0]}, 1.0),
        ({}, 1.0),
        ({"auto_pad": "SAME_UPPER"}, (28 / 30) ** 2),
        ({"pads": [2, 2, 2, 2], "dilations": [2, 2]}, (26 / 30) ** 2),
    ],
)
def test_products_with_padding_may_be_left_out(attributes: Any, share: float) -> None:
    size = 8 if attributes in ({}, {"pads": [0, 0, 0, 0]}) else 10
    record = node("Conv", [X, weight(16, 8, 3, 3)], [tensor("y", 2, 16, size, size)], attributes=attributes)
    cost = node_costs([record])["Conv"]
    assert cost.least_flops == pytest.approx(share * (cost.flops or 0))
