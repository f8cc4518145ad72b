"""PyTorch eager: the user's own module, or a program that was exported from it; CUDA code is not run on a GPU yet."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import EngineError, TrustError
from farthing.models.isa import has_bf16
from farthing.models.offline import go_offline
from farthing.models.torch_code import PROGRAM, flatten, read_signature, user_module
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Feeds

__all__ = ["PyTorch", "TorchSession"]


class PyTorch:
    """Runs a module eagerly in inference mode; BF16 through autocast."""

    name = "pytorch"
    compiled = False

    def missing(self) -> str | None:
        """None when installed, else the pip command."""
        return None if importlib.util.find_spec("torch") else 'pip install "farthing[torch]"'

    def version(self) -> str:
        """Of the package."""
        return version("torch")

    def devices(self) -> tuple[str, ...]:
        """``cuda:0`` where CUDA works."""
        import torch

        return ("cpu", "cuda:0") if torch.cuda.is_available() else ("cpu",)

    def load(
        self, path: Path, *, precision: Precision, threads: int, device: str, options: Mapping[str, Any]
    ) -> TorchSession:
        """Load the folder of an exported program; with ``import_path`` and ``trust`` the user's own module instead.

        Raises:
            EngineError: for precisions that it does not run.
            TrustError: for pickles, and for an import path without trust.
        """
        if precision not in ("fp32", "bf16"):
            raise EngineError(f"{self.name} runs fp32 and bf16, not {precision}")
        if precision == "bf16" and device == "cpu" and not has_bf16():
            raise EngineError("this processor has no BF16 unit (avx512_bf16, amx_bf16)")
        if path.suffix in (".pt", ".pth", ".bin", ".pkl"):
            raise TrustError(f"{path} is a pickle, which can run any code", hint="give the module as file.py:function")
        go_offline()
        import torch

        torch.set_num_threads(threads)
        with contextlib.suppress(RuntimeError):  # may be set once a process only
            torch.set_num_interop_threads(1)
        signature = read_signature(path)
        if "import_path" in options:
            module = user_module(options["import_path"], trust=bool(options.get("trust")))
            keywords = _takes(module, [s.name for s in signature.inputs])
        else:
            module, keywords = torch.export.load(str(path / PROGRAM)).module(), False
        module = module.to(device)
        if self.compiled:
            torch._dynamo.reset()  # a second compile of the same code object would reuse the first
            module = torch.compile(module, dynamic=False)
        return TorchSession(module, signature.inputs, signature.outputs, precision, device, keywords)


def _takes(module: Any, names: Sequence[str]) -> bool:
    import inspect

    return all(n in inspect.signature(module.forward).parameters for n in names)


class TorchSession:
    """A module with the names and types of what goes in and comes out."""

    def __init__(
        self,
        module: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        precision: Precision,
        device: str,
        keywords: bool,
    ) -> None:
        self._module, self._precision, self._device, self._keywords = module, precision, device, keywords
        self.inputs, self.outputs = inputs, outputs

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch; device work is done when it returns, since answers are copied to the host."""
        import torch

        given = [torch.from_numpy(np.ascontiguousarray(feeds[s.name])).to(self._device) for s in self.inputs]
        half = torch.autocast(self._device.partition(":")[0], dtype=torch.bfloat16, enabled=self._precision == "bf16")
        with torch.inference_mode(), half:
            if self._keywords:
                answer = self._module(**{s.name: t for s, t in zip(self.inputs, given, strict=True)})
            else:
                answer = self._module(*given)
            found = [tensor.float().cpu().numpy() for _, tensor in flatten(answer)]
        return {s.name: a for s, a in zip(self.outputs, found, strict=False)}

    def device_memory_bytes(self) -> int | None:
        """Peak of CUDA's allocator, None on the CPU."""
        import torch

        return None if self._device == "cpu" else int(torch.cuda.max_memory_allocated(self._device))

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """From PyTorch's profiler, by operator; eager code has no node names."""
        from torch.profiler import ProfilerActivity, profile

        self.run(feeds)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            for _ in range(repeats):
                self.run(feeds)
        rows = [(r.key, r.self_cpu_time_total) for r in seen.key_averages() if r.self_cpu_time_total > 0]
        total = sum(us for _, us in rows) or 1.0
        found = [
            OperatorTime(
                name=key,
                kind=key.removeprefix("aten::"),
                time_ms=us / repeats / 1000,
                share_frac=us / total,
                precision="f32" if self._precision == "fp32" else "",
                mapped=False,
            )
            for key, us in rows
        ]
        return sorted(found, key=lambda o: -o.time_ms)

    def close(self) -> None:
        """Free the module."""
        del self._module
