"""A profile in Chrome's trace format, for chrome://tracing and Perfetto."""

from __future__ import annotations

from typing import Any

from farthing.nouns import Profile

__all__ = ["chrome_trace"]


def chrome_trace(profile: Profile) -> dict[str, Any]:
    """One inference as events: the pipeline, then the operators one after the other, longest first.

    Averages have no order of their own in time; durations are true, starts are not. Times are in µs, as the format
    (“Trace Event Format”, complete events) wants them.
    """
    events = [_event("pipeline", "pipeline", 0.0, profile.pipeline_ms, {})] if profile.pipeline_ms else []
    start_ms = profile.pipeline_ms
    for o in profile.operators:
        facts = {
            "kind": o.kind,
            "precision": o.precision,
            "share": o.share_frac,
            "flops": o.flops,
            "bytes": o.bytes_moved,
            "roofline": o.roofline_frac,
        }
        events.append(_event(o.name, o.kind, start_ms, o.time_ms, {k: v for k, v in facts.items() if v not in (None, "")}))
        start_ms += o.time_ms
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"candidate": profile.candidate.label, "batch": profile.batch, "bottleneck": profile.bottleneck},
    }


def _event(name: str, kind: str, start_ms: float, time_ms: float, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "cat": kind,
        "ph": "X",
        "ts": start_ms * 1000,
        "dur": time_ms * 1000,
        "pid": 1,
        "tid": 1,
        "args": facts,
    }
