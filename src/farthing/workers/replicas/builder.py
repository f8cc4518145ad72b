"""Exporting and building in child processes: a builder that crashes, hangs or eats memory is a result, not an end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farthing.codec import from_plain, to_plain
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import usable_cpus
from farthing.nouns import Artefact, Dataset, ModelRef, PipelineSpec, TensorSpec
from farthing.ports import Clock, Feeds
from farthing.workers.replicas.messages import Child, ask, end

__all__ = ["Built", "ModuleSeen", "build", "build_variant", "resolve", "see_module"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build step gave, and what it took.

    Attributes:
        answer: The step's own.
        seconds: Wall time: ``start`` until the child was ready, ``inputs`` making calibration inputs, ``work`` the
            rest.
        peak_memory_mib: Of the child, resident.
    """

    answer: Mapping[str, Any]
    seconds: Mapping[str, float]
    peak_memory_mib: float


def build(
    step: str,
    request: Mapping[str, Any],
    *,
    label: str,
    timeout_s: float,
    memory_limit_mib: float,
    run_dir: Path,
    seed: int = 0,
    clock: Clock | None = None,
) -> Built:
    """Run one step in a child of its own that may use all cores.

    Args:
        step: Import path ``package.module:callable`` of a function from a JSON object to a JSON object. It comes
            from farthing or from the command line, never from a file that was received.
        request: Its argument.
        label: For the log's name and error messages.
        timeout_s: Longest time.
        memory_limit_mib: Most resident memory.
        run_dir: For the log.
        seed: Of NumPy's global generator, from which libraries draw.
        clock: Time, None for the real one.

    Raises:
        FarthingError: what the step raised.
        MeasureError: when the child crashes, hangs or eats memory, or the step raised what is not ours.
    """
    clock = clock or MonotonicClock()
    started_s = clock.monotonic_s()
    cpus = usable_cpus()
    child = Child(f"building {label}", cpus=cpus, threads=len(cpus), log=run_dir / f"build-{label}.log")
    try:
        message = {"do": "build", "step": step, "request": dict(request), "seed": seed}
        (found,) = ask([child], [message], silence_s=timeout_s, memory_limit_mib=memory_limit_mib, clock=clock)
    finally:
        end([child])
    answer = dict(found["answer"])
    inputs_s = float(answer.pop("inputs_s", 0.0))
    seconds = {"start": found["ready_s"] - started_s, "inputs": inputs_s, "work": found["took_s"] - inputs_s}
    return Built(answer=answer, seconds=seconds, peak_memory_mib=found["rss_mib"])


def resolve(
    model: ModelRef,
    out: Path,
    *,
    pipeline: PipelineSpec,
    dataset: Dataset,
    indices: Sequence[int],
    trust: bool,
    timeout_s: float,
    memory_limit_mib: float,
    run_dir: Path,
    clock: Clock | None = None,
) -> ModelRef:
    """The model as ONNX, exported where needed, in a child.

    Args:
        model: As the user has it.
        out: Where an exported file goes.
        pipeline: Makes example inputs.
        dataset: Their payloads.
        indices: Which of them, at least two.
        trust: Whether the user's code may run.
        timeout_s: Longest time.
        memory_limit_mib: Most resident memory.
        run_dir: For the log.
        clock: Time, None for the real one.

    Raises:
        ModelError: when the model is corrupt or cannot be exported.
        MeasureError: when the child crashes, hangs or eats memory.
    """
    request = {**_request(model, out, pipeline, dataset, indices, 1), "trust": trust}
    found = build(
        f"{__name__}:resolve_step",
        request,
        label="export",
        timeout_s=timeout_s,
        memory_limit_mib=memory_limit_mib,
        run_dir=run_dir,
        clock=clock,
    )
    return from_plain(ModelRef, found.answer["model"])


def build_variant(
    name: str,
    model: ModelRef,
    out: Path,
    *,
    pipeline: PipelineSpec,
    dataset: Dataset,
    indices: Sequence[int],
    seed: int,
    trust: bool,
    timeout_s: float,
    memory_limit_mib: float,
    run_dir: Path,
    batch: int = 1,
    clock: Clock | None = None,
) -> Artefact:
    """Build one variant in a child, which makes the calibration inputs too.

    Args:
        name: Variant's name.
        model: With its ONNX file where there is one.
        out: The run's output folder.
        pipeline: Makes calibration inputs.
        dataset: Their payloads.
        indices: Which of them.
        seed: Of whatever the builder draws.
        trust: Whether the user's code may run.
        timeout_s: Longest time.
        memory_limit_mib: Most resident memory.
        run_dir: For the log.
        batch: Samples in a calibration batch.
        clock: Time, None for the real one.

    Returns:
        The artefact; ``build_s`` is the wall time, the child's start included.

    Raises:
        EngineError: when the variant cannot help this model.
        MeasureError: when the child crashes, hangs or eats memory.
    """
    request = {**_request(model, out, pipeline, dataset, indices, batch), "trust": trust, "variant": name}
    found = build(
        f"{__name__}:variant_step",
        request,
        label=name,
        timeout_s=timeout_s,
        memory_limit_mib=memory_limit_mib,
        run_dir=run_dir,
        seed=seed,
        clock=clock,
    )
    return replace(from_plain(Artefact, found.answer["artefact"]), build_s=sum(found.seconds.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSeen:
    """What a PyTorch module says of itself once it is made.

    Attributes:
        sha256: Of what it holds (names, types, shapes and values), wherever its code reads them from.
        classes: Names of its classes in index order, empty where its configuration has none.
    """

    sha256: str
    classes: tuple[str, ...] = ()


def see_module(
    model: ModelRef, *, timeout_s: float, memory_limit_mib: float, run_dir: Path, clock: Clock | None = None
) -> ModuleSeen:
    """Make a PyTorch module and read what it holds.

    Args:
        model: Of the kind ``torch``; trusted, since its code runs, in a child.
        timeout_s: Longest time.
        memory_limit_mib: Most resident memory.
        run_dir: For the log.
        clock: Time, None for the real one.

    Raises:
        ModelError: when the module cannot be made.
        MeasureError: when the child crashes, hangs or eats memory.
    """
    found = build(
        f"{__name__}:module_step",
        {"path": model.path},
        label="module",
        timeout_s=timeout_s,
        memory_limit_mib=memory_limit_mib,
        run_dir=run_dir,
        clock=clock,
    )
    return ModuleSeen(sha256=str(found.answer["sha256"]), classes=tuple(map(str, found.answer["classes"])))


def _request(
    model: ModelRef, out: Path, pipeline: PipelineSpec, dataset: Dataset, indices: Sequence[int], batch: int
) -> dict[str, Any]:
    return {
        "model": to_plain(model),
        "out": str(out),
        "pipeline": to_plain(pipeline),
        "dataset": to_plain(dataset),
        "indices": list(indices),
        "batch": batch,
    }


# — in the child ———————————————————————————————————————————————————————————————————————————————————————


class _Calibration:
    """Inputs of the model for some samples, made when they are asked for; may be gone through more than once."""

    def __init__(self, request: Mapping[str, Any], model: ModelRef) -> None:
        from farthing.load.signature import onnx_signature
        from farthing.pipelines.payloads import read
        from farthing.plugins import find

        spec = from_plain(PipelineSpec, request["pipeline"])
        self._dataset = from_plain(Dataset, request["dataset"])
        self._indices, self._batch = request["indices"], request["batch"]
        self._pipeline, self._read = find("pipelines", spec.kind).open(spec), read
        path = model.onnx_path or (model.path if model.kind == "onnx" else None)
        self._inputs = onnx_signature(Path(path)).inputs if path else self._of_module(spec, model, request)
        self.spent_s = 0.0

    def _of_module(self, spec: PipelineSpec, model: ModelRef, request: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        from farthing.models.torch_code import input_parameters, user_module
        from farthing.workers.replicas.module_inputs import module_inputs

        parameters = input_parameters(user_module(model.path, trust=request["trust"]))
        (payload,) = self._read(self._dataset, self._indices[:1])
        return module_inputs(spec, model, self._pipeline, payload, parameters)

    def __iter__(self) -> Iterator[Feeds]:
        for k in range(0, len(self._indices), self._batch):
            start = time.monotonic()
            feeds = self._pipeline(self._read(self._dataset, self._indices[k : k + self._batch]), self._inputs)
            self.spent_s += time.monotonic() - start
            yield feeds


def resolve_step(request: Mapping[str, Any]) -> dict[str, Any]:
    """In the child: find or export the ONNX file."""
    from farthing.variants.export import resolve_model

    model = from_plain(ModelRef, request["model"])
    samples = _Calibration(request, model)
    found = resolve_model(model, Path(request["out"]), list(samples), trust=request["trust"])
    return {"model": to_plain(found), "inputs_s": samples.spent_s}


def variant_step(request: Mapping[str, Any]) -> dict[str, Any]:
    """In the child: build the variant."""
    from farthing.plugins import find

    model, out = from_plain(ModelRef, request["model"]), Path(request["out"])
    samples = _Calibration(request, model)
    artefact: Artefact = find("variants", request["variant"]).build(model, out, samples)
    return {"artefact": to_plain(artefact), "inputs_s": samples.spent_s}


def module_step(request: Mapping[str, Any]) -> dict[str, Any]:
    """In the child: make the module and read all that it holds."""
    from farthing.models.class_labels import classes_of_module
    from farthing.models.torch_code import state_digest, user_module

    module = user_module(request["path"], trust=True)
    return {"sha256": state_digest(module), "classes": list(classes_of_module(module))}
