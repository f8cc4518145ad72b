"""``farthing report``: the page of a plan, written again from plan.yaml."""

from __future__ import annotations

from pathlib import Path

from farthing.load.plans import load_plan
from farthing.render.report import report_html
from farthing.store.documents import write_text

__all__ = ["report"]


def report(plan_path: Path | str, out: Path | str | None = None) -> Path:
    """Write the self-contained page of a plan.

    Args:
        plan_path: A plan.yaml, of this version or an older one.
        out: Where to write; default is report.html beside the plan.

    Raises:
        SchemaError: when it is no plan, or a newer one.
    """
    path = Path(plan_path)
    target = Path(out) if out is not None else path.with_name("report.html")
    return write_text(target, report_html(load_plan(path)))
