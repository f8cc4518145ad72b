"""Flags for the rest of a workload's keys, which ``--help`` leaves out, and numbers of flags as they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from farthing.load.written_numbers import decimal_of

__all__ = ["TRACE_HELP", "plain_numbers", "print_json", "rare_options", "trace_options"]

F = TypeVar("F", bound=Callable[..., Any])

TRACE_HELP = "Arrivals by step or by request: a table, a log, Prometheus' answer."
trace_options = (
    click.option("--trace-kind", metavar="KIND", help="What it holds: counts, rates, counter or timestamps."),
    click.option("--trace-column", metavar="NAME", help="Its column with the numbers."),
    click.option("--trace-time-column", metavar="NAME", help="Its column with the times."),
    click.option("--trace-unit", metavar="ms", help="Of times that are numbers: s, ms, us, ns, min or h."),
    click.option("--trace-per", metavar="s", help="Of rates: requests per s, min or h."),
    click.option("--trace-only", metavar="TEXT", help="Of a log or of series: only what has this text in it."),
)
"""How a trace is read."""

_RARE = {
    "name": "For reports; default: the file's name.",
    "images": "Folder of images, where --data does not tell.",
    "texts": "Table of texts, likewise.",
    "tensors": "npz file, likewise.",
    "max_pixels": "Larger images are refused.",
    "max_payload_bytes": "Larger payloads are refused.",
    "input_names": "The model's inputs in order, joined by commas.",
    "search": "Samples on which candidates are chosen.",
    "confirm": "Samples that prove the choice.",
    "usd_per_month": "The same as --bill.",
    "resize_width": "Images: width after resizing, where it is another one.",
    "longest": "Images: longest side in pixels, likewise.",
    "crop_width": "Images: width of the centre crop, likewise.",
    "crop_middle": "Images: rounded or floored.",
    "offset": "Images: added after scaling.",
    **{f"calibration_{key}": "Of the calibration data." for key in ("data", "images", "texts", "tensors", "labels")},
    **{f"calibration_{key}": "Of the calibration data." for key in ("text_column", "label_column")},
}


def rare_options(f: F) -> F:
    """Add the flags to a command."""
    for key, words in reversed(_RARE.items()):
        f = click.option(f"--{key.replace('_', '-')}", key, hidden=True, help=words)(f)
    switch = "--group-by-length/--no-group-by-length"
    f = click.option("--std-twice/--no-std-twice", default=None, hidden=True, help="Images: divided by std twice.")(f)
    return click.option(switch, default=None, hidden=True, help="Batches hold texts of like length.")(f)


class _Whole(click.types.IntParamType):
    """``12`` and ``1,000``; Python would take ``1_2`` and digits of any script."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_plain(value), param, ctx)


class _WholeRange(click.IntRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_plain(value), param, ctx)


class _Number(click.types.FloatParamType):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_plain(value), param, ctx)


def _plain(value: Any) -> Any:
    """The text of a number that is written as everywhere; of others one that no number begins with."""
    if not isinstance(value, str):
        return value
    number = decimal_of(value.strip())
    return f"“{value}”" if number is None else f"{number:f}"


def plain_numbers(command: click.Command) -> None:
    """Let a command and those below it take numbers as files do."""
    for option in command.params:
        if type(option.type) is click.IntRange:
            option.type = _WholeRange(option.type.min, option.type.max)
        elif option.type is click.INT:
            option.type = _Whole()
        elif option.type is click.FLOAT:
            option.type = _Number()
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        plain_numbers(inner)


def print_json(kind: str, noun: Any) -> None:
    """A noun, or plain data, as a document on stdout."""
    from farthing.render.json import document

    click.echo(json.dumps(document(kind, noun), ensure_ascii=False, indent=1))
