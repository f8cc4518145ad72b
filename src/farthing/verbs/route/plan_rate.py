"""``farthing route plan-rate``: the rate that a route keeps within a latency promise, proven through its server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from farthing.core.route.routes import Route
from farthing.errors import InputError
from farthing.load.route.files import read_route
from farthing.load.route.settings import read_settings
from farthing.load.route.task import RouteTask, source_alone, task_of
from farthing.load.serve.routes import route_file
from farthing.ports import Progress
from farthing.runs.folders import alone_in
from farthing.runs.options import USUAL, RunOptions
from farthing.runs.progress import or_silent
from farthing.runs.route.rate import planned, refuse_unplannable, sent
from farthing.store.routes import write_route

__all__ = ["route_plan_rate"]


@alone_in(lambda given: route_file(source_alone(given["task"])).parent)
def route_plan_rate(
    task: RouteTask | Path | str, *, options: RunOptions = USUAL, on_progress: Progress | None = None
) -> Route:
    """Serve a route, find the highest rate within the promise, plan with headroom, prove it, write route.yaml again.

    Args:
        task: A route.yaml or its folder, all of whose tiers run here. Of the settings the promise counts (``p99``, or
            ``p50 p90 p95 p999``; that of the last plan where none is given), and ``data labels text_column
            label_column id_column``: requests to send, those of the calibration where none are named.
        options: How much is measured of the served route, seed and trust; all is written into the route's folder.
        on_progress: Called as ``(stage, done, total, note)``.

    Returns:
        The route as it was written, with ``planned_rate``.

    Raises:
        InputError: when no latency is promised, a tier answers elsewhere or has no place, or the requests are gone.
        FarthingError: when the route cannot be served, or the disk is full.
    """
    path, task = route_file(source_alone(task)), task_of(task).seeded(options.seed)
    found, asked = read_route(path), read_settings(task.settings)
    bound = asked.latency or (found.planned_rate.bound if found.planned_rate else None)
    if bound is None:
        raise InputError("no latency is promised that a rate could be planned for", hint="--p99 50ms")
    refuse_unplannable(found, path)
    requests = sent(found, path.parent, asked)
    rate = planned(path, found, bound, requests, replace(options, seed=asked.seed), or_silent(on_progress))
    done = replace(found, planned_rate=rate)
    write_route(done, path)
    return done
