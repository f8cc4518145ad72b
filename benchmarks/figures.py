"""Figures on standard output, one JSON line each, in the same shape for every benchmark."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

__all__ = ["emit", "hardware"]


@cache
def hardware() -> str:
    """Name the processor and its logical cores, such as ``"AMD EPYC × 2"``."""
    name, cores = platform.processor() or platform.machine(), 0
    info = Path("/proc/cpuinfo")
    if info.exists():
        rows = [row.partition(":") for row in info.read_text(encoding="utf-8").splitlines()]
        models = [value.strip() for key, _, value in rows if key.strip() == "model name"]
        name, cores = (models[0], len(models)) if models else (name, 0)
    return f"{name} × {cores}" if cores else name


def _plain(number: float | None) -> float | None:
    """JSON has no infinity and no NaN: they become null."""
    return None if number is None or not math.isfinite(number) else number


def emit(
    figure: str,
    value: float,
    lo: float | None,
    hi: float | None,
    unit: str,
    target: str | float | None,
    met: bool | None,
    *,
    said: Sequence[str] = (),
) -> None:
    """Print one figure.

    Args:
        figure: Its name, ``room/what``.
        value: Point estimate in ``unit``.
        lo: Lower end of its interval, None when it has none.
        hi: Upper end of its interval, None when it has none.
        unit: ``frac``, ``ratio``, ``s``, ``count`` …
        target: What it must reach (``"≤ 0.05"``), None when it is only shown.
        met: Whether it does, None without a target.
        said: What the number is made of, in words.
    """
    row = {"figure": figure, "value": _plain(value), "lo": _plain(lo), "hi": _plain(hi), "unit": unit}
    row |= {"target": target, "met": None if met is None else bool(met), "hardware": hardware()}
    row |= {"said": list(said)} if said else {}
    print(json.dumps(row, ensure_ascii=False), flush=True)
