"""The PyTorch module, as the program that was exported from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from farthing.errors import EngineError
from farthing.models.torch_code import PROGRAM
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.calibration import describe, onnx_of
from farthing.variants.export import MODULE_FOLDER

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
        source = onnx_of(model)
        places = (source.parent / MODULE_FOLDER, source.parent.parent / MODULE_FOLDER)
        folder = next((p for p in places if (p / PROGRAM).is_file()), None)
        if model.kind != "torch" or folder is None:
            raise EngineError(
                f"{model.path} came as ONNX: there is no PyTorch module to run",
                hint="name the module as file.py:function or package.module:function",
            )
        return describe(self.name, self.precision, folder, out, self.engines, "exported program, eager")
