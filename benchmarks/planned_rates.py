"""Is the rate that a plan names kept by ``farthing serve`` within the promise? Five servers, each started anew.

    python benchmarks/planned_rates.py demo/plan.yaml demo-minilm/plan.yaml …     # tiny: a model made here, optimised first
    python benchmarks/planned_rates.py demo-route/route/route.yaml                # a route with a planned rate
    python benchmarks/planned_rates.py --route demo-small-route                   # two tiers made here, calibrated first

Each run starts ``farthing serve plan.yaml`` (or ``route.yaml``), drives its port with Poisson arrivals at the planned rate
of a replica (the rate that dollars are worked out from, after headroom) for a quarter of a minute with a seed of its own,
and takes the promised percentile of all requests after the first tenth as it is: no model, no interval. A route gets the
requests of its calibration in their own mix.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from farthing.core.route.routes import Route
from farthing.core.traffic.latency_rate import tail_of
from farthing.load.plans import load_plan
from farthing.load.route.files import read_route
from farthing.load.route.settings import RouteSettings
from farthing.load.route.task import RouteKeys, RouteTask
from farthing.load.schema import kind_of
from farthing.load.serve.models import served_models
from farthing.load.wishes import as_name
from farthing.load.workload.resolved import load_resolved_workload
from farthing.machine.hardware import usable_cpus
from farthing.measure.served.live_server import LiveServer, LoadedRun
from farthing.nouns import Estimate, LatencyBound
from farthing.runs.options import RunOptions
from farthing.runs.route.rate import Sent, busy_cores, sent
from farthing.store.artefacts import check_artefact
from farthing.verbs.route.calibrate import route_calibrate
from figures import emit
from routing.small_route import build

RUNS, KEPT, SECONDS = 5, 4, 15.0
MOST_REQUESTS = 300_000


def tiny(folder: Path) -> Path:
    """The tiny model of the ``serve`` benchmark, optimised with its own defaults; its plan."""
    from serving.models import SUBJECTS, build

    folder.mkdir(parents=True, exist_ok=True)
    subject = SUBJECTS["mlp"]
    model = build(subject, folder)
    np.savez(folder / "holdout.npz", x=subject.sample(900))
    command = [Path(sys.executable).with_name("farthing"), "optimize", model]
    more = ["--labels", folder / "holdout.npz", "--bill", "10000", "--offer", "aws/m7i.large", "--p99", "10ms"]
    more += ["--utilisation", "40%", "--as-of", "2026-11-24", "--output-dir", folder / "out"]
    done = subprocess.run([*map(str, command), *map(str, more)], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr[-3000:])
    return folder / "out" / "plan.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What a document promises, and how its server is started.

    Attributes:
        name: In the figures.
        bound: Of latency.
        rate: Planned, of one replica.
        start: A server and its load generator; takes a folder for logs and the seed of the choice of payloads.
    """

    name: str
    bound: LatencyBound
    rate: Estimate
    start: Callable[[Path, int], AbstractContextManager[LiveServer]]


def small_route(folder: Path, p99: str) -> Path:
    """Two tiers made here, calibrated with a promise; the route."""
    folder.mkdir(parents=True, exist_ok=True)
    tiers, requests = build(folder)
    settings: RouteKeys = {"priced_as": "aws/m7i.large", "data": requests, "max_loss": "3%", "p99": p99}
    report = route_calibrate(
        RouteTask(tiers=tiers, settings=settings),
        options=RunOptions(output_dir=folder / "route", as_of=date(2026, 11, 24)),
    )
    rate = report.route.planned_rate
    print(f"{report.route.verdict.outcome}; rate: {rate.verdict if rate else None}", file=sys.stderr)
    return folder / "route" / "route.yaml"


def of_plan(path: Path) -> Promised:
    """A plan of ``farthing optimize``."""
    plan = load_plan(path)
    bound = plan.objective.latency
    if plan.chosen is None or plan.chosen.sla_rps is None or bound is None:
        sys.exit(f"{path} plans no rate under a promise: {'; '.join(plan.verdict.reasons)}")
    c = plan.chosen.candidate
    workload = load_resolved_workload(path.with_name("workload.json"))

    def start(work: Path, seed: int) -> LiveServer:
        cores = c.instances * c.threads
        name = as_name(plan.workload)
        return LiveServer(path, name, workload.holdout, busy_cores=cores, run_dir=work, trust=True, seed=seed)

    return Promised(name=f"planned-rate/{plan.workload}", bound=bound, rate=plan.chosen.sla_rps, start=start)


def of_route(path: Path) -> Promised:
    """A route with a planned rate."""
    route = read_route(path)
    rate = route.planned_rate
    if rate is None or rate.rate_rps is None:
        why = "; ".join(rate.verdict.reasons) if rate else "no latency was promised (farthing route plan-rate --p99 …)"
        sys.exit(f"{path} plans no rate under a promise: {why}")
    requests = sent(route, path.parent, RouteSettings())
    name = f"planned-rate/route-{path.parent.absolute().parent.name}"
    return Promised(name=name, bound=rate.bound, rate=rate.rate_rps, start=partial(live_route, path, route, requests))


def live_route(path: Path, route: Route, requests: Sent, work: Path, seed: int) -> LiveServer:
    """The route's server with its requests."""
    models = served_models([path], cores=len(usable_cpus()), check=check_artefact, trust=True)
    cores = busy_cores(models, len(usable_cpus()))
    return LiveServer(
        path, route.name, requests.dataset, busy_cores=cores, run_dir=work, trust=True, seed=seed, pool=requests.n
    )


def served(promised: Promised, seed: int, seconds: float) -> LoadedRun:
    """One server, one run at the planned rate."""
    rate = promised.rate.value
    with tempfile.TemporaryDirectory() as work, promised.start(Path(work), seed) as live:
        live.open_loop(rate / 4, max(20, min(1000, round(rate / 4))), seed=1000 + seed)  # connections and caches
        return live.open_loop(rate, min(MOST_REQUESTS, max(20, round(rate * seconds))), seed=seed)


def judge(path: Path, seconds: float) -> None:
    """Print the figures of one plan or route."""
    promised = of_route(path) if kind_of(path) == "route" else of_plan(path)
    bound, rate, name = promised.bound, promised.rate, promised.name
    runs = [served(promised, seed, seconds) for seed in range(RUNS)]
    tails_ms = [tail_of(run.latency_ms, bound.percentile) for run in runs]
    kept = sum(tail <= bound.ms for tail in tails_ms)
    emit(f"{name}/planned", rate.value, rate.lo, rate.hi, "1/s", None, None)
    emit(
        f"{name}/runs that kept {bound.name} ≤ {bound.ms:g} ms",
        kept,
        None,
        None,
        f"of {RUNS}",
        f"≥ {KEPT}",
        kept >= KEPT,
    )
    emit(
        f"{name}/{bound.name}, median of runs",
        statistics.median(tails_ms),
        min(tails_ms),
        max(tails_ms),
        "ms",
        None,
        None,
    )
    for what, values in (
        ("load generator's share of the cores", [run.generator_frac for run in runs]),
        ("server's own share", [run.front_frac for run in runs]),
        ("answered", [float(np.isfinite(run.latency_ms).mean()) for run in runs]),
    ):
        emit(f"{name}/{what}", statistics.fmean(values), min(values), max(values), "frac", None, None)


def main() -> None:
    """Judge plans and routes; the tiny model and a small route where none is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plans", nargs="*", type=Path, metavar="plan.yaml|route.yaml")
    parser.add_argument(
        "--tiny", type=Path, default=None, help="folder in which the tiny model is optimised and judged"
    )
    parser.add_argument("--route", type=Path, help="folder in which a small route is calibrated, planned and judged")
    parser.add_argument("--route-p99", default="10ms", help="promise of that route")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one run")
    args = parser.parse_args()
    if args.tiny is None and args.route is None and not args.plans:
        args.tiny, args.route = Path("demo-tiny"), Path("demo-small-route")
    made = [
        *([tiny(args.tiny)] if args.tiny else []),
        *([small_route(args.route, args.route_p99)] if args.route else []),
    ]
    for path in [*args.plans, *made]:
        judge(path, args.seconds)


if __name__ == "__main__":
    main()
