"""An answer of ``/api/v1/query_range`` as series of numbers.

Format: prometheus.io/docs/prometheus/latest/querying/api.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.opened import opened, refusing

__all__ = ["Sampled", "read_answer", "read_series"]

Floats = NDArray[np.float64]

_NAME = "__name__"
_LATEST_S = 1e11
"""Seconds since 1970 that are no time any more."""
_ASK_A_RANGE = "ask /api/v1/query_range with start, end and step: docs/traffic.md has a call"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """One series of an answer.

    Attributes:
        name: Of its metric, empty where the query left none (``rate(…)``, ``sum(…)``).
        text: Name and labels as PromQL writes them, ``{job="x"}``.
        at_s: Seconds since 1970, ascending, shape ``(n,)``, n ≥ 1.
        values: At these times, finite, shape ``(n,)``; samples that are NaN are left out. Of requests they are ≥ 0.
        labels: Without the name.
    """

    name: str
    text: str
    at_s: Floats
    values: Floats
    labels: Mapping[str, str] = field(default_factory=dict)


def read_answer(path: Path, only: str | None = None) -> tuple[Sampled, ...]:
    """Read the series of a range query's answer, in the order in which they stand.

    Args:
        path: Of the answer, compressed by gzip or not.
        only: Text that a series' name and labels must hold, None for all series.

    Raises:
        TraceError: when it is no answer, one of an error, of another query, or without series; when times do not rise
            or a value is infinite or negative.
    """
    found = _all_series(path, "trace")
    if not found:
        raise TraceError(
            f"the trace {path} has no series: the query matched nothing in its time",
            hint="an empty answer is not zero requests; look for a misspelt label or a time before the first sample",
        )
    for series in found:
        _refuse_no_requests(path, series)
    found = [_without_nan(series) for series in found]
    kept = tuple(series for series in found if only is None or only in series.text)
    if not kept:
        raise TraceError(
            f"the trace {path}: none of its {len(found)} series has {only!r} in it; the first is {found[0].text}",
            hint="--trace-only takes a part of what stands there, letter by letter",
        )
    with_samples = tuple(series for series in kept if series.at_s.size)
    if not with_samples:
        raise TraceError(f"the trace {path} holds no numbers: all of its samples are NaN", hint=_ASK_A_RANGE)
    return with_samples


def read_series(path: Path) -> tuple[Sampled, ...]:
    """Read the series of a range query's answer whatever they measure: values may be negative.

    Samples that are NaN or infinite are left out: there is no number at their times.

    Args:
        path: Of the answer, compressed by gzip or not.

    Returns:
        Series with a sample at least, none where the query matched nothing.

    Raises:
        TraceError: when it is no answer, one of an error or of another query, or times do not rise.
    """
    found = [_finite(series) for series in _all_series(path, "series")]
    return tuple(series for series in found if series.at_s.size)


def _all_series(path: Path, what: str) -> list[Sampled]:
    """Every series as it stands, NaN and infinite values too."""
    answer = _json(path, what)
    if answer.get("status") != "success":
        raise TraceError(
            f"the {what} {path} is an error of Prometheus: {answer.get('errorType', '')}: {answer.get('error', '')}",
            hint="mend the query and ask again",
        )
    data = _object(answer.get("data"))
    if data.get("resultType") != "matrix":
        raise TraceError(
            f"the {what} {path} is an answer of type {data.get('resultType')!r}, which has one moment; a range of time "
            "has the type 'matrix'",
            hint=_ASK_A_RANGE,
        )
    result = data.get("result")
    return [_series(path, what, _object(series)) for series in (result if isinstance(result, list) else ())]


def _json(path: Path, what: str) -> Mapping[str, Any]:
    try:
        with refusing(path, what), opened(path) as f:
            answer: Any = json.load(f)
    except (ValueError, RecursionError) as e:
        raise TraceError(f"the {what} {path} is no whole JSON: {e}", hint="save the answer again") from e
    if not isinstance(answer, dict):
        raise TraceError(f"the {what} {path} holds {type(answer).__name__}, not an answer of Prometheus")
    return answer


def _object(value: Any) -> Mapping[str, Any]:
    """A JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _series(path: Path, what: str, series: Mapping[str, Any]) -> Sampled:
    metric = _object(series.get("metric"))
    name = str(metric.get(_NAME, ""))
    named = {key: str(value) for key, value in metric.items() if key != _NAME}
    labels = ",".join(f'{key}="{value}"' for key, value in named.items())
    text = f"{name}{{{labels}}}"
    if "histograms" in series:
        raise TraceError(
            f"the {what} {path}: {text} holds histograms", hint="ask for histogram_count(…) of it, which is a total"
        )
    try:
        pairs = [(float(at), float(value)) for at, value in series["values"]]
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise TraceError(
            f"the {what} {path}: {text} has values that are no pairs of a time and a number", hint=_ASK_A_RANGE
        ) from e
    at_s, values = (np.array([pair[k] for pair in pairs], dtype=np.float64) for k in (0, 1))
    _check_times(path, what, text, at_s)
    return Sampled(name=name, text=text, at_s=at_s, values=values, labels=named)


def _check_times(path: Path, what: str, text: str, at_s: Floats) -> None:
    if not ((at_s >= 0) & (at_s < _LATEST_S)).all():
        raise TraceError(f"the {what} {path}: {text} has times that are no seconds since 1970", hint=_ASK_A_RANGE)
    falls = np.flatnonzero(np.diff(at_s) <= 0)
    if falls.size:
        k = int(falls[0]) + 1
        raise TraceError(
            f"the {what} {path} is not sorted: in {text} sample {k + 1} ({at_s[k]:.3f}) does not come after the one "
            f"before it ({at_s[k - 1]:.3f})",
            hint="save one answer of one query as it comes",
        )


def _refuse_no_requests(path: Path, series: Sampled) -> None:
    bad = next((v for v in series.values if math.isinf(v) or v < 0), None)
    if bad is not None:
        raise TraceError(
            f"the trace {path}: {series.text} holds {bad:g}; requests are finite and ≥ 0",
            hint="divisions by 0 give Inf, and deriv() falls below 0: ask for rate() or increase() of a total",
        )


def _without_nan(series: Sampled) -> Sampled:
    return _where(series, ~np.isnan(series.values))


def _finite(series: Sampled) -> Sampled:
    return _where(series, np.isfinite(series.values))


def _where(series: Sampled, known: NDArray[np.bool_]) -> Sampled:
    return replace(series, at_s=series.at_s[known], values=series.values[known])
