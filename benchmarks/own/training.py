"""Fits small networks for a minute at most; a fixed seed, so that a case is the same each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_onnx", "fit"]

LEAST_RIGHT = 0.6


def fit(
    module: Any,
    inputs: Sequence[NDArray[Any]],
    target: NDArray[Any],
    loss: Callable[[Any, Any], Any],
    *,
    epochs: int = 12,
    rate: float = 2e-3,
    batch: int = 64,
) -> Any:
    """Train in place with Adam and return the module in evaluation mode.

    Args:
        module: Takes the inputs in order; its answer goes to ``loss`` with the target.
        inputs: Arrays whose first dimension is the sample.
        target: As many.
        loss: Of answer and target.
        epochs: Passes over the data.
        rate: Learning rate.
        batch: Samples in a step.
    """
    import torch

    torch.manual_seed(0)
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (*inputs, target)]
    steps = torch.optim.Adam(module.parameters(), lr=rate)
    order = np.random.default_rng(0)
    module.train()
    for _ in range(epochs):
        rows = torch.from_numpy(order.permutation(len(target)))
        for part in rows.split(batch):
            *given, wanted = (t[part] for t in tensors)
            steps.zero_grad()
            loss(module(*given), wanted).backward()
            steps.step()
    module.eval()
    if target.dtype.kind == "i" and target.ndim == 1:
        _refuse_one_that_guesses(module, tensors)
    return module


def _refuse_one_that_guesses(module: Any, tensors: Sequence[Any]) -> None:
    """A case whose model learned nothing would be judged for nothing."""
    import torch

    *given, wanted = tensors
    with torch.no_grad():
        right = float((module(*given).argmax(-1) == wanted).float().mean())
    if right < LEAST_RIGHT:
        raise ValueError(f"the model is right on {100 * right:.0f} % of its own training samples: it learned nothing")


def as_onnx(module: Any, example: Sequence[Any], path: Path, names: Sequence[str], output: str = "logits") -> Path:
    """Export with a free batch, and free lengths of whole numbers, as PyTorch's documentation shows it."""
    import torch

    from farthing.machine.offline import quiet

    free = [{0: "batch", 1: "length"} if not t.is_floating_point() and t.ndim == 2 else {0: "batch"} for t in example]
    with quiet(), torch.no_grad():
        torch.onnx.export(
            module,
            tuple(example),
            str(path),
            input_names=list(names),
            output_names=[output],
            dynamic_axes={**dict(zip(names, free, strict=True)), output: {0: "batch"}},
            dynamo=False,
            opset_version=17,
        )
    return path
