from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from farthing.errors import DataError
from farthing.nouns import IMAGE_FORMATS, PipelineSpec, TensorSpec
from farthing.pipelines.image import ImagePipeline
from farthing.plugins import find
from farthing.ports import Pipeline

INPUT = (TensorSpec(name="images", dtype="float32", shape=(None, 3, None, None)),)


def picture(width: int = 50, height: int = 40, mode: str = "RGB", form: str = "PNG", seed: int = 0) -> bytes:
    bands = {"RGB": 3, "L": 1, "RGBA": 4, "CMYK": 4}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    image = Image.frombytes(mode, (width, height), pixels.tobytes())
    out = io.BytesIO()
    image.save(out, form)
    return out.getvalue()


def make(payloads: list[bytes], inputs: tuple[TensorSpec, ...] = INPUT, **spec: Any) -> np.ndarray:
    found = ImagePipeline().open(PipelineSpec(kind="image", **spec))(payloads, inputs)
    return found[inputs[0].name]


def reference(payload: bytes, resize: int, crop: int, mean: list[float], std: list[float]) -> np.ndarray:
    """torchvision's Resize, CenterCrop, ToTensor and Normalize, written out in float64."""
    image = Image.open(io.BytesIO(payload)).convert("RGB")
    w, h = image.size
    size = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    top, left = round((pixels.shape[0] - crop) / 2), round((pixels.shape[1] - crop) / 2)
    pixels = pixels[top : top + crop, left : left + crop] / 255
    return ((pixels - mean) / std).transpose(2, 0, 1)


def test_it_comes_in_by_the_plug_in_door() -> None:
    opened = find("pipelines", "image").open(PipelineSpec(kind="image"))
    assert isinstance(opened, Pipeline)
    assert opened.lengths([b""]) is None


@settings(deadline=None, max_examples=60)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(8, 60), st.data())
def test_it_does_what_torchvision_does(width: int, height: int, resize: int, draw: st.DataObject) -> None:
    crop = draw.draw(st.integers(1, resize))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    payloads = [picture(width, height, seed=k) for k in range(2)]
    found = make(payloads, resize=resize, crop=crop, mean=tuple(mean), std=tuple(std))
    want = np.stack([reference(p, resize, crop, mean, std) for p in payloads])
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=2e-6)
    channels_last = make(
        payloads,
        (TensorSpec(name="x", dtype="float32", shape=(None, crop, crop, 3)),),
        resize=resize, crop=crop, mean=tuple(mean), std=tuple(std), layout="NHWC",
    )  # fmt: skip
    np.testing.assert_array_equal(channels_last.transpose(0, 3, 1, 2), found)


def test_bytes_reach_a_model_that_normalises_itself() -> None:
    payload = picture()
    spec = (TensorSpec(name="images", dtype="uint8", shape=(None, 40, 50, 3)),)
    found = make([payload], spec, scale=1.0, layout="NHWC")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0], np.asarray(Image.open(io.BytesIO(payload))))
    with pytest.raises(DataError, match="the pipeline makes scaled numbers"):
        make([payload], spec, layout="NHWC")


def test_half_precision_inputs() -> None:
    half = (TensorSpec(name="images", dtype="tensor(float16)", shape=(None, 3, 40, 50)),)
    assert make([picture()], half).dtype == np.float16


@pytest.mark.parametrize(
    ("mode", "form"), [("L", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP"), ("RGB", "GIF")]
)
def test_modes_and_formats_become_rgb(mode: str, form: str) -> None:
    assert make([picture(mode=mode, form=form)]).shape == (1, 3, 40, 50)


def test_grey_models() -> None:
    grey = (TensorSpec(name="x", dtype="float32", shape=(None, 1, 40, 50)),)
    found = make([picture(mode="L")], grey, channels=1, mean=(0.5,), std=(0.5,))
    want = np.asarray(Image.open(io.BytesIO(picture(mode="L"))), dtype=np.float64) / 127.5 - 1
    np.testing.assert_allclose(found[0, 0], want, atol=1e-6)


def test_squash_keeps_no_aspect_ratio() -> None:
    found = make([picture(50, 20)], resize=24, squash=True)
    assert found.shape == (1, 3, 24, 24)


def test_a_crop_beyond_the_border_is_black() -> None:
    found = make([picture(10, 10)], crop=14)
    assert found.shape == (1, 3, 14, 14)
    assert not found[..., :2].any()
    np.testing.assert_array_equal(found[..., 2:12, 2:12], make([picture(10, 10)]))


def test_a_batch_is_its_images() -> None:
    payloads = [picture(seed=k) for k in range(5)]
    np.testing.assert_array_equal(make(payloads), np.concatenate([make([p]) for p in payloads]))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8000, 8000), (12_000, 12_000), (60_000, 60_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_from_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"image 0 of the batch (has|is too large)"):
        make([png_header(*size)])


def test_a_resize_that_would_explode_is_refused() -> None:
    with pytest.raises(DataError, match=r"10,000 × 1 pixels would be resized to 2,240,000 × 224"):
        make([picture(10_000, 1)], resize=224)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", r"image 0 of the batch \(0 bytes\) cannot be decoded"),
        (b"not an image", r"\(12 bytes\) cannot be decoded: it is of no known format$"),
        (picture()[:200], "cannot be decoded"),
        (picture(form="JPEG")[:300], "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
        (b"x" * 2000, "has 2,000 bytes; the limit is 1,999"),
    ],
)
def test_bad_payloads_are_data_errors(payload: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        make([payload], max_payload_bytes=1999 if payload[:1] == b"x" else 10**6)


def test_sixteen_bits_are_refused() -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(out, "PNG")
    with pytest.raises(DataError, match="8 bits a channel are needed"):
        make([out.getvalue()])


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("form", IMAGE_FORMATS)
@given(noise=st.binary(max_size=60), at=st.integers(0, 400))
def test_damaged_files_never_raise_anything_else(form: str, noise: bytes, at: int) -> None:
    whole = picture(12, 9, form=form)
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    try:
        found = make([damaged], resize=8, crop=8, max_pixels=10**6)
    except DataError:
        return
    assert found.shape == (1, 3, 8, 8)


def test_unequal_sizes_say_what_to_give() -> None:
    with pytest.raises(DataError, match="image 1 of the batch has 30 × 20 pixels, image 0 has 50 × 40") as e:
        make([picture(), picture(30, 20)])
    assert "inputs.resize" in str(e.value.hint)


def test_a_model_that_wants_another_size() -> None:
    fixed = (TensorSpec(name="images", dtype="float32", shape=(None, 3, 64, 64)),)
    with pytest.raises(
        DataError, match=r"makes 3×40×50 \(NCHW\) images, but the model's input is images float32 \(n, 3, 64, 64\)"
    ):
        make([picture()], fixed)


def test_which_input_is_filled() -> None:
    two = (TensorSpec(name="mask", dtype="float32", shape=(None,)), *INPUT)
    with pytest.raises(DataError, match="an image fills one input"):
        make([picture()], two)
    opened = ImagePipeline().open(PipelineSpec(kind="image", input_names=("images",)))
    assert list(opened([picture()], two)) == ["images"]
    with pytest.raises(DataError, match="the model has no input 'nope'"):
        ImagePipeline().open(PipelineSpec(kind="image", input_names=("nope",)))([picture()], two)
    with pytest.raises(DataError, match=r"inputs\.mean has 2 values for 3 channels"):
        ImagePipeline().open(PipelineSpec(kind="image", mean=(0.1, 0.2)))


def test_real_photographs(assets: Path) -> None:
    files = sorted((assets / "vision" / "imagenet_sample_256").glob("*.jpg"))[:16]
    found = make([f.read_bytes() for f in files], crop=224, mean=(127.0,), std=(128.0,), scale=1.0)
    assert found.shape == (16, 3, 224, 224)
    assert -1 < found.min() < found.max() <= 1
