"""Folders with a preprocessor_config.json each, in the shapes that published models have, and what fills them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["CONFIGS", "picture", "write_config"]

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def _of(name: str, **settings: Any) -> dict[str, Any]:
    return {"image_processor_type": f"{name}ImageProcessor", **settings}


CONFIGS: dict[str, dict[str, Any]] = {
    "ViT, size as a number": _of("ViT", size=16, resample=2, **_HALF),
    "ViT, fast class, size as a pair": _of("ViT", size=[12, 20]) | {"image_processor_type": "ViTImageProcessorFast"},
    "ViT, height and width": _of("ViT", size={"height": 18, "width": 13}),
    "ViT, class defaults": _of("ViT"),
    "ViT, null is nothing": _of("ViT", size=16, do_resize=None, resample=None, do_normalize=None, image_mean=None),
    "ViT, shortest edge": _of("ViT", size={"shortest_edge": 24}, do_center_crop=True, crop_size=15),
    "ViT, shortest and longest edge": _of("ViT", size={"shortest_edge": 24, "longest_edge": 30}),
    "ViT, scalar mean": _of("ViT", size=16, image_mean=0.5, image_std=0.25),
    "ViT, no rescaling, means in bytes": _of(
        "ViT", size=16, do_rescale=False, image_mean=[127.5] * 3, image_std=[64] * 3
    ),
    "ViT, nothing but bytes": _of("ViT", size=16, do_rescale=False, do_normalize=False),
    "ViT, another factor": _of("ViT", size=16, rescale_factor=1 / 127.5, do_normalize=False),
    "ViT, neither resized nor cropped": _of("ViT", do_resize=False),
    "ViT, settings of others": _of("ViT", size=16, crop_pct=0.9, do_flip_channel_order=True, size_divisor=32),
    "ViT, padding that adds nothing": _of("ViT", size=16, do_pad=True, pad_size={"height": 16, "width": 16}),
    "ViT, padding to nowhere": _of("ViT", size=16, do_pad=True),
    "ViT, a number is an edge": _of("ViT", size=16, default_to_square=False),
    "ViT, a number and null": _of("ViT", size=16, default_to_square=None),
    "ViT, feature extractor of old": {"feature_extractor_type": "ViTFeatureExtractor", "size": 16},
    "nearest": _of("ViT", size=16, resample=0),
    "lanczos": _of("ViT", size=16, resample=1),
    "box": _of("ViT", size=16, resample=4),
    "hamming": _of("ViT", size=16, resample=5),
    "DeiT": _of("DeiT", size=20, crop_size={"height": 17, "width": 17}, **_IMAGENET),
    "DeiT, class defaults": _of("DeiT"),
    "DeiT, a crop that pads": _of("DeiT", size=20, crop_size={"height": 27, "width": 12}),
    "BEiT": _of("Beit", size=16, do_center_crop=True, crop_size=[13, 15], do_reduce_labels=True),
    "CLIP": _of("CLIP", size=24, crop_size=20, do_convert_rgb=True),
    "CLIP, edges": _of("CLIP", size={"shortest_edge": 23}, crop_size={"height": 20, "width": 20}),
    "CLIP, odd remainders": _of("CLIP", size={"shortest_edge": 23}, crop_size=16),
    "CLIP, square": _of("CLIP", use_square_size=True),
    "SigLIP": _of("Siglip", size={"height": 16, "width": 16}),
    "BLIP": _of("Blip", size={"height": 18, "width": 18}),
    "BiT for DINOv2": _of("Bit", size={"shortest_edge": 26}, crop_size={"height": 22, "width": 22}, **_IMAGENET),
    "ConvNeXt below 384": _of("ConvNext", size={"shortest_edge": 24}, crop_pct=0.875, **_IMAGENET),
    "ConvNeXt, size as a number": _of("ConvNext", size=24),
    "ConvNeXt, another share": _of("ConvNext", size={"shortest_edge": 24}, crop_pct=0.95, resample=2),
    "ConvNeXt from 384 on": _of("ConvNext", size={"shortest_edge": 384}),
    "MobileViT": _of("MobileViT", size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}, resample=2),
    "MobileViT, a number": _of("MobileViT", size=20, crop_size=17, do_flip_channel_order=True, do_normalize=True),
    "MobileViT, RGB": _of("MobileViT", size=20, crop_size=30, do_flip_channel_order=False),
    "EfficientNet": _of("EfficientNet", size={"height": 18, "width": 18}, resample=0, **_IMAGENET),
    "EfficientNet, no top": _of("EfficientNet", size=18, include_top=False),
    "EfficientNet, top alone": _of("EfficientNet", size=18, do_normalize=False, include_top=True),
    "EfficientNet, offset": _of(
        "EfficientNet", size=18, rescale_factor=1 / 127.5, rescale_offset=True, include_top=False
    ),
    "EfficientNet, offset and crop that pads": _of(
        "EfficientNet", size=18, rescale_factor=1 / 127.5, rescale_offset=True, do_center_crop=True, crop_size=21
    ),
    "LeViT": _of("Levit", size={"shortest_edge": 21}, crop_size={"height": 21, "width": 21}),
    "LeViT, both sides": _of("Levit", size={"height": 21, "width": 25}, do_center_crop=False),
    "MobileNet v1": _of("MobileNetV1", size={"shortest_edge": 25}, crop_size={"height": 21, "width": 21}),
    "MobileNet v2": _of("MobileNetV2", size={"shortest_edge": 25}, crop_size={"height": 20, "width": 20}),
    "PVT": _of("Pvt", size={"height": 18, "width": 18}),
    "SegFormer ignores a crop": _of("Segformer", size=16, do_center_crop=True, crop_size=9),
    "OWL-ViT": _of("OwlViT", size=[20, 20]),
    "Chinese CLIP": _of("ChineseCLIP", size={"shortest_edge": 24}, crop_size=[20, 22]),
    "by model type": {"size": 24, "do_center_crop": False, "model_type": "resnet"},
    "nested in processor_config.json": {"nested": _of("ViT", size=16, resample=3)},
}
"""Settings by what they are about; ``model_type`` goes to config.json, ``nested`` to processor_config.json."""


def write_config(folder: Path, settings: dict[str, Any]) -> Path:
    """Write the files of one entry."""
    settings = dict(settings)
    config = {"model_type": settings.pop("model_type")} if "model_type" in settings else {"model_type": "vit"}
    (folder / "config.json").write_text(json.dumps(config))
    if "nested" in settings:
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings["nested"]}))
        settings = _of("CLIP", size=3)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def picture(
    width: int = 33, height: int = 28, mode: str = "RGB", form: str = "PNG", orientation: int | None = None
) -> bytes:
    """Noise as an encoded image."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, bands), dtype=np.uint8)
    image = Image.frombytes(mode, (width, height), noise.tobytes())
    if mode == "P":
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, form, **({"exif": exif} if orientation is not None else {}))
    return out.getvalue()
