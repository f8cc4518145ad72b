"""Which candidates there are on which machine."""

from __future__ import annotations

import pytest

from farthing.core.search.space import baseline_candidates, builds, layouts
from farthing.nouns import Artefact, BaselineSpec, Precision

ENGINES = {"onnxruntime": None, "openvino": None, "pytorch": None, "torch-compile": "pip install torch"}


def artefact(variant: str, precision: Precision, *engines: str) -> Artefact:
    return Artefact(variant=variant, precision=precision, path=variant, sha256="0", size_mib=1.0, engines=engines)


ARTEFACTS = (
    artefact("fp32", "fp32", "onnxruntime", "openvino"),
    artefact("int8-nncf", "int8", "openvino"),
    artefact("int8-qdq", "int8", "onnxruntime"),
    artefact("torch-module", "fp32", "pytorch", "torch-compile"),
)


def found(isa: tuple[str, ...]) -> set[tuple[str, str, str]]:
    return {(c.engine, c.variant, c.precision) for c in builds(ARTEFACTS, ENGINES, isa, 4)}


PLAIN = {
    ("onnxruntime", "fp32", "fp32"),
    ("onnxruntime", "int8-qdq", "int8"),
    ("openvino", "fp32", "fp32"),
    ("openvino", "int8-nncf", "int8"),
    ("pytorch", "torch-module", "fp32"),
}


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bf16_is_tried_where_there_is_a_unit_also_beside_int8(flag: str) -> None:
    assert found(("avx2",)) == PLAIN
    assert found(("avx2", flag)) == PLAIN | {
        ("openvino", "fp32", "bf16"),
        ("openvino", "int8-nncf", "bf16"),
        ("pytorch", "torch-module", "bf16"),
    }


def test_engines_that_are_not_installed_or_not_wanted_are_left_out() -> None:
    engines = {"onnxruntime": None, "openvino": "pip install openvino"}
    assert {c.engine for c in builds(ARTEFACTS, engines, (), 2)} == {"onnxruntime"}


def test_layouts_load_all_cores() -> None:
    assert layouts(4) == ((4, 1), (2, 2), (1, 4))
    assert layouts(3) == ((3, 1), (1, 3))
    spec = BaselineSpec(engine="onnxruntime", precision="fp32", max_batch=4)
    assert {(c.variant, c.max_batch, c.instances * c.threads) for c in baseline_candidates(spec, 4)} == {("fp32", 4, 4)}


@pytest.mark.parametrize(
    ("engine", "precision", "variant"),
    [
        ("onnxruntime", "fp32", "fp32"),
        ("onnxruntime", "int8", "original"),
        ("onnxruntime", "fp16", "original"),
        ("openvino", "bf16", "fp32"),
        ("openvino", "int8", "original"),
        ("pytorch", "bf16", "torch-module"),
    ],
)
def test_a_baseline_that_is_not_in_floats_of_32_bits_runs_as_it_came(
    engine: str, precision: Precision, variant: str
) -> None:
    spec = BaselineSpec(engine=engine, precision=precision)
    assert {(c.variant, c.precision) for c in baseline_candidates(spec, 2)} == {(variant, precision)}
