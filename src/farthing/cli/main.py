"""The command line: parsing and exit status only.

0 met · 1 error · 2 bad input · 3 not met or unproven · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from farthing.cli.options import TRACE_HELP, plain_numbers, print_json, rare_options, trace_options
from farthing.cli.route import route
from farthing.cli.serve import serve
from farthing.cli.simulate import simulate
from farthing.errors import FarthingError, InputError, Interrupted, PriceError, StalePriceError
from farthing.nouns import Outcome

if TYPE_CHECKING:
    from farthing.runs.options import RunOptions

__all__ = ["main"]

OK, ERROR, BAD_INPUT, NOT_MET, INTERRUPTED = 0, 1, 2, 3, 130
F = TypeVar("F", bound=Callable[..., Any])


class _Date(click.ParamType[date]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date: write it as 2026-07-20", param, ctx)


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(f: F) -> F:
        for option in reversed(options):
            f = option(f)
        return f

    return apply


json_option = click.option("--json", "as_json", is_flag=True, help="The same facts as JSON on stdout.")
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
output_option = click.option(
    "--output-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("farthing-out"), show_default=True,
    help="Where plan, artefacts and journal go; an interrupted run resumes from there.",
)  # fmt: skip
trust_option = click.option("--trust", is_flag=True, help="Run Python code that a file names (model, metric).")
traffic_options = (
    click.option("--trace", metavar="FILE", help=TRACE_HELP),
    *trace_options,
    click.option("--per-month", metavar="14B", help="Requests a month, when there is no trace."),
    click.option(
        "--utilisation", metavar="40%", help="How busy what the bill pays for is: on average, or a CSV of it by step."
    ),
    click.option("--shape", metavar="NAME", help="day-night or flat."),
)
bill_options = (
    click.option("--bill", metavar="USD", help="What is paid a month today."),
    click.option("--replicas", type=int, help="Instances that run all month today, instead of --bill."),
    click.option(
        "--fixed-fleet", is_flag=True, default=None, help="Their number is the same in every hour: how many can go?"
    ),
    click.option("--offer", metavar="NAME", help="The offer paid for, for example aws/m7i.large."),
    click.option("--region", metavar="NAME", help="Region of the offer."),
    click.option("--term", metavar="NAME", help="How it is bought: on_demand, reserved_1y, reserved_3y, spot."),
    click.option("--priced-as", metavar="NAME", help="The offer that this machine stands for; default: the one paid."),
)
promise_options = (
    click.option("--p99", metavar="50ms", help="Latency bound: 99 % of the requests are answered within it."),
    click.option(
        "--p999", metavar="50ms", help="Bound at p99.9 instead: 99.9 % within it, which takes ten times more requests."
    ),
    click.option("--p95", metavar="50ms", help="Bound at p95 instead: 95 % within it."),
    click.option("--p90", metavar="50ms", help="Bound at p90 instead: 90 % within it."),
    click.option("--p50", metavar="50ms", help="Bound at p50 instead: half of them within it."),
    click.option("--max-drop", metavar="1pt", help="Largest drop of the metric; default 1pt."),
    click.option("--confidence", metavar="95%", help="Of the accuracy gate; default 95%."),
    click.option("--min-saving", metavar="30%", help="Saving that must be proven."),
    click.option("--budget", metavar="USD", help="Upper bound on the planned monthly cost."),
    click.option("--min-replicas", type=int, help="Fewest replicas at any time; default 1."),
)
workload_options = _options(
    click.argument("model"),
    click.option(
        "--data", "data", metavar="PATH", help="Payloads that judge candidates: folder, CSV, JSONL, Parquet, npz."
    ),
    click.option("--labels", metavar="PATH", help="Their labels, or the folder of labelled data itself."),
    click.option("--calibration", metavar="PATH", help="Data to calibrate quantisation on; default: the search split."),
    click.option("--text-column", metavar="NAME", help="Column of the texts, where its name is unusual."),
    click.option("--label-column", metavar="NAME", help="Column (or array) of the labels, likewise."),
    click.option("--resize", type=int, help="Images: short side in pixels."),
    click.option("--squash", is_flag=True, default=None, help="Images: resize to a square instead."),
    click.option("--crop", type=int, help="Images: side of the centre crop."),
    click.option("--interpolation", metavar="NAME", help="Images: bilinear (default), bicubic, nearest, …"),
    click.option("--scale", metavar="1/255", help="Images: factor on byte values; 1 when mean and std are in bytes."),
    click.option("--mean", metavar="A,B,C", help="Images: subtracted after scaling, a channel each or one for all."),
    click.option("--std", metavar="A,B,C", help="Images: divided by, likewise."),
    click.option("--channels", type=int, help="Images: 3 (default) or 1 (grey)."),
    click.option("--layout", metavar="NAME", help="Images: NCHW (default) or NHWC."),
    click.option("--bgr", is_flag=True, default=None, help="Images: blue first, as OpenCV has it."),
    click.option("--exif-rotation", is_flag=True, default=None, help="Images: turned upright by their EXIF tag."),
    click.option("--tokenizer", metavar="PATH", help="Texts: a tokenizer.json; default: beside the model."),
    click.option("--max-length", type=int, help="Texts: longer ones are cut to so many tokens."),
    click.option("--padding-side", metavar="SIDE", help="Texts: left or right; default: as the tokenizer says."),
    click.option("--truncation-side", metavar="SIDE", help="Texts: where long ones are cut, likewise."),
    click.option("--pad-token", metavar="TOKEN", help="Texts: what fills short ones up, likewise."),
    click.option("--metric", metavar="NAME", help="accuracy, f1_macro, agreement, or file.py:function."),
    click.option("--example-shape", metavar="3,224,224", help="One sample's shape, for a PyTorch module."),
    click.option("--baseline-engine", metavar="NAME", help="What serves today: pytorch, onnxruntime, openvino."),
    click.option(
        "--baseline-precision",
        metavar="NAME",
        help="Precision of what serves today: fp32, bf16, fp16 or int8; default: as read from the model's file.",
    ),
    click.option("--baseline-batch", type=int, help="Largest batch today."),
    *traffic_options,
    *bill_options,
    *promise_options,
    rare_options,
)
run_options = _options(
    click.option("--engines", metavar="A,B", help="Engines to try; add torch-compile on request."),
    click.option("--variants", metavar="A,B", help="Variants to build; default: all that fit the model."),
    click.option("--rounds", type=click.IntRange(min=8), help="Rounds of the final comparison; default 12."),
    click.option("--mlperf", is_flag=True, help="MLPerf's sample counts (much longer)."),
    click.option("--as-of", type=_Date(), help="Price with the prices of that day."),
    click.option("--max-price-age", type=int, default=180, show_default=True, help="Days; older prices are refused."),
    click.option("--fresh", is_flag=True, help="Measure everything again instead of resuming."),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
@click.version_option(package_name="farthing")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Inference savings you can audit.

    Finds the cheapest way to serve a model that still meets its latency and accuracy promise, and proves it.
    """
    ctx.obj = {"debug": debug}


def _flags(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given.items() if v is not None}


def _options_of(seed: int, trust: bool, out: Path, given: Mapping[str, Any]) -> RunOptions:
    from farthing.render.plan import terminal
    from farthing.runs.options import RunOptions
    from farthing.runs.settings import settings_of

    measure = settings_of(
        engines=given["engines"],
        variants=given["variants"],
        rounds=given["rounds"],
        mlperf=given["mlperf"],
        profiles=not given.get("no_profiles"),
    )
    return RunOptions(
        output_dir=out,
        seed=seed,
        trust=trust,
        fresh=given["fresh"],
        as_of=given["as_of"],
        max_price_age_days=given["max_price_age"],
        command=terminal.command_line(sys.argv),
        measure=measure,
    )


def _measured(
    verb: Callable[..., Any], model: str, seed: int, trust: bool, out: Path, given: Mapping[str, Any], steps: str
) -> Any:
    """What a verb that measures a workload returns, its progress on stderr."""
    from farthing.load.workload.workload import workload_of
    from farthing.render.plan import terminal
    from farthing.render.plan.first_look import first_look_block
    from farthing.render.progress import TerminalProgress
    from farthing.render.remaining import TYPICAL_S

    workload = workload_of(model, _flags({k: v for k, v in given.items() if k not in _RUN_KEYS}), trust=trust)
    options = _options_of(seed, trust, out, given)
    terminal.print_understood(workload)
    with TerminalProgress(typical_s=TYPICAL_S[steps]) as progress:
        more: dict[str, Any] = {}
        if steps == "optimize":
            more["on_first_look"] = lambda found: progress.show(first_look_block(found))
        return verb(workload, options=options, on_progress=progress, **more)


_RUN_KEYS = ("engines", "variants", "rounds", "mlperf", "no_profiles", "quick", "as_of", "max_price_age", "fresh")


@cli.command()
@workload_options
@run_options
@click.option("--no-profiles", is_flag=True, help="Leave out the profiles by operator, which take ½ minute.")
@click.option("--quick", is_flag=True, help="Stop at the first look: a wide answer within 3 minutes, nothing proven.")
@seed_option
@trust_option
@output_option
@json_option
def optimize(
    model: str, seed: int, trust: bool, output_dir: Path, as_json: bool, quick: bool, **given: Any
) -> NoReturn:
    """Find and prove the cheapest way to serve MODEL.

    MODEL is a workload.yaml, an ONNX file, a folder as Optimum writes it, or file.py:callable. A first, wide answer
    comes within 3 minutes; the search goes on from there.
    """
    from farthing.render.plan import terminal
    from farthing.verbs.first_look import first_look
    from farthing.verbs.optimize import optimize as run

    if quick:
        look = _measured(first_look, model, seed, trust, output_dir, given, "quick")
        if as_json:
            print_json("first-look", look)
        else:
            terminal.print_first_look(look)
        sys.exit(_status(look.verdict.outcome))
    plan = _measured(run, model, seed, trust, output_dir, given, "optimize")
    if as_json:
        print_json("plan", plan)
    else:
        terminal.print_plan(plan, output_dir)
    sys.exit(_status(plan.verdict.outcome))


@cli.command()
@workload_options
@run_options
@seed_option
@trust_option
@output_option
@json_option
def profile(model: str, seed: int, trust: bool, output_dir: Path, as_json: bool, **given: Any) -> NoReturn:
    """Measure the baseline of MODEL: where time and money go."""
    from farthing.render.plan import terminal
    from farthing.verbs.profile import profile as run

    result = _measured(run, model, seed, trust, output_dir, given, "profile")
    if as_json:
        print_json("baseline", result)
    else:
        terminal.print_baseline(result, output_dir)
    sys.exit(OK)


@cli.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--tolerance", metavar="10%", default="10%", show_default=True,
    help="By how much service time and capacity may be worse than planned; better is no failure.",
)  # fmt: skip
@seed_option
@trust_option
@json_option
def verify(plan: Path, tolerance: str, seed: int, trust: bool, as_json: bool) -> NoReturn:
    """Measure a plan or a route again.

    Of a plan service time, capacity, and latency at its peak rate; of a route latency at its planned rate. PLAN is a
    plan.yaml, a route.yaml or the folder of one. Exit status 0: nothing is worse than planned; 3: something is, or the
    machine was too busy to say.
    """
    from farthing.load.units import fraction
    from farthing.render.plan import terminal
    from farthing.render.progress import TerminalProgress
    from farthing.render.remaining import TYPICAL_S
    from farthing.runs.options import RunOptions
    from farthing.verbs.verify import verify as run

    worse_frac = fraction(tolerance, "--tolerance")
    with TerminalProgress(typical_s=TYPICAL_S["verify"]) as progress:
        options = RunOptions(seed=seed, trust=trust)
        result = run(plan, tolerance_frac=worse_frac, options=options, on_progress=progress)
    if as_json:
        print_json("verification", result)
    else:
        terminal.print_verification(result)
    sys.exit(_status(result.verdict.outcome))


@cli.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default: report.html beside the plan.")
@click.option("--as-of", type=_Date(), help="Price the plan again with the prices of that day.")
@click.option("--max-price-age", type=int, default=180, show_default=True, help="Days; older prices are refused.")
@_options(*traffic_options, *bill_options, *promise_options)
@json_option
def report(
    plan: Path, out: Path | None, as_of: date | None, max_price_age: int, as_json: bool, **asked: Any
) -> NoReturn:
    """Write the page of a plan again: at another day's prices, other traffic, another bill or promise.

    PLAN is a plan.yaml or the folder that it lies in. Nothing is measured: rates come from what the plan's run
    measured, with its intervals.
    """
    from farthing.render.plan import terminal
    from farthing.runs.again import files_of
    from farthing.verbs.report import report as run

    given = _flags(asked)
    priced, page = run(plan, out, as_of=as_of, max_price_age_days=max_price_age, asked=given)
    if as_json:
        print_json("plan", priced)
    else:
        if as_of is not None or given:
            terminal.print_plan(priced, page.parent, files_of(plan, out, as_of=as_of, asked=given))
        else:
            click.echo(page)
    sys.exit(_status(priced.verdict.outcome) if given else OK)


cli.add_command(route)
cli.add_command(serve)
cli.add_command(simulate)


@cli.group()
def prices() -> None:
    """Offers: list, show, import your own, check."""


@prices.command("list")
@click.option("--provider", help="aws, azure, gcp or your own.")
@click.option("--isa", multiple=True, help="Instruction set that it must have, for example avx512_vnni.")
@click.option("--gpu", help="Accelerator's name, or part of it.")
@click.option("--region", help="The provider's name of it, for example us-east-1.")
@click.option("--term", help="How it is bought: on_demand, spot, reserved_1y, reserved_3y, owned.")
@click.option("--max-usd", type=float, help="Most per hour.")
@click.option("--name", help="Pattern such as 'aws/m7*'.")
@click.option("--as-of", type=_Date(), help="Prices of that day.")
@json_option
def prices_list(as_json: bool, **given: Any) -> None:
    """Offers with price, date and source."""
    from farthing.render.plan import terminal
    from farthing.verbs.prices import list_offers

    offers = list_offers(**_flags(given))
    if as_json:
        print_json("offers", offers)
    else:
        terminal.print_offers(offers)


@prices.command("show")
@click.argument("name")
@click.option("--region", help="The provider's name of it; default: every region.")
@click.option("--as-of", type=_Date(), help="Prices of that day.")
@json_option
def prices_show(name: str, region: str | None, as_of: date | None, as_json: bool) -> None:
    """Every term and date of one offer."""
    from farthing.render.plan import terminal
    from farthing.verbs.prices import show

    offers = show(name, region=region, as_of=as_of)
    if as_json:
        print_json("offers", offers)
    else:
        terminal.print_offer(offers)


@prices.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dated", type=_Date(), help="Day of a public table; default: the one in the file's name.")
@click.option("--source", help="What to cite for a public table.")
def prices_import(file: Path, dated: date | None, source: str | None) -> None:
    """Import a price list (CSV) or your own prices (YAML)."""
    from farthing.render.plan import terminal
    from farthing.verbs.prices import import_file

    done = import_file(file, dated=dated, source=source)
    terminal.print_import(done.offers, done.path)


@prices.command("check")
@json_option
def prices_check(as_json: bool) -> NoReturn:
    """Integrity of all prices: positive, dated, sourced, spot not above on-demand."""
    from farthing.render.plan import terminal
    from farthing.verbs.prices import check

    problems = check()
    if as_json:
        print_json("problems", problems)
    else:
        terminal.print_problems(problems)
    sys.exit(NOT_MET if problems else OK)


_RESUMES = "finished measurements are kept; the same command (without --fresh) resumes"
_KEPT = {
    "optimize": _RESUMES,
    "profile": _RESUMES,
    "route": "answers of end points are kept, the same command asks for the others; nothing else was written",
}
"""Commands that keep what they have, and what they say when they are interrupted."""


def _kept(arguments: Sequence[str]) -> str:
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return _KEPT.get(command, "nothing was written")


def _status(outcome: Outcome) -> int:
    return OK if outcome == "met" else NOT_MET


def _fail(error: FarthingError, status: int) -> NoReturn:
    from farthing.render.plan import terminal

    terminal.print_error(error)
    sys.exit(status)


plain_numbers(cli)


def main() -> NoReturn:
    """Run the command line and leave with its status."""
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
        sys.exit(OK)
    except click.ClickException as e:
        e.show()
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, click.Abort, Interrupted):
        click.echo(f"interrupted: {_kept(sys.argv[1:])}", err=True)
        sys.exit(INTERRUPTED)
    except (InputError, PriceError, StalePriceError) as e:
        if debug:
            raise
        _fail(e, BAD_INPUT)
    except FarthingError as e:
        if debug:
            raise
        _fail(e, ERROR)
