"""``farthing report``: the page of a plan, written again from plan.yaml, at other prices, traffic or promises too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from farthing.load.plans import load_plan, plan_file
from farthing.nouns import Plan
from farthing.render.plan.report import report_html
from farthing.runs.again import at_day, files_of, replanned_as_asked
from farthing.runs.outputs import write_plan
from farthing.store.documents import write_text

__all__ = ["report"]


def report(
    plan_path: Path | str,
    out: Path | str | None = None,
    *,
    as_of: date | None = None,
    max_price_age_days: int = 180,
    asked: Mapping[str, Any] | None = None,
) -> tuple[Plan, Path]:
    """Write the self-contained page of a plan; nothing is measured.

    Args:
        plan_path: A plan.yaml, of this version or an older one, or the folder that it lies in.
        out: The page, or a folder for it; default is report.html beside the plan, report-DATE.html with ``as_of``, and
            report-again.html with ``asked``.
        as_of: Price the plan again with the prices of that day; plan-DATE.yaml is written too.
        max_price_age_days: Older prices raise.
        asked: Other traffic, another bill, offer or promise, as the flags of ``optimize`` by key
            (``{"trace": "monday.csv", "p99": "30ms"}``); plan-again.yaml is written too (named like the page with
            ``out``). It needs the workload.json that lies beside a plan.

    Raises:
        SchemaError: when it is no plan, or a newer one.
        PriceError: when there is no price for that day.
        InputError: when something that is asked for cannot be read, or was not measured.
    """
    path, given = plan_file(plan_path), {k: v for k, v in (asked or {}).items() if v is not None}
    plan = load_plan(path)
    if given:
        plan = replanned_as_asked(plan, path, given, as_of, max_price_age_days)
    elif as_of is not None:
        plan = at_day(plan, as_of, max_price_age_days)
    written, page = files_of(path, out, as_of=as_of, asked=given)
    if written != path:
        write_plan(written, plan)
    return plan, write_text(page, report_html(plan))
