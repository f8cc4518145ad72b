"""ONNX Runtime's dynamic INT8: weights ahead of time, activations as they come."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from farthing.errors import EngineError
from farthing.machine.isa import has_int8_dot
from farthing.machine.offline import go_offline, quiet
from farthing.nouns import Artefact, ModelRef, Precision
from farthing.ports import Feeds
from farthing.variants.calibration import describe, full_precision, onnx_of, quantizable

__all__ = ["DynamicInt8"]


class DynamicInt8:
    """MatMul and Gemm with signed weights per channel (unsigned ones ran 2.4 × slower).

    Without 8-bit dot products weights keep 7 bits, since sums of two products saturate at 16 bits there.
    """

    name = "int8-dynamic"
    precision: Precision = "int8"
    engines = ("onnxruntime",)

    def missing(self) -> str | None:
        """None: ONNX Runtime is always there."""
        return None

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Quantize the weights; calibration data is not needed.

        Raises:
            EngineError: when there are hardly any matrix products to gain from.
        """
        graph = quantizable(onnx_of(model))
        source = full_precision(model, out)
        if not graph.is_matmul_model:
            raise EngineError(
                f"dynamic INT8 cannot help {source.name}: it only quantizes matrix products, of which the model "
                f"has {graph.weighted_products} beside {graph.convolutions} convolutions",
                hint="static INT8 quantizes convolutions: int8-qdq, int8-nncf",
            )
        go_offline()
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        target = out / "artefacts" / "int8-dynamic.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            quantize_dynamic(
                onnx.load(source),  # given its path, ONNX Runtime writes a file of its own beside the user's model
                target,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                reduce_range=not has_int8_dot(),
                weight_type=QuantType.QInt8,
            )
        note = f"{graph.weighted_products} matrix products, signed weights per channel"
        return describe(self.name, self.precision, target, out, self.engines, note)
