"""Profiles and runs in the Chrome trace event format, as chrome://tracing and Perfetto read it.

Format: “Trace Event Format”, complete events (``"ph": "X"``) with ``ts`` and ``dur`` in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from farthing.nouns import OperatorTime, Profile

__all__ = ["Span", "chrome_trace", "profile_spans"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took time.

    Attributes:
        name: What it was.
        track: Line on which it is drawn.
        start_s: When it began, from the start of the trace, ≥ 0.
        seconds: How long it took, ≥ 0.
        args: Shown when it is clicked; strings and numbers.
    """

    name: str
    track: str
    start_s: float
    seconds: float
    args: Mapping[str, str | float | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.start_s < 0 or self.seconds < 0:
            raise ValueError(f"Span: start_s and seconds must be ≥ 0: {self!r}")


def profile_spans(profile: Profile) -> tuple[Span, ...]:
    """One inference: the whole on one track, the pipeline and then each operator, longest first, on another.

    A profile holds durations, not starts; the operators are laid end to end in the profile's order.
    """
    label = profile.candidate.label
    whole = Span(
        name=f"batch of {profile.batch}",
        track="inference",
        start_s=0.0,
        seconds=profile.wall_ms / 1e3,
        args={"candidate": label, "bottleneck": profile.bottleneck, "why": profile.why},
    )
    spans = [whole]
    if profile.pipeline_ms:
        spans.append(Span(name="input pipeline", track="operators", start_s=0.0, seconds=profile.pipeline_ms / 1e3))
    start_s = profile.pipeline_ms / 1e3
    for operator in profile.operators:
        seconds = operator.time_ms / 1e3
        spans.append(
            Span(name=operator.name, track="operators", start_s=start_s, seconds=seconds, args=_args(operator))
        )
        start_s += seconds
    return tuple(spans)


def _args(operator: OperatorTime) -> dict[str, str | float | int | bool]:
    known: dict[str, str | float | int | bool | None] = {
        "kind": operator.kind,
        "precision": operator.precision or None,
        "share_frac": operator.share_frac,
        "flops": operator.flops,
        "bytes_moved": operator.bytes_moved,
        "roofline_frac": operator.roofline_frac,
        "mapped": operator.mapped,
    }
    return {name: value for name, value in known.items() if value is not None}


def chrome_trace(source: Profile | Iterable[Span], *, name: str = "") -> dict[str, Any]:
    """Make a trace as JSON-ready dicts.

    Args:
        source: A profile, or spans of a run.
        name: Of the process; a profile's candidate when empty.
    """
    spans = profile_spans(source) if isinstance(source, Profile) else tuple(source)
    title = name or (source.candidate.label if isinstance(source, Profile) else "farthing")
    tracks = {track: i for i, track in enumerate(dict.fromkeys(s.track for s in spans), start=1)}
    events: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": title}}]
    events += [
        {"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": track}}
        for track, tid in tracks.items()
    ]
    events += [
        {
            "ph": "X",
            "cat": span.track,
            "name": span.name,
            "pid": 1,
            "tid": tracks[span.track],
            "ts": span.start_s * 1e6,
            "dur": span.seconds * 1e6,
            "args": dict(span.args),
        }
        for span in spans
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}
