"""The command ``farthing serve``: its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["serve"]


class _Port(click.ParamType[Any]):
    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "none":
            return None
        try:
            return int(value if str(value).isascii() and "_" not in str(value) else "")
        except ValueError:
            self.fail(f"{value!r} is no port: a number, 0 for any free one, or none", param, ctx)


_OPTIONS: tuple[Any, ...] = (
    click.argument("sources", nargs=-1, required=True, metavar="SOURCE..."),
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: all."),
    click.option("--port", type=int, default=8000, show_default=True, help="HTTP; 0 takes any free one."),
    click.option("--grpc-port", type=_Port(), default=8001, show_default=True, help="gRPC; none switches it off."),
    click.option(
        "--metrics-port", type=_Port(), default=8002, show_default=True,
        help="Metrics, live page and admin, on loopback only; none switches it off.",
    ),
    click.option("--name", metavar="NAME", help="Name of the one model; NAME=SOURCE names one of several."),
    click.option("--max-batch", metavar="N", help="Largest batch; default: the plan's, else 8."),
    click.option("--max-delay", metavar="2ms", help="How long a batch may wait to fill; default: not at all."),
    click.option("--deadline", metavar="50ms", help="Of requests that name none; none for none; default: the plan's."),
    click.option(
        "--inline", type=click.Choice(["auto", "never", "always"]), default="auto", show_default=True,
        help="Run tiny models in the server's own thread; auto: below 100 µs.",
    ),
    click.option(
        "--scale", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Start and stop the worker processes of a model by the autoscaling rule in this file.",
    ),
    click.option("--memory-budget", metavar="4GiB", help="Of all workers; default: 80 % of this machine's."),
    click.option("--expose-cost", is_flag=True, help="Answers say in a header what they cost."),
    click.option("--admin-token-file", type=click.Path(path_type=Path), help="Who shows it may load, swap, unload."),
    click.option(
        "--api-key-file", type=click.Path(path_type=Path),
        help="Clients must show a key of it (one a line); default: whoever reaches the address may ask.",
    ),
    click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain (PEM) of HTTP and gRPC."),
    click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM)."),
    click.option("--ledger", type=click.Path(path_type=Path, file_okay=False), help="Folder for the ledger."),
    click.option(
        "--keep-audited", type=click.Path(path_type=Path, file_okay=False),
        help="Folder for a sample of requests with the reference's answers, to calibrate a route anew.",
    ),
    click.option("--traces", metavar="URL", help="Send OpenTelemetry spans there (OTLP over HTTP)."),
    click.option("--priced-as", metavar="OFFER", help="What this machine is billed as, for example aws/m7i.large."),
    click.option("--notice", metavar="1s", help="After SIGTERM, how long new connections are still taken; default 1s."),
    click.option("--grace", metavar="30s", help="How long accepted requests may then take; default 30s."),
)  # fmt: skip


def _serve_options(f: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        f = option(f)
    return f


@click.command()
@_serve_options
@click.option(
    "--key-env",
    multiple=True,
    metavar="NAME",
    help="Environment variable that a route.yaml may send to its end points as a key.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Load PyTorch programs that were not built on this machine; let routes send the keys that they name.",
)
def serve(
    sources: tuple[str, ...], trust: bool, inline: Any, priced_as: str | None, key_env: tuple[str, ...], **given: Any
) -> None:
    """Put plans and models behind an end point: Open Inference Protocol over HTTP and gRPC.

    SOURCE is a plan.yaml or a route.yaml or the folder of one, a serve.yaml, an ONNX file, a model folder as Optimum
    writes it, or a repository of name/version/model.onnx. SIGTERM drains, SIGHUP reads the sources again.
    """
    from farthing.runs.serving import settings_of
    from farthing.verbs.serve import serve as run

    wishes = {key: given.pop(key) for key in ("name", "max_batch", "max_delay", "deadline")}
    run(
        sources,
        settings=settings_of(**given),
        wishes=wishes,
        trust=trust,
        inline=inline,
        priced_as=priced_as,
        keys=key_env,
        say=lambda line: click.echo(line, err=True),
    )
