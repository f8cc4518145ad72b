"""NNCF's post-training INT8 for OpenVINO."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from farthing.errors import EngineError
from farthing.models.digests import digest, size_mib
from farthing.models.offline import go_offline
from farthing.models.onnx_files import check_onnx, summarize
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.original import onnx_of

__all__ = ["NncfInt8"]

MOST = 300


class NncfInt8:
    """Statistics from calibration data, bias correction, weights per channel; saved as OpenVINO's IR."""

    name = "int8-nncf"
    precision: Precision = "int8"
    engines = ("openvino",)

    def missing(self) -> str | None:
        """None when OpenVINO and NNCF are installed, else the pip command."""
        there = importlib.util.find_spec("openvino") and importlib.util.find_spec("nncf")
        return None if there else 'pip install "farthing[openvino]"'

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Calibrate and quantize.

        Raises:
            EngineError: when there is nothing to quantize, no calibration data, or NNCF fails.
        """
        source = onnx_of(model)
        graph = summarize(check_onnx(source))
        if graph.weighted_products + graph.convolutions == 0:
            raise EngineError("static INT8 cannot help: the model has neither matrix products nor convolutions")
        feeds = [dict(f) for _, f in zip(range(MOST), calibration)]
        if not feeds:
            raise EngineError("static INT8 needs calibration data; none was given")
        go_offline()
        folder = out / "artefacts" / "int8-nncf"
        folder.mkdir(parents=True, exist_ok=True)
        with open("/dev/null", "w") as nowhere, contextlib.redirect_stdout(nowhere):
            _quantize(source, folder / "model.xml", feeds, transformer=graph.is_matmul_model)
        return Artefact(
            variant=self.name,
            precision=self.precision,
            path=str(folder.relative_to(out)),
            sha256=digest(folder),
            size_mib=size_mib(folder),
            engines=self.engines,
            note=f"{len(feeds)} calibration samples, "
            + ("transformer scheme" if graph.is_matmul_model else "performance preset"),
        )


def _quantize(source: Path, target: Path, feeds: list[dict[str, Any]], *, transformer: bool) -> None:
    import nncf
    import openvino as ov

    nncf.set_log_level(logging.ERROR)
    model = ov.Core().read_model(str(source))
    try:
        quantized = nncf.quantize(
            model,
            nncf.Dataset(feeds),
            preset=nncf.QuantizationPreset.MIXED if transformer else nncf.QuantizationPreset.PERFORMANCE,
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            subset_size=len(feeds),
        )
    except Exception as e:
        first = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise EngineError(f"nncf cannot quantize {source.name}: {first}") from e
    ov.save_model(quantized, str(target), compress_to_fp16=False)
