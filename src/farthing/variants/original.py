"""The model as it is, and the model in full precision: FP32 for every engine; OpenVINO also runs BF16 from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from farthing.errors import EngineError
from farthing.models.graph_content import graph_content
from farthing.models.onnx_files import check_external_data, check_onnx, input_specs
from farthing.models.precision import file_precision
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.batch_axis import fixed_batch
from farthing.variants.calibration import describe, full_precision, onnx_of

__all__ = ["AsGiven", "Original"]

_BOTH = ("onnxruntime", "openvino")


class Original:
    """The model in FP32: the resolved ONNX file itself, its folder where weights lie beside it.

    A file in FP16 or BF16 is widened: processors without a unit for it convert back and forth around each operator.
    """

    name = "fp32"
    precision: Precision = "fp32"
    engines = _BOTH

    def missing(self) -> str | None:
        """None: it needs nothing."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Describe the file; one is written only where the model is in FP16 or BF16.

        Raises:
            EngineError: when the model is quantised: what it was made from is not there.
            ModelError: when it is corrupt.
        """
        given = onnx_of(model)
        found = file_precision(given)
        if found.precision == "int8":
            raise EngineError(
                f"{given.name} is {found.words}: the FP32 weights that it was made from are not in it",
                hint="give the FP32 model, and this one as it serves today in a run of its own",
            )
        path = given if found.precision == "fp32" else full_precision(model, out)
        note = _answers_note(model, given) if path == given else f"widened from {found.words}"
        return _described(self.name, "fp32", path, out, _BOTH, note)


class AsGiven:
    """A model that is not in FP32, exactly as it came: the baseline of who serves it so today."""

    name = "original"
    precision: Precision = "int8"
    engines = _BOTH

    def missing(self) -> str | None:
        """None: it needs nothing."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Describe the file in the precision that it is in; nothing is written.

        Raises:
            ModelError: when it is corrupt.
        """
        path = onnx_of(model)
        found = file_precision(path)
        engines = _BOTH if found.precision in ("fp32", "int8") else ("onnxruntime",)  # OpenVINO widens FP16 to FP32
        return _described(self.name, found.precision, path, out, engines, f"as it came: {found.words}")


def _answers_note(model: ModelRef, given: Path) -> str:
    """Say which tensor answers where the user's file gives something else first."""
    before = Path(model.path)
    if model.kind != "onnx" or not before.is_file():
        return ""
    first, now = graph_content(before).outputs[0], graph_content(given).outputs[0]
    return "" if first.name == now.name else f"answers are the tensor {now.name}, not {first.name} ({first.dtype})"


def _described(name: str, precision: Precision, path: Path, out: Path, engines: tuple[str, ...], note: str) -> Artefact:
    batch = fixed_batch(input_specs(check_onnx(path)))
    only = "" if batch is None else f"the model takes batches of {batch} only"
    said = "; ".join(part for part in (note, only) if part)
    return describe(name, precision, path.parent if check_external_data(path) else path, out, engines, said)
