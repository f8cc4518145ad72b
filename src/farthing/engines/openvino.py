"""OpenVINO on the CPU: ONNX files and its own IR, in FP32, BF16 and INT8."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.errors import EngineError
from farthing.models.isa import has_bf16
from farthing.models.offline import go_offline
from farthing.models.onnx_files import check_external_data, model_file
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Feeds

__all__ = ["OpenVino"]

_DTYPES = {"f32": "float32", "f16": "float16", "f64": "float64", "i64": "int64", "i32": "int32", "u8": "uint8", "i8": "int8"}
_BOOLEAN = "boolean"


class OpenVino:
    """Runs ``.onnx`` and ``.xml``; the precision hint is always set, since its default is BF16 where there is a unit."""

    name = "openvino"

    def missing(self) -> str | None:
        """None when installed, else the pip command."""
        return None if importlib.util.find_spec("openvino") else 'pip install "farthing[openvino]"'

    def version(self) -> str:
        """Of the package."""
        return version("openvino")

    def devices(self) -> tuple[str, ...]:
        """The processor; its GPU plug-in is not offered yet."""
        return ("cpu",)

    def load(
        self, path: Path, *, precision: Precision, threads: int, device: str, options: Mapping[str, Any]
    ) -> _OvSession:
        """Load a model.

        Raises:
            EngineError: for BF16 without a unit for it, and for models that it refuses.
            ModelError: when external data leaves the model's folder.
        """
        if device != "cpu":
            raise EngineError(f"openvino is used on the cpu only, not on {device}")
        if precision == "bf16" and not has_bf16():
            raise EngineError("this processor has no BF16 unit (avx512_bf16, amx_bf16)")
        if precision == "fp16":
            raise EngineError("openvino computes FP16 models in FP32 on x86")
        file = model_file(path, ("model.xml", "model.onnx"))
        if file.suffix == ".onnx":
            check_external_data(file)
        go_offline()
        return _OvSession(file, precision, threads)


class _OvSession:
    """One compiled model, dynamic in its batch, and one with static shapes for each batch size that was seen."""

    def __init__(self, path: Path, precision: Precision, threads: int, profile: bool = False) -> None:
        import openvino as ov

        self._path, self._precision, self._threads = path, precision, threads
        self._core = ov.Core()
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": profile,
        }
        try:
            self._model = self._core.read_model(str(path))
        except RuntimeError as e:
            raise EngineError(f"openvino cannot read {path.name}: {_first_line(e)}") from e
        self.inputs = tuple(_spec(p) for p in self._model.inputs)
        self.outputs = tuple(_spec(p) for p in self._model.outputs)
        self._requests: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._fixed = all(len([d for d in s.shape if d is None]) <= 1 for s in self.inputs)

    def _request(self, feeds: Feeds) -> Any:
        key = tuple(tuple(feeds[s.name].shape) for s in self.inputs) if self._fixed else ()
        if key not in self._requests:
            model = self._model
            try:
                if self._fixed and any(None in s.shape for s in self.inputs):
                    model = self._core.read_model(str(self._path))
                    model.reshape({s.name: list(feeds[s.name].shape) for s in self.inputs})
                self._requests[key] = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
            except RuntimeError as e:
                raise EngineError(f"openvino cannot compile {self._path.name}: {_first_line(e)}") from e
        return self._requests[key]

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch."""
        request = self._request(feeds)
        answer = request.infer({s.name: feeds[s.name] for s in self.inputs}, share_inputs=True)
        return {s.name: answer[k].copy() for k, s in enumerate(self.outputs)}

    def device_memory_bytes(self) -> int | None:
        """No accelerator."""
        return None

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """From OpenVINO's performance counters, by original layer."""
        session = _OvSession(self._path, self._precision, self._threads, profile=True)
        session.run(feeds)
        time_ms: dict[tuple[str, str, str], float] = {}
        request = session._request(feeds)
        originals = _originals(request.get_compiled_model())
        for _ in range(repeats):
            session.run(feeds)
            for row in request.profiling_info:
                if row.real_time.total_seconds() > 0:
                    key = (originals.get(row.node_name, row.node_name), row.node_type, row.exec_type)
                    time_ms[key] = time_ms.get(key, 0.0) + row.real_time.total_seconds() * 1000 / repeats
        total = sum(time_ms.values()) or 1.0
        return sorted(
            (
                OperatorTime(
                    name=name,
                    kind=kind,
                    time_ms=ms,
                    share_frac=ms / total,
                    precision=exec_type.rpartition("_")[2].lower(),
                    mapped=kind not in ("Reorder", "Convert", "Input", "Output"),
                )
                for (name, kind, exec_type), ms in time_ms.items()
            ),
            key=lambda o: -o.time_ms,
        )

    def close(self) -> None:
        """Free all compiled models."""
        self._requests.clear()


def _originals(compiled: Any) -> dict[str, str]:
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if "originalLayersNames" in info:
            names = info["originalLayersNames"]
            text = names if isinstance(names, str) else names.astype(str)
            if text:
                found[node.get_friendly_name()] = str(text)
    return found


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _spec(port: Any) -> TensorSpec:
    shape = tuple(None if d.is_dynamic else d.get_length() for d in port.get_partial_shape())
    word = port.get_element_type().get_type_name()
    return TensorSpec(name=port.get_any_name(), dtype="bool" if word == _BOOLEAN else _DTYPES.get(word, word), shape=shape)
