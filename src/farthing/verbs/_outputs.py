"""What a run leaves in its output folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from farthing.codec import to_plain
from farthing.load.schema import stamp
from farthing.nouns import Baseline, Measurement, Plan, Workload
from farthing.render.report import report_html
from farthing.store.documents import write_json, write_text, write_yaml
from farthing.store.measurements import write_measurements

__all__ = ["write_baseline", "write_plan", "write_run"]


def write_plan(path: Path, plan: Plan) -> Path:
    """A plan as ``load_plan`` reads it.

    Args:
        path: In the folder where its artefacts lie.
        plan: Any outcome.

    Raises:
        StoreError: when the disk is full.
    """
    return write_yaml(path, stamp("plan"), to_plain(plan))


def write_run(out: Path, plan: Plan, measurements: Iterable[Measurement], workload: Workload) -> None:
    """plan.yaml, measurements.parquet, workload.json (what ``verify`` replays) and report.html.

    Raises:
        StoreError: when the disk is full; the journal still holds every measurement.
    """
    write_measurements(out / "measurements.parquet", measurements)
    write_json(out / "workload.json", stamp("workload-resolved"), to_plain(workload))
    write_plan(out / "plan.yaml", plan)
    write_text(out / "report.html", report_html(plan))


def write_baseline(out: Path, baseline: Baseline) -> None:
    """baseline.yaml, measurements.parquet and trace.json (open it in chrome://tracing or Perfetto).

    Raises:
        StoreError: when the disk is full; the journal still holds every measurement.
    """
    from farthing.render.chrome_trace import chrome_trace

    write_measurements(out / "measurements.parquet", baseline.measurements)
    write_yaml(out / "baseline.yaml", stamp("baseline"), to_plain(baseline))
    write_text(out / "trace.json", json.dumps(chrome_trace(baseline.profile)))
