"""Calibration data and the model that it calibrates, checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.errors import EngineError
from farthing.models.digests import digest, size_mib
from farthing.models.onnx_files import GraphSummary, check_onnx, summarize
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds

__all__ = ["calibration_feeds", "describe", "onnx_of", "quantizable"]


def onnx_of(model: ModelRef) -> Path:
    """Path of the resolved ONNX file.

    Raises:
        ValueError: when the model was not resolved.
    """
    if model.onnx_path is None:
        raise ValueError(f"{model.path} was not resolved to ONNX")
    return Path(model.onnx_path)


def quantizable(source: Path) -> GraphSummary:
    """Summary of a model that INT8 can help.

    Raises:
        EngineError: when it has neither weighted matrix products nor convolutions, or is quantized already.
        ModelError: when it is corrupt.
    """
    graph = summarize(check_onnx(source))
    if graph.weighted_products + graph.convolutions == 0:
        raise EngineError(
            f"INT8 cannot help {source.name}: it has neither matrix products with stored weights nor convolutions"
        )
    pairs = graph.kinds["QuantizeLinear"] + graph.kinds["DynamicQuantizeLinear"]
    if pairs:
        raise EngineError(f"{source.name} is quantized already: it has {pairs} quantizing nodes")
    return graph


def calibration_feeds(calibration: Iterable[Feeds], most: int) -> list[dict[str, NDArray[Any]]]:
    """Take the first batches, ``most`` of them, out of what may be lazy.

    Raises:
        EngineError: when there are none.
    """
    feeds = [dict(f) for f in islice(calibration, most)]
    if not feeds:
        raise EngineError("static INT8 needs calibration data; none was given")
    return feeds


def describe(
    variant: str, precision: Precision, path: Path, out: Path, engines: tuple[str, ...], note: str
) -> Artefact:
    """Describe what was written to ``path`` below ``out``; who measures the time fills it in."""
    return Artefact(
        variant=variant,
        precision=precision,
        path=str(path.resolve().relative_to(out.resolve())),
        sha256=digest(path),
        size_mib=size_mib(path),
        engines=engines,
        note=note,
    )
