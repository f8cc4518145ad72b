"""Calibration data and the model that it calibrates, checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.core.graphs.trees import TREE_KINDS, TREES_GAIN_NOTHING
from farthing.errors import EngineError
from farthing.models.digests import digest, size_mib
from farthing.models.onnx_files import GraphSummary, check_onnx, summarize
from farthing.models.precision import file_precision
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.widened import widen, write_model

__all__ = ["calibration_feeds", "describe", "full_precision", "onnx_of", "quantizable"]


_NO_PRODUCTS = "it has neither matrix products with stored weights nor convolutions"


def onnx_of(model: ModelRef) -> Path:
    """Path of the resolved ONNX file.

    Raises:
        ValueError: when the model was not resolved.
    """
    if model.onnx_path is None:
        raise ValueError(f"{model.path} was not resolved to ONNX")
    return Path(model.onnx_path)


def full_precision(model: ModelRef, out: Path) -> Path:
    """Path of the model in FP32: the resolved file itself, or one whose computing and weights are widened.

    Args:
        model: Resolved, not quantised.
        out: The run's output folder; a widened model is written below it once.
    """
    source = onnx_of(model)
    found = file_precision(source)
    if not {found.precision, found.stored} & {"fp16", "bf16"}:
        return source
    target = out / "artefacts" / "widened" / "fp32.onnx"
    if not target.is_file():
        import onnx

        wide = onnx.load(str(source))
        widen(wide)
        write_model(wide, target)
    return target


def quantizable(source: Path) -> GraphSummary:
    """Summary of a model that INT8 can help.

    Raises:
        EngineError: when it has neither weighted matrix products nor convolutions, or is quantized already.
        ModelError: when it is corrupt.
    """
    found = file_precision(source)
    if found.precision == "int8":
        raise EngineError(f"{source.name} is quantized already: {found.words}")
    graph = summarize(check_onnx(source))
    if graph.weighted_products + graph.convolutions == 0:
        why = TREES_GAIN_NOTHING if TREE_KINDS & graph.kinds.keys() else _NO_PRODUCTS
        raise EngineError(f"INT8 cannot help {source.name}: {why}")
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
