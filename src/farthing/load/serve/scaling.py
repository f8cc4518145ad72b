"""How a server scales a model: a ``scaling`` file, every key checked before anything is loaded.

schema: farthing/scaling/1
rule: Ray Serve
target: 70%
downscale_delay: 60s
max_replicas: 4
start: 5s
usd_per_hour: 0.05
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from farthing.core.scaling.scheduled import Action, Schedule
from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import NAMES, SCHEDULED, SETTINGS, WrittenRule
from farthing.errors import InputError
from farthing.load import units
from farthing.load.schema import read_document
from farthing.load.wishes import check_name

__all__ = ["KEYS", "read_scaling"]

_MOST_REPLICAS, _MOST_LAPSE, _MOST_BATCH = 1024, 10_000.0, 4096
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_DAY_S = 86_400.0
_OF_SCHEDULE = ("schedule", "period", "start_at", "within")


def _wrong(value: object, key: str, wanted: str) -> InputError:
    return InputError(f"{key} is {value!r}; it must be {wanted}")


def _seconds(value: object, key: str) -> float:
    if not isinstance(value, bool) and str(value).strip() in ("0", "0s", "0ms"):
        return 0.0
    return units.duration_ms(value, key) / 1000


def _positive_s(value: object, key: str) -> float:
    return units.duration_ms(value, key) / 1000


def _whole(least: int, most: int) -> Callable[[object, str], int]:
    def read(value: object, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)) or not str(value).isdecimal():
            raise _wrong(value, key, f"a whole number from {least} to {most:,}")
        number = int(value)
        if not least <= number <= most:
            raise _wrong(value, key, f"a whole number from {least} to {most:,}")
        return number

    return read


def _number(value: object, key: str) -> float:
    if not isinstance(value, bool) and str(value).strip() == "0":
        return 0.0
    return units.rate(value, key)


def _share(value: object, key: str) -> float:
    found = units.fraction(value, key)
    if not 0 < found <= 1:
        raise _wrong(value, key, "more than 0 % and at most 100 %")
    return found


def _attainment(value: object, key: str) -> float:
    found = units.fraction(value, key)
    if not 0 < found < 1:
        raise _wrong(value, key, "more than 0 % and less than 100 %")
    return found


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, key, "true or false")
    return value


def _lapse(value: object, key: str) -> float:
    found = units.rate(value, key)
    if not 1 <= found <= _MOST_LAPSE:
        raise _wrong(value, key, f"1 to {_MOST_LAPSE:,.0f}")
    return found


def _service(value: object, key: str) -> dict[int, float]:
    if not isinstance(value, dict) or not value:
        raise _wrong(value, key, "times by batch size, as {1: 20ms, 8: 60ms}")
    size = _whole(1, _MOST_BATCH)
    return {size(rows, f"{key}, a batch size"): units.duration_ms(ms, f"{key}.{rows}") for rows, ms in value.items()}


_SETTING: Mapping[str, Callable[[object, str], Any]] = {
    "share": _share,
    "number": _number,
    "seconds": _seconds,
    "whole": _whole(1, _MOST_REPLICAS),
    "flag": _flag,
}
KEYS: Mapping[str, tuple[str, Callable[[object, str], Any]]] = {
    "model": ("model", check_name),
    "min_replicas": ("min_replicas", _whole(0, _MOST_REPLICAS)),
    "max_replicas": ("max_replicas", _whole(1, _MOST_REPLICAS)),
    "initial": ("initial", _whole(1, _MOST_REPLICAS)),
    "start": ("start_s", _seconds),
    "ready_within": ("ready_within_s", _positive_s),
    "usd_per_hour": ("usd_per_hour", units.usd),
    "minimum_bill": ("minimum_bill_s", _seconds),
    "promise": ("promise_s", _positive_s),
    "attainment": ("attainment_frac", _attainment),
    "time_lapse": ("time_lapse", _lapse),
    "emulated": ("emulated", _flag),
    "service": ("service_ms", _service),
    "rate": ("rate_rps", units.rate),
    "in_flight": ("in_flight", units.rate),
}
"""What may be said beside the rule's own settings: its field of :class:`LivePolicy`, and how it is read."""


def read_scaling(path: Path, *, day_s: float) -> LivePolicy:
    """Read a scaling file.

    Args:
        path: Of the file.
        day_s: Seconds since midnight UTC, where a schedule begins unless the file says otherwise.

    Raises:
        InputError: when the file is unreadable, lacks a key, or has an unknown one or a bad value.
        SchemaError: when it is of another kind or newer.
    """
    data = read_document(path, "scaling")
    rule_keys = {key: data.pop(key) for key in tuple(data) if key not in KEYS}
    given = {KEYS[key][0]: KEYS[key][1](value, f"{key} in {path}") for key, value in data.items()}
    rule = _rule(rule_keys, str(path), day_s, known=tuple(KEYS))
    if rule.name == "fixed":
        given = _of_fixed(rule, given, path)
    if "max_replicas" not in given:
        raise InputError(f"{path} has no max_replicas", hint="max_replicas: 4, the most worker processes at a time")
    least, most = given.get("min_replicas", 1), given["max_replicas"]
    if least > most:
        raise InputError(f"{path}: min_replicas is {least}, max_replicas is {most}")
    initial = given.setdefault("initial", max(1, least))
    if not max(1, least) <= initial <= most:
        raise InputError(f"{path}: initial is {initial}; it must lie in {max(1, least)} to {most}")
    if "service_ms" in given and not given.get("emulated"):
        raise InputError(f"{path}: service is for emulated workers alone", hint="emulated: true")
    return LivePolicy(rule=rule, source=str(path), **given)


def _of_fixed(rule: WrittenRule, given: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bounds of a fleet that does not scale."""
    replicas = rule.said.get("replicas")
    if replicas is None:
        raise InputError(f"{path}: the rule fixed needs replicas", hint="replicas: 3")
    for key in ("min_replicas", "max_replicas", "initial"):
        if given.setdefault(key, int(replicas)) != replicas:
            raise InputError(f"{path}: the rule fixed has {replicas:g} replicas, and {key} is {given[key]}")
    return given


def _rule(said: Mapping[Any, Any], where: str, day_s: float, *, known: tuple[str, ...] = ()) -> WrittenRule:
    """A rule and its settings; other keys are refused."""
    rest = dict(said)
    if "rule" not in rest:
        raise InputError(f"{where} names no rule", hint=f"rule: one of {', '.join(NAMES)}")
    name = rest.pop("rule")
    if name not in NAMES:
        close = difflib.get_close_matches(str(name), NAMES, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(NAMES)}"
        raise InputError(f"rule in {where} is {name!r}, which is unknown", hint=hint)
    settings = SETTINGS[name]
    mine = (*settings, *(_OF_SCHEDULE if name == SCHEDULED else ()))
    for key in rest:
        if key not in mine:
            close = difflib.get_close_matches(str(key), (*mine, *known), n=1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(('rule', *known, *mine))}"
            raise InputError(f"unknown key {str(key)!r} in {where} with the rule {name}", hint=hint)
    numbers = {key: _SETTING[settings[key][0]](rest[key], f"{key} in {where}") for key in rest if key in settings}
    schedule = _schedule(rest, where, day_s) if name == SCHEDULED else {}
    try:
        return WrittenRule(name=name, said={key: float(value) for key, value in numbers.items()}, **schedule)
    except ValueError as e:
        raise InputError(f"{where}: {e}") from e


def _schedule(rest: Mapping[str, Any], where: str, day_s: float) -> dict[str, Any]:
    """Bounds by the clock, and the rule between them."""
    entries = rest.get("schedule")
    if not isinstance(entries, list) or not entries:
        raise InputError(
            f"{where}: the rule scheduled needs a schedule", hint='schedule: [{at: "08:00", min: 2, max: 6}]'
        )
    period_s = _positive_s(rest["period"], f"period in {where}") if "period" in rest else _DAY_S
    actions = [_action(entry, f"schedule[{k}] in {where}") for k, entry in enumerate(entries)]
    try:
        schedule = Schedule(actions=tuple(actions), period_s=period_s)
    except ValueError as e:
        raise InputError(f"{where}: times of the schedule must rise, within its period of {period_s:g} s") from e
    start = rest.get("start_at", "now")
    within = rest.get("within")
    if within is not None and (not isinstance(within, dict) or within.get("rule") == SCHEDULED):
        raise _wrong(within, f"within in {where}", "a rule and its settings, as {rule: Ray Serve, target: 70%}")
    return {
        "schedule": schedule,
        "start_s": day_s if start == "now" else _time_s(start, f"start_at in {where}"),
        "within": None if within is None else _rule(within, f"within in {where}", day_s),
    }


def _action(entry: object, where: str) -> Action:
    if not isinstance(entry, dict) or set(entry) != {"at", "min", "max"}:
        raise _wrong(entry, where, 'at, min and max, as {at: "08:00", min: 2, max: 6}')
    least, most = (_whole(0, _MOST_REPLICAS)(entry[key], f"{key} of {where}") for key in ("min", "max"))
    if least > most:
        raise InputError(f"{where}: min is {least}, max is {most}")
    return Action(at_s=_time_s(entry["at"], f"at of {where}"), min_replicas=least, max_replicas=most)


def _time_s(value: object, key: str) -> float:
    """Of the period: ``08:30`` of the day, or so long after its start (``90s``)."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return hours * 3600.0 + minutes * 60.0 + seconds
    return _seconds(value, key)
