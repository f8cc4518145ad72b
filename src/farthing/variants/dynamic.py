"""ONNX Runtime's dynamic INT8: weights ahead of time, activations as they come."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from farthing.errors import EngineError
from farthing.models.digests import digest, size_mib
from farthing.models.offline import go_offline
from farthing.models.onnx_files import check_onnx, summarize
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.original import onnx_of

__all__ = ["DynamicInt8"]


class DynamicInt8:
    """MatMul and Gemm with signed weights per channel (unsigned ones ran 2.4 × slower)."""

    name = "int8-dynamic"
    precision: Precision = "int8"
    engines = ("onnxruntime",)

    def missing(self) -> str | None:
        """ONNX Runtime is always there."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Quantize the weights.

        Raises:
            EngineError: when there are hardly any matrix products to gain from.
        """
        source = onnx_of(model)
        graph = summarize(check_onnx(source))
        if not graph.is_matmul_model:
            raise EngineError(
                f"dynamic INT8 cannot help: {graph.weighted_products} matrix products beside {graph.convolutions} convolutions"
            )
        go_offline()
        from onnxruntime.quantization import QuantType, quantize_dynamic

        target = out / "artefacts" / "int8-dynamic.onnx"
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
        )
        return Artefact(
            variant=self.name,
            precision=self.precision,
            path=str(target.relative_to(out)),
            sha256=digest(target),
            size_mib=size_mib(target),
            engines=self.engines,
            note=f"{graph.weighted_products} matrix products, signed weights per channel",
        )
