"""Made-up requests are of the model's types and shapes, no two alike, of several scales and lengths."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.made_up import GUESSES, random_images, random_tensors, random_texts

GUESS = GUESSES[0]


def made(dtype: str, shape: tuple[int | None, ...], name: str = "x", n: int = 16) -> list[np.ndarray]:
    spec = TensorSpec(name=name, dtype=dtype, shape=shape)
    return [one[name] for one in random_tensors((spec,), n, GUESS, np.random.default_rng(0))]


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int64", "int32", "uint8", "int8", "bool"])
def test_numbers_have_the_model_s_type_and_shape(dtype):
    found = made(dtype, (None, 3, None))
    assert {a.dtype.name for a in found} == {dtype}
    assert {a.shape for a in found} == {(1, 3, GUESS.side if dtype.startswith("float") else GUESS.length)}
    assert len({a.tobytes() for a in found}) == 16
    assert all(np.isfinite(a).all() for a in found)


@pytest.mark.parametrize(
    ("dtype", "kind"), [("bfloat16", "f"), ("torch.bfloat16", "f"), ("bytes", "O"), ("string", "O")]
)
def test_types_that_numpy_lacks(dtype, kind):
    assert made(dtype, (None, 2))[0].dtype.kind == kind


def test_a_batch_holds_numbers_of_all_scales():
    largest = [float(np.abs(a).max()) for a in made("float32", (None, 64))]
    assert min(largest) < 1
    assert max(largest) > 100


def test_masks_have_ones_in_front_or_at_the_end_of_many_lengths():
    found = np.concatenate(made("int64", (None, None), "attention_mask"))
    assert set(np.unique(found)) == {0, 1}
    assert len({int(row.sum()) for row in found}) > 4
    assert found.sum(1).min() >= 1
    assert any(row[0] == 1 and row[-1] == 0 for row in found)
    assert any(row[0] == 0 and row[-1] == 1 for row in found)


def test_other_whole_numbers_mean_what_their_names_say():
    assert not np.concatenate(made("int64", (None, None), "token_type_ids")).any()
    assert made("int64", (None, None), "position_ids")[3].tolist() == [list(range(GUESS.length))]
    lengths = np.concatenate(made("int64", (None,), "lengths"))
    assert 1 <= lengths.min() <= lengths.max() <= GUESS.length


def test_texts_are_of_many_lengths_and_of_the_tokenizer_s_words(tmp_path: Path):
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({f"word{k}": k for k in range(50)} | {"?": 50}, unk_token="?")).save(
        str(tmp_path / "tokenizer.json")
    )
    spec = PipelineSpec(kind="text", tokenizer=str(tmp_path / "tokenizer.json"), max_length=64)
    found = random_texts(spec, 16, np.random.default_rng(0))
    assert len({len(text.split()) for text in found}) > 8
    words = [word for text in found for word in text.split()]
    assert sum(word.startswith("word") for word in words) > len(words) / 2


def test_images_can_be_decoded_and_differ():
    spec = PipelineSpec(kind="image", resize=40, crop=32)
    inputs = (TensorSpec(name="pixels", dtype="float32", shape=(None, 3, None, None)),)
    found = random_images(spec, inputs, 8, np.random.default_rng(0))
    pixels = [np.asarray(Image.open(io.BytesIO(image))) for image in found]
    assert {p.shape for p in pixels} == {(32, 32, 3)}
    assert len({p.tobytes() for p in pixels}) == 8
    assert len({round(float(p.mean()) / 10) for p in pixels}) > 2
