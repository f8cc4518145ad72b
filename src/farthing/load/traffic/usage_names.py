"""What the name of a utilisation's column says: per cent or a fraction, or something that is no utilisation at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from farthing.load.traffic.words import words

__all__ = ["always_per_cent", "called_utilisation", "not_busy", "says_idle", "says_per_cent"]

_UTILISATION_WORDS = "util utilisation utilization cpu gpu busy average avg mean percent percentage value usage"
_PER_CENT_WORDS = "percent percentage percents perc pct pc prozent pourcentage porcentaje percentuale"
_FRACTION_WORDS = "ratio fraction frac share proportion"
_ALWAYS_PER_CENT = re.compile(
    r"(?:cpu|gpu)utili[sz]ation|percentage[ _]cpu|cpu_?(?:usage_?)?percentage|system\.cpu|% ?processor time"
    r"|dcgm_fi_dev_gpu_util|utilization\.gpu|duty_cycle",
    re.IGNORECASE,
)
"""Metrics from 0 to 100: CloudWatch's and SageMaker's, Azure's, Datadog's, Windows', NVIDIA's, Google Cloud's for
accelerators.
"""
_IDLE_WORDS = "idle free available unused headroom spare remaining idling"
_NOT_BUSY_WORDS = (
    "mem memory ram vram rss heap swap disk disks filesystem fs storage volume network net rx tx bandwidth bytes byte "
    "packets iops read write request requests req reqs rps qps count counts num number connections sessions users "
    "invocations hits calls queries latency latencies duration time seconds ms p50 p90 p95 p99 error errors failed "
    "iowait wait steal stolen temperature temp power watts watt fan queue queued backlog loadavg cores core "
    "vcpu vcpus quota credit credits throttled throttling replicas pods hosts nodes instances tokens size cost "
    "price usd id max maximum min minimum peak stddev mb gb mib gib kb kib reserved reservation"
)

_SAID_OUTRIGHT_WORDS = f"util utilisation utilization utilizations busy {_PER_CENT_WORDS}"
_THING_WORDS = "replicas pods hosts nodes instances id num count request"
_CORE_WORDS = "cores core vcpu vcpus"
_OF_WORDS = "all over across of per by every"

_UTILISATION, _PER_CENT, _FRACTION, _IDLE, _NOT_BUSY, _SAID_OUTRIGHT, _THINGS, _CORES, _OF = (
    frozenset(group.split())
    for group in (
        _UTILISATION_WORDS,
        _PER_CENT_WORDS,
        _FRACTION_WORDS,
        _IDLE_WORDS,
        _NOT_BUSY_WORDS,
        _SAID_OUTRIGHT_WORDS,
        _THING_WORDS,
        _CORE_WORDS,
        _OF_WORDS,
    )
)
_LABELS = re.compile(r'\{(?:[^{}"]|"[^"]*")*\}')
_SAYING_LABEL = re.compile(r'\b(?:__name__|mode|state|cpu_?mode)(?:=~|=|:) *(?:"[^"]*"|[^,{}]*)')
"""Of a series' labels, those that say what it is of: ``mode="idle"``, not ``mode!="idle"``."""
_NO_MATTER = re.compile(
    r"\b\d+[ _-]?min\b|(?<=processor)[ _]time|(?<=busy)[ _]time|(?<=cpu)[ _]time(?=.*(?:%|perc|pct))"
    r"|(?<=cpu)(?:(?:_usage)?_seconds|_time_total)|(?:\bnon|\bnot)[ _-]*idle|\bcount(?= ?\()|!=\W*idle"
    r"|(?<=cpu)[ _]requests(?=[ _]*(?:%|util|perc|pct))"
    r"|/[^/]*?(?:resource_(?:requests|limits)\w*|spec_cpu_quota|machine_cpu_cores)",
    re.IGNORECASE,
)
"""Minutes of a mean, shares of time (Windows' ``% Processor Time``), what was not idle, Prometheus' functions, and what
Kubernetes' usage is divided by.
"""
_LESS_IDLE = re.compile(r"\s*(?:100\s*\*\s*)?(?:(?:avg|mean)?\s*\(\s*)*(1|100)\s*[-−–]\s*", re.IGNORECASE)
"""``100 - (avg(rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100)``, as dashboards have it."""
_TIMES_100 = re.compile(r"(?<![\w.])100\s*\*|\*\s*100(?![\w.])")


def called_utilisation(name: str) -> bool:
    """Whether a name speaks of utilisation (``CPUUtilization``, ``Average``, ``gpu_util``)."""
    found = words(_without_labels(name))
    return bool(_UTILISATION & set(found)) or any("util" in word or word.startswith("cpu") for word in found)


def not_busy(name: str) -> str | None:
    """The word by which a column is no utilisation (``memory_percent``, ``cpu_idle``, ``requests``), None for none.

    A series' labels count only where they say what it is of, and what a utilisation is *of* (``all instances``, ``8
    cores``, ``request_utilization``) not at all.
    """
    name = _without_labels(name)
    less = _LESS_IDLE.match(name) is not None
    found = words(_NO_MATTER.sub(" ", name))
    if "load" in found and not {"cpu", "gpu", "processor"} & set(found):
        return "load"  # average of runnable processes
    if "limit" in found and not called_utilisation(name.lower().replace("cpu", "")):
        return "limit"  # and not the utilisation of a limit
    outright = "%" in name or bool(_SAID_OUTRIGHT & set(found))
    wanted = (word for k, word in enumerate(found) if not _of_what(found, k, outright=outright))
    return next((word for word in wanted if (word in _IDLE and not less) or word in _NOT_BUSY), None)


def _without_labels(name: str) -> str:
    """A series' name without ``{pod="a"}``, but for labels that say what it is of."""
    return _LABELS.sub(lambda labels: f" {' '.join(_SAYING_LABEL.findall(labels[0]))} ", name)


def _of_what(found: Sequence[str], k: int, *, outright: bool) -> bool:
    """Whether a word says only what a utilisation is of; cores alone are a unit (``cpu_cores``)."""
    before = found[:k]
    processor = bool({"cpu", "gpu", "processor"} & set(found)) or outright
    over = processor and k > 0 and (before[-1] in _OF or before[-1].isdecimal())
    if found[k] in _CORES:
        return over or bool(_SAID_OUTRIGHT & set(found[k + 1 :]))
    if found[k] not in _THINGS:
        return False
    if before[-1:] == ["per"] and found[k] == "request":
        return False
    weak = processor and bool({"usage", "mean", "avg", "average"} & set(found)) and found[k] not in ("num", "count")
    return outright or over or weak


def says_idle(name: str) -> bool:
    """Whether a name speaks of what is left (``cpu_idle``)."""
    return not_busy(name) in _IDLE


def says_per_cent(name: str) -> bool | None:
    """True where a name says per cent, False where it says a fraction, None where neither."""
    name = _without_labels(name)
    found = set(words(name))
    less = _LESS_IDLE.match(name)
    if less is not None:
        return less[1] == "100" or _TIMES_100.search(name) is not None
    per_cent = "%" in name or re.search(r"\bper[ -]cent", name, re.IGNORECASE) or found & _PER_CENT
    if per_cent or always_per_cent(name):
        return True
    return False if found & _FRACTION else None


def always_per_cent(name: str) -> bool:
    """Whether a name is a metric's that is never a fraction, or a formula's (``100 - idle``); any dashboard may write
    ``%`` over fractions.
    """
    name = _without_labels(name)
    return any(pattern.search(name) for pattern in (_TIMES_100, _ALWAYS_PER_CENT)) or _LESS_IDLE.match(name) is not None
