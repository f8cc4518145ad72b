"""Plans that can be served: the renderers' example with an ONNX file beside it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from small_inputs import write_onnx

from farthing.codec import to_plain
from farthing.load.schema import stamp
from farthing.models.digests import digest
from farthing.nouns import Artefact, Plan


def example_plan() -> Plan:
    path = Path(__file__).with_name("example_plan.py")
    spec = importlib.util.spec_from_file_location("example_plan_for_serving", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plan: Plan = module.met_plan()
    return plan


def write_plan(folder: Path, **changes: Any) -> Path:
    """A plan that chose the ONNX file beside it on ONNX Runtime, 2 workers of 1 thread, batches of 4."""
    folder.mkdir(parents=True, exist_ok=True)
    model = write_onnx(folder / "artefacts.onnx")
    artefact = Artefact(
        variant="fp32", precision="fp32", path=model.name, sha256=digest(model), size_mib=0.1, engines=("onnxruntime",)
    )
    plan = example_plan()
    assert plan.chosen is not None
    candidate = replace(
        plan.chosen.candidate,
        engine="onnxruntime",
        variant="fp32",
        precision="fp32",
        max_batch=4,
        instances=2,
        threads=1,
    )
    chosen = replace(plan.chosen, candidate=candidate, artefact=artefact, peak_memory_mib=300.0)
    plan = replace(plan, workload="digits of hand", chosen=chosen, **changes)
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"schema": stamp("plan"), **to_plain(plan)}, sort_keys=False))
    return path
