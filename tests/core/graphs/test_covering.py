"""From an engine's names back to the model's nodes."""

from __future__ import annotations

import pytest

from farthing.core.graphs.costs import NodeCost, Traffic
from farthing.core.graphs.covering import covered_nodes, original_name


def node(name: str, kind: str, reads: str, writes: str, readers: str) -> NodeCost:
    def tensors(names: str) -> tuple[Traffic, ...]:
        return tuple(Traffic(name=n, elements=1, element_bytes=4, is_float=True, weight=False) for n in names.split())

    return NodeCost(
        names=(name,),
        kinds=(kind,),
        flops=1.0,
        least_flops=1.0,
        reads=tensors(reads),
        writes=tensors(writes),
        readers={writes: frozenset(readers.split())},
    )


BLOCK = {
    "first": node("first", "Conv", "x", "a", "relu"),
    "relu": node("relu", "Relu", "a", "b", "second add"),
    "second": node("second", "Conv", "b", "c", "add"),
    "add": node("add", "Add", "c b", "d", "out"),
    "out": node("out", "Relu", "d", "e", ""),
    "quantise": node("quantise", "QuantizeLinear", "e", "f", ""),
}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("first", ("first",)),
        ("first+relu", ("first", "relu")),
        ("relu,first", ("first", "relu")),
        ("relu + first ; relu", ("first", "relu")),
        ("first/WithoutBiases,relu", ("first", "relu")),
        ("second_token_12", ("second",)),
        ("second_nchwc", ("second",)),
        ("second/MatMulScaleFusion/", ("second",)),
        ("reorder_7", ()),
        ("first_quant", ()),
    ],
)
def test_names_are_taken_apart(name: str, nodes: tuple[str, ...]) -> None:
    assert covered_nodes(name, "Conv", BLOCK) == nodes


@pytest.mark.parametrize(
    ("tensor", "kind", "nodes"),
    [
        ("a", "Conv", ("first",)),
        ("b_nchwc", "Conv", ("first", "relu")),
        ("e_nchwc", "Conv", ("second", "add", "out")),
        ("e", "Relu", ("out",)),
        ("e", "Gemm", ("out",)),
    ],
)
def test_names_of_tensors_lead_back_to_the_operators_kind(tensor: str, kind: str, nodes: tuple[str, ...]) -> None:
    assert covered_nodes(tensor, kind, BLOCK) == nodes


def test_a_name_that_holds_the_joint_itself_is_found_whole() -> None:
    odd = {**BLOCK, "first+relu": BLOCK["first"]}
    assert covered_nodes("first+relu", "Conv", odd) == ("first+relu",)


def test_original_names_leave_quantisers_out_unless_they_are_all() -> None:
    assert original_name("x", ("second", "out", "quantise"), BLOCK) == "second+out"
    assert original_name("x", ("quantise",), BLOCK) == "quantise"
    assert original_name("reorder_7", (), BLOCK) == "reorder_7"
