"""Resizing and centre crops of decoded images, to the pixel as torchvision or transformers do them."""

from __future__ import annotations

from PIL import Image

from farthing.errors import DataError
from farthing.nouns import PipelineSpec

__all__ = ["cropped", "resized", "target_size"]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def target_size(width: int, height: int, spec: PipelineSpec) -> tuple[int, int]:
    """``(width, height)`` in pixels that an image is resized to.

    The short side becomes ``resize`` and the long side is rounded down, as torchvision's ``Resize`` has it; with
    ``longest`` as transformers' ``get_size_with_aspect_ratio`` has it.
    """
    if spec.resize is None:
        return width, height
    if spec.squash:
        return spec.resize_width or spec.resize, spec.resize
    short, side = float(spec.resize), spec.resize
    least, most = min(width, height), max(width, height)
    if spec.longest is not None and most / least * spec.resize > spec.longest:
        short = spec.longest * least / most
        side = round(short)
    if least == side:
        return width, height
    long = int(short * most / least)
    return (side, long) if width <= height else (long, side)


def resized(image: Image.Image, spec: PipelineSpec) -> Image.Image:
    """The image in the size that the spec asks for.

    Raises:
        DataError: when that size is over the limit on pixels, or nothing.
    """
    width, height = image.size
    size = target_size(width, height, spec)
    if size[0] * size[1] > spec.max_pixels or min(size) < 1:
        raise DataError(
            f"an image of {width:,} × {height:,} pixels would be resized to {size[0]:,} × {size[1]:,}; "
            f"the limit is {spec.max_pixels:,} pixels"
        )
    return image if size == image.size else image.resize(size, _FILTERS[spec.interpolation])


def cropped(image: Image.Image, spec: PipelineSpec) -> Image.Image:
    """Cut out the middle; where the image is smaller, black around it."""
    if spec.crop is None:
        return image
    wanted = (spec.crop_width or spec.crop, spec.crop)
    if image.size == wanted:
        return image
    floored = spec.crop_middle == "floored"
    left, top = (_start(have, want, floored) for have, want in zip(image.size, wanted))
    return image.crop((left, top, left + wanted[0], top + wanted[1]))


def _start(have: int, want: int, floored: bool) -> int:
    """First pixel of a crop, negative where the image is smaller."""
    if floored:
        return (have - want) // 2
    return round((have - want) / 2) if have >= want else -((want - have) // 2)
