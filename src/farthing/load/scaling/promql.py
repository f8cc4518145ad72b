"""What the text of a PromQL query says without asking Prometheus: its outermost aggregation, its longest window."""

from __future__ import annotations

import re

__all__ = ["outer_aggregation", "window_s"]

_OUTER = re.compile(r"\s*(sum|avg|max|min|quantile|count|median|stddev)\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\(", re.I)
_AFTER = re.compile(r"\s*(?:(?:by|without)\s*\([^)]*\))?\s*(?:(?:>|<|>=|<=|==|!=)\s*[\d.eE+-]+\s*)?", re.I)
_DEFAULT = re.compile(r"\s*or\s+(?:on\s*\(\s*\)\s*)?vector\s*\(\s*[\d.]+\s*\)\s*", re.I)
_WINDOW = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*(?::[^\]]*)?\]")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


def outer_aggregation(query: str) -> str | None:
    """``sum``, ``avg``, ``max`` … where the whole query is one aggregation; ``… or vector(0)`` after it does not count.

    Args:
        query: PromQL.

    Returns:
        None where it is none, as in ``sum(a) / sum(b)``, which has to be asked about.
    """
    text = _STRINGS.sub('""', query)
    found = _OUTER.match(text)
    if found is None:
        return None
    end = _closing(text, found.end() - 1)
    if end is None:
        return None
    rest = text[end + 1 :]
    for form in (_AFTER, _DEFAULT):
        matched = form.match(rest)
        rest = rest[matched.end() :] if matched else rest
    return found[1].lower() if not rest.strip() else None


_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')


def _closing(text: str, at: int) -> int | None:
    depth = 0
    for k in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[k], 0)
        if depth == 0:
            return k
    return None


def window_s(query: str) -> float | None:
    """Longest range in brackets, ``[5m]``, in seconds; None without one."""
    ranges = [
        sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(found))
        for found in _WINDOW.findall(_STRINGS.sub('""', query))
    ]
    return max(ranges, default=None)
