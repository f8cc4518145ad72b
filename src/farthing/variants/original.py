"""The model as it is: full precision for every engine; OpenVINO also runs BF16 from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from farthing.models.onnx_files import check_external_data, check_onnx, input_specs
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.batch_axis import fixed_batch
from farthing.variants.calibration import describe, onnx_of

__all__ = ["Original"]


class Original:
    """The resolved ONNX file itself; its folder where weights lie beside it."""

    name = "fp32"
    precision: Precision = "fp32"
    engines = ("onnxruntime", "openvino")

    def missing(self) -> str | None:
        """None: it needs nothing."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Describe the file; nothing is written.

        Raises:
            ModelError: when it is corrupt.
        """
        path = onnx_of(model)
        batch = fixed_batch(input_specs(check_onnx(path)))
        note = "" if batch is None else f"the model takes batches of {batch} only"
        return describe(
            self.name, self.precision, path.parent if check_external_data(path) else path, out, self.engines, note
        )
