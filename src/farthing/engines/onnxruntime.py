"""ONNX Runtime on the CPU, or on CUDA where it is installed (not run on a GPU yet)."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.errors import EngineError
from farthing.models.offline import go_offline
from farthing.models.onnx_files import check_external_data, model_file
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Feeds

__all__ = ["OnnxRuntime"]

_DTYPES = {"float": "float32", "double": "float64", "float16": "float16"}


class OnnxRuntime:
    """Runs ``.onnx`` files; INT8 only as the model itself says (QDQ or integer operators)."""

    name = "onnxruntime"

    def missing(self) -> str | None:
        """None when installed, else the pip command."""
        return None if importlib.util.find_spec("onnxruntime") else "pip install onnxruntime"

    def version(self) -> str:
        """Of the package."""
        return version("onnxruntime")

    def devices(self) -> tuple[str, ...]:
        """``cuda:0`` where the CUDA provider is built in."""
        import onnxruntime as ort

        return ("cpu", "cuda:0") if "CUDAExecutionProvider" in ort.get_available_providers() else ("cpu",)

    def load(
        self, path: Path, *, precision: Precision, threads: int, device: str, options: Mapping[str, Any]
    ) -> _OrtSession:
        """Load a model.

        Raises:
            EngineError: for BF16 and FP16 on the CPU, and for models that it refuses.
            ModelError: when external data leaves the model's folder.
        """
        if precision in ("bf16", "fp16") and device == "cpu":
            raise EngineError(f"onnxruntime has no {precision} kernels for the CPU", hint="--engines openvino")
        file = model_file(path, ("model.onnx",))
        check_external_data(file)
        go_offline()
        return _OrtSession(file, threads, device)


class _OrtSession:
    def __init__(self, path: Path, threads: int, device: str, profile_prefix: str | None = None) -> None:
        import onnxruntime as ort

        self._path, self._threads, self._device = path, threads, device
        ort.disable_telemetry_events()
        ort.set_default_logger_severity(3)
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads == 1 else "1")
        if profile_prefix is not None:
            settings.enable_profiling = True
            settings.profile_file_prefix = profile_prefix
        providers = ["CPUExecutionProvider"] if device == "cpu" else [("CUDAExecutionProvider", {"device_id": int(device[5:])})]
        try:
            self._session = ort.InferenceSession(str(path), settings, providers=providers)
        except Exception as e:
            raise EngineError(f"onnxruntime cannot run {path.name}: {str(e).strip().splitlines()[0]}") from e
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))
        self._names = [o.name for o in self.outputs]

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch; results are in host memory."""
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))

    def device_memory_bytes(self) -> int | None:
        """ONNX Runtime does not tell."""
        return None

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """From ONNX Runtime's own profile, kernel time only."""
        with tempfile.TemporaryDirectory() as folder:
            session = _OrtSession(self._path, self._threads, self._device, f"{folder}/ort")
            for _ in range(repeats + 1):
                session.run(feeds)
            events = json.loads(Path(session._session.end_profiling()).read_text())
        return _fold(events, repeats + 1)

    def close(self) -> None:
        """Free the session."""
        del self._session


def _spec(value: Any) -> TensorSpec:
    word = value.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(d if isinstance(d, int) else None for d in value.shape)
    return TensorSpec(name=value.name, dtype=_DTYPES.get(word, word), shape=shape)


def _fold(events: Sequence[Mapping[str, Any]], runs: int) -> list[OperatorTime]:
    time_us: dict[tuple[str, str], float] = defaultdict(float)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            time_us[event["name"].removesuffix("_kernel_time"), event["args"].get("op_name", "")] += event["dur"]
    total = sum(time_us.values()) or 1.0
    found = [
        OperatorTime(
            name=name,
            kind=kind,
            time_ms=us / runs / 1000,
            share_frac=us / total,
            precision=_precision(kind),
            mapped=not name.startswith(("ReorderInput", "ReorderOutput", "Reorder")),
        )
        for (name, kind), us in time_us.items()
    ]
    return sorted(found, key=lambda o: -o.time_ms)


def _precision(kind: str) -> str:
    return "int8" if kind.startswith("QLinear") or kind.endswith("Integer") else ""
