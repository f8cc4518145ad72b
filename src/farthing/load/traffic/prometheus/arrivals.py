"""The plug-in that reads answers of Prometheus, or of what speaks its API (Thanos, Mimir, VictoriaMetrics)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from farthing.errors import TraceError
from farthing.load.traffic.asked import TraceAsked, refuse_inapplicable
from farthing.load.traffic.prometheus.answer import read_answer
from farthing.load.traffic.prometheus.kinds import Held, held_in
from farthing.load.traffic.prometheus.summed import Summed, summed
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["PrometheusArrivals"]

_PERIODS = {1.0: "rates a second", 60.0: "rates a minute", 3600.0: "rates an hour"}
_NOTED_STEPS = {"counter": "growth over them shared", "rates": "taken between their neighbours", "counts": "taken as 0"}


class PrometheusArrivals:
    """Reads a range query's answer: all of its series, added up."""

    name = "prometheus"

    def holds(self, head: bytes) -> bool:
        """Whether it is a JSON answer of that API."""
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        return start.startswith(b"{") and b'"status"' in head and (b'"resultType"' in head or b'"errorType"' in head)

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Read one trace; :mod:`farthing.load.traffic.prometheus.kinds` says how it is told what the numbers are.

        Args:
            path: Of the answer, compressed by gzip or not.
            asked: What the user says of it, None for nothing.

        Raises:
            TraceError: when it is no range query's answer, has no series, steps are missing or uneven, values cannot be
                requests, or what they are cannot be told (says how to say it).
        """
        path, said = Path(path), asked or TraceAsked()
        kinds = ("counts", "rates", "counter")
        refuse_inapplicable(path, "an answer of Prometheus", said, kinds=kinds, keys=("per", "only"))
        series = read_answer(path, said.only)
        held = held_in(path, series, said)
        found = summed(path, series, held)
        if not found.counts.any():
            raise TraceError(f"the trace {path} has no requests in {found.counts.size:,} steps")
        return Trace(
            name=path.name,
            step_s=found.step_s,
            counts=found.counts,
            start=datetime.fromtimestamp(found.start_s, UTC),
            read_as=_said(held, found, len(series), series[0].name),
            guessed=held.guessed,
        )

    def requests(self, path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock] | None:
        """None: Prometheus knows numbers of requests, not their instants."""
        return None


def _said(held: Held, found: Summed, n_series: int, name: str) -> str:
    kind = {
        "counter": f"a total that grows, its differences by step of {found.step_s:g} s",
        "rates": f"{_PERIODS.get(held.per_s, f'rates per {held.per_s:g} s')} each {found.step_s:g} s",
        "counts": f"counts by step of {found.step_s:g} s",
    }[held.kind]
    of = f" ({name})" if name else ""
    said = [f"{kind}{of}" + (f", {n_series} series added up" if n_series > 1 else "")]
    if found.restarts:
        said.append(f"started again {found.restarts:,} ×")
    if found.missing:
        said.append(f"{found.missing:,} of {found.counts.size:,} steps missing, {_NOTED_STEPS[held.kind]}")
    return "an answer of Prometheus: " + "; ".join(said)
