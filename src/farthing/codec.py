"""Nouns ⇄ plain dicts and lists, as JSON and YAML want them. Pure: no file is touched."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from farthing.nouns import Backend, Candidate, LatencyBound, Objective, PipelineSpec, Trace

__all__ = ["from_plain", "to_plain", "to_sparse"]

T = TypeVar("T")


def _float(value: float) -> float | str:
    """Infinity has no JSON spelling; it travels as ``"inf"`` and comes back through ``float``. A zero has no sign."""
    return value + 0.0 if math.isfinite(value) else str(value)


DIGITS = 10
"""Significant digits of a float for readers: half a millionth of a dollar in $10,000."""
_EXPLICIT = (Backend, Candidate, LatencyBound, Objective, PipelineSpec)
"""Nouns that a reader sees whole: what they say may not hang on a default."""


def _short(value: float) -> float | str:
    """A float for readers."""
    return _float(float(f"{value:.{DIGITS}g}"))


def _converter(*, sparse: bool = False) -> Converter:
    c = Converter(forbid_extra_keys=True, omit_if_default=sparse)
    c.register_unstructure_hook(float, _short if sparse else _float)
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
    for noun in _EXPLICIT if sparse else ():
        c.register_unstructure_hook(noun, make_dict_unstructure_fn(noun, c, _cattrs_omit_if_default=False))
    return c


_CONVERTER, _SPARSE = _converter(), _converter(sparse=True)


def to_plain(noun: Any) -> Any:
    """A noun as dicts, lists, strings and numbers."""
    return _CONVERTER.unstructure(noun)


def to_sparse(noun: Any) -> Any:
    """The same for readers: floats with ten digits, without fields that have their default.

    :func:`from_plain` reads it; what is promised, planned and prepared keeps every field.
    """
    return _SPARSE.unstructure(noun)


def from_plain(kind: type[T], data: Any) -> T:
    """The noun again.

    Raises:
        cattrs.BaseValidationError: when keys are missing, unknown or of the wrong type.
    """
    return _CONVERTER.structure(data, kind)
