"""``farthing report``: the page of a plan, written again from plan.yaml."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from farthing.core.search.repricing import reprice
from farthing.load.plans import load_plan, plan_file
from farthing.load.prices import find_offer, load_offers, terms_of
from farthing.nouns import Plan
from farthing.render.report import report_html
from farthing.store.documents import write_text
from farthing.verbs._outputs import write_plan

__all__ = ["priced_file", "report"]


def priced_file(plan_path: Path | str, as_of: date | None) -> Path:
    """Where a plan lies once it was priced again: plan-2026-07-20.yaml beside plan.yaml, which stays as it is."""
    path = plan_file(plan_path)
    return path if as_of is None else path.with_name(f"{path.stem}-{as_of.isoformat()}.yaml")


def report(
    plan_path: Path | str, out: Path | str | None = None, *, as_of: date | None = None, max_price_age_days: int = 180
) -> tuple[Plan, Path]:
    """Write the self-contained page of a plan.

    Args:
        plan_path: A plan.yaml, of this version or an older one, or the folder that it lies in.
        out: The page, or a folder for it; default is report.html beside the plan (report-DATE.html when priced again).
        as_of: Price the plan again with the prices of that day; plan-DATE.yaml is written too.
        max_price_age_days: Older prices raise.

    Raises:
        SchemaError: when it is no plan, or a newer one.
        PriceError: when there is no price for that day.
    """
    path = plan_file(plan_path)
    plan = load_plan(path)
    name = "report.html"
    if as_of is not None:
        old, listed = plan.offers[0], load_offers()
        day = {"as_of": as_of, "max_age_days": max_price_age_days}
        offer = find_offer(listed, old.name, old.region, old.term, **day)  # type: ignore[arg-type]
        plan = reprice(plan, offer, tuple(terms_of(listed, old.name, old.region, **day).values()))  # type: ignore[arg-type]
        write_plan(priced_file(path, as_of), plan)
        name = f"report-{as_of.isoformat()}.html"
    target = Path(out) if out is not None else path.with_name(name)
    return plan, write_text(target / name if target.is_dir() else target, report_html(plan))
