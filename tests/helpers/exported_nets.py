"""Fixtures for the rooms that run models: the tiny networks, exported once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farthing.nouns import ModelRef

NETS = Path(__file__).with_name("tiny_nets.py")


@dataclass(frozen=True)
class Net:
    """An exported network with inputs of single samples."""

    ref: ModelRef
    out: Path
    examples: list[dict[str, Any]]

    @property
    def onnx(self) -> Path:
        return Path(self.ref.onnx_path or "")

    @property
    def module(self) -> Path:
        return self.out / "module"

    def batch(self, n: int) -> dict[str, Any]:
        same = [e for e in self.examples if all(e[k].shape == v.shape for k, v in self.examples[0].items())]
        return {k: np.concatenate([same[i % len(same)][k] for i in range(n)]) for k in self.examples[0]}


def images(n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [{"images": rng.standard_normal((1, 3, 32, 32)).astype(np.float32)} for _ in range(n)]


def texts(n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    lengths = [12, 9, 7, 12]
    return [
        {
            "input_ids": rng.integers(0, 60, (1, lengths[i % 4])),
            "attention_mask": np.ones((1, lengths[i % 4]), dtype=np.int64),
        }
        for i in range(n)
    ]


_ONCE: dict[str, Net] = {}


def _exported(name: str, folders: pytest.TempPathFactory, examples: list[dict[str, Any]]) -> Net:
    from farthing.variants.export import resolve_model

    if name in _ONCE:
        return _ONCE[name]
    out = folders.mktemp(name)
    ref = resolve_model(ModelRef(kind="torch", path=f"{NETS}:{name}"), out, examples, trust=True)
    _ONCE[name] = Net(ref=ref, out=out, examples=examples)
    return _ONCE[name]


@pytest.fixture(scope="session")
def conv_net(tmp_path_factory: pytest.TempPathFactory) -> Net:
    return _exported("conv_net", tmp_path_factory, images(24))


@pytest.fixture(scope="session")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Net:
    return _exported("transformer", tmp_path_factory, texts(24))
