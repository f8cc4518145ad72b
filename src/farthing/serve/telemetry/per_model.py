"""Something kept for each model, found fast on every request, kept over reloads of the same version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from farthing.serve.pricing import pricing
from farthing.wire.requests import LiveModel

__all__ = ["PerModel"]

T = TypeVar("T")
_MOST_LIVE = 64


class PerModel(Generic[T]):
    """One ``T`` for each name, version and offer.

    Models are compared by identity first; those that were unloaded are let go of, what was kept for them is not.

    Args:
        make: Called with a model the first time that its name, version and offer are seen.
    """

    def __init__(self, make: Callable[[LiveModel], T]) -> None:
        self._make = make
        self._live: dict[LiveModel, T] = {}
        self.seen = self._live.get
        """What is kept for a model that was asked for before, else None; the fast way."""
        self._kept: dict[tuple[str, str, str | None], T] = {}

    def __getitem__(self, model: LiveModel) -> T:
        try:
            return self._live[model]
        except KeyError:
            return self._first(model)

    def _first(self, model: LiveModel) -> T:
        if len(self._live) >= _MOST_LIVE:
            for gone in [m for m in self._live if m.state == "unloaded"]:
                del self._live[gone]
        key = (model.spec.name, model.spec.version, pricing(model.spec).key)
        if key not in self._kept:
            self._kept[key] = self._make(model)
        self._live[model] = kept = self._kept[key]
        return kept

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)
