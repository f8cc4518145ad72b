"""The commands ``farthing route calibrate``, ``attach``, ``plan-rate`` and ``evaluate``: their options."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

if TYPE_CHECKING:
    from farthing.load.route.task import RouteKeys

__all__ = ["route"]

NOT_MET = 3


class _Columns(click.ParamType[Any]):
    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        tier, _, pair = str(value).rpartition("=")
        names = pair.split(",")
        if not tier or len(names) != 2 or not all(names):
            self.fail(f"{value!r} names no columns: write it as TIER=QUALITY,COST", param, ctx)
        return tier, (names[0], names[1])


class _OfTier(click.ParamType[Any]):
    name = "tier"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        tier, _, said = (part.strip() for part in str(value).partition("="))
        if not tier or not said:
            self.fail(f"{value!r} says nothing of a tier: write it as TIER=…", param, ctx)
        return tier, said


_DATA: tuple[Any, ...] = (
    click.option("--data", metavar="FILE", help="Requests: a table of texts, a folder of images, or an npz file."),
    click.option("--labels", metavar="PATH", help="Their labels, where they are in a file of their own."),
    click.option("--text-column", metavar="NAME", help="Column of the texts, where its name is unusual."),
    click.option("--label-column", metavar="NAME", help="Column of the labels, likewise."),
    click.option("--id-column", metavar="NAME", help="Column of the request ids, likewise."),
    click.option(
        "--columns", multiple=True, type=_Columns(), metavar="TIER=QUALITY,COST",
        help="Of a file of outcomes with other names: the columns of a tier.",
    ),
    click.option("--free", multiple=True, metavar="TIER", help="Of a file of outcomes: its costs of 0 are meant."),
    click.option("--reference", metavar="TIER", help="Losses are counted against it; default: the last tier named."),
    click.option("--confidence", metavar="95%", help="Of the promise and of intervals; default 95%."),
    click.option("--seed", type=int, help="Seed of everything random; default 0."),
    click.option("--trust", is_flag=True, help="Load PyTorch programs that were not built on this machine."),
    click.option("--json", "as_json", is_flag=True, help="The same facts as JSON on stdout."),
)  # fmt: skip
_PROMISE: tuple[Any, ...] = (
    click.option("--p99", metavar="50ms", help="Promise: 99 % are answered within it. Plans the rate that is kept."),
    click.option("--p999", metavar="50ms", help="The same for 99.9 % of them, which takes ten times more requests."),
    click.option("--p95", metavar="50ms", help="The same for 95 %."),
    click.option("--p90", metavar="50ms", help="The same for 90 %."),
    click.option("--p50", metavar="50ms", help="The same for half of them."),
)  # fmt: skip
_CALIBRATE: tuple[Any, ...] = (
    click.option("--tier", "tiers", multiple=True, metavar="NAME=SOURCE",
                 help="A plan.yaml, ONNX file, model folder or http URL; once a tier, the reference last."),
    click.option("--price", "prices", multiple=True, metavar="NAME=USD/request",
                 help="What a tier costs: /request, /second or /Mtoken; needed behind a URL."),
    click.option("--priced-as", metavar="OFFER", help="What this machine costs, for example aws/m7i.large."),
    click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE",
                 help="Price with the prices of that day."),
    click.option("--max-loss", metavar="0.5%", help="Largest mean loss of quality; default 0.5%."),
    click.option("--segment-column", metavar="NAME", help="Column of segments with limits of their own."),
    click.option("--max-loss-of", multiple=True, metavar="SEGMENT=1%", help="Largest mean loss within a segment."),
    click.option("--method", metavar="NAME",
                 help="paired (default), lost_answers, or conformal (holds on average only)."),
    click.option("--procedure", metavar="NAME", help="fixed_sequence (default) or bonferroni."),
    click.option("--choose-share", metavar="50%", help="Share of the requests to choose on; the rest proves."),
    click.option("--min-saving", metavar="0%", help="What routing must save of the best tier's cost to be worth it."),
    click.option("--audit-share", metavar="2%", help="Share of cheap answers to audit while the route is served."),
    click.option("--embedder", metavar="NAME",
                 help="Vectors of texts to route by: minilm (its pip package), or an ONNX encoder's folder."),
    *_PROMISE,
    click.option("--name", metavar="NAME", help="Of the end point's model; default auto."),
    click.option("--out", "output_dir", type=click.Path(path_type=Path, file_okay=False), default=Path("route"),
                 show_default=True, help="Gets route.yaml, route.npz, outcomes.parquet, route.html."),
)  # fmt: skip
_EVALUATE: tuple[Any, ...] = (
    click.option("--segment-column", metavar="NAME", help="Column of segments."),
    click.option("--drop-known", is_flag=True, help="Leave out requests that the route was calibrated on."),
    click.option("--draws", type=click.IntRange(min=100), default=1000, show_default=True, help="Of the bootstrap."),
    click.option("--out", "output_dir", type=click.Path(path_type=Path, file_okay=False),
                 help="Gets evaluation.html, curve.svg, curve.png; default: the folder of SOURCE."),
)  # fmt: skip


_PLAN_RATE: tuple[Any, ...] = (
    *_PROMISE,
    click.option("--data", metavar="FILE", help="Requests to send; default: those of the calibration."),
    click.option("--labels", metavar="PATH", help="Their labels, where a folder of images needs them."),
    click.option("--text-column", metavar="NAME", help="Column of the texts, where its name is unusual."),
    click.option("--label-column", metavar="NAME", help="Column of the labels, likewise."),
    click.option("--id-column", metavar="NAME", help="Column of the request ids, likewise."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random."),
    click.option("--trust", is_flag=True, help="Load PyTorch programs that were not built on this machine."),
    click.option("--json", "as_json", is_flag=True, help="The same facts as JSON on stdout."),
)  # fmt: skip
_ATTACH: tuple[Any, ...] = (
    click.option("--tiers", type=click.Path(path_type=Path), metavar="FILE",
                 help="A tiers.yaml with the places and more (prompt, replicas, batches …); PLACES win over it."),
    click.option("--chat", multiple=True, type=_OfTier(), metavar="TIER=MODEL",
                 help="The tier's URL speaks chat as OpenAI's API has it, and this model answers there."),
    click.option("--key-env", multiple=True, type=_OfTier(), metavar="TIER=VARIABLE",
                 help="Environment variable with the key that goes there."),
    click.option("--timeout", multiple=True, type=_OfTier(), metavar="TIER=5s",
                 help="After which the next tier is asked; default 30s."),
    click.option("--trust", is_flag=True, help="Allow PyTorch programs that were not built on this machine."),
    click.option("--json", "as_json", is_flag=True, help="The same facts as JSON on stdout."),
    click.option("--out", "output_dir", type=click.Path(path_type=Path, file_okay=False),
                 help="Gets the route with what it needs; default: the route's own folder."),
)  # fmt: skip


def _options(options: Sequence[Any]) -> Callable[[Any], Any]:
    def apply(f: Any) -> Any:
        for option in reversed(options):
            f = option(f)
        return f

    return apply


@click.group()
def route() -> None:
    """Send each request to the cheapest model that is good enough, with a proven bound on the loss."""


@route.command()
@click.argument("source", required=False, type=click.Path(path_type=Path))
@_options((*_CALIBRATE, *_DATA))
def calibrate(
    source: Path | None,
    tiers: tuple[str, ...],
    prices: tuple[str, ...],
    columns: Any,
    output_dir: Path,
    trust: bool,
    as_of: datetime | None,
    as_json: bool,
    **given: Unpack[RouteKeys],
) -> None:
    """Choose and prove a policy; write route.yaml.

    SOURCE is a tiers.yaml, or a table of outcomes (quality:TIER and cost_usd:TIER columns) that stands for running
    tiers. Without it --tier names the tiers. Flags win over the file.
    """
    from farthing.load.route.task import RouteTask
    from farthing.render.progress import TerminalProgress
    from farthing.render.route.screen import print_calibration
    from farthing.runs.options import RunOptions
    from farthing.verbs.route.calibrate import route_calibrate

    task = RouteTask(source=source, tiers=tiers, prices=prices, columns=dict(columns), settings=given)
    options = RunOptions(output_dir=output_dir, trust=trust, as_of=None if as_of is None else as_of.date())
    with TerminalProgress() as progress:
        report = route_calibrate(task, options=options, on_progress=progress)
    if as_json:
        from farthing.render.route.documents import calibration_document

        click.echo(json.dumps(calibration_document(report), ensure_ascii=False, indent=1))
    else:
        print_calibration(report, output_dir)
    rate = report.route.planned_rate
    kept = rate is None or rate.verdict.outcome == "met"
    sys.exit(0 if kept and report.route.verdict.outcome == "met" else NOT_MET)


@route.command()
@click.argument("path", metavar="ROUTE", type=click.Path(path_type=Path))
@click.argument("places", nargs=-1, metavar="[TIER=PLACE]...")
@_options(_ATTACH)
def attach(path: Path, output_dir: Path | None, trust: bool, as_json: bool, **given: Any) -> None:
    """Say where the tiers of a route are, so that a route of outcomes alone is served.

    ROUTE is a route.yaml or its folder; a PLACE is a plan.yaml, an ONNX file, a model folder or a URL
    (http://host:8000/v2/models/NAME, or http://host/v1/chat/completions with --chat).
    """
    from farthing.runs.options import RunOptions
    from farthing.verbs.route.attach import route_attach

    given |= {key: dict(given[key]) for key in ("chat", "key_env", "timeout")}
    done = route_attach(path, options=RunOptions(output_dir=output_dir, trust=trust), **given)
    if as_json:
        from farthing.render.route.documents import attached_document

        click.echo(json.dumps(attached_document(done), ensure_ascii=False, indent=1))
        return
    from farthing.render.route.screen import print_attached

    print_attached(done, (path if path.is_dir() else path.parent) if output_dir is None else output_dir)


@route.command()
@click.argument("source", type=click.Path(path_type=Path))
@_options((*_EVALUATE, *_DATA))
def evaluate(
    source: Path,
    columns: Any,
    drop_known: bool,
    draws: int,
    output_dir: Path | None,
    trust: bool,
    as_json: bool,
    **given: Unpack[RouteKeys],
) -> None:
    """Judge a router on requests that it never saw, beside honest controls.

    SOURCE is a route.yaml, judged on --data, or a table of outcomes: policies are then chosen on one part of it and
    judged on the other.
    """
    from farthing.load.route.task import RouteTask
    from farthing.render.progress import TerminalProgress
    from farthing.render.route.screen import print_evaluation
    from farthing.runs.options import RunOptions
    from farthing.verbs.route.evaluate import route_evaluate

    task = RouteTask(source=source, columns=dict(columns), settings=given)
    options = RunOptions(output_dir=output_dir, trust=trust)
    with TerminalProgress() as progress:
        report = route_evaluate(task, drop_known=drop_known, draws=draws, options=options, on_progress=progress)
    if as_json:
        from farthing.render.route.documents import evaluation_document

        click.echo(json.dumps(evaluation_document(report), ensure_ascii=False, indent=1))
        return
    where = source.parent if output_dir is None else output_dir
    print_evaluation(report, [where / name for name in ("evaluation.html", "curve.svg", "curve.png")])


@route.command("plan-rate")
@click.argument("path", metavar="ROUTE", type=click.Path(path_type=Path))
@_options(_PLAN_RATE)
def plan_rate(path: Path, trust: bool, as_json: bool, **given: Unpack[RouteKeys]) -> None:
    """Find and prove the rate that a route keeps within a latency promise.

    ROUTE is a route.yaml or its folder, all of whose tiers run on this machine. It is served as a child process, the
    requests of its calibration are sent in their own mix at Poisson arrivals, and the rate is written into route.yaml.
    """
    from farthing.load.route.task import RouteTask
    from farthing.load.serve.routes import route_file
    from farthing.render.progress import TerminalProgress
    from farthing.render.route.rate_screen import print_rate
    from farthing.runs.options import RunOptions
    from farthing.verbs.route.plan_rate import route_plan_rate

    task, options = RouteTask(source=path, settings=given), RunOptions(trust=trust)
    with TerminalProgress() as progress:
        done = route_plan_rate(task, options=options, on_progress=progress)
    assert done.planned_rate is not None
    if as_json:
        from farthing.render.route.documents import rate_document

        click.echo(json.dumps(rate_document(done.planned_rate), ensure_ascii=False, indent=1))
    else:
        print_rate(done, done.planned_rate, route_file(path))
    sys.exit(0 if done.planned_rate.verdict.outcome == "met" else NOT_MET)
