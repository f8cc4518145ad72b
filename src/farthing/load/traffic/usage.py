"""How busy a fleet was, step by step, from a CSV of utilisation as monitoring systems export it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.cells import Cells, moment_of, read_cells
from farthing.load.traffic.usage_names import always_per_cent, called_utilisation, not_busy, says_idle, says_per_cent
from farthing.load.written_numbers import cell_number
from farthing.nouns import Trace

__all__ = ["read_usage", "usage_frac"]

_MAX_STEP_S = 3600.0
_MAX_GAP_STEPS = 12
_PER_CENT = 100.0
_UNITS_S = (1.0, 1e-3, 1e-6, 1e-9)
_EPOCH_S = (1e9, 4.1e9)
_LITTLE_PER_CENT, _MUCH_FOR_A_FRACTION = 2.0, 5.0
"""Up to here values above 1 may be per cent of an idle fleet, or fractions that were measured a little high."""
_SAMPLE = "timestamp,utilisation\n2026-11-02T00:00:00Z,41.2"


def read_usage(path: Path) -> Trace:
    """Read shares of time or of capacity, in per cent or as fractions; counts are shares times the step's length.

    One column holds times (ISO 8601, or seconds, milliseconds, micro- or nanoseconds since 1970), one the utilisation:
    the only other column of numbers, or the one whose name says so (``CPUUtilization``, ``average``, ``value`` …). A
    column named for something else (``cpu_idle``, ``memory_percent``, ``requests``) is never taken. Whether it is per
    cent or a fraction is told by the name (``percent``, ``%``, ``CPUUtilization``; ``ratio``, ``fraction``) or by ``%``
    signs, else by the values: fractions up to 1, per cent above 2. Per cent by name of which none is above 1 is asked
    back, but for metrics that are always per cent. A step that is missing takes the value before it, at most twelve in
    a row.

    Raises:
        TraceError: when it cannot be read, is not sorted, has gaps, a value lies outside [0 %, 100 %], no column is a
            utilisation, or per cent and fractions cannot be told apart.
    """
    cells = read_cells(Path(path), "utilisation", hint=_SAMPLE)
    if len(cells.rows) < 2:
        raise TraceError(f"the utilisation {path} has {len(cells.rows)} rows; at least 2 are needed", hint=_SAMPLE)
    time, value = _columns(cells)
    times = _times(cells.path, cells.column(time))
    scale = _scale(cells, value)
    read_as = (
        f"{'per cent' if scale == _PER_CENT else 'fractions'}{f' in “{cells.header[value]}”' if cells.header else ''}"
    )
    return _on_grid(cells.path, times, _shares(cells.path, cells.column(value), scale), read_as)


def usage_frac(usage: Trace) -> float:
    """Mean utilisation of a series that :func:`read_usage` read, in (0, 1]."""
    return float(usage.counts.mean() / usage.step_s)


def _columns(cells: Cells) -> tuple[int, int]:
    first, header = cells.rows[0], cells.header
    time = next((k for k, cell in enumerate(first) if _seconds(cell) is not None), None)
    numbers = [k for k, cell in enumerate(first) if k != time and _share(cell) is not None]
    if time is not None and header and numbers:
        numbers = _of_utilisation(cells, numbers)
    named = [k for k in numbers if header and called_utilisation(header[k])]
    found = named if len(named) == 1 else numbers
    if time is None or len(found) != 1:
        what = "no column of times" if time is None else f"{len(found)} columns that may be the utilisation"
        raise TraceError(
            f"the utilisation {cells.path} has {what}: {', '.join(header or first)}", hint=f"like\n{_SAMPLE}"
        )
    return time, found[0]


def _of_utilisation(cells: Cells, numbers: Sequence[int]) -> list[int]:
    """Columns of numbers but for those that are named for something else.

    Raises:
        TraceError: when none is left; names the first of them.
    """
    kept = [k for k in numbers if not_busy(cells.header[k]) is None]
    if kept:
        return kept
    name = cells.header[numbers[0]]
    idle = next((cells.header[k] for k in numbers if says_idle(cells.header[k])), None)
    if idle is not None:
        raise TraceError(
            f"the utilisation {cells.path}: the column “{idle}” says how idle the fleet was, not how busy",
            hint="write 100 − it, in a column named cpu_percent",
        )
    raise TraceError(
        f"the utilisation {cells.path}: the column “{name}” is of something else (“{not_busy(name)}”); how busy the "
        "replicas were is wanted",
        hint="export the mean utilisation of what the model runs on, as cpu_percent or gpu_percent; counts of requests "
        "go to --trace",
    )


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
            hint = "one row a step, the mean over all replicas" if at == before else "sort it by time"
            raise TraceError(f"{path} row {k + 1} of the data: {cell!r} {problem}", hint=hint)
    return np.array(found, dtype=np.float64)


def _scale(cells: Cells, column: int) -> float:
    """What the whole is in the column's numbers: 100 for per cent, 1 for fractions.

    Raises:
        TraceError: when neither the name nor the values say, they contradict each other, or only some cells have a
            ``%`` sign.
    """
    found = cells.column(column)
    said = says_per_cent(cells.header[column]) if cells.header else None
    signed = [cell.endswith("%") for cell in found]
    if any(signed) and not all(signed) and said is None:
        k = signed.index(not signed[0])
        raise TraceError(
            f"{cells.path} row {k + 1} of the data: {found[k]!r} after {found[k - 1]!r}; a % sign stands at all values "
            "or at none",
            hint="name the column cpu_percent, or cpu_fraction",
        )
    values = np.array([np.nan if (x := _share(cell)) is None else x for cell in found])
    highest = float(np.nanmax(values, initial=0.0))
    if said and not any(signed) and not always_per_cent(cells.header[column]):
        _check_per_cent(cells, column, highest)
    if said is not None or any(signed):
        return _PER_CENT if said is not False or any(signed) else 1.0
    low = highest <= _LITTLE_PER_CENT or (highest <= _MUCH_FOR_A_FRACTION and np.nanmedian(values) <= 1)
    if highest > 1 and low:
        k = int(np.nanargmax(values))
        raise TraceError(
            f"{cells.path} row {k + 1} of the data: the highest value is {found[k]}, which may be {highest:g} % of a "
            f"fleet that idles, or a fraction that comes to {highest:.0%}",
            hint="name the column cpu_percent, or write fractions of at most 1 (of one replica on average)",
        )
    return _PER_CENT if highest > 1 else 1.0


def _check_per_cent(cells: Cells, column: int, highest: float) -> None:
    """Pass when values are per cent as their column's name says.

    Raises:
        TraceError: when none is above 1: dashboards write ``CPU %`` over fractions too.
    """
    if 0 < highest <= 1:
        raise TraceError(
            f"{cells.path}: “{cells.header[column]}” says per cent, but no value is above 1; the highest, {highest:g}, "
            f"may be {highest:g} % of a fleet that idles, or a fraction that comes to {highest:.0%}",
            hint=f"name the column cpu_fraction, or write each value with its sign: {highest:g}%",
        )


def _shares(path: Path, cells: Sequence[str], scale: float) -> NDArray[np.float64]:
    values = np.array([np.nan if (x := _share(cell)) is None else x for cell in cells])
    bad = ~(np.isfinite(values) & (values >= 0) & (values <= scale))
    if bad.any():
        k = int(bad.argmax())
        per_cent_too = scale == 1 and _LITTLE_PER_CENT < values[k] <= _PER_CENT
        summed = "of one replica on average, not summed over replicas"
        raise TraceError(
            f"{path} row {k + 1} of the data: the utilisation is {cells[k]!r}; it must lie in "
            f"{'[0 %, 100 %]' if scale == _PER_CENT else '[0, 1], as a fraction'}",
            hint=f"name the column cpu_percent if it is in per cent; else {summed}" if per_cent_too else summed,
        )
    if not values.any():
        raise TraceError(f"the utilisation {path} is 0 throughout: nothing was served")
    return values / scale


def _on_grid(path: Path, times_s: NDArray[np.float64], shares: NDArray[np.float64], read_as: str) -> Trace:
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
    return Trace(name=path.name, step_s=step_s, counts=shares[latest] * step_s, inferred=True, read_as=read_as)
