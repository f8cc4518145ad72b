"""``farthing simulate`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from farthing.cli.dry_run import SPOT_FLAGS, TRACE_FLAGS, dry_run_options, run_dry, wants_dry_run
from farthing.cli.options import TRACE_HELP, print_json, trace_options

__all__ = ["simulate"]

_OPTIONS = (
    click.argument("plan", type=click.Path(path_type=Path), required=False),
    click.option("--trace", metavar="FILE", help=TRACE_HELP),
    *trace_options,
    click.option("--per-month", metavar="14B", help="Scale the trace to so many requests a month."),
    click.option(
        "--attainment", metavar="99%", default="99%", show_default=True, help="Requests answered within the promise."
    ),
    click.option(
        "--start", metavar="60s", default="60s", show_default=True, help="From asking for a machine to its running."
    ),
    click.option(
        "--load", metavar="30s", help="From there to the first request; default: as the plan measured it, else 30s."
    ),
    click.option("--rule", multiple=True, metavar="NAME", help="Take only this rule; may be given several times."),
    click.option(
        "--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Repeats with other draws."
    ),
    click.option(
        "--spot", "histories", metavar="FOLDER", help="Buy on spot too, as its availability was: a JSON file a zone."
    ),
    click.option("--spot-price", metavar="40%", default="40%", show_default=True, help="Of on demand, or $ an hour."),
    click.option("--floor", metavar="25%", default="25%", show_default=True, help="Replicas that are never spot."),
    click.option("--notice", metavar="2min", default="2min", show_default=True, help="Before a machine is taken back."),
    click.option("--spare", type=click.IntRange(0, 100), default=0, show_default=True, help="More spot than wanted."),
    click.option(
        "--chrome-trace",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The best rule's fleet, its busiest minute closely.",
    ),
    *dry_run_options,
    click.option("--json", "as_json", is_flag=True, help="The same facts as JSON on stdout."),
)


def _simulate_options(f: Any) -> Any:
    for option in reversed(_OPTIONS):
        f = option(f)
    return f


@click.command()
@_simulate_options
def simulate(**given: Any) -> None:
    """Compare autoscaling rules on a trace, or replay one of Kubernetes, before anyone pays for it.

    PLAN with --trace: PLAN is a plan.yaml or the folder that it lies in. The fleet is simulated request by request;
    each rule is tuned on the first half of the trace and judged on the second.

    --hpa or --keda with --prometheus: what that autoscaler would have done over recorded metrics, decision by decision,
    in dollars, and what is wrong with it.
    """
    source = click.get_current_context().get_parameter_source
    if wants_dry_run(given, {key for key in given if source(key) is ParameterSource.COMMANDLINE}):
        run_dry(given)
    else:
        _compare(**{key: value for key, value in given.items() if key in _COMPARISON})


_COMPARED = ("plan", "per_month", "attainment", "start", "load", "rule", "seeds", "chrome_trace", "as_json")
_COMPARISON = (*_COMPARED, *SPOT_FLAGS, *TRACE_FLAGS)


def _compare(
    plan: Path,
    attainment: str,
    start: str,
    load: str | None,
    rule: tuple[str, ...],
    seeds: int,
    histories: str | None,
    spot_price: str,
    floor: str,
    notice: str,
    spare: int,
    chrome_trace: Path | None,
    as_json: bool,
    **traffic: Any,
) -> None:
    from farthing.load.spot import SpotAsked
    from farthing.load.units import duration_ms, fraction
    from farthing.load.workload.workload import trace_of_flags
    from farthing.render.chrome_trace import chrome_trace as as_chrome_trace
    from farthing.render.progress import TerminalProgress
    from farthing.render.simulation.plain import plain_study
    from farthing.render.simulation.spans import fleet_spans
    from farthing.render.simulation.terminal import print_study
    from farthing.verbs.simulate import simulate as run

    trace, asked, per_month = trace_of_flags(traffic)
    spot = None
    if histories is not None:
        spot = SpotAsked(histories=Path(histories), price=spot_price, floor=floor, notice=notice, spare=spare)
    with TerminalProgress() as progress:
        found = run(
            plan,
            trace,
            asked=asked,
            per_month=per_month,
            attainment_frac=fraction(attainment, "--attainment"),
            start_s=duration_ms(start, "--start") / 1000,
            load_s=None if load is None else duration_ms(load, "--load") / 1000,
            rules=rule,
            seeds=tuple(range(seeds)),
            spot=spot,
            closely=chrome_trace is not None,
            on_progress=progress,
        )
    if chrome_trace is not None and found.seen is not None:
        spans = fleet_spans(found.seen.result, found.seen.changes, found.study.length_s)
        name = f"{found.plan.workload}, {found.study.judged[0].outcome.name}"
        chrome_trace.write_text(json.dumps(as_chrome_trace(spans, name=name)), encoding="utf-8")
    if as_json:
        print_json("simulation", plain_study(found.study, found.spot))
    else:
        print_study(found.plan, found.study, found.fleet, found.spot)
