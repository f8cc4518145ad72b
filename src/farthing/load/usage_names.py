"""What the name of a utilisation's column says: per cent or a fraction, or something that is no utilisation at all."""

from __future__ import annotations

import re

from farthing.load.traces.words import words

__all__ = ["called_utilisation", "not_busy", "says_idle", "says_per_cent"]

_UTILISATION_WORDS = "util utilisation utilization cpu gpu busy average avg mean percent percentage value usage"
_PER_CENT_WORDS = "percent percentage percents perc pct pc prozent pourcentage porcentaje percentuale"
_FRACTION_WORDS = "ratio fraction frac share proportion"
_ALWAYS_PER_CENT = re.compile(r"(?:cpu|gpu)utili[sz]ation|system\.cpu|dcgm_fi_dev_gpu_util|duty_cycle", re.IGNORECASE)
"""CloudWatch's and SageMaker's metrics, Datadog's, NVIDIA's and Google Cloud's for accelerators: from 0 to 100."""
_IDLE_WORDS = "idle free available unused headroom spare remaining idling"
_NOT_BUSY_WORDS = (
    "mem memory ram vram rss heap swap disk disks filesystem fs storage volume network net rx tx bandwidth bytes byte "
    "packets iops read write request requests req reqs rps qps count counts num number connections sessions users "
    "invocations hits calls queries latency latencies duration time seconds ms p50 p90 p95 p99 error errors failed "
    "iowait wait steal stolen temperature temp power watts watt fan queue queued backlog loadavg cores core "
    "vcpu vcpus quota credit credits throttled throttling replicas pods hosts nodes instances tokens size cost "
    "price usd id max maximum min minimum peak stddev mb gb mib gib kb kib reserved reservation"
)

_UTILISATION, _PER_CENT, _FRACTION, _IDLE, _NOT_BUSY = (
    frozenset(group.split())
    for group in (_UTILISATION_WORDS, _PER_CENT_WORDS, _FRACTION_WORDS, _IDLE_WORDS, _NOT_BUSY_WORDS)
)
_NO_MATTER = re.compile(
    r"\b\d+[ _-]?min\b|(?<=processor)[ _]time|(?<=busy)[ _]time|(?<=cpu)[ _]time(?=.*(?:%|perc|pct))"
    r"|(?<=cpu)(?:_usage)?_seconds|(?:\bnon|\bnot)[ _-]*idle|\bcount(?= ?\()|!=\W*idle",
    re.IGNORECASE,
)
"""Minutes of a mean, shares of time (Windows' ``% Processor Time``), what was not idle, Prometheus' functions."""
_LESS_IDLE = re.compile(r"\s*\(?\s*(1|100)\s*[-−–]\s*")
"""``100 - (avg(rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100)``, as dashboards have it."""


def called_utilisation(name: str) -> bool:
    """Whether a name speaks of utilisation (``CPUUtilization``, ``Average``, ``gpu_util``)."""
    found = words(name)
    return bool(_UTILISATION & set(found)) or any("util" in word or word.startswith("cpu") for word in found)


def not_busy(name: str) -> str | None:
    """The word by which a column is no utilisation (``memory_percent``, ``cpu_idle``, ``requests``), None for none."""
    less = _LESS_IDLE.match(name) is not None
    found = [word for word in words(_NO_MATTER.sub(" ", name)) if not (less and word in _IDLE)]
    if "load" in found and not {"cpu", "gpu", "processor"} & set(found):
        return "load"  # average of runnable processes
    if "limit" in found and not called_utilisation(name.lower().replace("cpu", "")):
        return "limit"  # and not the utilisation of a limit
    return next((word for word in found if word in _IDLE or word in _NOT_BUSY), None)


def says_idle(name: str) -> bool:
    """Whether a name speaks of what is left (``cpu_idle``)."""
    return not_busy(name) in _IDLE


def says_per_cent(name: str) -> bool | None:
    """True where a name says per cent, False where it says a fraction, None where neither."""
    found = set(words(name))
    less = _LESS_IDLE.match(name)
    if less is not None:
        return less[1] == "100"
    if (
        "%" in name
        or re.search(r"\bper[ -]cent", name, re.IGNORECASE)
        or found & _PER_CENT
        or _ALWAYS_PER_CENT.search(name)
    ):
        return True
    return False if found & _FRACTION else None
