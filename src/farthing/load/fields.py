"""The keys of a workload, one table for the YAML file and for the command line, and their validation.

A key ``max_drop`` in YAML is the flag ``--max-drop``. Keys may stand in their section (``objective: {p99: 50ms}``),
on the top level with the section's name (``objective_p99: 50ms``), or on the top level alone (``p99: 50ms``) unless
they belong to the calibration data.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from farthing.core.traffic.shapes import SHAPES
from farthing.errors import InputError
from farthing.load import units
from farthing.load.traffic import PERIODS, TRACE_KINDS, UNITS, TraceAsked
from farthing.load.written_numbers import cell_number
from farthing.nouns import Interpolation, Precision, Term

__all__ = ["FLAGS", "LEVELS", "OF_TRACES", "Located", "Origin", "merged", "parse", "sections", "trace_asked"]

OF_TRACES = frozenset(("trace_kind", "trace_column", "trace_time_column", "trace_unit", "trace_per", "trace_only"))
"""Keys of ``traffic`` that say how a trace is read; within ``traffic`` the first word may be left out."""
LEVELS: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""Latency percentiles that can be promised, by key; a run has too few requests for higher ones."""
Parsed = dict[str, dict[str, Any]]
"""Values by section and key; the top level is the section ``""``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where values come from.

    Attributes:
        name: For messages: a file's name or ``the command line``.
        folder: Relative paths start here.
        trusted: Whether import paths may be run later.
    """

    name: str
    folder: Path
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A path or import path with what is needed to look it up."""

    text: str
    origin: Origin

    @property
    def path(self) -> Path:
        """As a file path."""
        return self.origin.folder / self.text


Parser = Callable[[object, str, Origin], Any]


def _wrong(value: object, key: str, wanted: str) -> InputError:
    return InputError(f"{key} is {value!r}; it must be {wanted}")


def _text(value: object, key: str, _: Origin) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value).strip():
        raise _wrong(value, key, "a text")
    return str(value).strip()


def _located(value: object, key: str, origin: Origin) -> Located:
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _wrong(value, key, "a path")
    return Located(text=value, origin=origin)


def _flag(value: object, key: str, _: Origin) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, key, "true or false")
    return value


def _number(value: object, key: str, _: Origin) -> float:
    parts: list[Any] = value.split("/") if isinstance(value, str) else [value]
    try:
        numbers = [_plain(part) for part in parts]
        result = numbers[0] if len(numbers) == 1 else numbers[0] / numbers[1]
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as e:
        raise _wrong(value, key, "a number") from e
    if len(parts) > 2 or not abs(result) < float("inf"):
        raise _wrong(value, key, "a finite number")
    return result


def _plain(part: Any) -> float:
    """A number, or a text with nothing but one.

    Raises:
        ValueError: for anything else.
    """
    number = cell_number(part) if isinstance(part, str) else part
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(part)
    return float(number)


def _whole(value: object, key: str, _: Origin) -> int:
    if isinstance(value, str) and re.match(r"\s*0\d", value):  # one of two parts of 1,024
        raise _wrong(value, key, "a whole number without a 0 before it")
    number = units.count(value, key)
    if number != int(number):
        raise _wrong(value, key, "a whole number")
    return int(number)


def _some(read: Parser) -> Parser:
    """Make a parser of one or more values from a parser of one: a list, or a text with commas."""

    def parser(value: object, key: str, origin: Origin) -> tuple[Any, ...]:
        if isinstance(value, str):
            parts: list[Any] = [part.strip() for part in value.strip("[]() ").split(",")]
        else:
            parts = list(value) if isinstance(value, (list, tuple)) else [value]
        if not parts:
            raise _wrong(value, key, "one value or more")
        return tuple(read(part, key, origin) for part in parts)

    return parser


def _amount(read: Callable[[object, str], float]) -> Parser:
    return lambda value, key, _: read(value, key)


def _share_or_path(value: object, key: str, origin: Origin) -> float | Located:
    """A utilisation: ``40%``, or a CSV of it by step."""
    if isinstance(value, (str, Path)) and Path(value).suffix.lower() in (".csv", ".tsv", ".txt"):
        return _located(value, key, origin)
    return units.fraction(value, key)


def _one_of(*known: str) -> Parser:
    def parser(value: object, key: str, origin: Origin) -> str:
        text = _text(value, key, origin)
        if text not in known:
            close = difflib.get_close_matches(text, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise InputError(f"{key} is {text!r}, which is unknown", hint=hint)
        return text

    return parser


_DATA: Mapping[str, Parser] = {
    "data": _located,
    "images": _located,
    "texts": _located,
    "tensors": _located,
    "labels": _located,
    "text_column": _text,
    "label_column": _text,
}
_PIPELINE: Mapping[str, Parser] = {
    "resize": _whole,
    "squash": _flag,
    "crop": _whole,
    "interpolation": _one_of(*get_args(Interpolation)),
    "mean": _some(_number),
    "std": _some(_number),
    "scale": _number,
    "channels": _whole,
    "layout": _one_of("NCHW", "NHWC"),
    "tokenizer": _located,
    "max_length": _whole,
    "group_by_length": _flag,
    "input_names": _some(_text),
    "max_pixels": _whole,
    "max_payload_bytes": _whole,
    "resize_width": _whole,
    "longest": _whole,
    "crop_width": _whole,
    "crop_middle": _one_of("rounded", "floored"),
    "offset": _number,
    "std_twice": _flag,
    "bgr": _flag,
    "exif_rotation": _flag,
    "padding_side": _one_of("left", "right"),
    "truncation_side": _one_of("left", "right"),
    "pad_token": _text,
}
_SECTIONS: Mapping[str, Mapping[str, Parser]] = {
    "": {"name": _text, "model": _located, "example_shape": _some(_whole), "priced_as": _text},
    "inputs": {**_DATA, **_PIPELINE},
    "baseline": {"engine": _text, "precision": _one_of(*get_args(Precision)), "batch": _whole},
    "traffic": {
        "trace": _located,
        "trace_kind": _one_of(*TRACE_KINDS),
        "trace_column": _text,
        "trace_time_column": _text,
        "trace_unit": _one_of(*UNITS),
        "trace_per": _one_of(*PERIODS),
        "trace_only": _text,
        "shape": _one_of(*sorted(SHAPES)),
        "per_month": _amount(units.count),
        "utilisation": _share_or_path,
    },
    "bill": {
        "offer": _text,
        "region": _text,
        "term": _one_of(*get_args(Term)),
        "usd_per_month": _amount(units.usd),
        "replicas": _whole,
        "fixed_fleet": _flag,
    },
    "objective": {
        **dict.fromkeys(LEVELS, _amount(units.duration_ms)),
        "metric": _located,
        "max_drop": _amount(units.fraction),
        "confidence": _amount(units.fraction),
        "min_saving": _amount(units.fraction),
        "budget": _amount(units.usd),
        "min_replicas": _whole,
    },
    "splits": {"search": _whole, "confirm": _whole},
    "calibration": _DATA,
}
_SHORT: Mapping[str, str] = {
    "inputs": "labels",
    "calibration": "labels",
    "baseline": "engine",
    "traffic": "trace",
    "bill": "usd_per_month",
}
"""The key that a section's value stands for when it is no mapping: ``bill: 10000``."""
_DATA_PATHS = frozenset(("data", "images", "texts", "tensors", "labels"))
_EITHER: Mapping[str, tuple[frozenset[str], ...]] = {
    "inputs": (_DATA_PATHS,),
    "calibration": (_DATA_PATHS,),
    "traffic": tuple(map(frozenset, (("trace", "shape"), ("utilisation", "trace"), ("utilisation", "per_month")))),
    "bill": (frozenset(("usd_per_month", "replicas")),),
    "objective": (frozenset(LEVELS),),
}
"""Keys of which a later source replaces all when it gives one."""
_PLACES: Mapping[str, tuple[str, str]] = {
    **{f"{section}_{key}": (section, key) for section, keys in _SECTIONS.items() if section for key in keys},
    **{key: (section, key) for section, keys in _SECTIONS.items() if section != "calibration" for key in keys},
}
FLAGS: tuple[str, ...] = tuple(sorted({*_PLACES, *_SHORT}))
"""Keys that may stand on the top level; on the command line ``--`` and a hyphen for each underscore."""


def sections() -> dict[str, tuple[str, ...]]:
    """List the keys of each section, the top level as ``""``."""
    return {section: tuple(keys) for section, keys in _SECTIONS.items()}


_LEVEL = re.compile(r"p\d+(\.\d+)?")


def _unknown(key: object, section: str, origin: Origin) -> InputError:
    if _LEVEL.fullmatch(str(key)) and section in ("", "objective"):
        return InputError(
            f"{key} in {origin.name} is no latency level that can be promised",
            hint=f"one of {', '.join(LEVELS)} (p99.9); for a higher one a run has too few requests",
        )
    known = sorted(_SECTIONS[section]) if section else sorted({*_PLACES, *_SECTIONS} - {""})
    close = difflib.get_close_matches(str(key), known, n=1)
    where = f"{section} of {origin.name}" if section else origin.name
    takes = ", ".join(known) if section else ", ".join([*_SECTIONS[""], *filter(None, _SECTIONS)])
    hint = f"did you mean {close[0]}?" if close else f"it takes {takes}"
    return InputError(f"unknown key {str(key)!r} in {where}", hint=hint)


def _sorted_into_sections(mapping: Mapping[Any, Any], origin: Origin) -> dict[str, dict[Any, Any]]:
    """Give every key its section; sections that are no mapping become their short form's key."""
    found: dict[str, dict[Any, Any]] = {section: {} for section in _SECTIONS}

    def put(section: str, key: Any, value: Any) -> None:
        if section == "traffic" and f"trace_{key}" in OF_TRACES:
            key = f"trace_{key}"
        if key not in _SECTIONS[section]:
            raise _unknown(key, section, origin)
        if key in found[section]:
            raise InputError(f"{origin.name} gives {section}.{key} twice: {found[section][key]!r} and {value!r}")
        found[section][key] = value

    for raw, value in mapping.items():
        key = raw.replace("-", "_") if isinstance(raw, str) else raw
        if key in _SECTIONS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                put(key, inner, inner_value)
        elif key in _SECTIONS and key in _SHORT:
            put(key, _SHORT[key], value)
        elif key in _SECTIONS:
            raise InputError(f"{key} of {origin.name} is {value!r}; it must hold keys: {', '.join(_SECTIONS[key])}")
        elif key in _PLACES:
            put(*_PLACES[key], value)
        else:
            raise _unknown(raw, "", origin)
    return found


def parse(mapping: Mapping[Any, Any], origin: Origin) -> Parsed:
    """Check every key and value, and turn values into numbers with their unit's factor applied.

    Args:
        mapping: As read from YAML or given as flags; a value of None counts as not given.
        origin: Where it comes from.

    Raises:
        InputError: for an unknown key (with the closest known one) or a value that cannot be read.
    """
    given = {key: value for key, value in mapping.items() if value is not None}
    return {
        section: {
            key: _SECTIONS[section][key](value, f"{section}.{key}" if section else key, origin)
            for key, value in values.items()
            if value is not None
        }
        for section, values in _sorted_into_sections(given, origin).items()
    }


def trace_asked(traffic: Mapping[str, Any]) -> TraceAsked:
    """What a parsed section of traffic says of how its trace is read."""
    return TraceAsked(**{key.removeprefix("trace_"): traffic[key] for key in OF_TRACES if key in traffic})


def merged(first: Parsed, then: Parsed) -> Parsed:
    """Values of the first source with those of a later one in their place."""
    result: Parsed = {}
    for section in _SECTIONS:
        new = then.get(section, {})
        gone = {key for group in _EITHER.get(section, ()) if group & new.keys() for key in group}
        gone |= OF_TRACES if section == "traffic" and "trace" in {*gone, *new} else set()
        result[section] = {k: v for k, v in first.get(section, {}).items() if k not in gone} | new
    return result
