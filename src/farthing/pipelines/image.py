"""Encoded images to normalised tensors: decode, resize, crop, scale; one array a batch.

Resizing and cropping follow torchvision's ``Resize`` (antialiased, on bytes) and ``CenterCrop``, or transformers' image
processors where a ``preprocessor_config.json`` says so; the numbers come from one table for the 256 bytes of a channel.
JPEG's draft mode would be quicker but gives other pixels, so it is not used. An alpha channel is dropped, of several
frames the first is taken. EXIF orientation is applied where the spec says so: transformers turns files upright when it
opens them, torchvision's ``ImageFolder`` does not.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from farthing.errors import DataError
from farthing.nouns import IMAGE_FORMATS, PipelineSpec, TensorSpec
from farthing.pipelines.geometry import cropped, resized
from farthing.pipelines.inputs import chosen_inputs, describe, fits, numpy_dtype
from farthing.pipelines.pixel_values import value_table

__all__ = ["ImageBatches", "ImagePipeline"]


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
        return ImageBatches(spec=spec, values=value_table(spec))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatches:
    """Turns encoded images into one tensor.

    Attributes:
        spec: How.
        values: Number of each byte in each channel, shape ``(channels, 256)``.
    """

    spec: PipelineSpec
    values: NDArray[np.float32]

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
        for k, payload in enumerate(payloads):
            pixels = first if k == 0 else self._pixels(payload, k)
            if pixels.shape != first.shape:
                raise DataError(
                    f"image {k} of the batch has {pixels.shape[1]} × {pixels.shape[0]} pixels, "
                    f"image 0 has {first.shape[1]} × {first.shape[0]}",
                    hint="give inputs.resize and inputs.crop so that all images get the same size",
                )
            self._look_up(pixels, batch[k])
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
                upright = ImageOps.exif_transpose(image) if spec.exif_rotation else image
                decoded = upright.convert("L" if spec.channels == 1 else "RGB")
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
            raise DataError(f"image {k} of the batch is too large: {e}; the limit is {spec.max_pixels:,}") from e
        except (DataError, MemoryError):
            raise
        except Exception as e:  # damaged files raise what they like in Pillow's plug-ins, TypeError included
            why = "it is of no known format" if isinstance(e, UnidentifiedImageError) else e  # whose text is an address
            raise DataError(f"image {k} of the batch ({size:,} bytes) cannot be decoded: {why}") from e
        pixels: NDArray[np.uint8] = np.asarray(cropped(resized(decoded, spec), spec))
        if pixels.ndim == 2:
            return pixels[:, :, None]
        return pixels[:, :, ::-1] if spec.bgr else pixels

    def _empty(self, n: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        height, width, channels = shape
        nchw = self.spec.layout == "NCHW"
        return np.empty((n, channels, height, width) if nchw else (n, height, width, channels), dtype=np.float32)

    def _look_up(self, pixels: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Fill one image of the batch with the numbers of its bytes."""
        planes = out if self.spec.layout == "NCHW" else out.transpose(2, 0, 1)
        for channel, (values, plane) in enumerate(zip(self.values, planes, strict=True)):
            plane[...] = values[pixels[:, :, channel]]

    def _typed(self, batch: NDArray[np.float32], target: TensorSpec) -> NDArray[Any]:
        """Bring the batch into the model's own type; bytes only where nothing was scaled."""
        dtype = np.dtype(numpy_dtype(target))
        if dtype == batch.dtype:
            return batch
        if dtype.kind == "f":
            return batch.astype(dtype)
        plain = bool((self.values == np.arange(256)).all())
        if dtype == np.uint8 and plain:
            return batch.astype(dtype)
        raise DataError(
            f"the model's input is {describe(target)}, but the pipeline makes {'bytes' if plain else 'scaled numbers'}",
            hint="for a model that normalises bytes itself: inputs.scale 1, mean 0, std 1",
        )
