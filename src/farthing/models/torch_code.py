"""PyTorch modules: the user's own code run only when trusted, answers flattened to arrays with stable names."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import from_plain, to_plain
from farthing.errors import ModelError, TrustError
from farthing.nouns import TensorSpec
from farthing.plugins import import_callable
from farthing.ports import Feeds

__all__ = [
    "PROGRAM",
    "SIGNATURE",
    "ModuleSignature",
    "as_flat",
    "flatten",
    "input_hint",
    "input_parameters",
    "named_answers",
    "read_signature",
    "state_digest",
    "user_module",
]

PROGRAM = "module.pt2"
"""File of an exported program inside its folder."""
SIGNATURE = "signature.json"
"""File beside it that names inputs and outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSignature:
    """Inputs and outputs of a module, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def write(self, folder: Path) -> None:
        """Write it as JSON into the folder of the exported program."""
        (folder / SIGNATURE).write_text(json.dumps(to_plain(self), indent=1) + "\n", encoding="utf-8")


def read_signature(folder: Path) -> ModuleSignature:
    """Read what :meth:`ModuleSignature.write` wrote.

    Raises:
        ModelError: when it is missing or malformed.
    """
    path = folder / SIGNATURE
    try:
        return from_plain(ModuleSignature, json.loads(path.read_text(encoding="utf-8")))
    except OSError as e:
        raise ModelError(f"{path} is missing", hint="export the module again with `farthing optimize`") from e
    except Exception as e:
        raise ModelError(f"{path} is malformed: {type(e).__name__}") from e


def user_module(import_path: str, *, trust: bool) -> Any:
    """Call ``package.module:callable`` or ``file.py:callable`` and return its ``nn.Module`` in evaluation mode.

    Raises:
        TrustError: when ``trust`` is not given: this runs the user's code.
        ModelError: when the callable fails or returns something else.
    """
    if not trust:
        raise TrustError(
            f"the model {import_path} is Python code that loading would run",
            hint="give --trust if you trust it, or name it on the command line",
        )
    import torch

    torch.manual_seed(0)  # a module that draws its weights is the same one each time
    make = import_callable(import_path)
    try:
        module = make if isinstance(make, torch.nn.Module) else make()
    except Exception as e:
        raise ModelError(f"{import_path} failed: {type(e).__name__}: {e}") from e
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{import_path} returned {type(module).__name__}, not an nn.Module")
    return module.eval()


def state_digest(module: Any) -> str:
    """SHA-256 of a module's parameters and buffers: names, types, shapes and values, in the module's order."""
    import torch

    total = hashlib.sha256()
    for name, value in module.state_dict(keep_vars=False).items():
        total.update(f"{name} {getattr(value, 'dtype', '')} {tuple(getattr(value, 'shape', ()))}\n".encode())
        if isinstance(value, torch.Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            total.update(memoryview(flat.numpy()))
        else:  # what get_extra_state returns
            total.update(repr(value).encode())
    return total.hexdigest()


def flatten(answer: Any, name: str = "output") -> Iterator[tuple[str, Any]]:
    """Tensors of an answer with stable names, ``logits`` first.

    A tensor is called ``output``; the fields of a mapping or of a Hugging Face output keep their names; the k-th
    item of a sequence is called ``<name>_k``. None and things that are no tensors are left out.
    """
    import torch

    if isinstance(answer, torch.Tensor):
        yield name, answer
    elif isinstance(answer, Mapping):
        for key in sorted(answer, key=lambda k: k != "logits"):  # stable: only logits moves
            yield from flatten(answer[key], str(key))
    elif hasattr(answer, "logits") and isinstance(answer.logits, torch.Tensor):
        yield "logits", answer.logits
    elif isinstance(answer, Sequence) and not isinstance(answer, str):
        for k, item in enumerate(answer):
            yield from flatten(item, f"{name}_{k}" if len(answer) > 1 else name)


def _keywords(module: Any, names: Sequence[str]) -> bool:
    parameters = inspect.signature(module.forward).parameters
    return all(n in parameters for n in names)


def input_parameters(module: Any) -> dict[str, bool]:
    """Parameters of ``forward`` in order, and whether it cannot do without; empty where it takes ``*args`` only."""
    signature = inspect.signature(module.forward)
    varying = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    empty = inspect.Parameter.empty
    return {p.name: p.default is empty for p in signature.parameters.values() if p.kind not in varying}


def input_hint(module: Any, feeds: Feeds) -> str | None:
    """What to change where a module does not take images: their channels, or their size; None where nothing is told."""
    import torch

    first = next((m for m in module.modules() if isinstance(m, torch.nn.Conv2d)), None)
    images = [a for a in feeds.values() if a.ndim == 4]
    if first is None or len(images) != 1:
        return None
    made, wanted = images[0].shape[1], first.in_channels
    if made != wanted and wanted in (1, 3):
        return f"its first convolution takes {wanted} channel{'s' if wanted > 1 else ''}: inputs.channels {wanted}"
    return "inputs.resize and inputs.crop decide the size of the images"


def named_answers(module: Any, feeds: Feeds) -> dict[str, NDArray[Any]]:
    """Run a module once on the CPU; its answers as arrays by name."""
    import torch

    given = {n: torch.from_numpy(np.require(a, requirements=["C", "W"])) for n, a in feeds.items()}
    with torch.inference_mode():
        answer = module(**given) if _keywords(module, list(given)) else module(*given.values())
        return {n: t.float().numpy() if t.is_floating_point() else t.numpy() for n, t in flatten(answer)}


def as_flat(module: Any, names: Sequence[str]) -> Any:
    """Wrap a module so that it takes tensors in the order of ``names`` and returns a flat tuple of tensors.

    Inputs go in by keyword when ``forward`` has parameters of those names, else by position.
    """
    import torch

    by_keyword = _keywords(module, names)

    class Flat(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            answer = self.inner(**dict(zip(names, inputs))) if by_keyword else self.inner(*inputs)
            return tuple(tensor for _, tensor in flatten(answer))

    return Flat().eval()
