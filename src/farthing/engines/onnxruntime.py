"""ONNX Runtime on the CPU, or on CUDA where it is installed (not run on a GPU yet)."""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.engines.cuda_memory import used_bytes
from farthing.engines.onnx_fusions import fused_nodes
from farthing.engines.operator_times import Event, operator_times
from farthing.errors import EngineError, ModelError
from farthing.machine.offline import go_offline
from farthing.models.onnx_files import check_external_data, model_file, tensor_names
from farthing.models.precision import file_precision
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Feeds

__all__ = ["OnnxRuntime"]

_DTYPES = {"float": "float32", "double": "float64"}
_APPENDED = re.compile(r"(_nchwc|_token_\d+)$")
"""Its layout passes name blocked convolutions after their output, and number quantized operators."""
_FUSED = re.compile(r"(/+\w*Fusion/*)+$")
"""Appended to the name of the node that a fusion kept."""
_CONVERSIONS = {"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear", "ReorderInput", "ReorderOutput"}
_INTEGER_KINDS = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
"""Take and give floats, multiply 8-bit integers in between."""
_WARM_UP = 2
_OPTIMIZED = "optimized.onnx"


class OnnxRuntime:
    """Runs ``.onnx`` files; INT8 only as the model itself says (QDQ or integer operators).

    Threads do not spin while they wait: of two threads on a busy machine spinning ones made an INT8 ResNet-50
    2.1 × slower and an FP32 one 14 % faster, and they take the cores of neighbouring workers.
    """

    name = "onnxruntime"
    libraries = ("onnxruntime",)

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

        Args:
            path: An ``.onnx`` file, or a folder that holds ``model.onnx``.
            precision: That of the file, which decides what is computed; see :mod:`farthing.models.precision`.
            threads: Of one operator, ≥ 1; operators run one after the other.
            device: ``cpu`` or ``cuda:<index>``.
            options: None are known.

        Raises:
            EngineError: for another precision than the file's, for a device it cannot use, and for models that it
                refuses.
            ModelError: when there is no such file, or external data leaves the model's folder.
        """
        file = model_file(path, ("model.onnx",))
        _check_precision(file, precision)
        check_external_data(file)
        go_offline()
        return _OrtSession(file, threads, device)


def _check_precision(file: Path, asked: Precision) -> None:
    """Refuse to run a file under the name of another precision."""
    try:
        found = file_precision(file)
    except ModelError as e:
        raise EngineError(f"onnxruntime cannot run {file}: {e.message}", hint=e.hint) from e
    if asked != found.precision:
        raise EngineError(
            f"onnxruntime computes a model in its own types: {file.name} is {found.words}, not {asked.upper()}",
            hint="--engines openvino for BF16" if asked == "bf16" else None,
        )


class _OrtSession:
    def __init__(self, path: Path, threads: int, device: str, profiles: Path | None = None) -> None:
        import onnxruntime as ort

        self._path, self._threads, self._device = path, threads, device
        self._used_before = None if device == "cpu" else used_bytes(_index(device))
        ort.disable_telemetry_events()
        ort.set_default_logger_severity(3)
        settings = _settings(threads)
        if profiles is not None:
            settings.enable_profiling = True
            settings.profile_file_prefix = str(profiles / "ort")
            settings.optimized_model_filepath = str(profiles / _OPTIMIZED)
            settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        try:
            self._session = ort.InferenceSession(str(path), settings, providers=_providers(device))
        except Exception as e:
            raise EngineError(f"onnxruntime cannot run {path}: {_first_line(e)}") from e
        if device != "cpu" and self._session.get_providers()[0] != "CUDAExecutionProvider":
            raise EngineError(f"onnxruntime cannot use {device} here: it would run on the cpu instead")
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))
        self._names = [o.name for o in self.outputs]

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch; results are in host memory.

        Raises:
            EngineError: when the inputs do not fit the model or an operator fails.
        """
        try:
            answers = self._session.run(self._names, dict(feeds))
        except Exception as e:
            raise EngineError(f"onnxruntime failed on {self._path.name}: {_first_line(e)}") from e
        return dict(zip(self._names, answers, strict=True))

    def device_memory_bytes(self) -> int | None:
        """By how much the device's memory in use has grown since before loading; its arena never shrinks."""
        now = None if self._device == "cpu" else used_bytes(_index(self._device))
        return None if now is None or self._used_before is None else max(0, now - self._used_before)

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """From ONNX Runtime's own profile of a second session: kernel time only, warm-up left out.

        Names are ONNX Runtime's, which lead to a node of the file (``mapped``) by its name or its output's. What it
        fused under a name of its own (``SkipLayerNormalization_token_6``) is called after the file's nodes, joined
        by ``+``.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            session = _OrtSession(self._path, self._threads, self._device, folder)
            for _ in range(repeats + _WARM_UP):
                session.run(feeds)
            events = json.loads(Path(session._session.end_profiling()).read_text())
            fused = fused_nodes(self._path, folder / _OPTIMIZED)
        return operator_times(_events(events, repeats, tensor_names(self._path), fused), repeats)

    def close(self) -> None:
        """Free the session."""
        del self._session


def _index(device: str) -> int:
    kind, _, index = device.partition(":")
    if kind != "cuda" or not index.isdigit():
        raise EngineError(f"onnxruntime knows cpu and cuda:<index>, not {device!r}")
    return int(index)


def _providers(device: str) -> list[Any]:
    return (["CPUExecutionProvider"] if device == "cpu" else
            [("CUDAExecutionProvider", {"device_id": _index(device)}), "CPUExecutionProvider"])  # fmt: skip


def _settings(threads: int) -> Any:
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


def _spec(value: Any) -> TensorSpec:
    word = value.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(d if isinstance(d, int) else None for d in value.shape)
    return TensorSpec(name=value.name, dtype=_DTYPES.get(word, word), shape=shape)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _events(
    trace: Sequence[Mapping[str, Any]], repeats: int, known: frozenset[str], fused: Mapping[str, Sequence[str]]
) -> Iterable[Event]:
    """Kernels of the last ``repeats`` runs."""
    starts = sorted(e["ts"] for e in trace if e["name"] == "model_run")
    first = starts[-repeats] if len(starts) >= repeats else 0
    for event in trace:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= first:
            given = event["name"].removesuffix("_kernel_time")
            kind = event["args"].get("op_name", "")
            name = _FUSED.sub("", given)
            mapped = name in known or _APPENDED.sub("", name) in known
            if not mapped and given in fused and kind not in _CONVERSIONS:
                name, mapped = "+".join(fused[given]), True
            mapped = mapped and kind not in _CONVERSIONS
            yield Event(
                name=name, kind=kind, precision=_precision(event, kind), mapped=mapped, time_ms=event["dur"] / 1000
            )


def _precision(event: Mapping[str, Any], kind: str) -> str:
    """Element type of the first input that has one, in ONNX Runtime's words."""
    if kind in _INTEGER_KINDS:
        return "int8"
    return next((str(word) for shape in event["args"].get("input_type_shape", ()) for word in shape), "")
