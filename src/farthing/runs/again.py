"""A plan again: at another day, other traffic, another bill or promise; where it and its page go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from farthing.core.plan.replanning import found_at, replanned
from farthing.core.plan.repricing import reprice
from farthing.errors import InputError
from farthing.load.plans import plan_file
from farthing.load.prices import find_offer, load_offers, offers_as_of, terms_of
from farthing.load.workload.resolved import load_resolved_workload
from farthing.load.workload.workload import asked_again
from farthing.nouns import Plan, Workload
from farthing.runs.market import market_of, trace_of

__all__ = ["at_day", "files_of", "replanned_as_asked"]


def files_of(
    plan_path: Path | str, out: Path | str | None, *, as_of: date | None, asked: Mapping[str, Any] | None
) -> tuple[Path, Path]:
    """Where the plan and its page are after :func:`report` with the same arguments.

    A plan that was priced again lies in the folder of the one that was read, since its artefacts lie there.
    """
    suffix = "-again" if asked else "" if as_of is None else f"-{as_of.isoformat()}"
    path, name = plan_file(plan_path), f"report{suffix}.html"
    page = path.with_name(name) if out is None else Path(out) / name if Path(out).is_dir() else Path(out)
    if not suffix:
        return path, page
    stem = f"{path.stem}{suffix}" if out is None or not asked or page.name == name else page.stem
    return path.with_name(f"{stem}{suffix}.yaml" if f"{stem}.yaml" == path.name else f"{stem}.yaml"), page


def at_day(plan: Plan, as_of: date, max_age_days: int) -> Plan:
    """The plan at the prices of another day.

    Raises:
        PriceError: when there is no price for that day, or one too old.
    """
    old, listed = plan.offers[0], load_offers()
    offer = find_offer(listed, old.name, old.region, old.term, as_of=as_of, max_age_days=max_age_days)
    terms = terms_of(listed, old.name, old.region, as_of=as_of, max_age_days=max_age_days)
    current = [o for o in offers_as_of(listed, as_of) if (as_of - o.dated).days <= max_age_days]
    return reprice(plan, offer, tuple(terms.values()), current)


def replanned_as_asked(
    plan: Plan, path: Path, given: Mapping[str, Any], as_of: date | None, max_price_age_days: int
) -> Plan:
    """The plan at other traffic, another bill, offer or promise.

    Args:
        plan: As it was read.
        path: Of it; the workload lies beside it.
        given: Flags of ``optimize`` by key.
        as_of: Day of the prices, None for today.
        max_price_age_days: Older prices raise.

    Raises:
        InputError: when something that is asked for cannot be read, or was not measured.
    """
    measured = load_resolved_workload(path.with_name("workload.json"), payloads=False)
    workload = asked_again(measured, given)
    _check_promise(plan, workload)
    found = found_at(plan, workload.objective)
    market = market_of(workload, as_of, max_price_age_days, plan.provenance.hardware)
    arrivals = trace_of(workload, market)
    rate = found.sla_rps.get(found.baseline)
    if rate is None:
        raise InputError(
            f"{path} holds no rate of its baseline, from which it could be priced again",
            hint="run the same `farthing optimize` again",
        )
    return replanned(
        plan,
        found,
        workload,
        market,
        arrivals.at(rate),
        assumptions=arrivals.assumptions(),
        by_utilisation=arrivals.by_utilisation(rate),
    )


def _check_promise(plan: Plan, workload: Workload) -> None:
    """Refuse what the plan's measurements cannot say anything of."""
    was, now = plan.objective, workload.objective
    if now.latency is not None and now.level > was.level:
        raise InputError(
            f"{now.latency.name} was not measured: the plan's runs hold {was.level * 100:g} % of the requests at most",
            hint=f"`farthing optimize` with {now.latency.flag} measures it",
        )
