"""Nouns ⇄ plain dicts and lists, as JSON and YAML want them. Pure: no file is touched."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from farthing.nouns import Trace

__all__ = ["from_plain", "to_plain"]

T = TypeVar("T")


def _float(value: float) -> float | str:
    """Infinity has no JSON spelling; it travels as ``"inf"`` and comes back through ``float``. A zero has no sign."""
    return value + 0.0 if math.isfinite(value) else str(value)


def _converter() -> Converter:
    c = Converter(forbid_extra_keys=True)
    c.register_unstructure_hook(float, _float)
    c.register_structure_hook(float, lambda v, _: float(v))
    c.register_unstructure_hook(Path, str)
    for stamp in (datetime, date):
        c.register_unstructure_hook(stamp, lambda v: v.isoformat())
    c.register_structure_hook(datetime, lambda v, _: v if isinstance(v, datetime) else datetime.fromisoformat(v))
    c.register_structure_hook(date, lambda v, _: v if isinstance(v, date) else date.fromisoformat(v))
    trace = make_dict_unstructure_fn(Trace, c)
    c.register_unstructure_hook(Trace, lambda t: {**trace(t), "counts": [float(x) for x in t.counts]})
    c.register_structure_hook_func(
        lambda t: getattr(t, "__origin__", None) is np.ndarray or t is np.ndarray,
        lambda v, _: np.asarray(v, dtype=np.float64),
    )
    return c


_CONVERTER = _converter()


def to_plain(noun: Any) -> Any:
    """A noun as dicts, lists, strings and numbers."""
    return _CONVERTER.unstructure(noun)


def from_plain(kind: type[T], data: Any) -> T:
    """The noun again.

    Raises:
        cattrs.BaseValidationError: when keys are missing, unknown or of the wrong type.
    """
    return _CONVERTER.structure(data, kind)
