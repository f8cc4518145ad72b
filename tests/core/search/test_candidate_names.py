"""What candidates are called: for people by what differs, in journals by what never changes."""

from __future__ import annotations

from itertools import product

import pytest

from farthing.nouns import Candidate

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
VARIANTS = ("fp32", "bf16", "int8-nncf", "int8-dynamic", "original", "torch-module")


def test_different_candidates_have_different_names() -> None:
    made = [
        Candidate(engine=e, variant=v, precision=p, max_batch=b, instances=i)
        for e, v, p, b, i in product(("onnxruntime", "openvino"), VARIANTS, PRECISIONS, (1, 8), (1, 2))
    ]
    assert len({c.label for c in made}) == len({c.key for c in made}) == len(made)


@pytest.mark.parametrize(
    ("variant", "precision", "label"),
    [
        ("int8-nncf", "int8", "openvino int8-nncf b8 2×1"),
        ("int8-nncf", "bf16", "openvino int8-nncf in bf16 b8 2×1"),
        ("fp32", "fp32", "openvino fp32 b8 2×1"),
        ("fp32", "bf16", "openvino fp32 in bf16 b8 2×1"),
        ("original", "int8", "openvino original in int8 b8 2×1"),
        ("torch-module", "fp32", "openvino torch-module b8 2×1"),
    ],
)
def test_the_precision_is_named_where_the_variant_does_not_say_it(variant: str, precision: str, label: str) -> None:
    c = Candidate(engine="openvino", variant=variant, precision=precision, max_batch=8, instances=2)  # type: ignore[arg-type]
    assert c.label == label


def test_keys_of_journals_are_those_of_old() -> None:
    c = Candidate(engine="openvino", variant="fp32", precision="bf16", max_batch=8, instances=2)
    assert c.key == "openvino fp32 b8 2×1/bf16"
