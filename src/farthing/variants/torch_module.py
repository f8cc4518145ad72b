"""The PyTorch module, as the program that was exported from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from farthing.errors import EngineError
from farthing.models.digests import digest, size_mib
from farthing.models.torch_code import PROGRAM
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.original import onnx_of

__all__ = ["TorchModule"]


class TorchModule:
    """What the PyTorch engines load: they run it without the user's source."""

    name = "torch-module"
    precision: Precision = "fp32"
    engines = ("pytorch", "torch-compile")

    def missing(self) -> str | None:
        """None when PyTorch is installed, else the pip command."""
        return None if importlib.util.find_spec("torch") else 'pip install "farthing[torch]"'

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Describe the folder that resolving the model wrote.

        Raises:
            EngineError: when the model came as ONNX and there is no module.
        """
        folder = onnx_of(model).parent / "module"
        if not (folder / PROGRAM).is_file():
            raise EngineError(f"{model.path} came as ONNX: there is no PyTorch module to run")
        return Artefact(
            variant=self.name,
            precision=self.precision,
            path=str(folder.resolve().relative_to(out.resolve())),
            sha256=digest(folder),
            size_mib=size_mib(folder),
            engines=self.engines,
        )
