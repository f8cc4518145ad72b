"""Routing on CLINC150 as ``make route-demo`` left it: compute saved, controls, how often a proof is wrong, the server.

    python benchmarks/route.py [--demo demo-route] [--only compute,risk,served] [--sets 2000]

Calibrates once more on all labelled questions to have their outcomes, which are the population of ``risk``. In
``served`` the server has one core and the load generator the other.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from farthing.core.route.calibrating.certification import LossLimit
from farthing.core.route.calibrating.families import Family
from farthing.core.route.judging.curve import sensible_families
from farthing.core.route.judging.reports import EvaluationReport
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.routes import Monitoring, Route, Rung
from farthing.load.plans import load_plan
from farthing.load.route.files import read_route
from farthing.load.route.outcomes import read_outcomes
from farthing.load.route.task import RouteTask
from farthing.nouns import Estimate
from farthing.runs.options import RunOptions
from farthing.store.routes import write_route
from farthing.verbs.route.calibrate import route_calibrate
from farthing.verbs.route.evaluate import route_evaluate
from figures import emit
from routing.risk import Trial, families_by_score, violations
from routing.served import LOAD, Compared, ask_all, compared, cpu_us, requests_for
from serving.farthing_server import farthing_of

LIMIT = LossLimit(max_loss_frac=0.005, confidence=0.95)
CALIBRATED = 6_000
"""Requests of each drawn calibration set, half to choose on and half to prove on."""
BOUND_S = 0.050
"""p99 bound in the server, half the large tier's deadline."""
PRICED_ON = date(2026, 11, 24)
ROUNDS = 3
CORE = 1
"""Of the server; the load generator takes the other."""
KEPT = 0.85
TOGETHER = 5
"""Calibrations over all scores take so many times as long, and are as many times fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the example left.

    Attributes:
        folder: Of all its files.
        route: That it calibrated.
        sets: Calibrations a score in ``risk``.
        seconds: Of a probe in ``served``.
    """

    folder: Path
    route: Route
    sets: int
    seconds: float

    @property
    def rung(self) -> Rung:
        """The policy that is followed."""
        if self.route.chosen is None:
            raise SystemExit("the route follows its reference alone: there is nothing to measure")
        return self.route.ladder[self.route.chosen]

    def questions(self, part: str) -> list[tuple[str, str]]:
        """Texts and intents of a part."""
        with (self.folder / f"{part}.csv").open(newline="") as f:
            return [(row["text"], row["intent"]) for row in csv.DictReader(f)]


def show(figure: str, e: Estimate, unit: str, target: str | None = None, met: bool | None = None) -> None:
    """Emit an estimate."""
    emit(figure, e.value, e.lo, e.hi, unit, target, met)


def compute(demo: Demo) -> None:
    """On the test questions: cost against always large, optimised and in PyTorch; loss; controls of equal cost."""
    report = judged(demo)
    proven = demo.route.verdict.outcome == "met" and demo.route.max_loss_frac <= LIMIT.max_loss_frac
    show("route/compute/loss where it was proven", demo.rung.loss_frac, "frac", "proven ≤ 0.005 at 95 %", proven)
    point = report.evaluation.points[0]
    large = next(t for t in report.evaluation.tiers if t.label == f"always {demo.route.reference}")
    loss = large.quality.value - point.quality.value
    emit("route/compute/loss on the test questions", loss, None, None, "frac", None, None)
    over = times_cheaper(demo, report)
    show("route/compute/always large, optimised, over routed", over, "ratio of costs", "≥ 2.0", over.lo >= 2.0)
    torch = pytorch_over(demo)
    both = Estimate(
        value=over.value * torch.value, lo=over.lo * torch.lo, hi=over.hi * torch.hi, n=over.n, method="product"
    )
    show("route/compute/always large, PyTorch over optimised", torch, "ratio of costs")
    show("route/compute/always large in PyTorch over routed", both, "ratio of costs", "≥ 30", both.lo >= 30)
    for name, gain in (("best fixed split", point.over_split), ("random router", point.over_random)):
        show(f"route/compute/quality beyond the {name} at equal cost", gain, "frac", "lo > 0", gain.lo > 0)


def judged(demo: Demo) -> EvaluationReport:
    """The route on the test questions; its own policy is the first point."""
    with tempfile.TemporaryDirectory() as folder:
        task = RouteTask(
            source=demo.folder / "route.yaml",
            settings={"data": demo.folder / "test.csv", "text_column": "text", "label_column": "intent"},
        )
        return route_evaluate(task, options=RunOptions(output_dir=folder))


def times_cheaper(demo: Demo, report: EvaluationReport) -> Estimate:
    """Cost of always large over the route's: the bootstrap's ends for who is asked, and the measured times' ends."""
    tiers = {tier.name: tier for tier in demo.route.tiers}
    large = tiers[demo.route.reference]
    routed = report.evaluation.points[0].cost_usd
    spread = {"lo": 0.0, "hi": 0.0}
    assert large.service_ms is not None
    for name, called in demo.rung.called_frac.items():
        own = tiers[name].service_ms
        if name != large.name and own is not None:
            middle = own.value / large.service_ms.value
            spread["lo"] += called * (middle - own.lo / large.service_ms.hi)
            spread["hi"] += called * (own.hi / large.service_ms.lo - middle)
    usd = large.usd_per_request
    return Estimate(
        value=usd / routed.value,
        lo=1 / (routed.hi / usd + spread["hi"]),
        hi=1 / max(routed.lo / usd - spread["lo"], 1e-9),
        n=report.evaluation.n,
        method="paired bootstrap, widened by the ends of the measured times",
    )


def pytorch_over(demo: Demo) -> Estimate:
    """Throughput of the optimised large tier over today's, from the interleaved proof of its plan."""
    plan = load_plan(demo.folder / "large" / "plan.yaml")
    if plan.chosen is None or plan.chosen.ratio is None:
        raise SystemExit("the large tier's plan proves no ratio to PyTorch")
    return plan.chosen.ratio


def risk(demo: Demo) -> None:
    """How often a calibration follows a policy that loses too much, for every score and for all of them together."""
    population = pooled(demo)
    by_score = families_by_score(population, demo.route.reference)
    cases = [(name.partition("@")[0], families, demo.sets) for name, families in by_score.items()]
    together, _ = sensible_families(population, reference=demo.route.reference)
    cases.append(("all scores together", together, demo.sets // TOGETHER))
    jobs = [partial(trial, population, families, sets, demo, k) for k, (_, families, sets) in enumerate(cases)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for (name, _, _), found in zip(cases, pool.imap(_run, jobs), strict=True):
            for what, seen in (("wrong", found.chosen), ("any rung wrong", found.ladder)):
                held = seen.lo <= 1 - LIMIT.confidence
                emit(f"route/risk/{what} by {name}", seen.value, seen.lo, None, "frac", "lo ≤ 0.05", held)
            emit(
                f"route/risk/times cheaper by {name}",
                found.cost_ratio,
                None,
                None,
                "ratio",
                None,
                None,
            )


def _run(job: Callable[[], Trial]) -> Trial:
    return job()


def trial(population: OutcomeMatrix, families: Sequence[Family], sets: int, demo: Demo, seed: int) -> Trial:
    """The calibrations of one case."""
    return violations(
        population,
        families,
        LIMIT,
        np.random.default_rng(seed),
        reference=demo.route.reference,
        sets=sets,
        n_choose=CALIBRATED // 2,
        n_prove=CALIBRATED // 2,
    )


def pooled(demo: Demo) -> OutcomeMatrix:
    """Outcomes of all questions that no tier was trained on, with every score."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pooled.csv"
        with data.open("w", newline="") as f:
            rows = [*demo.questions("calibrate"), *demo.questions("test")]
            csv.writer(f).writerows([("text", "intent"), *rows])
        task = RouteTask(
            tiers=[f"{tier.name}={(demo.folder / tier.source).resolve()}" for tier in demo.route.tiers],
            settings={
                "data": data,
                "text_column": "text",
                "label_column": "intent",
                "priced_as": "aws/m7i.large",
            },
        )
        route_calibrate(task, options=RunOptions(output_dir=folder, as_of=PRICED_ON))
        return read_outcomes(Path(folder) / "outcomes.parquet").matrix


def served(demo: Demo) -> None:
    """The route in the server under Poisson arrivals, beside its large tier alone in the same server.

    The load is the questions of the calibration in random order, so that the shares are those that the compute saved
    was counted on. Test questions are harder and those out of scope are others: its watch would rightly fall back, and
    is off while they are asked, as well as while rates are compared; what it costs is shown apart.
    """
    texts = [text for text, _ in shuffled(demo.questions("calibrate"))]
    auto, large = requests_for(demo.route.name, texts), requests_for(demo.route.reference, texts)
    whole_us = {t.name: 1e3 * t.service_ms.value for t in demo.route.tiers if t.service_ms is not None}
    routed_us = sum(share * whole_us[name] for name, share in demo.rung.called_frac.items())
    predicted = (0.6e6 / (routed_us + 100), 0.6e6 / (whole_us[demo.route.reference] + 100))
    with tempfile.TemporaryDirectory() as folder, unwatched(demo) as source:
        with farthing_of(Path(folder) / "unwatched", source, inline="auto", cores=[CORE]) as server:
            answers(demo, server.port)
            rounds = [
                compared(server, auto, large, predicted_rps=predicted, bound_s=BOUND_S, seconds=demo.seconds, seed=seed)
                for seed in range(ROUNDS)
            ]
        source = demo.folder / "route.yaml"
        with farthing_of(Path(folder) / "watched", source, inline="auto", cores=[CORE]) as server:
            load_rps = LOAD * float(np.nanmedian([r.large_rps for r in rounds]))
            watched = [cpu_us(server, auto, load_rps, demo.seconds, seed) for seed in range(ROUNDS)]
    show_rounds(rounds, watched, whole_us[demo.route.reference] / routed_us)


def shuffled(questions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """In random order: the files are sorted by intent."""
    return [questions[k] for k in np.random.default_rng(0).permutation(len(questions))]


@contextmanager
def unwatched(demo: Demo) -> Iterator[Path]:
    """The same route without its watch, beside the tiers for as long as the block lasts."""
    path = demo.folder / "route-unwatched.yaml"
    write_route(replace(demo.route, monitoring=Monitoring(audit_frac=0.0)), path)
    try:
        yield path
    finally:
        path.unlink()


def show_rounds(rounds: Sequence[Compared], watched_us: Sequence[float], saved: float) -> None:
    """Rates and CPU times, medians with the range over rounds; held against the compute that the route saves."""
    over = [r.auto_rps / r.large_rps for r in rounds]
    columns = {
        "auto, p99 within 50 ms": ([r.auto_rps for r in rounds], "1/s"),
        "always large, p99 within 50 ms": ([r.large_rps for r in rounds], "1/s"),
        "auto, CPU an answer": ([r.auto_cpu_us for r in rounds], "us"),
        "auto and its watch, CPU an answer": (watched_us, "us"),
        "always large, CPU an answer": ([r.large_cpu_us for r in rounds], "us"),
        "rate over always large": (over, "ratio"),
    }
    for name, (values, unit) in columns.items():
        emit(f"route/served/{name}", float(np.median(values)), min(values), max(values), unit, None, None)
    kept = [ratio / saved for ratio in over]
    middle = float(np.median(kept))
    emit("route/served/rate kept of compute saved", middle, min(kept), max(kept), "ratio", f"≥ {KEPT}", middle >= KEPT)


def answers(demo: Demo, port: int) -> None:
    """What the server says to every test question, and which tier says it; likewise to questions out of scope."""
    questions = demo.questions("test")
    texts, place = [text for text, _ in questions], {name: k for k, name in enumerate(demo.route.classes)}
    truth = np.array([place[intent] for _, intent in questions])
    auto, large = requests_for(demo.route.name, texts), requests_for(demo.route.reference, texts)
    routed, alone = ask_all(port, auto), ask_all(port, large)
    loss = float((alone.classes == truth).mean() - (routed.classes == truth).mean())
    failed = int((routed.classes < 0).sum() + (alone.classes < 0).sum())
    emit("route/served/answers that failed", failed, None, None, "count", "0", failed == 0)
    emit("route/served/loss on the test questions", loss, None, None, "frac", None, None)
    for tier in demo.route.tiers:
        emit(f"route/served/answered by {tier.name}", routed.share(tier.name), None, None, "frac", None, None)
    others = json.loads((demo.folder / "out_of_scope.json").read_text())
    seen = ask_all(port, requests_for(demo.route.name, others))
    for tier in demo.route.tiers:
        emit(
            f"route/served/out of scope, answered by {tier.name}", seen.share(tier.name), None, None, "frac", None, None
        )


SECTIONS = {"compute": compute, "risk": risk, "served": served}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("demo-route"), help="what `make route-demo` wrote")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--sets", type=int, default=2_000, help="calibrations a score")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a probe of the server")
    args = parser.parse_args()
    if not (args.demo / "route.yaml").is_file():
        sys.exit(f"error: {args.demo} holds no route.yaml\n\nhint: make route-demo")
    demo = Demo(folder=args.demo, route=read_route(args.demo / "route.yaml"), sets=args.sets, seconds=args.seconds)
    for name in args.only.split(","):
        SECTIONS[name](demo)


if __name__ == "__main__":
    main()
