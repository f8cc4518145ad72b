"""What a user may say about how a model is served: as flags, or in a ``serve.yaml`` with several models.

schema: farthing/serve/1
models:
  - {source: demo/plan.yaml, name: digits, max_delay: 2ms}
  - {source: sentiment/, engine: openvino, deadline: 50ms, memory: 1GiB}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from farthing.errors import EngineMissingError, InputError
from farthing.load import units
from farthing.load.schema import read_document
from farthing.nouns import Precision
from farthing.plugins import find
from farthing.plugins import names as plugin_names

__all__ = ["Entry", "Wishes", "as_name", "check_name", "check_tier_name", "read_serve_file", "read_wishes"]

NO_DEADLINE = float("inf")
"""``deadline: none``: requests that name none wait for as long as it takes."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_TIER_NAME = re.compile(r"(?![,=])[!-~](?:(?![,=])[!-~]){0,127}")
_VERSION = re.compile(r"[1-9]\d{0,8}")
_LARGEST_BATCH, _MOST_WORKERS, _MOST_THREADS = 4096, 1024, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a model is to be served, as far as the user said; None leaves it to the plan or the default.

    Attributes:
        name: In URLs.
        version: In URLs, digits.
        engine: Of :mod:`farthing.plugins`, installed.
        precision: What the engine is told to compute in.
        max_batch: Largest batch, 1 … 4,096.
        instances: Worker processes.
        threads: Of each worker.
        max_delay_s: How long a batch may wait to fill, ≥ 0.
        deadline_s: Of requests that name none; infinite for none.
        memory_mib: Of all workers together.
    """

    name: str | None = None
    version: str | None = None
    engine: str | None = None
    precision: Precision | None = None
    max_batch: int | None = None
    instances: int | None = None
    threads: int | None = None
    max_delay_s: float | None = None
    deadline_s: float | None = None
    memory_mib: float | None = None

    def over(self, first: Wishes) -> Wishes:
        """These wishes, and those of ``first`` where these say nothing."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return Wishes(**{k: getattr(first, k) if v is None else v for k, v in mine.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of a ``serve.yaml``.

    Attributes:
        source: Plan, file or folder, found from the file's own folder.
        wishes: What the file says about it.
    """

    source: Path
    wishes: Wishes


def _wrong(value: object, key: str, wanted: str) -> InputError:
    return InputError(f"{key} is {value!r}; it must be {wanted}")


def check_name(value: object, key: str) -> str:
    """A name that can stand in a URL.

    Raises:
        InputError: when it has other characters than letters, digits, ``. _ -``, starts with a dot or is too long.
    """
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise _wrong(value, key, "1 to 128 letters, digits, dots, underscores and hyphens, not starting with a dot")
    return value


def check_tier_name(value: object, key: str) -> str:
    """The name of a route's tier, which may be a model's as its makers write it (``mistralai/mixtral:8x7b``).

    Raises:
        InputError: when it has spaces, commas, equals signs or anything but printable ASCII, or is too long.
    """
    if not isinstance(value, str) or _TIER_NAME.fullmatch(value) is None:
        raise _wrong(value, key, "1 to 128 printable ASCII characters without spaces, commas and equals signs")
    return value


def as_name(text: str) -> str:
    """A name for URLs made of any text: other characters become hyphens; ``model`` when nothing is left."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".").strip("-")[:128] or "model"


def _version(value: object, key: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or _VERSION.fullmatch(str(value)) is None:
        raise _wrong(value, key, "a whole number from 1 on")
    return str(value)


def _engine(value: object, key: str) -> str:
    known = plugin_names("engines")
    if value not in known:
        close = difflib.get_close_matches(str(value), known, n=1)
        raise InputError(
            f"{key} is {value!r}, which is no engine",
            hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}",
        )
    name = str(value)
    missing = find("engines", name).missing()
    if missing is not None:
        raise EngineMissingError(f"{key} is {name}, which is not installed", hint=missing)
    return name


def _precision(value: object, key: str) -> str:
    if value not in get_args(Precision):
        raise _wrong(value, key, f"one of {', '.join(get_args(Precision))}")
    return str(value)


def _whole(most: int) -> Callable[[object, str], int]:
    def read(value: object, key: str) -> int:
        number = units.count(value, key)
        if number != int(number) or number > most:
            raise _wrong(value, key, f"a whole number from 1 to {most:,}")
        return int(number)

    return read


def _delay_s(value: object, key: str) -> float:
    if not isinstance(value, bool) and str(value).strip() in ("0", "0s", "0ms", "0us"):
        return 0.0
    return units.duration_ms(value, key) / 1000


def _deadline_s(value: object, key: str) -> float:
    return NO_DEADLINE if value == "none" else units.duration_ms(value, key) / 1000


_KEYS: Mapping[str, tuple[str, Callable[[object, str], Any]]] = {
    "name": ("name", check_name),
    "version": ("version", _version),
    "engine": ("engine", _engine),
    "precision": ("precision", _precision),
    "max_batch": ("max_batch", _whole(_LARGEST_BATCH)),
    "instances": ("instances", _whole(_MOST_WORKERS)),
    "threads": ("threads", _whole(_MOST_THREADS)),
    "max_delay": ("max_delay_s", _delay_s),
    "deadline": ("deadline_s", _deadline_s),
    "memory": ("memory_mib", units.memory_mib),
}


def read_wishes(given: Mapping[Any, Any], where: str = "") -> Wishes:
    """Check keys and values, and turn amounts (``2ms``, ``1GiB``) into numbers.

    Args:
        given: Values by key; None counts as not given.
        where: Put before a key in messages (``models[0].``).

    Raises:
        InputError: for an unknown key or a value that cannot be read; EngineMissingError for an engine that is not
            installed.
    """
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it takes source, {', '.join(_KEYS)}"
            raise InputError(f"unknown key {str(key)!r} in {where.rstrip('.') or 'the flags'}", hint=hint)
        if value is not None:
            target, read = _KEYS[key]
            found[target] = read(value, f"{where}{key}")
    return Wishes(**found)


def read_serve_file(path: Path) -> tuple[Entry, ...]:
    """Read a ``serve.yaml``; the sources that it names are looked for from its folder.

    Raises:
        InputError: when the file is unreadable, names no models, or has an unknown key or a bad value.
        SchemaError: when it is of another kind or newer.
    """
    data = read_document(path, "serve")
    unknown = sorted(map(str, data.keys() - {"models"}))
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r} in {path}", hint="it takes models: a list, one model an entry")
    models = data.get("models")
    if not isinstance(models, list) or not models:
        raise InputError(f"{path} names no models", hint="models: [{source: plan.yaml}]")
    return tuple(_entry(item, f"models[{k}]", path) for k, item in enumerate(models))


def _entry(item: object, where: str, path: Path) -> Entry:
    if not isinstance(item, dict):
        raise InputError(f"{where} of {path} is {item!r}, not keys and values", hint="- source: plan.yaml")
    rest = dict(item)
    source = rest.pop("source", None)
    if not isinstance(source, str) or not source.strip() or "\0" in source:
        raise InputError(f"{where}.source of {path} is {source!r}; it must be a path")
    return Entry(source=path.parent / source, wishes=read_wishes(rest, f"{where}."))
