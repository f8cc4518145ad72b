"""ONNX Runtime's static INT8: quantize and dequantize nodes with ranges from calibration data."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from farthing.errors import EngineError
from farthing.models.digests import digest, size_mib
from farthing.models.offline import go_offline
from farthing.models.onnx_files import check_onnx, summarize
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.original import onnx_of

__all__ = ["QdqInt8"]

OPERATORS = ("Conv", "MatMul", "Gemm", "Add", "MaxPool", "GlobalAveragePool", "AveragePool", "Relu", "Clip", "Concat")
MOST = 200
"""Calibration samples beyond this did not move the ranges."""


class QdqInt8:
    """Unsigned activations times signed weights per channel, which is what VNNI multiplies."""

    name = "int8-qdq"
    precision: Precision = "int8"
    engines = ("onnxruntime",)

    def missing(self) -> str | None:
        """ONNX Runtime is always there."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Calibrate and quantize.

        Raises:
            EngineError: when there is nothing to quantize or no calibration data.
        """
        source = onnx_of(model)
        graph = summarize(check_onnx(source))
        if graph.weighted_products + graph.convolutions == 0:
            raise EngineError("static INT8 cannot help: the model has neither matrix products nor convolutions")
        feeds = [dict(f) for _, f in zip(range(MOST), calibration)]
        if not feeds:
            raise EngineError("static INT8 needs calibration data; none was given")
        go_offline()
        target = out / "artefacts" / "int8-qdq.onnx"
        work = out / "work" / "preprocessed.onnx"
        work.parent.mkdir(parents=True, exist_ok=True)
        text = any(a.dtype == np.int64 and a.ndim == 2 for a in feeds[0].values())
        _quantize(source, work, target, feeds, transformer=graph.is_matmul_model, grouped=not text)
        work.unlink(missing_ok=True)
        return Artefact(
            variant=self.name,
            precision=self.precision,
            path=str(target.relative_to(out)),
            sha256=digest(target),
            size_mib=size_mib(target),
            engines=self.engines,
            note=f"{len(feeds)} calibration samples, unsigned activations, signed weights per channel",
        )


def _quantize(
    source: Path, work: Path, target: Path, feeds: list[dict[str, Any]], *, transformer: bool, grouped: bool
) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.disable(logging.WARNING)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[dict[str, Any]] = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    quant_pre_process(str(source), str(work), skip_symbolic_shape=True)
    quantize_static(
        str(work),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm"] if transformer else list(OPERATORS),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"CalibMovingAverage": True} if grouped else {},
    )
    logging.disable(logging.NOTSET)
