"""Older documents in the form of today, one version at a time. Pure: dicts in, dicts out.

What is not of the form that its version had is left as it is; reading it as a noun then says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from farthing.nouns import percentile_name

__all__ = ["MIGRATIONS"]

Plain = dict[str, Any]
_MEASURED = 0.99
"""The level at which version 1 measured latency under load, whatever was promised."""


def _objective(old: Any) -> Any:
    """``latency_ms`` and ``percentile`` become one bound."""
    if not isinstance(old, dict) or "latency" in old:
        return old
    new = {k: v for k, v in old.items() if k not in ("latency_ms", "percentile")}
    ms = old.get("latency_ms")
    return {"latency": None if ms is None else {"ms": ms, "percentile": old.get("percentile", _MEASURED)}, **new}


def _evaluation(old: Any) -> Any:
    """Latencies get the level at which they were measured."""
    if not isinstance(old, dict) or "single" in old:
        return old
    names = {0.5: "latency_p50_ms", 0.9: "latency_p90_ms", 0.99: "latency_p99_ms"}
    new = {k: v for k, v in old.items() if k not in (*names.values(), "p99_at_peak_ms")}
    single = [{"percentile": q, "ms": old[name]} for q, name in names.items() if old.get(name) is not None]
    peak = old.get("p99_at_peak_ms")
    return {**new, "single": single, "at_peak": None if peak is None else {"percentile": _MEASURED, "ms": peak}}


def _workload_2(data: Plain) -> Plain:
    return {**data, "objective": _objective(data["objective"])} if "objective" in data else data


def _baseline_2(data: Plain) -> Plain:
    return {**data, "evaluation": _evaluation(data["evaluation"])} if "evaluation" in data else data


def _plan_2(data: Plain) -> Plain:
    """Bounds and latencies carry their level; a verdict on a level that was not measured is taken back."""
    new = {k: _evaluation(v) if k in ("baseline", "chosen", "nearest") else v for k, v in data.items()}
    if isinstance(data.get("evaluations"), list):
        new["evaluations"] = [_evaluation(e) for e in data["evaluations"]]
    if "objective" in data:
        new["objective"] = _objective(data["objective"])
    if isinstance(data.get("verdict"), dict) and isinstance(new.get("objective"), dict):
        new["verdict"] = _verdict(data["verdict"], new["objective"].get("latency"), new.get("chosen"))
    return new


def _verdict(old: Plain, bound: Any, chosen: Any) -> Plain:
    """The verdict on a bound other than p99, of which p99 is the only evidence.

    A p99 within the bound proves every level below it, and one above the bound disproves every level above it. All
    else is unproven.
    """
    if not isinstance(bound, dict) or not all(isinstance(x, (int, float)) for x in bound.values()):
        return old
    if bound["percentile"] == _MEASURED:
        return old
    wanted, below = percentile_name(bound["percentile"]), bound["percentile"] < _MEASURED
    reasons = [str(r).replace(f"{wanted} was ", "p99 was ") for r in old.get("reasons", ())]
    said = f"{wanted} ≤ {bound['ms']:g} ms was promised and p99 was measured"
    kept = _kept(chosen, bound["ms"])
    same = {"met": below and kept, "not_met": chosen is not None or not below, "unproven": True}
    if same.get(old.get("outcome", ""), True):
        return {**old, "reasons": [*reasons, said]}
    hint = "`farthing optimize` measures the level that is promised"
    return {**old, "outcome": "unproven", "reasons": [said, *reasons], "hint": hint}


def _kept(chosen: Any, ms: float) -> bool:
    peak = chosen.get("at_peak") if isinstance(chosen, dict) else None
    value = peak["ms"].get("value") if isinstance(peak, dict) and isinstance(peak["ms"], dict) else None
    return isinstance(value, (int, float)) and value <= ms


def _plan_3(data: Plain) -> Plain:
    """Version 3 keeps its evidence in files beside it; a plan of version 2 holds all of it, which is read as well."""
    return data


def _verification_2(data: Plain) -> Plain:
    """Version 2 says of each check how much worse the figure is; version 1 held both sides against the limit."""
    return data


MIGRATIONS: Mapping[tuple[str, int], Callable[[Plain], Plain]] = {
    ("baseline", 1): _baseline_2,
    ("plan", 1): _plan_2,
    ("plan", 2): _plan_3,
    ("verification", 1): _verification_2,
    ("workload-resolved", 1): _workload_2,
}
"""``(kind, n)`` → turns version n of a kind into version n + 1; every version below the newest has one."""
