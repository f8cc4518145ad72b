"""Texts padded to few lengths: only for engines that gain, and only where no answer changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.few_lengths import settle_lengths
from farthing.pipelines.text import TextBatches, TextPipeline
from farthing.plugins import find

NAMES = ("input_ids", "attention_mask")
GAINS = SimpleNamespace(few_shapes=True)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("[PAD]", "[UNK]", "the", "cat", "price", "of", "seven", "houses", "no", "yes", "blue", "when", "running")
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def opened(tokenizer: Path, **spec: Any) -> TextBatches:
    return TextPipeline().open(PipelineSpec(kind="text", tokenizer=str(tokenizer), **spec))


def masked_mean(feeds: dict[str, np.ndarray]) -> np.ndarray:
    ids, mask = feeds["input_ids"].astype(float), feeds["attention_mask"]
    return np.stack([(ids * mask).sum(1) / mask.sum(1), (ids**2 * mask).sum(1)], 1).astype(np.float32)


def mean_of_all(feeds: dict[str, np.ndarray]) -> np.ndarray:
    """A pooling that forgets the mask: padding changes what it says."""
    return feeds["input_ids"].astype(np.float32).mean(1, keepdims=True)


class Session:
    """A model over token ids."""

    def __init__(self, answer: Callable[[Any], np.ndarray], names: tuple[str, ...] = NAMES, free: bool = False) -> None:
        self.inputs = tuple(TensorSpec(name=name, dtype="int64", shape=(None, None)) for name in names)
        self.outputs = (TensorSpec(name="y", dtype="float32", shape=(None, None if free else 2)),)
        self._answer = answer
        self.widths: list[int] = []

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.widths.append(feeds["input_ids"].shape[1])
        return {"y": self._answer(feeds)}


def settled(pipeline: TextBatches, session: Session, engine: object = GAINS) -> bool:
    settle_lengths(engine, session, pipeline, path=Path("model.onnx"), precision="fp32")  # type: ignore[arg-type]
    return pipeline.few_lengths


def test_a_model_that_honours_its_mask_gets_few_lengths_and_the_same_answers(tokenizer: Path) -> None:
    pipeline, session = opened(tokenizer), Session(masked_mean)
    assert settled(pipeline, session)
    texts = [" ".join(["cat", "price"] * n) for n in range(1, 60)]
    session.widths.clear()
    few = [session.run(pipeline([text], session.inputs))["y"] for text in texts]
    pipeline.few_lengths = False
    plain = [session.run(pipeline([text], session.inputs))["y"] for text in texts]
    np.testing.assert_allclose(np.concatenate(few), np.concatenate(plain))
    assert len(set(session.widths[:59])) <= 31 < 59 == len(set(session.widths[59:]))


@pytest.mark.parametrize(
    ("session", "spec", "engine"),
    [
        (Session(mean_of_all), {}, GAINS),
        (Session(masked_mean, free=True), {}, GAINS),  # an answer for each token
        (Session(masked_mean), {"padding_side": "left"}, GAINS),
        (Session(masked_mean), {"max_length": 12}, GAINS),  # no text is long enough to be padded
        (Session(masked_mean), {}, SimpleNamespace()),
    ],
)
def test_others_keep_the_lengths_of_their_texts(
    tokenizer: Path, session: Session, spec: dict[str, Any], engine: object
) -> None:
    pipeline = opened(tokenizer, **spec)
    assert not settled(pipeline, session, engine)
    (width,) = {pipeline(["cat " * 11], session.inputs)[name].shape[1] for name in NAMES}
    assert width == 11


def test_a_model_without_a_mask_is_never_padded(tokenizer: Path) -> None:
    session = Session(lambda feeds: np.ones((len(feeds["input_ids"]), 2), np.float32), names=("input_ids",))
    pipeline = opened(tokenizer)
    settled(pipeline, session)
    assert pipeline(["cat " * 100], session.inputs)["input_ids"].shape == (1, 100)


def test_a_model_that_refuses_what_is_made_up_is_left_alone(tokenizer: Path) -> None:
    def refuse(feeds: object) -> np.ndarray:
        raise RuntimeError("no")

    assert not settled(opened(tokenizer), Session(refuse))


@given(st.integers(1, 5000), st.sampled_from([1, 16, 128, 512, 8192]))
def test_lengths_are_few_little_longer_and_within_the_limit(tokenizer: Path, length: int, most: int) -> None:
    pipeline = opened(tokenizer, max_length=most)
    found = pipeline._few(length)
    assert length <= found <= max(length * 9 / 8, length)
    assert found <= max(most, length)


def test_there_are_eight_lengths_an_octave(tokenizer: Path) -> None:
    pipeline = opened(tokenizer, max_length=512)
    assert len({pipeline._few(n) for n in range(1, 513)}) <= 15 + 8 * 5 + 1
    assert len({pipeline._few(n) for n in range(257, 513)}) == 8


def test_the_engine_that_makes_kernels_by_shape_says_so() -> None:
    assert find("engines", "openvino").few_shapes
    assert not getattr(find("engines", "onnxruntime"), "few_shapes", False)
