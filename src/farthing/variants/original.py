"""The model as it is: full precision for every engine; OpenVINO also runs BF16 from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from farthing.models.digests import digest, size_mib
from farthing.models.onnx_files import check_onnx
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds

__all__ = ["Original", "onnx_of"]


def onnx_of(model: ModelRef) -> Path:
    """The resolved ONNX file.

    Raises:
        ValueError: when the model was not resolved.
    """
    if model.onnx_path is None:
        raise ValueError(f"{model.path} was not resolved to ONNX")
    return Path(model.onnx_path)


class Original:
    """The resolved ONNX file itself."""

    name = "fp32"
    precision: Precision = "fp32"
    engines = ("onnxruntime", "openvino")

    def missing(self) -> str | None:
        """Needs nothing."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Describe the file; nothing is written.

        Raises:
            ModelError: when it is corrupt.
        """
        path = onnx_of(model)
        check_onnx(path)
        return Artefact(
            variant=self.name,
            precision=self.precision,
            path=str(path.resolve().relative_to(out.resolve())),
            sha256=digest(path),
            size_mib=size_mib(path),
            engines=self.engines,
        )
