"""Pixels by a folder's own settings are bit for bit those of transformers, or the setting is refused by name."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pixel_folders import CONFIGS, picture, write_config

from farthing.errors import ModelError
from farthing.load.workload.image_processors import PROCESSORS, TYPES, image_settings
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.image import ImagePipeline

transformers = pytest.importorskip("transformers")
INPUT = (TensorSpec(name="pixel_values", dtype="float32", shape=(None, None, None, None)),)
SIZES = [(33, 28), (28, 33), (24, 24), (17, 41), (200, 31)]


def ours(folder: Path, payloads: list[bytes]) -> np.ndarray:
    spec = PipelineSpec(kind="image", **image_settings(folder))
    found = ImagePipeline().open(spec)(payloads, INPUT)["pixel_values"]
    assert found.dtype == np.float32
    return found


def theirs(folder: Path, payload: bytes) -> np.ndarray:
    """What transformers makes of the image file itself."""
    from transformers import AutoImageProcessor

    file = folder / "image"
    file.write_bytes(payload)
    processor = AutoImageProcessor.from_pretrained(str(folder), backend="pil", local_files_only=True)
    return np.asarray(processor(str(file), return_tensors="np")["pixel_values"])


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    folder = write_config(tmp_path, CONFIGS[name])
    for width, height in SIZES:
        payload = picture(width, height)
        np.testing.assert_array_equal(ours(folder, [payload]), theirs(folder, payload), err_msg=f"{width} × {height}")


@pytest.mark.parametrize(
    ("mode", "form"),
    [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("1", "PNG"), ("LA", "PNG"), ("YCbCr", "JPEG")],
)
def test_every_mode_becomes_rgb_as_transformers_opens_files(tmp_path: Path, mode: str, form: str) -> None:
    folder = write_config(tmp_path, CONFIGS["CLIP"])
    payload = picture(mode=mode, form=form)
    np.testing.assert_array_equal(ours(folder, [payload]), theirs(folder, payload))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright_as_transformers_opens_them(tmp_path: Path, orientation: int) -> None:
    folder = write_config(tmp_path, CONFIGS["ViT, shortest edge"])
    payload = picture(40, 25, form="JPEG", orientation=orientation)
    np.testing.assert_array_equal(ours(folder, [payload]), theirs(folder, payload))
    plain = ImagePipeline().open(PipelineSpec(kind="image"))([payload], INPUT)["pixel_values"]
    assert plain.shape == (1, 3, 25, 40)  # without a preprocessor's settings the tag is not looked at


def test_a_batch_is_its_images(tmp_path: Path) -> None:
    folder = write_config(tmp_path, CONFIGS["MobileViT"])
    payloads = [picture(*size) for size in SIZES]
    alone = np.concatenate([ours(folder, [payload]) for payload in payloads])
    np.testing.assert_array_equal(ours(folder, payloads), alone)


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_defaults_are_those_of_the_class(name: str) -> None:
    made = getattr(transformers, f"{name}ImageProcessorPil")
    for key, value in PROCESSORS[name].items():
        if key == "use_square_size":
            continue
        own = getattr(made, key, None)
        assert (
            (own or value) == value
            if key in ("do_normalize", "image_mean", "image_std")
            else (own or None) == (value or None)
        ), key


def test_the_types_are_those_of_transformers() -> None:
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES as names

    known = {f"{name}ImageProcessorPil": name for name in PROCESSORS}
    theirs = {kind: known[found["pil"]] for kind, found in names.items() if found.get("pil") in known}
    assert theirs == TYPES


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another class": ({"image_processor_type": "DetrImageProcessor"}, "image_processor_type is 'DetrImageProcessor'"),
    "code of its own": ({"auto_map": {"AutoImageProcessor": "x.Y"}, "size": 16}, "auto_map is"),
    "a size of other edges": ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 16}}, "size is"),
    "a size that is a text": ({"image_processor_type": "ViTImageProcessor", "size": "16"}, "size is '16'"),
    "a size of no pixels": ({"image_processor_type": "ViTImageProcessor", "size": 0}, "size is 0"),
    "ConvNeXt without an edge": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 16, "width": 16}},
        "needs a shortest_edge",
    ),
    "a crop without sides": (
        {"image_processor_type": "CLIPImageProcessor", "crop_size": {"shortest_edge": 16}},
        "crop_size is",
    ),
    "a filter that is none": ({"image_processor_type": "ViTImageProcessor", "resample": 6}, "resample is 6"),
    "a filter of nothing": ({"image_processor_type": "ViTImageProcessor", "resample": None}, "resample is None"),
    "a filter by name": ({"image_processor_type": "ViTImageProcessor", "resample": "bicubic"}, "resample is 'bicubic'"),
    "a mean of two": ({"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5]}, "image_mean is"),
    "a deviation of nothing": ({"image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0, 1]}, "image_std is"),
    "a factor that is a text": (
        {"image_processor_type": "ViTImageProcessor", "rescale_factor": "1/255"},
        "rescale_factor",
    ),
    "padding to the batch's largest": (
        {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False, "do_pad": True},
        "do_pad is True",
    ),
    "padding to another size": (
        {
            "image_processor_type": "ViTImageProcessor",
            "size": 16,
            "do_pad": True,
            "pad_size": {"height": 20, "width": 20},
        },
        "pad_size is",
    ),
    "a setting that nobody knows": ({"image_processor_type": "ViTImageProcessor", "sharpen": 2}, "sharpen is 2"),
    "a mean of nothing": ({"image_processor_type": "ViTImageProcessor", "image_mean": None}, "image_mean is None"),
    "a share of nothing": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 24}, "crop_pct": None},
        "crop_pct is None",
    ),
    "a number without a class": ({"do_resize": True, "size": 16}, "size is 16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    written, says = REFUSED[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(written))
    with pytest.raises(ModelError) as e:
        image_settings(tmp_path)
    assert says in str(e.value)
    assert "preprocessor_config.json" in str(e.value)
    assert e.value.hint


_SIDES = st.integers(5, 40)
_EDGES = st.one_of(
    _SIDES,
    st.tuples(_SIDES, _SIDES).map(list),
    st.fixed_dictionaries({"height": _SIDES, "width": _SIDES}),
    st.fixed_dictionaries({"shortest_edge": _SIDES}),
    st.fixed_dictionaries({"shortest_edge": _SIDES, "longest_edge": st.integers(15, 60)}),
    st.just({"longest_edge": 20}),
    st.just(384),
)
_FLAG = st.sampled_from([True, False, None])
_SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("size", "crop_size", "pad_size"), _EDGES),
    **dict.fromkeys(
        ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad", "default_to_square"), _FLAG
    ),
    **dict.fromkeys(("rescale_offset", "include_top", "do_flip_channel_order", "use_square_size"), _FLAG),
    "resample": st.integers(0, 5),
    "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 1]),
    "image_mean": st.sampled_from([0.5, 0, [0.485, 0.456, 0.406]]),
    "image_std": st.sampled_from([0.5, 2, [0.229, 0.224, 0.225]]),
    "crop_pct": st.sampled_from([0.875, 0.95, 1]),
}


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(sorted(PROCESSORS)),
    given_settings=st.fixed_dictionaries({}, optional=_SETTINGS),
    size=st.tuples(st.integers(6, 60), st.integers(6, 60)),
)
def test_whatever_the_settings_pixels_are_equal_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, given_settings: dict[str, Any], size: tuple[int, int]
) -> None:
    written = {"image_processor_type": f"{name}ImageProcessor", **given_settings}
    folder = write_config(tmp_path_factory.mktemp("folder"), written)
    payload = picture(*size)
    found, wanted, refusal = None, None, ""
    try:
        found = ours(folder, [payload])
    except ModelError as e:
        refusal = str(e)
    with suppress(AttributeError, ValueError):  # a setting that transformers does not take
        wanted = theirs(folder, payload)
    if found is None:
        rare = ("pad", "crop a second time", "{'longest_edge': 20}")
        assert wanted is None or any(what in refusal for what in rare), refusal
    elif wanted is not None:
        np.testing.assert_array_equal(found, wanted)
