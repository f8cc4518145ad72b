"""PyTorch with torch.compile; on request only, since compiling takes 8–12 s a candidate."""

from __future__ import annotations

from typing import Any

from farthing.engines.pytorch import PyTorch

__all__ = ["TorchCompile"]


class TorchCompile(PyTorch):
    """As :class:`~farthing.engines.pytorch.PyTorch`, compiled by Inductor anew for each batch size.

    Inductor needs a C++ compiler. What an earlier load in this process compiled is thrown away first: a second
    ``torch.compile`` of the same code object would silently reuse it, threads and all.
    """

    name = "torch-compile"

    def _prepare(self, module: Any) -> Any:
        import torch

        torch._dynamo.reset()
        torch._dynamo.config.recompile_limit = 64  # one a batch size; beyond the limit it would run eagerly
        return torch.compile(module, dynamic=False)
