"""What the numbers of Prometheus' series are, by the metric's name and by the values, or by what the user says.

1. The user's word (``trace_kind``, ``trace_per``) goes first; rates are a second's, as ``rate()`` gives them, unless
   ``trace_per`` or the name says otherwise.
2. A name that ends in ``_total``, and speaks of requests, is a total that grows; so is one in ``_count``, which is how
   often a histogram or a summary was given a value.
3. Another name of requests is a total where its values never fall but to start again, and a rate where it says so
   (``requests_per_second``).
4. Without a name, as ``sum(…)`` and ``rate(…)`` leave series, numbers that only grow are a total. Others may be
   requests a second (``rate``) or of a window (``increase``), or a gauge, and are asked back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from farthing.errors import TraceError
from farthing.load.traffic.asked import PERIODS, TraceAsked, TraceKind, asks
from farthing.load.traffic.column_names import named, not_the_arrivals
from farthing.load.traffic.prometheus.answer import Sampled
from farthing.load.traffic.series import grows, like_a_counter

__all__ = ["Held", "held_in"]

_ALL_KINDS = ("kind: counter", "kind: rates", "kind: counts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What series hold.

    Attributes:
        kind: ``counts``, ``rates`` or ``counter``.
        per_s: Period of rates in seconds.
        guessed: True where names and values told it, False where the user did.
    """

    kind: TraceKind
    per_s: float = 1.0
    guessed: bool = True


def held_in(path: Path, series: Sequence[Sampled], asked: TraceAsked) -> Held:
    """Tell what an answer's series hold.

    Args:
        path: For messages.
        series: At least one.
        asked: What the user says.

    Raises:
        TraceError: when they are of different metrics, of something else than requests, or it cannot be told; says how
            to say it.
    """
    names = sorted({one.name for one in series})
    if len(names) > 1:
        listed = ", ".join(name or "without a name" for name in names)
        raise TraceError(
            f"the trace {path} holds series of {len(names)} metrics: {listed}",
            hint=f"ask for one of them, or --trace-only {names[-1]}",
        )
    if asked.kind is not None:
        by_name = named(names[0])
        said_s = by_name.per_s if by_name is not None and by_name.kind == "rates" else None
        return Held(kind=asked.kind, per_s=PERIODS[asked.per] if asked.per else said_s or 1.0, guessed=False)
    return _by_name(path, names[0], series) if names[0] else _by_values(path, series)


def _by_name(path: Path, name: str, series: Sequence[Sampled]) -> Held:
    why = not_the_arrivals(name)
    if why is not None:
        raise asks(path, f"{name} is no plain number of requests: {why}", *_ALL_KINDS)
    if name.endswith(("_bucket", "_sum")):
        raise TraceError(
            f"the trace {path}: {name} is a histogram's {name.rpartition('_')[2]}, not how many requests there were",
            hint=f"ask for {name.rpartition('_')[0]}_count",
        )
    found = named(name)
    if name.endswith("_count") or (found is not None and found.kind == "counter"):
        _refuse_falling(path, series)
        return Held(kind="counter")
    if found is not None and found.kind == "rates":
        return Held(kind="rates", per_s=found.per_s or 1.0)
    if found is not None and all(grows(one.values) for one in series):
        return Held(kind="counter")
    said = "its values fall, so that it is no total" if found else "its name does not speak of requests"
    raise asks(path, f"{name} may be rates, counts or a gauge: {said}", *_ALL_KINDS)


def _by_values(path: Path, series: Sequence[Sampled]) -> Held:
    moving = [one.values for one in series if np.ptp(one.values) > 0]
    if moving and all(like_a_counter(values) for values in moving):
        return Held(kind="counter")
    raise asks(
        path,
        "the query left no metric's name, and the values fall: requests a second, as rate(…) gives them, or requests "
        "of each step, as increase(…) over one step does",
        "kind: rates",
        "kind: counts",
    )


def _refuse_falling(path: Path, series: Sequence[Sampled]) -> None:
    for one in series:
        if one.values.size > 1 and not grows(one.values):
            falls = int((np.diff(one.values) < 0).sum())
            raise asks(
                path,
                f"{one.text} is called a total, and falls in {falls:,} of {one.values.size - 1:,} steps",
                *_ALL_KINDS,
            )
