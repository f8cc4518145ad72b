"""``preprocessor_config.json`` as transformers reads it, class by class, as the fields of an image pipeline.

What the file leaves out is the default of its class; null is nothing, as false is. A setting that the class does not
read changes nothing in transformers and nothing here; one that it reads and that cannot be followed is refused by name.
The truth is transformers 5 with its Pillow back end, given a file (``load_image``): turned upright by EXIF, made RGB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farthing.errors import ModelError
from farthing.load.json_files import json_object
from farthing.load.workload.image_sizes import Size, read_size

__all__ = ["PROCESSORS", "TYPES", "has_image_processor", "image_settings"]

_HALF, _CLIP_MEAN = [0.5, 0.5, 0.5], [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_BILINEAR, _BICUBIC = 2, 3
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Names of Pillow's resampling filters by their number."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _short(side: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "default_to_square": False}


_BASE: Mapping[str, Any] = {
    "do_resize": True,
    "size": _square(224),
    "default_to_square": True,
    "resample": _BICUBIC,
    "do_center_crop": False,
    "crop_size": None,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": _HALF,
    "image_std": _HALF,
    "do_pad": False,
    "pad_size": None,
}
_CROPPED = {"do_center_crop": True, "crop_size": _square(224)}
_CLIP = {**_BASE, **_short(224), **_CROPPED, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD}
_MOBILENET = {**_BASE, **_short(256), **_CROPPED, "resample": _BILINEAR}
PROCESSORS: Mapping[str, Mapping[str, Any]] = {
    "Beit": {**_BASE, "crop_size": _square(224)},
    "Bit": _CLIP,
    "Blip": {**_BASE, "size": _square(384), "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD},
    "CLIP": {**_CLIP, "use_square_size": False},
    "ChineseCLIP": _CLIP,
    "ConvNext": {**_BASE, **_short(384), "crop_pct": 224 / 256},
    "DeiT": {**_BASE, "size": _square(256), **_CROPPED},
    "EfficientNet": {
        **_BASE,
        "size": _square(346),
        "crop_size": _square(289),
        "rescale_offset": False,
        "include_top": True,
    },
    "Levit": {**_BASE, **_short(224), **_CROPPED, **_IMAGENET},
    "MobileNetV1": _MOBILENET,
    "MobileNetV2": _MOBILENET,
    "MobileViT": {
        **_BASE,
        **_short(224),
        "do_center_crop": True,
        "crop_size": _square(256),
        "do_flip_channel_order": True,
    },
    "OwlViT": {
        **_BASE,
        "size": _square(768),
        "crop_size": _square(768),
        "image_mean": _CLIP_MEAN,
        "image_std": _CLIP_STD,
    },
    "Pvt": {**_BASE, **_IMAGENET},
    "Segformer": {**_BASE, "size": _square(512), "resample": _BILINEAR, **_IMAGENET},
    "Siglip": {**_BASE, "default_to_square": False},
    "ViT": {**_BASE, "resample": _BILINEAR},
}
"""Defaults of transformers' image processors, ``…ImageProcessor``; a key that is not here is not read by the class."""
_AS_WRITTEN: Mapping[str, Any] = {
    **_BASE,
    "do_resize": False,
    "size": None,
    "default_to_square": None,
    "resample": _BILINEAR,
    "image_mean": None,
    "image_std": None,
    "crop_pct": None,
    "do_flip_channel_order": False,
    "rescale_offset": False,
    "include_top": False,
}
"""Where no class is named, only what is written counts."""
TYPES: Mapping[str, str] = {
    model_type: name
    for name, types in {
        "Beit": "beit data2vec-vision",
        "Bit": "bit dinov2 focalnet hiera pixio",
        "Blip": "blip blip-2 instructblip",
        "CLIP": "clip aimv2 aimv2_vision_model altclip florence2 git groupvit kosmos-2 metaclip_2 mlcd vipllava xclip",
        "ChineseCLIP": "chinese_clip",
        "ConvNext": "convnext convnextv2 cvt regnet resnet",
        "DeiT": "deit",
        "EfficientNet": "efficientnet align",
        "Levit": "levit",
        "MobileNetV1": "mobilenet_v1",
        "MobileNetV2": "mobilenet_v2",
        "MobileViT": "mobilevit mobilevitv2",
        "OwlViT": "owlvit",
        "Pvt": "pvt pvt_v2",
        "Segformer": "segformer upernet",
        "Siglip": "siglip colpali gemma3n paligemma",
        "ViT": "vit clipseg dinat ijepa mgp-str swiftformer swin swinv2 trocr vit_mae vit_msn",
    }.items()
    for model_type in types.split()
}
"""Processor of a model type, for files that name no class."""
_WITHOUT_EFFECT = _words(
    "image_processor_type feature_extractor_type processor_class auto_map _valid_processor_keys model_input_names "
    "do_convert_rgb device return_tensors disable_grouping data_format input_data_format image_seq_length use_fast "
    "backend do_reduce_labels reduce_labels num_labels torch_dtype dtype transformers_version _commit_hash "
    "pad_and_return_pixel_mask"
)
"""Settings that change nothing in the pixels of an opened file: it is RGB already, and there are no label maps."""
_OF_OTHERS = _words(
    "crop_pct do_flip_channel_order rescale_offset include_top size_divisor size_divisibility apply_ocr ocr_lang "
    "tesseract_config do_thumbnail do_align_long_axis do_image_splitting keep_aspect_ratio ensure_multiple_of "
    "do_grayscale use_square_size max_size num_frames merge_size temporal_patch_size patch_size min_pixels max_pixels"
)
"""Settings of other classes, left behind by who copied a file: a class that does not read them ignores them."""


def has_image_processor(home: Path) -> bool:
    """Whether a folder says how its images are made ready."""
    return (home / "preprocessor_config.json").is_file() or "image_processor" in json_object(
        home / "processor_config.json"
    )


def image_settings(home: Path) -> dict[str, Any]:
    """Fields of an image ``PipelineSpec`` from the files beside a model; empty when there are none.

    Raises:
        ModelError: when a setting cannot be followed; the message names it.
    """
    nested = json_object(home / "processor_config.json").get("image_processor")
    file = "preprocessor_config.json" if nested is None else "processor_config.json"
    written = json_object(home / file) if nested is None else nested
    if not written:
        return {}
    if not isinstance(written, Mapping):
        raise _refused(file, "image_processor", written, "no object")
    name = _class_of(written, json_object(home / "config.json"), file)
    defaults = _AS_WRITTEN if name is None else PROCESSORS[name]
    _check_known(written, defaults, file, name)
    given = {key: written.get(key, default) for key, default in defaults.items()}
    return _fields(given, name, file)


def _refused(file: str, key: str, value: object, problem: str, hint: str = "") -> ModelError:
    way_out = f"without {file} in its folder a model takes tensors, or images by inputs.resize, crop, mean, std …"
    return ModelError(f"{file}: {key} is {value!r}, {problem}", hint=hint or way_out)


def _class_of(written: Mapping[str, Any], config: Mapping[str, Any], file: str) -> str | None:
    """Name of the processor without its suffix, None where the files name none."""
    key = "image_processor_type"
    full = written.get(key)
    if full is None and written.get("feature_extractor_type") is not None:
        key, full = "feature_extractor_type", str(written["feature_extractor_type"])
    if full is None and "auto_map" in written:
        raise _refused(file, "auto_map", written["auto_map"], "Python code of the folder's own")
    if full is None:
        return _class_of_type(config.get("model_type"), file)
    name = str(full)
    for suffix in ("Pil", "Fast", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(suffix)
    if name not in PROCESSORS:
        raise _refused(file, key, full, f"which is none of those that can be followed ({', '.join(PROCESSORS)})")
    return name


def _class_of_type(model_type: str | None, file: str) -> str | None:
    if model_type is None or model_type in TYPES:
        return None if model_type is None else TYPES[model_type]
    raise ModelError(
        f"{file} names no image_processor_type, and config.json's model_type is {model_type!r}",
        hint="add the class, such as image_processor_type: ViTImageProcessor",
    )


def _check_known(written: Mapping[str, Any], defaults: Mapping[str, Any], file: str, name: str | None) -> None:
    ignored = _WITHOUT_EFFECT if name is None else _WITHOUT_EFFECT | _OF_OTHERS
    for key, value in written.items():
        if key not in defaults and key not in ignored and value not in (None, False):
            raise _refused(file, key, value, "a setting that is not known", "remove it if transformers ignores it")


def _fields(given: Mapping[str, Any], name: str | None, file: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"exif_rotation": True, "crop_middle": "floored", "resize": None}
    if given["do_resize"]:
        spec |= _resize(given, name, file)
    if given["do_center_crop"]:
        size = read_size(given["crop_size"], "crop_size", file, square=True)
        if size is None or (size.height is None and name != "Segformer"):
            raise _refused(file, "crop_size", given["crop_size"], "but a crop needs height and width")
        if name != "Segformer":  # whose class crops nothing
            spec = _with_crop(spec, size, given, file)
    spec |= _arithmetic(given, name, file)
    if given.get("do_flip_channel_order"):
        spec["bgr"] = True
    _check_padding(given, spec, name, file)
    return spec


def _resize(given: Mapping[str, Any], name: str | None, file: str) -> dict[str, Any]:
    """Fields of resizing, and of the crop that ConvNeXt's processor makes with it."""
    square = None if name is None and given["default_to_square"] is None else bool(given["default_to_square"])
    size = read_size(_square(224) if given.get("use_square_size") else given["size"], "size", file, square)
    if size is None:
        raise _refused(file, "size", given["size"], "but do_resize is true")
    spec = {"interpolation": _filter(given["resample"], file)}
    share = given.get("crop_pct")
    if name == "ConvNext" or (name is None and share and size.shortest):
        if size.shortest is None:
            raise _refused(file, "size", given["size"], "but this class needs a shortest_edge")
        return spec | _convnext(size.shortest, share, file)
    if size.shortest is not None:
        short = int(256 / 224 * size.shortest) if name == "Levit" else size.shortest
        return spec | {"resize": short, "longest": None if name == "Levit" else size.longest}
    if size.height is None:
        raise _refused(file, "size", given["size"], "but only shortest_edge, or height and width can be followed")
    return spec | {"resize": size.height, "resize_width": size.width, "squash": True}


def _convnext(side: int, share: object, file: str) -> dict[str, Any]:
    """Below 384 pixels ConvNeXt's processor resizes to side / crop_pct and crops; from there on it squashes."""
    if side >= 384:
        return {"resize": side, "squash": True}
    share = _number(share, "crop_pct", file)
    if not 0 < share <= 1:
        raise _refused(file, "crop_pct", share, "but it must lie in (0, 1]")
    return {"resize": int(side / share), "crop": side}


def _with_crop(spec: dict[str, Any], size: Size, given: Mapping[str, Any], file: str) -> dict[str, Any]:
    """With the centre crop, where no other crop was made before it that differs."""
    before = spec.get("crop")
    if before is not None and (size.height, size.width) != (before, before):
        raise _refused(file, "do_center_crop", True, "which would crop a second time, to another size")
    return spec | {"crop": size.height, "crop_width": size.width}


def _arithmetic(given: Mapping[str, Any], name: str | None, file: str) -> dict[str, Any]:
    """Fields of scale, offset, mean and standard deviation."""
    rescales = bool(given["do_rescale"])
    spec: dict[str, Any] = {"scale": _number(given["rescale_factor"], "rescale_factor", file) if rescales else 1.0}
    if rescales and given.get("rescale_offset"):
        spec["offset"] = -1.0
    normalises = given["do_normalize"] and name != "MobileViT"
    if name is None and given["image_mean"] is None:
        normalises = False
    if not normalises and not given.get("include_top"):
        return spec
    std = _numbers(given["image_std"], "image_std", file)
    if any(s <= 0 for s in std):
        raise _refused(file, "image_std", given["image_std"], "but it must be > 0")
    spec["std"] = std
    if normalises:
        mean = _numbers(given["image_mean"], "image_mean", file)
        spec |= {"mean": mean, "std_twice": bool(given.get("include_top"))}
        if isinstance(given["image_mean"], (list, tuple)) and len(mean) == 1:
            spec["channels"] = 1
    return spec


def _filter(number: object, file: str) -> str:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(_FILTERS):
        raise _refused(file, "resample", number, f"but Pillow's filters are 0 to {len(_FILTERS) - 1}")
    return _FILTERS[number]


def _number(value: object, key: str, file: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _refused(file, key, value, "but it must be a finite number")
    return float(value)


def _numbers(value: object, key: str, file: str) -> tuple[float, ...]:
    """One number for all channels, or one a channel."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if len(values) not in (1, 3):
        raise _refused(file, key, value, "but an image has 3 channels, or 1")
    return tuple(_number(v, key, file) for v in values)


def _check_padding(given: Mapping[str, Any], spec: Mapping[str, Any], name: str | None, file: str) -> None:
    """Refuse padding unless it adds nothing: all images leave with the size that it pads to."""
    ignores = name in ("ConvNext", "EfficientNet", "MobileViT", "Segformer", "Beit", "MobileNetV2")
    if not given["do_pad"] or ignores:
        return
    height = spec.get("crop") or (spec.get("resize") if spec.get("squash") else None)
    width = spec.get("crop_width") if spec.get("crop") else spec.get("resize_width")
    target = read_size(given["pad_size"], "pad_size", file, square=True)
    if height is None or (target is not None and (target.height, target.width) != (height, width or height)):
        key = "do_pad" if target is None else "pad_size"
        raise _refused(file, key, given[key], "but padding is not followed unless all images have that size already")
