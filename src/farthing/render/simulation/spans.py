"""A simulated fleet for chrome://tracing and Perfetto: lives of replicas, and the batches of a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from farthing.core.simulation.outcomes import OUTCOMES, ReplicaLife, SimulationResult
from farthing.core.simulation.steering import Change
from farthing.render.chrome_trace import Span

__all__ = ["fleet_spans"]


def fleet_spans(found: SimulationResult, changes: Sequence[Change], length_s: float) -> Iterator[Span]:
    """Decisions, lives and batches, on a line each replica.

    Args:
        found: With the requests of a window.
        changes: Decisions that changed something.
        length_s: Of what was simulated.
    """
    for change in changes:
        args: dict[str, str | float | int | bool] = {
            "from": change.before,
            "to": change.replicas,
            "reason": change.reason,
        }
        yield Span(
            name=f"{change.before} → {change.replicas}", track="decisions", start_s=change.at_s, seconds=0.0, args=args
        )
    for life in found.lives:
        yield from _life(life, length_s)
    yield from _batches(found)


def _life(life: ReplicaLife, length_s: float) -> Iterator[Span]:
    end_s = length_s if life.gone_s is None else life.gone_s
    times = (
        ("starting", life.requested_s),
        ("loading", life.started_s),
        ("ready", life.ready_s),
        ("draining", life.draining_s),
    )
    known = [(name, at_s) for name, at_s in times if at_s is not None]
    for (name, at_s), (_, until_s) in zip(known, [*known[1:], ("gone", end_s)], strict=True):
        if until_s > at_s:
            args = {"pool": life.pool, "gone": life.reason or "still there"}
            yield Span(name=name, track=f"replica {life.number}", start_s=at_s, seconds=until_s - at_s, args=args)


def _batches(found: SimulationResult) -> Iterator[Span]:
    records = found.records
    ran = np.flatnonzero((records.batch >= 0) & np.isfinite(records.end_s) & np.isfinite(records.start_s))
    keys = records.replica[ran] * (records.batch[ran].max(initial=0) + 1) + records.batch[ran]
    for rows in np.split(ran[np.argsort(keys, kind="stable")], np.flatnonzero(np.diff(np.sort(keys))) + 1):
        if not rows.size:
            continue
        start_s, end_s = float(records.start_s[rows[0]]), float(records.end_s[rows[0]])
        waited_s = float((records.start_s[rows] - records.arrival_s[rows]).max())
        yield Span(
            name=f"batch of {rows.size}",
            track=f"replica {records.replica[rows[0]]}, batches",
            start_s=start_s,
            seconds=end_s - start_s,
            args={"first request": int(records.first + rows[0]), "longest wait, ms": waited_s * 1000},
        )
    refused = np.flatnonzero(np.isin(records.outcome, [OUTCOMES.index(o) for o in ("refused", "expired", "lost")]))
    for row in refused:
        outcome, at_s = OUTCOMES[records.outcome[row]], float(records.arrival_s[row])
        yield Span(name=outcome, track="missed", start_s=at_s, seconds=0.0, args={"request": int(records.first + row)})
