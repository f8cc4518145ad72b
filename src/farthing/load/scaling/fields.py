"""Fields of a manifest, each read as what it has to be, with its path in every message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farthing.errors import InputError
from farthing.load.scaling.quantities import QUANTITY, quantity_m

__all__ = ["Fields"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Keys and values at one place of a manifest.

    Attributes:
        file: It stands in.
        where: Path of the place, ``spec.metrics[0].resource``; empty at the top.
        data: As YAML gives them.
    """

    file: Path
    where: str
    data: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        return self.data.get(key) is not None

    def path(self, key: str) -> str:
        """Path of a field."""
        return f"{self.where}.{key}" if self.where else key

    def refused(self, key: str, why: str, hint: str | None = None) -> InputError:
        """What to raise about a field: ``hpa.yaml: spec.maxReplicas is 0; …``."""
        return InputError(f"{self.file}: {self.path(key)} {why}", hint=hint)

    def only(self, known: Iterable[str], instead: Mapping[str, str] | None = None) -> None:
        """Refuse a field that is not one of these.

        Args:
            known: Names.
            instead: What to write instead of fields that are known to be written here by mistake.

        Raises:
            InputError: with the field's path, and what was probably meant.
        """
        names = tuple(known)
        for key in self.data:
            if key in names:
                continue
            close = difflib.get_close_matches(str(key), names, n=1)
            meant = f"did you mean {close[0]}? " if close else ""
            hint = (instead or {}).get(key) or f"{meant}known here: {', '.join(names)}"
            raise self.refused(str(key), "is no field that is known there", hint)

    def whole(self, key: str, *, least: int, most: int | None = None) -> int:
        """A whole number within bounds.

        Raises:
            InputError: when it is missing, no whole number (``"10"`` is text) or out of bounds.
        """
        value = self.data.get(key)
        if value is None:
            raise self.refused(key, "is missing")
        if isinstance(value, bool) or not isinstance(value, int):
            hint = f"write {key}: {value}, without quotes" if isinstance(value, str) and value.isdigit() else None
            raise self.refused(key, f"is {value!r}, which is no whole number", hint)
        if value < least or (most is not None and value > most):
            bounds = f"≥ {least}" if most is None else f"within {least} and {most}"
            raise self.refused(key, f"is {value}; it must be {bounds}")
        return value

    def text(self, key: str, *, among: Iterable[str] = ()) -> str:
        """Text that is not empty.

        Raises:
            InputError: when it is missing, no text, or none of ``among``.
        """
        value = self.data.get(key)
        if value is None or value == "":
            raise self.refused(key, "is missing")
        if not isinstance(value, str):
            raise self.refused(key, f"is {value!r}, which Kubernetes does not take as text", f'write {key}: "{value}"')
        choices = tuple(among)
        if choices and value not in choices:
            raise self.refused(key, f"is {value!r}", f"one of {', '.join(choices)}, in these letters")
        return value

    def quantity_m(self, key: str, *, zero: bool = False) -> int:
        """Thousandths of a quantity, > 0.

        Raises:
            InputError: when it is missing, no quantity, negative, or 0 unless ``zero``.
        """
        value = self.data.get(key)
        if value is None:
            raise self.refused(key, "is missing")
        found = quantity_m(value)
        if found is None:
            raise self.refused(key, f"is {value!r}, which is no quantity", f"write {QUANTITY}")
        if found < 0 or (found == 0 and not zero):
            raise self.refused(key, f"is {value!r}; it must be {'≥' if zero else '>'} 0")
        return found

    def below(self, key: str) -> Fields:
        """The fields below one; none where it is missing.

        Raises:
            InputError: when it holds something else.
        """
        value = self.data.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.refused(key, f"is {value!r}, not fields below it")
        return Fields(file=self.file, where=self.path(key), data=value or {})

    def each(self, key: str) -> tuple[Fields, ...]:
        """The fields of each member of a list; none where it is missing.

        Raises:
            InputError: when it is no list of fields.
        """
        value = self.data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.refused(key, "is no list of fields", f"each member of {key} begins with a dash")
        return tuple(Fields(file=self.file, where=f"{self.path(key)}[{k}]", data=one) for k, one in enumerate(value))
