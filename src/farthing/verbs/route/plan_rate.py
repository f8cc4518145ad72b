"""``farthing route plan-rate``: the rate that a route keeps within a latency promise, proven through its server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from farthing.core.route.routes import Route
from farthing.errors import InputError
from farthing.load.route.files import read_route
from farthing.load.route.settings import read_settings
from farthing.load.serve.routes import ROUTE_FILE
from farthing.measure.workbench import Settings
from farthing.ports import Progress
from farthing.runs.folders import alone_in
from farthing.runs.progress import or_silent
from farthing.runs.route.rate import planned, refuse_unplannable, sent
from farthing.store.routes import write_route

__all__ = ["route_path", "route_plan_rate"]


def route_path(route: Path | str) -> Path:
    """Of the route.yaml that is named, or whose folder is."""
    return Path(route) / ROUTE_FILE if Path(route).is_dir() else Path(route)


@alone_in(lambda given: route_path(given["route"]).parent)
def route_plan_rate(
    route: Path | str, *, measure: Settings | None = None, on_progress: Progress | None = None, **settings: Any
) -> Route:
    """Serve a route, find the highest rate within the promise, plan with headroom, prove it, write route.yaml again.

    Args:
        route: A route.yaml or its folder; all of its tiers run here.
        measure: How much is measured.
        on_progress: Called as ``(stage, done, total, note)``.
        settings: The promise (``p99="50ms"``, or ``p50 p90 p95 p999``; that of the last plan where none is given), and
            ``data labels text_column label_column id_column``: requests to send, those of the calibration where none
            are named.

    Returns:
        The route as it was written, with ``planned_rate``.

    Raises:
        InputError: when no latency is promised, a tier answers elsewhere or has no place, or the requests are gone.
        FarthingError: when the route cannot be served, or the disk is full.
    """
    path = route_path(route)
    found, asked = read_route(path), read_settings(settings)
    bound = asked.latency or (found.planned_rate.bound if found.planned_rate else None)
    if bound is None:
        raise InputError("no latency is promised that a rate could be planned for", hint="--p99 50ms")
    refuse_unplannable(found, path)
    requests = sent(found, path.parent, asked)
    rate = planned(path, found, bound, requests, measure or Settings(), or_silent(on_progress))
    done = replace(found, planned_rate=rate)
    write_route(done, path)
    return done
