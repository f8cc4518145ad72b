"""What a run leaves in its output folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from farthing.codec import to_plain
from farthing.load.schema import stamp
from farthing.load.workload.content import settings_files
from farthing.nouns import Baseline, Measurement, PipelineSpec, Plan, Workload
from farthing.render.plan.report import report_html
from farthing.render.plan.terminal import plan_text
from farthing.store.documents import write_json, write_text, write_yaml
from farthing.store.measurements import write_measurements
from farthing.store.plan_files import PIPELINE, take_along, write_plan_files

__all__ = ["write_baseline", "write_plan", "write_run"]

_KEY = (
    "Below: figures with the ends of their 95 % interval (unless said) and n observations; evidence beside, by digest."
)
MEASUREMENTS, WORKLOAD = "measurements.parquet", "workload.json"


def write_run(out: Path, plan: Plan, measurements: Iterable[Measurement], workload: Workload) -> Plan:
    """plan.yaml, its evidence, measurements.parquet, workload.json (what ``verify`` replays) and report.html.

    Tokenizer and preprocessor go along, so that the folder can be moved as a whole.

    Returns:
        The plan as it was written: its tokenizer is named from the folder.

    Raises:
        StoreError: when the disk is full; the journal still holds every measurement.
    """
    write_measurements(out / MEASUREMENTS, measurements)
    taken = take_along(settings_files(workload), out)
    plan = replace(plan, pipeline=_from_folder(plan.pipeline, taken))
    write_json(
        out / WORKLOAD,
        stamp("workload-resolved"),
        to_plain(replace(workload, pipeline=_from_folder(workload.pipeline, taken))),
    )
    write_plan(out / "plan.yaml", plan)
    write_text(out / "report.html", report_html(plan))
    return plan


def write_plan(path: Path, plan: Plan) -> Path:
    """Write a plan with its evidence; what else lies in its folder is named by digest.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    made = sorted(f"{PIPELINE}/{f.name}" for f in (path.parent / PIPELINE).glob("*") if f.is_file())
    stamps = stamp("plan"), stamp("evidence")
    return write_plan_files(
        path, stamps, plan, beside=(*made, WORKLOAD, MEASUREMENTS), said=f"{plan_text(plan)}\n\n{_KEY}"
    )


def _from_folder(spec: PipelineSpec, taken: Iterable[str]) -> PipelineSpec:
    """The pipeline with its tokenizer named from the plan's folder."""
    if spec.tokenizer is None:
        return spec
    name = Path(spec.tokenizer).name
    return replace(spec, tokenizer=next(path for path in taken if Path(path).name == name))


def write_baseline(out: Path, baseline: Baseline) -> None:
    """baseline.yaml, measurements.parquet and trace.json (open it in chrome://tracing or Perfetto).

    Raises:
        StoreError: when the disk is full; the journal still holds every measurement.
    """
    from farthing.render.chrome_trace import chrome_trace

    write_measurements(out / MEASUREMENTS, baseline.measurements)
    write_yaml(out / "baseline.yaml", stamp("baseline"), to_plain(baseline))
    write_text(out / "trace.json", json.dumps(chrome_trace(baseline.profile)))
