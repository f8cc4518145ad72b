"""PyTorch eager: the user's own module, or a program that was exported from it; CUDA code is not run on a GPU yet."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.engines.operator_times import Event, operator_times
from farthing.errors import EngineError, TrustError
from farthing.machine.isa import has_bf16
from farthing.machine.offline import go_offline
from farthing.models.built_here import check_built_here
from farthing.models.torch_code import PROGRAM, ModuleSignature, as_flat, read_signature, user_module
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Feeds

__all__ = ["PyTorch", "TorchSession"]

_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


class PyTorch:
    """Runs a module eagerly in inference mode.

    BF16 converts the weights once (a ResNet-50 took 18.1 ms so and 21.2 under autocast); a module that mixes in
    FP32 tensors of its own, which PyTorch then refuses, runs under autocast instead.
    """

    name = "pytorch"
    libraries = ("torch",)

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
        """Load the folder of an exported program, or the user's own module in its place.

        Args:
            path: Folder with ``module.pt2`` and ``signature.json`` as ``variants.export`` writes it.
            precision: ``fp32`` or ``bf16``.
            threads: Of one operator, ≥ 1.
            device: ``cpu`` or ``cuda:<index>``.
            options: ``import_path`` names the user's own module; ``trust`` must be True for it and for a program
                that was not built on this machine; ``channels_last`` lays images out so (off by default).

        Raises:
            EngineError: for precisions and devices that it does not run.
            ModelError: when the folder is incomplete or the user's callable fails.
            TrustError: for pickles, and for code without trust.
        """
        self._check(path, precision, device)
        go_offline()
        import torch

        torch.set_num_threads(threads)
        with contextlib.suppress(RuntimeError):  # may be set once a process only
            torch.set_num_interop_threads(1)
        folder = path.parent if path.name == PROGRAM else path
        signature = read_signature(folder)
        module = _module(folder, signature, options).to(device)
        if options.get("channels_last"):
            module = module.to(memory_format=torch.channels_last)
        return TorchSession(self._prepare(module), signature, precision, device, bool(options.get("channels_last")))

    def _check(self, path: Path, precision: Precision, device: str) -> None:
        if path.suffix in _PICKLES:
            raise TrustError(
                f"{path} is a pickle, which can run any code when it is loaded",
                hint="give the module as file.py:function or package.module:function",
            )
        if precision not in ("fp32", "bf16"):
            raise EngineError(f"{self.name} runs fp32 and bf16, not {precision}")
        if precision == "bf16" and device == "cpu" and not has_bf16():
            raise EngineError("this processor has no BF16 unit (avx512_bf16, amx_bf16): bf16 would be emulated")
        if device != "cpu" and device not in self.devices():
            raise EngineError(f"{self.name} cannot use {device}: it has {', '.join(self.devices())}")

    def _prepare(self, module: Any) -> Any:
        return module


def _module(folder: Path, signature: ModuleSignature, options: Mapping[str, Any]) -> Any:
    import torch

    trust = options.get("trust") is True
    if "import_path" in options:
        return as_flat(user_module(options["import_path"], trust=trust), [s.name for s in signature.inputs])
    if not trust:
        check_built_here(folder)
    try:
        return torch.export.load(str(folder / PROGRAM)).module()
    except Exception as e:
        raise EngineError(f"pytorch cannot load {folder / PROGRAM}: {_first_line(e)}") from e


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class TorchSession:
    """A module that takes and returns tensors in the order of its signature."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __init__(
        self, module: Any, signature: ModuleSignature, precision: Precision, device: str, channels_last: bool
    ) -> None:
        self._module, self._precision, self._device = module, precision, device
        self._channels_last = channels_last
        self._half: Any = None
        self._autocast = False
        self.inputs, self.outputs = signature.inputs, signature.outputs

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch; device work is done when it returns, since answers are copied to the host.

        Raises:
            EngineError: when the inputs do not fit the module or it fails.
        """
        import torch

        try:
            with torch.inference_mode():
                given = [self._tensor(feeds[s.name]) for s in self.inputs]
                answers = self._forward(given) if self._precision == "fp32" else self._forward_bf16(given)
                found = [_array(t) for t in answers]
        except Exception as e:
            raise EngineError(f"pytorch failed: {type(e).__name__}: {_first_line(e)}") from e
        if len(found) != len(self.outputs):
            raise EngineError(f"the module returned {len(found)} tensors, its signature says {len(self.outputs)}")
        return {s.name: a for s, a in zip(self.outputs, found, strict=True)}

    def _tensor(self, array: NDArray[Any]) -> Any:
        import torch

        array = np.require(array, requirements=["C", "W"])  # PyTorch shares memory, and warns of what is read-only
        tensor = torch.from_numpy(array).to(self._device)
        return tensor.to(memory_format=torch.channels_last) if self._channels_last and tensor.ndim == 4 else tensor

    def _forward(self, given: Sequence[Any]) -> Sequence[Any]:
        answers: Sequence[Any] = self._module(*given)
        return answers

    def _forward_bf16(self, given: Sequence[Any]) -> Sequence[Any]:
        import torch

        if self._half is None and not self._autocast:
            self._half = copy.deepcopy(self._module).to(torch.bfloat16)
            try:
                answers: Sequence[Any] = self._half(*map(_to_half, given))
            except RuntimeError:  # mixed types inside: PyTorch's own way with them is autocast
                self._half, self._autocast = None, True
            else:
                self._module = None
                return answers
        if self._autocast:
            with torch.autocast(self._device.partition(":")[0], dtype=torch.bfloat16):
                return self._forward(given)
        halved: Sequence[Any] = self._half(*map(_to_half, given))
        return halved

    def device_memory_bytes(self) -> int | None:
        """Peak of CUDA's allocator, None on the CPU."""
        import torch

        return None if self._device == "cpu" else int(torch.cuda.max_memory_allocated(self._device))

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """From PyTorch's profiler, by operator: eager code has no names for nodes, so that none is ``mapped``."""
        import torch
        from torch.profiler import ProfilerActivity, profile

        self.run(feeds)
        on_gpu = self._device != "cpu"
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as seen:
            for _ in range(repeats):
                self.run(feeds)
            if on_gpu:
                torch.cuda.synchronize(self._device)
        return operator_times(self._events(seen.key_averages(), on_gpu), repeats)

    def _events(self, rows: Sequence[Any], on_gpu: bool) -> Iterator[Event]:
        for row in rows:
            us = row.self_device_time_total if on_gpu else row.self_cpu_time_total
            if us > 0:
                precision = {"fp32": "f32", "bf16": "bf16"}[self._precision]
                kind = row.key.removeprefix("aten::")
                yield Event(name=row.key, kind=kind, precision=precision, mapped=False, time_ms=us / 1000)

    def close(self) -> None:
        """Free the module."""
        self._module = self._half = None


def _to_half(tensor: Any) -> Any:
    import torch

    return tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor


def _array(tensor: Any) -> NDArray[Any]:
    import torch

    wide = tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
    array: NDArray[Any] = wide.cpu().numpy()
    return array
