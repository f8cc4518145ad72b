"""Flags for the rest of a workload's keys, so that all of them are flags: they work, and ``--help`` leaves them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["rare_options"]

F = TypeVar("F", bound=Callable[..., Any])

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
    **{f"calibration_{key}": "Of the calibration data." for key in ("data", "images", "texts", "tensors", "labels")},
    **{f"calibration_{key}": "Of the calibration data." for key in ("text_column", "label_column")},
}


def rare_options(f: F) -> F:
    """Add the flags to a command."""
    for key, words in reversed(_RARE.items()):
        f = click.option(f"--{key.replace('_', '-')}", key, hidden=True, help=words)(f)
    switch = "--group-by-length/--no-group-by-length"
    return click.option(switch, default=None, hidden=True, help="Batches hold texts of like length.")(f)
