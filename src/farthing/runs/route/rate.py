"""A route's rate: on which requests it is planned, what is started for it, and what was assumed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.rate_planning import why_no_rate
from farthing.core.route.routes import Route
from farthing.core.route.served import RoutedModel, Served
from farthing.errors import InputError
from farthing.load.route.command import calibration_data
from farthing.load.route.requests import read_requests
from farthing.load.route.settings import RouteSettings
from farthing.load.serve.models import served_models
from farthing.load.tables import read_table
from farthing.machine.canary import Canary
from farthing.machine.hardware import fingerprint, this_machine, usable_cpus
from farthing.measure.route.rate import RouteLoad, RouteServer, plan_rate
from farthing.measure.served.live_server import LiveServer, missing
from farthing.nouns import Dataset, LatencyBound, LocalModel
from farthing.ports import Progress
from farthing.runs.options import RunOptions
from farthing.store.artefacts import check_artefact
from farthing.store.routes import OUTCOMES

__all__ = ["Sent", "busy_cores", "load_of", "planned", "refuse_unplannable", "refuse_unserved", "sent"]

MOST_SENT = 2048
"""Different requests that are sent, drawn from the calibration's: the share of hard ones among them is right to ± 2
points."""
_NO_DEADLINE = ("--deadline", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Requests that a route is driven with.

    Attributes:
        dataset: Payloads.
        calibrated: Whether they are those of the calibration.
    """

    dataset: Dataset
    calibrated: bool

    @property
    def n(self) -> int:
        """How many different ones are sent."""
        return min(self.dataset.n, MOST_SENT)


def refuse_unplannable(route: Route, path: Path) -> None:
    """Refuse a route whose rate cannot be measured here.

    Raises:
        InputError: in words.
    """
    why = why_no_rate(route)
    if why:
        names = " ".join(f"{tier.name}=PLACE" for tier in route.tiers if not tier.source)
        hint = f"farthing route attach {path} {names}" if names else "test the load where those tiers are"
        raise InputError(f"no rate is planned for {path}: {why}", hint=hint)
    refuse_unserved()


def refuse_unserved() -> None:
    """Refuse to plan where nothing can be measured through a server.

    Raises:
        InputError: saying what is missing.
    """
    lacking = missing()
    if lacking:
        raise InputError(f"a route's rate is proven through `farthing serve`, and {lacking}")


def sent(route: Route, folder: Path, given: RouteSettings) -> Sent:
    """The requests to send: those that were named, else those of the calibration.

    Args:
        route: Which.
        folder: Of route.yaml.
        given: Of which ``data`` and its columns count.

    Raises:
        InputError: when none were named and those of the calibration are not known or gone.
        DataError: when they cannot be read.
    """
    if given.data is not None:
        return Sent(dataset=_read(given), calibrated=False)
    before = calibration_data(route, folder)
    if before.data is not None and before.data.exists():
        return Sent(dataset=_read(before), calibrated=True)
    outcomes = folder / OUTCOMES
    if outcomes.is_file() and "text" in read_table(outcomes).columns:
        texts = replace(before, data=outcomes, labels=None, text_column="text", label_column=None, id_column=None)
        return Sent(dataset=_read(replace(texts, segment_column=None)), calibrated=True)
    lost = "are not known" if before.data is None else f"are gone ({before.data})"
    raise InputError(f"the requests that {route.name} was calibrated on {lost}", hint="--data FILE: requests to send")


def _read(asked: RouteSettings) -> Dataset:
    assert asked.data is not None
    found = read_requests(
        asked.data,
        labels=asked.labels,
        text_column=asked.text_column,
        label_column=asked.label_column,
        id_column=asked.id_column,
        segment_column=asked.segment_column,
    )
    return replace(found.dataset, labels=None)


def load_of(
    path: Path, route: Route, bound: LatencyBound, requests: Sent, options: RunOptions, tell: Progress, work: Path
) -> RouteLoad:
    """What a route is measured with on this machine.

    Raises:
        InputError: when it cannot be served as it is.
    """
    cpus = usable_cpus()
    models = served_models([path], cores=len(cpus), check=check_artefact, trust=options.trust)
    busy = busy_cores(models, len(cpus))
    routed = next(model for model in models if isinstance(model, RoutedModel))
    return RouteLoad(
        bound=bound,
        backend=routed.backend,
        settings=options.measure,
        seed=options.seed_used,
        start=_starter(path, route, requests, busy, options, work),
        cores=cpus[:busy],
        canary=Canary(),
        hardware=fingerprint(this_machine()),
        tell=tell,
    )


def busy_cores(models: Sequence[Served], cores: int) -> int:
    """Cores that workers of a route's tiers may take.

    Args:
        models: What ``farthing serve`` would serve, the route among them.
        cores: Of this machine.
    """
    here = [model.candidate for model in models if isinstance(model, LocalModel)]
    wanted = sum(c.instances * c.threads for c in here)
    return max(1, min(cores, wanted))


def _starter(
    path: Path, route: Route, requests: Sent, busy: int, options: RunOptions, work: Path
) -> Callable[[bool], AbstractContextManager[RouteServer]]:
    @contextmanager
    def start(patient: bool) -> Iterator[RouteServer]:
        with LiveServer(
            path,
            route.name,
            requests.dataset,
            busy_cores=busy,
            run_dir=work,
            trust=options.trust,
            seed=options.seed_used,
            pool=MOST_SENT,
            options=_NO_DEADLINE if patient else (),
        ) as live:
            yield live

    return start


def planned(
    path: Path, route: Route, bound: LatencyBound, requests: Sent, options: RunOptions, tell: Progress
) -> PlannedRate:
    """Plan a rate for a route that was written, and prove it.

    Args:
        path: Of route.yaml.
        route: What it holds.
        bound: The promise.
        requests: To send.
        options: How much is measured, seed, trust.
        tell: Progress.

    Raises:
        FarthingError: when the route cannot be served, or its server ends.
    """
    with tempfile.TemporaryDirectory(prefix="farthing-route-rate-") as work:
        load = load_of(path, route, bound, requests, options, tell, Path(work))
        found = plan_rate(load)
    return replace(found, assumptions=tuple(_assumed(route, requests, found, len(load.cores))))


def _assumed(route: Route, requests: Sent, found: PlannedRate, busy: int) -> Iterator[str]:
    machine, cpus = this_machine(), usable_cpus()
    whose = "of the calibration" if requests.calibrated else f"of {Path(requests.dataset.source).name}"
    some = f"{requests.n:,} of {requests.dataset.n:,}, drawn with seed {found.seed}"
    yield (
        f"clients send the requests {whose} in their own mix ({some}) at Poisson arrivals, one row each, over HTTP on "
        "this machine"
    )
    where = "on cores of its own" if busy < len(cpus) else "there was no core to spare, so that it shared the workers'"
    yield f"the load generator ran {where}"
    yield f"the rate is that of one server on {machine.cpu or machine.name} with {len(cpus)} cores; no other is claimed"
    if route.monitoring.audit_frac > 0 and route.chosen is not None:
        yield f"audits ({100 * route.monitoring.audit_frac:g} % of answers below the reference) are part of the load"
    if any(tier.replicas for tier in route.tiers):
        yield "rungs moved with the load as the declared replicas say, whatever is there"
    if found.contended:
        yield "cores were busy with something else in spite of retries: on a quiet machine the rate may be higher"
