"""How busy a fleet was, step by step, from a CSV of utilisation as monitoring systems export it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traces.cells import Cells, moment_of, read_cells
from farthing.load.written_numbers import cell_number
from farthing.nouns import Trace

__all__ = ["read_usage", "usage_frac"]

_NAMED = re.compile(r"util|cpu|busy|average|avg|mean|percent|value", re.IGNORECASE)
_MAX_STEP_S = 3600.0
_MAX_GAP_STEPS = 12
_UNITS_S = (1.0, 1e-3, 1e-6, 1e-9)
_EPOCH_S = (1e9, 4.1e9)
_SAMPLE = "timestamp,utilisation\n2026-11-02T00:00:00Z,41.2"


def read_usage(path: Path) -> Trace:
    """Read shares of time or of capacity, in per cent or as fractions; counts are shares times the step's length.

    One column holds times (ISO 8601, or seconds, milliseconds, micro- or nanoseconds since 1970), one the utilisation:
    the only other column of numbers, or the one whose name says so (``CPUUtilization``, ``average``, ``value`` …).
    Values with a ``%`` sign, or any above 1, are per cent. A step that is missing takes the value before it, at most
    twelve in a row.

    Raises:
        TraceError: when it cannot be read, is not sorted, has gaps, or a value lies outside [0 %, 100 %].
    """
    cells = read_cells(Path(path), "utilisation", hint=_SAMPLE)
    if len(cells.rows) < 2:
        raise TraceError(f"the utilisation {path} has {len(cells.rows)} rows; at least 2 are needed", hint=_SAMPLE)
    time, value = _columns(cells)
    return _on_grid(cells.path, _times(cells.path, cells.column(time)), _shares(cells.path, cells.column(value)))


def usage_frac(usage: Trace) -> float:
    """Mean utilisation of a series that :func:`read_usage` read, in (0, 1]."""
    return float(usage.counts.mean() / usage.step_s)


def _columns(cells: Cells) -> tuple[int, int]:
    first, header = cells.rows[0], cells.header
    time = next((k for k, cell in enumerate(first) if _seconds(cell) is not None), None)
    numbers = [k for k, cell in enumerate(first) if k != time and _share(cell) is not None]
    named = [k for k in numbers if header and _NAMED.search(header[k])]
    found = named if len(named) == 1 else numbers
    if time is None or len(found) != 1:
        what = "no column of times" if time is None else f"{len(found)} columns that may be the utilisation"
        raise TraceError(
            f"the utilisation {cells.path} has {what}: {', '.join(header or first)}", hint=f"like\n{_SAMPLE}"
        )
    return time, found[0]


def _seconds(cell: str) -> float | None:
    number = cell_number(cell)
    if number is None:
        moment = moment_of(cell)
        return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return next((number * unit for unit in _UNITS_S if _EPOCH_S[0] <= number * unit < _EPOCH_S[1]), None)


def _share(cell: str) -> float | None:
    return cell_number(cell.removesuffix("%"))


def _times(path: Path, cells: Sequence[str]) -> NDArray[np.float64]:
    found = [_seconds(cell) for cell in cells]
    for k, (cell, at) in enumerate(zip(cells, found)):
        before = found[k - 1] if k else None
        if at is None or (before is not None and at <= before):
            problem = "is no time" if at is None else f"does not come after {cells[k - 1]}"
            raise TraceError(f"{path} row {k + 1} of the data: {cell!r} {problem}", hint="sort it by time")
    return np.array(found, dtype=np.float64)


def _shares(path: Path, cells: Sequence[str]) -> NDArray[np.float64]:
    values = np.array([np.nan if (x := _share(cell)) is None else x for cell in cells])
    scale = 100.0 if any(cell.endswith("%") for cell in cells) or np.nanmax(values, initial=0.0) > 1 else 1.0
    bad = ~(np.isfinite(values) & (values >= 0) & (values <= scale))
    if bad.any():
        k = int(bad.argmax())
        raise TraceError(
            f"{path} row {k + 1} of the data: the utilisation is {cells[k]!r}; it must lie in [0 %, 100 %]",
            hint="of one replica on average, not summed over replicas",
        )
    if not values.any():
        raise TraceError(f"the utilisation {path} is 0 throughout: nothing was served")
    return values / scale


def _on_grid(path: Path, times_s: NDArray[np.float64], shares: NDArray[np.float64]) -> Trace:
    step_s = float(np.median(np.diff(times_s)))
    if step_s > _MAX_STEP_S:
        raise TraceError(
            f"the utilisation {path} has steps of {step_s:,.0f} s; the limit is {_MAX_STEP_S:,.0f} s",
            hint="export it by the hour or finer, or give its mean: --utilisation 40%",
        )
    index = np.rint((times_s - times_s[0]) / step_s).astype(np.int64)
    gaps = np.diff(index)
    if gaps.max() > _MAX_GAP_STEPS or gaps.min() < 1:
        raise TraceError(
            f"the utilisation {path} has no fixed step: {step_s:g} s as a rule, then a gap of {gaps.max()} of them",
            hint="cut it at the gap, or give its mean: --utilisation 40%",
        )
    latest = np.searchsorted(index, np.arange(index[-1] + 1), side="right") - 1
    return Trace(name=path.name, step_s=step_s, counts=shares[latest] * step_s, inferred=True)
