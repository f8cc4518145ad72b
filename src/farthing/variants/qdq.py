"""ONNX Runtime's static INT8: quantize and dequantize nodes with ranges from calibration data."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import EngineError
from farthing.machine.isa import has_int8_dot
from farthing.machine.offline import go_offline, quiet
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.calibration import calibration_feeds, describe, full_precision, onnx_of, quantizable

__all__ = ["QdqInt8"]

_CONVOLUTIONAL = [
    "Conv",
    "MatMul",
    "Gemm",
    "Add",
    "MaxPool",
    "GlobalAveragePool",
    "AveragePool",
    "Relu",
    "Clip",
    "Concat",
]
_PRODUCTS = ["MatMul", "Gemm"]
_MOST = 200
_MOST_HISTOGRAMS = 32
_MOST_JUDGED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """One way to choose the ranges of activations.

    Attributes:
        name: ONNX Runtime's.
        words: For people.
        most: Calibration batches that it looks at.
        options: For ONNX Runtime.
    """

    name: str
    words: str
    most: int
    options: tuple[tuple[str, float], ...] = ()


_METHODS = (
    _Method(name="MinMax", words="smallest and largest value", most=_MOST),
    _Method(
        name="Percentile",
        words="99.99th percentile",
        most=_MOST_HISTOGRAMS,
        options=(("CalibPercentile", 99.99), ("CalibStridedMinMax", 1)),
    ),
    _Method(name="Entropy", words="least entropy", most=_MOST_HISTOGRAMS, options=(("CalibStridedMinMax", 1),)),
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Loss:
    """How far answers are from the original's: first how many differ, then by how much."""

    differ_frac: float
    error_frac: float


class QdqInt8:
    """Unsigned activations times signed weights per channel, which is what VNNI multiplies.

    Signed activations ran 2.6 × slower on AVX512-VNNI; Arm's kernels take them instead. Ranges are chosen three
    ways (MinMax, percentile, entropy); the one whose answers to the calibration data are nearest to the original's
    is kept. Of transformers only products with stored weights are quantized.
    """

    name = "int8-qdq"
    precision: Precision = "int8"
    engines = ("onnxruntime",)

    def missing(self) -> str | None:
        """None: ONNX Runtime is always there."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Calibrate and quantize.

        Raises:
            EngineError: when there is nothing to quantize, no calibration data, or ONNX Runtime fails.
        """
        graph = quantizable(onnx_of(model))
        source = full_precision(model, out)
        feeds = calibration_feeds(calibration, _MOST)
        go_offline()
        target = out / "artefacts" / "int8-qdq.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with quiet(), tempfile.TemporaryDirectory() as folder:
                method, loss = _best(source, Path(folder), target, feeds, transformer=graph.is_matmul_model)
        except Exception as e:
            raise EngineError(f"onnxruntime cannot quantize {source.name}: {type(e).__name__}: {e}") from e
        note = (
            f"{min(len(feeds), method.most)} calibration batches, ranges by {method.words}: {loss.differ_frac:.1%} of "
            f"their answers differ, off by {loss.error_frac:.1%} in the mean; unsigned activations, signed weights "
            "per channel"
        )
        return describe(self.name, self.precision, target, out, self.engines, note)


def _best(
    source: Path, folder: Path, target: Path, feeds: Sequence[Feeds], *, transformer: bool
) -> tuple[_Method, _Loss]:
    """Quantize by each method and leave the best at ``target``; the earlier one wins a tie."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = folder / "prepared.onnx"
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    judged = feeds[:_MOST_JUDGED]
    want = _answers(source, judged)
    found = []
    for method in _METHODS:
        path = folder / f"{method.name}.onnx"
        _quantize(prepared, path, feeds[: method.most], method, transformer=transformer)
        found.append((_loss(want, _answers(path, judged)), path, method))
    loss, path, method = min(found, key=lambda row: row[0])
    target.write_bytes(path.read_bytes())
    return method, loss


def _quantize(prepared: Path, target: Path, feeds: Sequence[Feeds], method: _Method, *, transformer: bool) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    arm = platform.machine().lower() in ("aarch64", "arm64")
    quantize_static(
        str(prepared),
        str(target),
        _reader(feeds),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_PRODUCTS if transformer else _CONVOLUTIONAL,
        per_channel=True,
        reduce_range=not has_int8_dot(),
        activation_type=QuantType.QInt8 if arm else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method.name],
        extra_options={"MatMulConstBOnly": True, **dict(method.options)},
    )


def _reader(feeds: Sequence[Feeds]) -> Any:
    """ONNX Runtime's form of the data; read in ranges, so that it holds one batch's activations at a time."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.set_range(0, len(feeds))

        def __len__(self) -> int:
            return len(feeds)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.rows = iter(feeds[start_index:end_index])

        def get_next(self) -> Feeds | None:
            return next(self.rows, None)

    return Reader()


def _answers(path: Path, feeds: Sequence[Feeds]) -> list[NDArray[np.float64]]:
    """First output for each batch."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    first = [session.get_outputs()[0].name]
    return [np.asarray(session.run(first, dict(f))[0], dtype=np.float64) for f in feeds]


def _loss(want: Sequence[NDArray[np.float64]], got: Sequence[NDArray[np.float64]]) -> _Loss:
    differ = [np.argmax(w, axis=-1) != np.argmax(g, axis=-1) for w, g in zip(want, got)]
    error = [np.linalg.norm(g - w) / max(1e-12, float(np.linalg.norm(w))) for w, g in zip(want, got)]
    return _Loss(
        differ_frac=float(np.concatenate([d.ravel() for d in differ]).mean()), error_frac=float(np.mean(error))
    )
