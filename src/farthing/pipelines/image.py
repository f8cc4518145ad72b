"""Encoded images to normalised tensors: decode, resize, crop, scale; one array a batch.

Resizing and cropping follow torchvision's ``Resize`` (antialiased, on bytes) and ``CenterCrop``; scale, mean and
standard deviation are one multiplication and one addition in float32, which differs from doing them one after the
other by rounding only. JPEG's draft mode would be quicker but gives other pixels, so it is not used. Orientation
tags are not applied, an alpha channel is dropped, of several frames the first is taken; so do training pipelines.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from farthing.errors import DataError
from farthing.nouns import IMAGE_FORMATS, PipelineSpec, TensorSpec
from farthing.pipelines.inputs import chosen_inputs, describe, fits, numpy_dtype

__all__ = ["ImageBatches", "ImagePipeline"]

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class ImagePipeline:
    """Opens image pipelines."""

    def open(self, spec: PipelineSpec) -> ImageBatches:
        """Make a pipeline ready for batches.

        Raises:
            DataError: when mean and std have neither one value nor one a channel.
        """
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            if len(values) not in (1, spec.channels):
                raise DataError(f"inputs.{name} has {len(values)} values for {spec.channels} channels")
        scale = (spec.scale / np.array(spec.std, dtype=np.float64)).astype(np.float32)
        shift = (-np.array(spec.mean, dtype=np.float64) / np.array(spec.std, dtype=np.float64)).astype(np.float32)
        return ImageBatches(
            spec=spec, scale=np.broadcast_to(scale, spec.channels), shift=np.broadcast_to(shift, spec.channels)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatches:
    """Turns encoded images into one tensor.

    Attributes:
        spec: How.
        scale: Factor of each channel, shape ``(channels,)``.
        shift: Added to each channel afterwards, shape ``(channels,)``.
    """

    spec: PipelineSpec
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]

    def lengths(self, payloads: Sequence[Any]) -> None:
        """None: all images are alike after resizing."""

    def __call__(self, payloads: Sequence[Any], inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
        """Decode and normalise one batch.

        Args:
            payloads: Encoded images (bytes).
            inputs: The model's inputs; the image goes to the first, or to the one that the spec names.

        Raises:
            DataError: when an image is unreadable or over a limit, sizes differ, or the model wants another shape.
        """
        if not payloads:
            raise DataError("a batch without images")
        target = self._target(inputs)
        first = self._pixels(payloads[0], 0)
        batch = self._empty(len(payloads), first.shape)
        if not fits(target, batch.shape):
            raise DataError(
                f"the pipeline makes {'×'.join(map(str, batch.shape[1:]))} ({self.spec.layout}) images, "
                f"but the model's input is {describe(target)}",
                hint="inputs.resize, inputs.crop, inputs.channels and inputs.layout decide the shape",
            )
        scale, shift = self._affine(first.shape[1])
        for k, payload in enumerate(payloads):
            pixels = first if k == 0 else self._pixels(payload, k)
            if pixels.shape != first.shape:
                raise DataError(
                    f"image {k} of the batch has {pixels.shape[1]} × {pixels.shape[0]} pixels, "
                    f"image 0 has {first.shape[1]} × {first.shape[0]}",
                    hint="give inputs.resize and inputs.crop so that all images get the same size",
                )
            self._normalise(pixels, batch[k], scale, shift)
        return {target.name: self._typed(batch, target)}

    def _target(self, inputs: Sequence[TensorSpec]) -> TensorSpec:
        chosen = chosen_inputs(inputs, self.spec.input_names)
        if len(chosen) != 1:
            said = ", ".join(describe(spec) for spec in chosen) or "none"
            raise DataError(f"an image fills one input, the model has {said}", hint="inputs.input_names: names it")
        return chosen[0]

    def _pixels(self, payload: Any, k: int) -> NDArray[np.uint8]:
        """Bytes of one image after resizing and cropping, shape ``(height, width, channels)``."""
        spec = self.spec
        size = len(payload)
        if size > spec.max_payload_bytes:
            raise DataError(f"image {k} of the batch has {size:,} bytes; the limit is {spec.max_payload_bytes:,}")
        try:
            with Image.open(io.BytesIO(payload), formats=IMAGE_FORMATS) as image:
                if image.width * image.height > spec.max_pixels:
                    raise DataError(
                        f"image {k} of the batch has {image.width:,} × {image.height:,} pixels; "
                        f"the limit is {spec.max_pixels:,}",
                        hint="make it smaller, or raise inputs.max_pixels",
                    )
                if image.mode.startswith(("I", "F")):
                    raise DataError(
                        f"image {k} of the batch has {image.mode} pixels; 8 bits a channel are needed",
                        hint="convert it to 8 bits",
                    )
                decoded = image.convert("L" if spec.channels == 1 else "RGB")
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
            raise DataError(f"image {k} of the batch is too large: {e}; the limit is {spec.max_pixels:,}") from e
        except (DataError, MemoryError):
            raise
        except Exception as e:  # damaged files raise what they like in Pillow's plug-ins, TypeError included
            why = "it is of no known format" if isinstance(e, UnidentifiedImageError) else e  # whose text is an address
            raise DataError(f"image {k} of the batch ({size:,} bytes) cannot be decoded: {why}") from e
        pixels: NDArray[np.uint8] = np.asarray(_cropped(_resized(decoded, spec), spec.crop))
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def _empty(self, n: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        height, width, channels = shape
        nchw = self.spec.layout == "NCHW"
        return np.empty((n, channels, height, width) if nchw else (n, height, width, channels), dtype=np.float32)

    def _affine(self, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scale and shift in the form that multiplies one image of the layout in long runs."""
        if self.spec.layout == "NCHW":
            return self.scale[:, None, None], self.shift[:, None, None]
        return np.tile(self.scale, width), np.tile(self.shift, width)

    def _normalise(
        self,
        pixels: NDArray[np.uint8],
        out: NDArray[np.float32],
        scale: NDArray[np.float32],
        shift: NDArray[np.float32],
    ) -> None:
        if self.spec.layout == "NCHW":
            out[...] = pixels.transpose(2, 0, 1)
        else:
            out[...] = pixels
            out = out.reshape(out.shape[0], -1)
        out *= scale
        out += shift

    def _typed(self, batch: NDArray[np.float32], target: TensorSpec) -> NDArray[Any]:
        """Bring the batch into the model's own type; bytes only where nothing was scaled."""
        dtype = np.dtype(numpy_dtype(target))
        if dtype == batch.dtype:
            return batch
        if dtype.kind == "f":
            return batch.astype(dtype)
        plain = bool((self.scale == 1).all() and (self.shift == 0).all())
        if dtype == np.uint8 and plain:
            return batch.astype(dtype)
        raise DataError(
            f"the model's input is {describe(target)}, but the pipeline makes {'bytes' if plain else 'scaled numbers'}",
            hint="for a model that normalises bytes itself: inputs.scale 1, mean 0, std 1",
        )


def _resized(image: Image.Image, spec: PipelineSpec) -> Image.Image:
    if spec.resize is None:
        return image
    width, height = image.size
    if spec.squash:
        size = (spec.resize, spec.resize)
    elif width <= height:
        size = (spec.resize, int(spec.resize * height / width))
    else:
        size = (int(spec.resize * width / height), spec.resize)
    if max(size) * min(size) > spec.max_pixels:
        raise DataError(
            f"an image of {width:,} × {height:,} pixels would be resized to {size[0]:,} × {size[1]:,}; "
            f"the limit is {spec.max_pixels:,} pixels"
        )
    return image if size == image.size else image.resize(size, _FILTERS[spec.interpolation])


def _cropped(image: Image.Image, side: int | None) -> Image.Image:
    """Cut out the middle; where the image is smaller, black around it."""
    if side is None or image.size == (side, side):
        return image
    left = round((image.width - side) / 2)
    top = round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))
