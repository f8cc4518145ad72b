"""Exporting and building in child processes: a builder that crashes, hangs or eats memory is a result, not an end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from farthing.codec import from_plain, to_plain
from farthing.measure.child import die_with_parent
from farthing.measure.replica import Child
from farthing.models.digests import digest, size_mib
from farthing.nouns import Artefact, Dataset, ModelRef, PipelineSpec, TensorSpec
from farthing.ports import Feeds

__all__ = ["build_variant", "resolve"]

CALIBRATION_BATCH = 1


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
        memory_limit_mib: Most memory.
        run_dir: For the log.

    Raises:
        ModelError: when the model is corrupt or cannot be exported.
        MeasureError: when the child crashes, hangs or eats memory.
    """
    request = _request(model, out, pipeline, dataset, indices, 0, trust)
    return from_plain(ModelRef, _run("resolve", request, timeout_s, memory_limit_mib, run_dir)["model"])


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
) -> Artefact:
    """Build one variant in a child; its digest and build time are filled in here.

    Raises:
        EngineError: when the variant cannot help this model.
        MeasureError: when the child crashes, hangs or eats memory.
    """
    request = {"variant": name, **_request(model, out, pipeline, dataset, indices, seed, trust)}
    start = time.monotonic()
    artefact = from_plain(Artefact, _run("build", request, timeout_s, memory_limit_mib, run_dir)["artefact"])
    path = out / artefact.path
    return replace(artefact, sha256=digest(path), size_mib=size_mib(path), build_s=time.monotonic() - start)


def _request(
    model: ModelRef, out: Path, pipeline: PipelineSpec, dataset: Dataset, indices: Sequence[int], seed: int, trust: bool
) -> dict[str, Any]:
    return {
        "model": to_plain(model),
        "out": str(out),
        "pipeline": to_plain(pipeline),
        "dataset": to_plain(dataset),
        "indices": list(indices),
        "seed": seed,
        "trust": trust,
    }


def _run(do: str, request: dict[str, Any], timeout_s: float, memory_limit_mib: float, run_dir: Path) -> dict[str, Any]:
    name = request.get("variant", "export")
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    child = Child(
        ["-m", "farthing.measure.builder"],
        cpus=cpus,
        threads=max(1, len(cpus)),
        log=run_dir / f"build-{name}.log",
        label=f"building {name}",
        memory_limit_mib=memory_limit_mib,
    )
    try:
        child.say({"do": do, **request})
        return child.hear(timeout_s)
    except BaseException:
        child.kill()
        raise
    finally:
        child.close()


# — in the child ———————————————————————————————————————————————————————————————————————————————————————


def _calibration(request: dict[str, Any], model: ModelRef) -> Iterator[Feeds]:
    from farthing.load.signature import onnx_signature
    from farthing.pipelines.payloads import read
    from farthing.plugins import find

    spec = from_plain(PipelineSpec, request["pipeline"])
    dataset = from_plain(Dataset, request["dataset"])
    pipeline = find("pipelines", spec.kind).open(spec)
    path = model.onnx_path or (model.path if model.kind == "onnx" else None)
    inputs = onnx_signature(Path(path)).inputs if path else _example_inputs(spec, model)
    for k in request["indices"]:
        yield pipeline(read(dataset, [k]), inputs)


def _example_inputs(spec: PipelineSpec, model: ModelRef) -> tuple[TensorSpec, ...]:
    """Inputs of a module that is not exported yet: what its pipeline makes."""
    if spec.kind == "text":
        names = spec.input_names or ("input_ids", "attention_mask")
        return tuple(TensorSpec(name=n, dtype="int64", shape=(None, None)) for n in names)
    name = (spec.input_names or ("images",))[0]
    shape = model.example_shape
    if shape is None and spec.crop is not None:
        shape = (
            (spec.channels, spec.crop, spec.crop) if spec.layout == "NCHW" else (spec.crop, spec.crop, spec.channels)
        )
    return (TensorSpec(name=name, dtype="float32", shape=(None, *shape)),) if shape else ()


def _step(request: dict[str, Any]) -> dict[str, Any]:
    from farthing.plugins import find

    model, out = from_plain(ModelRef, request["model"]), Path(request["out"])
    if request["do"] == "resolve":
        from farthing.variants.export import resolve_model

        return {
            "model": to_plain(resolve_model(model, out, list(_calibration(request, model)), trust=request["trust"]))
        }
    return {"artefact": to_plain(find("variants", request["variant"]).build(model, out, _calibration(request, model)))}


def main(argv: Sequence[str]) -> int:
    """Answer one request and leave."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(int(argv[0]), "r") as commands, os.fdopen(int(argv[1]), "w") as answers:
        try:
            answer = _step(json.loads(commands.readline()))
        except Exception as e:
            answers.write(json.dumps({"error": type(e).__name__, "message": str(e)}) + "\n")
            answers.flush()
            raise
        answers.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
