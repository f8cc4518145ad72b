"""The documents that farthing reads and writes: each says its kind and version in ``schema: farthing/<kind>/<n>``.

Older versions are migrated on reading, one step at a time; newer ones are refused with both versions named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import yaml

from farthing.codec import from_plain
from farthing.errors import InputError, SchemaError
from farthing.load.migrations import MIGRATIONS
from farthing.load.nearest import nearest

__all__ = ["MIGRATIONS", "VERSIONS", "as_noun", "kind_of", "read_document", "read_documents", "read_noun", "stamp"]

T = TypeVar("T")

VERSIONS: Mapping[str, int] = {
    "baseline": 2,
    "evidence": 1,
    "first-look": 1,
    "plan": 3,
    "prices": 1,
    "profile": 1,
    "route": 1,
    "scaling": 1,
    "serve": 1,
    "served-model": 1,
    "tiers": 1,
    "verification": 2,
    "workload": 1,
    "workload-resolved": 2,
}
"""Newest version of each kind that this farthing reads and writes."""
_STAMP = re.compile(r"farthing/([a-z_-]+)/([1-9]\d{0,5})")
_MAX_MIB = 256
_SHOWN = 5
_WORDS = {list: "a list", str: "text", int: "a number", float: "a number", bool: "yes or no"}
_NOT_AS_IT_LOOKS = re.compile(r"[+-]?+(?:0[\d_]+|.*:.*|(?!0x|0b)(?!\d{1,3}(?:_\d{3})+(?:\.|$)).*_.*)", re.ASCII)
"""Octal with a leading zero, base 60, and underscores that do not separate thousands."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_LOADER):  # type: ignore[misc]
    """Safe YAML without duplicate keys, which YAML itself forbids and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        result: dict[Any, Any] = super().construct_mapping(node, deep)
        return result

    def plain_number(self, node: yaml.ScalarNode) -> int | float:
        """A number that means what it looks like: in YAML 1.1 ``1:30`` is ninety and ``010`` is eight."""
        if _NOT_AS_IT_LOOKS.fullmatch(node.value):
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value} is no number as it is written everywhere: write it in decimal, or quote it",
                node.start_mark,
            )  # fmt: skip
        read = self.construct_yaml_int if node.tag.endswith("int") else self.construct_yaml_float
        number: int | float = read(node)
        return number


for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _StrictLoader.plain_number)


def stamp(kind: str) -> str:
    """Make the schema line of the newest version of a kind: ``farthing/plan/3``."""
    return f"farthing/{kind}/{VERSIONS[kind]}"


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MAX_MIB * 2**20:
            raise InputError(f"{path} has {size / 2**20:,.0f} MiB; the limit for a document is {_MAX_MIB} MiB")
        return path.read_text(encoding="utf-8")
    except OSError as e:
        hint = nearest(path) if isinstance(e, FileNotFoundError) else None
        raise InputError(f"cannot read {path}: {e.strerror or e}", hint=hint) from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 text (byte {e.start})") from e


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        data = json.loads(text) if path.suffix.lower() == ".json" else yaml.load(text, _StrictLoader)  # noqa: S506 — safe
    except (json.JSONDecodeError, yaml.YAMLError, RecursionError, ValueError) as e:
        raise InputError(f"{path} is no valid {'JSON' if path.suffix.lower() == '.json' else 'YAML'}: {e}") from e
    if not isinstance(data, dict):
        what = "is empty" if data is None else f"holds {_WORDS.get(type(data), 'a value')}"
        raise InputError(f"{path} {what}, not keys and values")
    return data


def read_documents(path: Path) -> tuple[dict[str, Any], ...]:
    """Read every document of a YAML or JSON file that is not farthing's own, by safe load and without duplicate keys.

    Args:
        path: ``.json`` is read as JSON, anything else as YAML, where ``---`` parts documents; empty ones are left out.

    Raises:
        InputError: when the file is missing or unreadable, or a document is no keys and values.
    """
    if path.suffix.lower() == ".json":
        return (_parse(path),)
    text = _text(path)
    try:
        found = list(yaml.load_all(text, _StrictLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        hint = "a template has to be filled in first: `helm template`, `kustomize build`" if "{{" in text else None
        raise InputError(f"{path} is no valid YAML: {e}", hint=hint) from e
    for number, data in enumerate(found, start=1):
        if data is not None and not isinstance(data, dict):
            what = _WORDS.get(type(data), "a value")
            raise InputError(f"{path} holds {what} as document {number}, not keys and values")
    return tuple(data for data in found if data is not None)


def kind_of(path: Path) -> str:
    """Kind of a document as its schema line says, empty when it has none; the version is not looked at.

    Raises:
        InputError: when the file is missing, unreadable or no document.
    """
    line = _parse(path).get("schema")
    found = _STAMP.fullmatch(line) if isinstance(line, str) else None
    return found[1] if found else ""


def read_document(path: Path, kind: str) -> dict[str, Any]:
    """Read a YAML or JSON document of one kind, migrated to its newest version, without its schema line.

    Args:
        path: ``.json`` is read as JSON, anything else as YAML (by safe load).
        kind: One of :data:`VERSIONS`.

    Raises:
        InputError: when the file is missing, unreadable or no document.
        SchemaError: when its schema is missing, of another kind or newer than this farthing.
    """
    data = _parse(path)
    line = data.pop("schema", None)
    found = _STAMP.fullmatch(line) if isinstance(line, str) else None
    if found is None:
        said = "has no schema" if line is None else f"has the unknown schema {line!r}"
        raise SchemaError(f"{path} {said}", hint=f"its first line should be `schema: {stamp(kind)}`")
    if found[1] != kind:
        raise SchemaError(f"{path} is a {found[1]}, not a {kind} ({line})", hint=f"expected {stamp(kind)}")
    version, newest = int(found[2]), VERSIONS[kind]
    if version > newest:
        raise SchemaError(
            f"{path} has version {version} of farthing/{kind}; this farthing reads up to version {newest}",
            hint="pip install -U farthing",
        )
    for n in range(version, newest):
        data = MIGRATIONS[kind, n](data)
    return data


def read_noun(path: Path, kind: str, noun: type[T], *, written_by: str) -> T:
    """Read a document that farthing wrote, as the noun that it holds.

    Args:
        path: As :func:`read_document` takes it.
        kind: One of :data:`VERSIONS`.
        noun: What the document is made of.
        written_by: The command that writes it, for the hint.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is of another kind or newer, or keys are missing, unknown or of the wrong type.
    """
    return as_noun(path, kind, noun, read_document(path, kind), written_by=written_by)


def as_noun(path: Path, kind: str, noun: type[T], data: Mapping[str, Any], *, written_by: str) -> T:
    """What a document holds as the noun that it is made of.

    Args:
        path: Where it was read, for the message.
        kind: One of :data:`VERSIONS`.
        noun: What the document is made of.
        data: Migrated to the newest version.
        written_by: The command that writes it, for the hint.

    Raises:
        SchemaError: when keys are missing, unknown or of the wrong type.
    """
    try:
        return from_plain(noun, data)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as e:
        problems = cattrs.transform_error(e, path=kind)
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise SchemaError(
            f"{path} is no valid {kind}: {'; '.join(problems[:_SHOWN])}{more}",
            hint=f"it is written by `{written_by}`; a changed one must keep every key",
        ) from e
