"""OpenVINO on the CPU: ONNX files and its own IR, in FP32, BF16 and INT8."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.engines.operator_times import Event, operator_times
from farthing.errors import EngineError
from farthing.machine.isa import has_bf16
from farthing.machine.offline import go_offline
from farthing.models.onnx_files import check_external_data, model_file
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Feeds

__all__ = ["OpenVino"]

_DTYPES = {
    "boolean": "bool",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "i32": "int32",
    "i64": "int64",
    "i8": "int8",
    "u8": "uint8",
}
_CONVERSIONS = {"Convert", "Input", "Output", "Reorder"}
_STATIC_BATCHES = (1,)


class OpenVino:
    """Runs ``.onnx`` and ``.xml``.

    The precision hint is always set, since its default is BF16 where there is a unit for it. ``int8`` keeps the
    operators that are not quantized in FP32; ``bf16`` computes them in BF16, in a quantized model too.
    """

    name = "openvino"
    libraries = ("openvino",)
    few_shapes = True

    def missing(self) -> str | None:
        """None when installed, else the pip command."""
        return None if importlib.util.find_spec("openvino") else 'pip install "farthing[openvino]"'

    def version(self) -> str:
        """Of the package."""
        return version("openvino")

    def devices(self) -> tuple[str, ...]:
        """Only the processor; its GPU plug-in is not offered yet."""
        return ("cpu",)

    def load(
        self, path: Path, *, precision: Precision, threads: int, device: str, options: Mapping[str, Any]
    ) -> _OvSession:
        """Load and compile a model.

        Args:
            path: An ``.onnx`` or ``.xml`` file, or a folder with ``model.xml`` or ``model.onnx``.
            precision: ``fp32``, ``bf16`` or ``int8``.
            threads: Of the one stream, ≥ 1; the caller pins the process.
            device: ``cpu``.
            options: ``batch``: the only batch size that will be run, compiled with static shapes;
                ``static_batches``: batch sizes that get a static model beside the one for any size, default
                ``(1,)``. Static shapes made single requests 4–10 % faster and batches of 8 about 1 %; each
                compiled model holds its own copy of the weights.

        Raises:
            EngineError: for BF16 without a unit for it, and for models that it refuses.
            ModelError: when there is no such file, or external data leaves the model's folder.
        """
        if device != "cpu":
            raise EngineError(f"openvino is used on the cpu only, not on {device}")
        if precision == "fp16":
            raise EngineError("openvino computes FP16 models in FP32 on this kind of processor: fp16 saves nothing")
        if precision == "bf16" and not has_bf16():
            raise EngineError("this processor has no BF16 unit (avx512_bf16, amx_bf16): bf16 would be emulated")
        file = model_file(path, ("model.xml", "model.onnx"))
        if file.suffix == ".onnx":
            check_external_data(file)
        go_offline()
        return _OvSession(file, precision, threads, options)


class _OvSession:
    """One compiled model for any batch size, and one with static shapes for each batch size that was asked for."""

    def __init__(
        self, path: Path, precision: Precision, threads: int, options: Mapping[str, Any], *, profile: bool = False
    ) -> None:
        import openvino as ov

        self._path, self._precision, self._threads, self._options = path, precision, threads, dict(options)
        self._core = ov.Core()
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": profile,
        }
        model = self._read()
        self.inputs = tuple(_spec(port) for port in model.inputs)
        self.outputs = tuple(_spec(port) for port in model.outputs)
        self._nodes = _working_nodes(model)
        only = options.get("batch")
        wanted = (only,) if only is not None else options.get("static_batches", _STATIC_BATCHES)
        dynamic = any(s.shape and s.shape[0] is None for s in self.inputs)
        self._static = {b: self._compile(self._with_batch(int(b))) for b in (wanted if dynamic else ())}
        self._any = None if self._static and only is not None else self._compile(model)

    def _read(self) -> Any:
        try:
            return self._core.read_model(str(self._path))
        except RuntimeError as e:
            raise EngineError(f"openvino cannot read {self._path}: {_last_line(e)}") from e

    def _with_batch(self, batch: int) -> Any:
        model = self._read()
        shapes = {s.name: [batch, *(-1 if d is None else d for d in s.shape[1:])] for s in self.inputs if s.shape}
        try:
            model.reshape(shapes)
        except RuntimeError as e:
            raise EngineError(f"openvino cannot run {self._path.name} in batches of {batch}: {_last_line(e)}") from e
        return model

    def _compile(self, model: Any) -> Any:
        try:
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as e:
            raise EngineError(f"openvino cannot compile {self._path.name}: {_last_line(e)}") from e

    def _request(self, feeds: Feeds) -> Any:
        batch = next((feeds[s.name].shape[0] for s in self.inputs if s.shape and s.name in feeds), 1)
        request = self._static.get(batch, self._any)
        if request is None:
            raise EngineError(f"openvino loaded {self._path.name} for batches of {[*self._static]}, not of {batch}")
        return request

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch.

        Raises:
            EngineError: when the inputs do not fit the model or an operator fails.
        """
        try:
            answers = self._request(feeds).infer({s.name: feeds[s.name] for s in self.inputs}, share_inputs=True)
        except (RuntimeError, KeyError, TypeError, ValueError) as e:
            raise EngineError(f"openvino failed on {self._path.name}: {_last_line(e)}") from e
        return {s.name: answers[k].copy() for k, s in enumerate(self.outputs)}

    def device_memory_bytes(self) -> int | None:
        """None: there is no accelerator."""
        return None

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """From OpenVINO's performance counters of a second session; the names are those of the original layers.

        An operator that stands for several layers has their names joined by commas.
        """
        batch = next(iter(feeds.values())).shape[0]
        options = {"batch": batch} if batch in self._static else {"static_batches": ()}
        session = _OvSession(self._path, self._precision, self._threads, options, profile=True)
        request = session._request(feeds)
        events: list[Event] = []
        originals = _originals(request.get_compiled_model())
        session.run(feeds)
        for _ in range(repeats):
            session.run(feeds)
            events.extend(session._events(request, originals))
        session.close()
        return operator_times(events, repeats)

    def _events(self, request: Any, originals: Mapping[str, str]) -> Iterator[Event]:
        for row in request.profiling_info:
            seconds = row.real_time.total_seconds()
            if seconds > 0:
                name = originals.get(row.node_name, row.node_name)
                known = any(part in self._nodes for part in name.split(","))
                yield Event(
                    name=name,
                    kind=row.node_type,
                    precision=row.exec_type.rpartition("_")[2].lower(),
                    mapped=known and row.node_type not in _CONVERSIONS,
                    time_ms=seconds * 1000,
                )

    def close(self) -> None:
        """Free all compiled models."""
        self._static.clear()
        self._any = None


def _working_nodes(model: Any) -> frozenset[str]:
    """Names of the layers that compute, those of weights and ranges left out."""
    idle = {"Constant", "FakeQuantize", "Parameter", "Result"}
    return frozenset(n.get_friendly_name() for n in model.get_ops() if n.get_type_name() not in idle)


def _originals(compiled: Any) -> dict[str, str]:
    """Names of the original layers by name of the compiled one."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        names = info["originalLayersNames"].astype(str) if "originalLayersNames" in info else ""
        if names:
            found[node.get_friendly_name()] = names
    return found


def _last_line(error: BaseException) -> str:
    """OpenVINO puts the source line of its check first and the reason last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].lstrip("- ") if lines else type(error).__name__


def _spec(port: Any) -> TensorSpec:
    shape = tuple(None if d.is_dynamic else d.get_length() for d in port.get_partial_shape())
    word = port.get_element_type().get_type_name()
    return TensorSpec(name=port.get_any_name(), dtype=_DTYPES.get(word, word), shape=shape)
