"""Flags of ``farthing simulate --hpa`` and ``--keda``, and what is done with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from farthing.cli.options import print_json
from farthing.errors import InputError

__all__ = ["SPOT_FLAGS", "TRACE_FLAGS", "dry_run_options", "run_dry", "wants_dry_run"]

_PATH = click.Path(path_type=Path)
dry_run_options = (
    click.option("--hpa", type=_PATH, metavar="FILE", help="Dry run: this HorizontalPodAutoscaler (autoscaling/v2)."),
    click.option("--keda", type=_PATH, metavar="FILE", help="Dry run: this ScaledObject (keda.sh/v1alpha1)."),
    click.option(
        "--prometheus",
        multiple=True,
        metavar="[NAME=]FILE",
        help="Of a dry run: a range query's answer; NAME= says of which metric or trigger, where there are several.",
    ),
    click.option("--total", multiple=True, metavar="NAME", help="This metric was recorded as a total of all replicas."),
    click.option("--per-replica", multiple=True, metavar="NAME", help="This metric was recorded as one replica's."),
    click.option(
        "--replicas-series", type=_PATH, metavar="FILE", help="Replicas over the recording, as Prometheus' answer."
    ),
    click.option("--recorded-replicas", type=click.IntRange(1), help="Replicas throughout the recording."),
    click.option(
        "--request",
        multiple=True,
        metavar="[NAME=]500m",
        help="What a pod requests, where usage was recorded; percent where the utilisation was.",
    ),
    click.option("--initial", type=click.IntRange(0), help="Replicas at the start; default: as recorded, or minimum."),
    click.option("--offer", metavar="NAME", help="Of a dry run: what a replica is, for its price."),
    click.option("--region", metavar="NAME", help="Of the offer."),
    click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Price of that day."),
    click.option("--usd-per-hour", metavar="$0.10", help="Of a dry run: what a replica costs, in place of --offer."),
    click.option("--sync-period", metavar="15s", default="15s", show_default=True, help="The controller's flag."),
    click.option("--tolerance", metavar="10%", default="10%", show_default=True, help="The controller's flag."),
    click.option(
        "--downscale-stabilization", metavar="300s", default="300s", show_default=True, help="The controller's flag."
    ),
    click.option(
        "--cpu-initialization-period", metavar="300s", default="300s", show_default=True, help="The controller's flag."
    ),
    click.option(
        "--initial-readiness-delay", metavar="30s", default="30s", show_default=True, help="The controller's flag."
    ),
    click.option("--scale-to-zero", is_flag=True, help="The controller's gate HPAScaleToZero is on."),
)
"""After those of the comparison of rules; ``--start``, ``--load`` and ``--json`` belong to both."""
_LOAD = "30s"
TRACE_FLAGS = ("trace", "trace_kind", "trace_column", "trace_time_column", "trace_unit", "trace_per", "trace_only")
SPOT_FLAGS = ("histories", "spot_price", "floor", "notice", "spare")
_OF_THE_OTHER = ("plan", "per_month", "attainment", "rule", "seeds", "chrome_trace", *SPOT_FLAGS, *TRACE_FLAGS)
_SERIES = ("prometheus", "total", "per_replica", "replicas_series", "recorded_replicas", "request")
_PRICE = ("offer", "region", "as_of", "usd_per_hour")
_READINESS = ("cpu_initialization_period", "initial_readiness_delay")
_CONTROLLER = ("sync_period", "tolerance", "downscale_stabilization", "scale_to_zero", *_READINESS)
_OF_THIS = (*_SERIES, "initial", *_PRICE, *_CONTROLLER)
_NOTHING = re.compile(r"0(?:\.0*)?(?:ms|s|min)")


def wants_dry_run(given: Mapping[str, Any], written: Collection[str]) -> bool:
    """Whether a manifest is given; flags of the other use of the command are refused.

    Args:
        given: Flags by name.
        written: Names of those that stand on the command line.

    Raises:
        InputError: when flags of both are mixed, or neither a manifest nor a plan with a trace is given.
    """
    if given["hpa"] is not None and given["keda"] is not None:
        raise InputError("--hpa and --keda are one dry run each", hint="give one of them")
    dry = given["hpa"] is not None or given["keda"] is not None
    mixed = next((key for key in (_OF_THE_OTHER if dry else _OF_THIS) if key in written), None)
    if mixed is not None:
        name = {"plan": "PLAN", "histories": "--spot"}.get(mixed, f"--{mixed.replace('_', '-')}")
        use = "compares rules on a plan, and not with --hpa or --keda" if dry else "needs --hpa FILE or --keda FILE"
        raise InputError(f"{name} {use}", hint="`farthing simulate --help` has both uses")
    if not dry and (given["plan"] is None or given["trace"] is None):
        missing = "PLAN" if given["plan"] is None else "--trace FILE"
        raise InputError(
            f"{missing} is missing", hint="or replay an autoscaler: --hpa hpa.yaml --prometheus range.json"
        )
    return dry


def run_dry(given: Mapping[str, Any]) -> None:
    """Replay the manifest and print what it did.

    Args:
        given: Flags by name.
    """
    from farthing.load.scaling.asked import SeriesAsked
    from farthing.load.units import duration_ms, fraction, usd
    from farthing.render.progress import TerminalProgress
    from farthing.render.simulation.dry_run_plain import plain_dry_run
    from farthing.render.simulation.dry_run_terminal import print_dry_run
    from farthing.verbs.dry_run import ControllerFlags, Price, dry_run

    def seconds(key: str) -> float:
        text = given[key] or _LOAD
        nothing = key != "sync_period" and _NOTHING.fullmatch(text)
        return 0.0 if nothing else duration_ms(text, f"--{key.replace('_', '-')}") / 1000

    asked = SeriesAsked(
        files=given["prometheus"],
        totals=given["total"],
        per_replica=given["per_replica"],
        requests=given["request"],
        replicas_file=given["replicas_series"],
        replicas=given["recorded_replicas"],
    )
    price = Price(
        offer=given["offer"],
        region=given["region"],
        as_of=None if given["as_of"] is None else given["as_of"].date(),
        usd_per_hour=None if given["usd_per_hour"] is None else usd(given["usd_per_hour"], "--usd-per-hour"),
    )
    flags = ControllerFlags(
        sync_s=seconds("sync_period"),
        tolerance=fraction(given["tolerance"], "--tolerance"),
        downscale_stabilization_s=seconds("downscale_stabilization"),
        cpu_initialization_period_s=seconds("cpu_initialization_period"),
        initial_readiness_delay_s=seconds("initial_readiness_delay"),
        scale_to_zero=given["scale_to_zero"],
    )
    with TerminalProgress() as progress:
        found = dry_run(
            given["hpa"] or given["keda"],
            asked,
            kind="hpa" if given["hpa"] is not None else "keda",
            price=price,
            flags=flags,
            initial=given["initial"],
            start_s=seconds("start"),
            load_s=seconds("load"),
            on_progress=progress,
        )
    if given["as_json"]:
        print_json("dry-run", plain_dry_run(found))
    else:
        print_dry_run(found)
