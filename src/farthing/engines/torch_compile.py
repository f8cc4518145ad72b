"""PyTorch with torch.compile; on request only, since compiling takes 8–12 s a candidate."""

from __future__ import annotations

from farthing.engines.pytorch import PyTorch

__all__ = ["TorchCompile"]


class TorchCompile(PyTorch):
    """As :class:`~farthing.engines.pytorch.PyTorch`, compiled by Inductor for each batch size."""

    name = "torch-compile"
    compiled = True
