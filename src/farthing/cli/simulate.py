"""``farthing simulate`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["simulate"]


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--trace", required=True, type=click.Path(path_type=Path), help="Arrivals: a table, a log, Prometheus' answer."
)
@click.option("--trace-kind", metavar="KIND", help="What it holds: counts, rates, counter or timestamps.")
@click.option("--trace-column", metavar="NAME", help="Its column with the numbers.")
@click.option("--trace-time-column", metavar="NAME", help="Its column with the times.")
@click.option("--per-month", metavar="14B", help="Scale the trace to so many requests a month.")
@click.option(
    "--attainment", metavar="99%", default="99%", show_default=True, help="Requests answered within the promise."
)
@click.option(
    "--start", metavar="60s", default="60s", show_default=True, help="From asking for a machine to its running."
)
@click.option("--load", metavar="30s", help="From there to the first request; default: as the plan measured it.")
@click.option("--rule", multiple=True, metavar="NAME", help="Take only this rule; may be given several times.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Repeats with other draws.")
@click.option("--json", "as_json", is_flag=True, help="The same facts as JSON on stdout.")
def simulate(
    plan: Path,
    trace: Path,
    trace_kind: str | None,
    trace_column: str | None,
    trace_time_column: str | None,
    per_month: str | None,
    attainment: str,
    start: str,
    load: str | None,
    rule: tuple[str, ...],
    seeds: int,
    as_json: bool,
) -> None:
    """Compare autoscaling rules on a trace: what each costs and keeps, before anyone pays for it.

    PLAN is a plan.yaml or the folder that it lies in. The fleet is simulated request by request; each rule is tuned on
    the first half of the trace and judged on the second.
    """
    from farthing.load.traffic import TraceAsked
    from farthing.load.units import count, duration_ms, fraction
    from farthing.render.progress import TerminalProgress
    from farthing.render.simulation.plain import study_json
    from farthing.render.simulation.terminal import print_study
    from farthing.verbs.simulate import simulate as run

    asked = TraceAsked(kind=trace_kind, column=trace_column, time_column=trace_time_column)  # type: ignore[arg-type]
    with TerminalProgress() as progress:
        found = run(
            plan,
            trace,
            asked=asked,
            per_month=None if per_month is None else count(per_month, "--per-month"),
            attainment_frac=fraction(attainment, "--attainment"),
            start_s=duration_ms(start, "--start") / 1000,
            load_s=None if load is None else duration_ms(load, "--load") / 1000,
            rules=rule,
            seeds=tuple(range(seeds)),
            on_progress=progress,
        )
    if as_json:
        click.echo(json.dumps(study_json(found.study), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_study(found.plan, found.study, found.fleet)
