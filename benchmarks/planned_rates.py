"""Is the rate that a plan names kept by ``farthing serve`` within the promise? Five servers, each started anew.

    python benchmarks/planned_rates.py demo/plan.yaml demo-minilm/plan.yaml …     # tiny: a model made here, optimised first

Each run starts ``farthing serve plan.yaml``, drives its port with Poisson arrivals at the planned rate of a replica (the
rate that dollars are worked out from, after headroom) for a quarter of a minute with a seed of its own, and takes the
promised percentile of all requests after the first tenth as it is: no model, no interval.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from farthing.core.traffic.latency_rate import tail_of
from farthing.load.plans import load_plan
from farthing.load.resolved import load_resolved_workload
from farthing.load.serve_file import as_name
from farthing.measure.live_server import LiveServer, LoadedRun
from figures import emit

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


def served(path: Path, seed: int) -> LoadedRun:
    """One server, one run at the plan's rate."""
    plan = load_plan(path)
    workload = load_resolved_workload(path.with_name("workload.json"))
    assert plan.chosen is not None
    assert plan.chosen.sla_rps is not None
    rate, c = plan.chosen.sla_rps.value, plan.chosen.candidate
    with (
        tempfile.TemporaryDirectory() as work,
        LiveServer(
            path,
            as_name(plan.workload),
            workload.holdout,
            busy_cores=c.instances * c.threads,
            run_dir=Path(work),
            trust=True,
            seed=seed,
        ) as live,
    ):
        live.open_loop(rate / 4, max(20, min(1000, round(rate / 4))), seed=1000 + seed)  # connections and caches
        return live.open_loop(rate, min(MOST_REQUESTS, round(rate * SECONDS)), seed=seed)


def judge(path: Path) -> None:
    """Print the figures of one plan."""
    plan = load_plan(path)
    bound, level = plan.objective.latency, plan.objective.level
    if plan.chosen is None or plan.chosen.sla_rps is None or bound is None:
        sys.exit(f"{path} plans no rate under a promise: {'; '.join(plan.verdict.reasons)}")
    runs = [served(path, seed) for seed in range(RUNS)]
    tails_ms = [tail_of(run.latency_ms, level) for run in runs]
    kept = sum(tail <= bound.ms for tail in tails_ms)
    name = f"planned-rate/{plan.workload}"
    rate = plan.chosen.sla_rps
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
    """Judge plans, and the tiny model where none is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plans", nargs="*", type=Path)
    parser.add_argument(
        "--tiny", type=Path, default=None, help="folder in which the tiny model is optimised and judged"
    )
    args = parser.parse_args()
    if args.tiny is None and not args.plans:
        args.tiny = Path("demo-tiny")
    for path in [*args.plans, *([tiny(args.tiny)] if args.tiny else [])]:
        judge(path)


if __name__ == "__main__":
    main()
