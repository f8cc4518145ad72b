"""Names of classes as transformers keeps them: ``id2label`` of a configuration, in a file or on a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["classes_of_module", "in_index_order"]


def in_index_order(id2label: object) -> tuple[str, ...]:
    """Names by index; empty where some are missing, or all are placeholders (``LABEL_0`` …).

    Args:
        id2label: From index, a number or its text, to name; anything else counts as nothing.
    """
    names = id2label
    if not isinstance(names, Mapping) or not names or not all(str(k).isdigit() for k in names):
        return ()
    ordered = tuple(str(names[k]) for k in sorted(names, key=int))
    contiguous = sorted(int(k) for k in names) == list(range(len(names)))
    return () if not contiguous or all(n == f"LABEL_{k}" for k, n in enumerate(ordered)) else ordered


def classes_of_module(module: Any) -> tuple[str, ...]:
    """Names that a PyTorch module's own configuration has (``module.config.id2label``), else empty.

    What a module is made of is not asked: the part that a classifier was built upon may be a classifier of other
    classes.
    """
    config = getattr(module, "config", None)
    return in_index_order(config.get("id2label") if isinstance(config, Mapping) else getattr(config, "id2label", None))
