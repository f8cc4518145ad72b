"""EfficientNet-Lite0 and ResNet-50 as people have them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from farthing.models.onnx_files import check_onnx
from farthing.nouns import ModelRef
from farthing.variants.export import resolve_model

SOURCES = {
    "resnet": (
        "from transformers import ResNetConfig, ResNetForImageClassification\n"
        "def make():\n    return ResNetForImageClassification(ResNetConfig(num_labels=10))\n"
    ),
    "efficientnet": (
        "from efficientnet_lite_pytorch import EfficientNet\n"
        "def make():\n    return EfficientNet.from_name('efficientnet-lite0')\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "package", "side", "nodes"),
    [("resnet", "transformers", 64, 122), ("efficientnet", "efficientnet_lite_pytorch", 224, 94)],
)
def test_exports_are_clean(name: str, package: str, side: int, nodes: int, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    (tmp_path / "net.py").write_text(SOURCES[name])
    rng = np.random.default_rng(0)
    examples = [{"images": rng.standard_normal((1, 3, side, side)).astype(np.float32)} for _ in range(2)]
    ref = resolve_model(
        ModelRef(kind="torch", path=f"{tmp_path / 'net.py'}:make"), tmp_path / "out", examples, trust=True
    )
    assert len(check_onnx(Path(ref.onnx_path or "")).graph.node) == nodes
