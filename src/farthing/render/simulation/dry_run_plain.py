"""A dry run for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from farthing.codec import to_plain
from farthing.core.simulation.replay.dry_run import DryRun

__all__ = ["plain_dry_run"]


def plain_dry_run(found: DryRun) -> dict[str, Any]:
    """Nothing rounded; times are seconds since the start, and of changes as ISO 8601 too."""
    scaler, fleet = found.autoscaler, found.replayed.fleet
    return {
        "manifest": found.file,
        "kind": scaler.kind,
        "name": scaler.name,
        "target": scaler.target,
        "min_replicas": scaler.floor,
        "max_replicas": scaler.spec.max_replicas,
        "metrics": [_metric(found, k) for k in range(len(scaler.followed))],
        "start": _iso(found, 0.0),
        "length_s": found.recording.length_s,
        "fleet": to_plain(fleet),
        "usd_per_hour": found.usd_per_hour,
        "offer": None if found.offer is None else {"key": found.offer.key, "dated": found.offer.dated.isoformat()},
        "accounts": to_plain(found.accounts),
        "steadiness": to_plain(found.steadiness),
        "traps": [to_plain(trap) for trap in found.traps],
        "changes": [{"at": _iso(found, change.at_s), **to_plain(change)} for change in found.replayed.changes],
    }


def _metric(found: DryRun, k: int) -> dict[str, Any]:
    followed, recorded = found.autoscaler.followed[k], found.recording.metrics[k]
    return {
        "name": followed.name,
        "path": followed.path,
        "kind": followed.metric.kind,
        "target_type": followed.metric.target_type,
        "target": followed.target_text,
        "loop": recorded.loop,
        "read_as": recorded.read_as,
        "step_s": recorded.step_s,
        "gap_s": recorded.gap_s(found.recording.length_s),
    }


def _iso(found: DryRun, at_s: float) -> str:
    return datetime.fromtimestamp(found.recording.start_s + at_s, UTC).isoformat()
