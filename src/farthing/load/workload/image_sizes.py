"""Sizes in an image processor's settings: a number, a pair, or an object with edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farthing.errors import ModelError

__all__ = ["Size", "read_size"]

_SHAPES = ({"height", "width"}, {"shortest_edge"}, {"shortest_edge", "longest_edge"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What an image is resized or cropped to, in pixels: a short edge (and a bound on the long one), or both sides."""

    shortest: int | None = None
    longest: int | None = None
    height: int | None = None
    width: int | None = None


def read_size(value: object, key: str, file: str, square: bool | None) -> Size | None:
    """Read a size as transformers' ``get_size_dict`` does, None when there is none.

    Args:
        value: As in the file.
        key: For messages.
        file: Likewise.
        square: Whether one number means a square; else it is the short edge. None: it is not known.

    Raises:
        ModelError: when it has another form, or is not whole pixels.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        return _of_edges(value, key, file)
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise _wrong(value, key, file, "a pair is height and width")
        return Size(height=_pixels(value[0], key, file), width=_pixels(value[1], key, file))
    side = _pixels(value, key, file)
    if square is None:
        raise _wrong(value, key, file, f'{{"shortest_edge": {side}}}, or height and width: no class says which')
    return Size(height=side, width=side) if square else Size(shortest=side)


def _of_edges(edges: Mapping[str, object], key: str, file: str) -> Size:
    if set(edges) not in _SHAPES:
        raise _wrong(dict(edges), key, file, "height and width, or shortest_edge and perhaps longest_edge")
    found = {name.removesuffix("_edge"): _pixels(edge, f"{key}.{name}", file) for name, edge in edges.items()}
    return Size(**found)


def _pixels(value: object, key: str, file: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(value, key, file, "whole pixels, at least 1")
    return value


def _wrong(value: object, key: str, file: str, wanted: str) -> ModelError:
    return ModelError(f"{file}: {key} is {value!r}, which cannot be followed", hint=f"it takes {wanted}")
