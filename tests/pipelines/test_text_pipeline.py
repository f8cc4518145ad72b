from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from farthing.errors import DataError
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.grouping import batches_by_length
from farthing.pipelines.text import TextBatches, TextPipeline
from farthing.plugins import find
from farthing.ports import Pipeline

TEXTS = [
    "set an alarm",
    "what is the weather in the city of paris tomorrow morning",
    "no",
    "tell me a joke please",
    "no",
]
INPUTS = tuple(
    TensorSpec(name=name, dtype="int64", shape=(None, None))
    for name in ("input_ids", "attention_mask", "token_type_ids")
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer as BERT has it, whose own padding and truncation must not matter."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    made.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_padding(length=64, pad_id=3, pad_token="[PAD]")
    made.enable_truncation(5)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def opened(tokenizer: Path, **spec: Any) -> TextBatches:
    return TextPipeline().open(PipelineSpec(kind="text", tokenizer=str(tokenizer), **spec))


def reference(tokenizer: Path, texts: list[str], max_length: int) -> tuple[np.ndarray, np.ndarray]:
    plain = Tokenizer.from_file(str(tokenizer))
    plain.enable_truncation(max_length)
    plain.enable_padding(pad_id=3, pad_token="[PAD]")
    encodings = plain.encode_batch(texts)
    return np.array([e.ids for e in encodings]), np.array([e.attention_mask for e in encodings])


def test_it_comes_in_by_the_plug_in_door(tokenizer: Path) -> None:
    assert isinstance(find("pipelines", "text").open(PipelineSpec(kind="text", tokenizer=str(tokenizer))), Pipeline)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8), st.integers(2, 20))
def test_it_does_what_the_tokenizer_does(tokenizer: Path, texts: list[str], max_length: int) -> None:
    ids, mask = reference(tokenizer, texts, max_length)
    feeds = opened(tokenizer, max_length=max_length)(texts, INPUTS)
    np.testing.assert_array_equal(feeds["input_ids"], ids)
    np.testing.assert_array_equal(feeds["attention_mask"], mask)
    assert not feeds["token_type_ids"].any()


def test_padding_ends_with_the_batchs_longest(tokenizer: Path) -> None:
    pipeline = opened(tokenizer)
    lengths = pipeline.lengths(TEXTS)
    assert lengths is not None
    for rows in batches_by_length(lengths, 2):
        feeds = pipeline([TEXTS[k] for k in rows], INPUTS)
        assert feeds["input_ids"].shape == (len(rows), max(lengths[k] for k in rows))


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=12), st.integers(1, 5))
def test_lengths_first_changes_no_answer(tokenizer: Path, texts: list[str], batch: int) -> None:
    warm, cold = opened(tokenizer), opened(tokenizer)
    lengths = warm.lengths(texts)
    for rows in batches_by_length(lengths, batch):
        part = [texts[k] for k in rows]
        for name, array in cold(part, INPUTS).items():
            np.testing.assert_array_equal(warm(part, INPUTS)[name], array)


def test_only_what_the_model_asks_for_in_its_types(tokenizer: Path) -> None:
    asked = (
        TensorSpec(name="attention_mask", dtype="i64", shape=(None, None)),
        TensorSpec(name="input_ids", dtype="int32", shape=(None, None)),
    )
    feeds = opened(tokenizer)(TEXTS, asked)
    assert {k: v.dtype for k, v in feeds.items()} == {"attention_mask": np.int64, "input_ids": np.int32}


def test_models_with_names_of_their_own(tokenizer: Path) -> None:
    odd = tuple(TensorSpec(name=name, dtype="int64", shape=(None, None)) for name in ("m", "x"))
    with pytest.raises(DataError, match="the model has the inputs m int64"):
        opened(tokenizer)(TEXTS, odd)
    feeds = opened(tokenizer, input_names=("x", "m"))(TEXTS, odd)
    assert feeds["m"].max() == 1
    assert feeds["x"].max() > 1
    single = (TensorSpec(name="tokens", dtype="int64", shape=(None, None)),)
    assert list(opened(tokenizer)(TEXTS, single)) == ["tokens"]


def test_models_of_a_fixed_length(tokenizer: Path) -> None:
    fixed = (TensorSpec(name="input_ids", dtype="int64", shape=(None, 16)),)
    assert opened(tokenizer, max_length=16)(["no"], fixed)["input_ids"].shape == (1, 16)
    short = (TensorSpec(name="input_ids", dtype="int64", shape=(None, 4)),)
    with pytest.raises(DataError, match="a text has 13 tokens, the model takes 4") as e:
        opened(tokenizer)(TEXTS, short)
    assert e.value.hint == "inputs.max_length: 4"


@given(batches=st.lists(st.lists(st.sampled_from([*TEXTS, "", "a joke " * 300]), min_size=1, max_size=9), max_size=12))
def test_tokens_that_are_kept_change_nothing(tokenizer: Path, batches: list[list[str]]) -> None:
    plain, *sharing = (opened(tokenizer, max_length=6) for _ in range(3))
    kept: dict[str, Any] = {}
    sharing[0].kept = sharing[1].kept = kept
    for k, batch in enumerate(batches):
        wanted, got = plain(batch, INPUTS), sharing[k % 2](batch, INPUTS)
        assert all(np.array_equal(wanted[name], got[name]) for name in wanted)
    assert set(kept) == {text for batch in batches for text in batch if len(text) < 1024}


def test_few_tokens_are_kept(tokenizer: Path) -> None:
    pipeline = opened(tokenizer)
    kept: dict[str, Any] = {}
    pipeline.kept = kept
    for k in range(1000):
        pipeline([f"joke {k}", f"alarm {k}"], INPUTS)
    assert 0 < len(kept) <= 256
    assert "alarm 999" in kept


def test_not_grouped_means_no_lengths(tokenizer: Path) -> None:
    assert opened(tokenizer, group_by_length=False).lengths(TEXTS) is None


def test_limits_and_foreign_payloads(tokenizer: Path) -> None:
    pipeline = opened(tokenizer, max_payload_bytes=10)
    with pytest.raises(DataError, match="text 1 of the batch has 11 characters; the limit is 10 bytes"):
        pipeline(["no", "x" * 11], INPUTS)
    with pytest.raises(DataError, match="text 0 of the batch has 6 characters"):
        pipeline.lengths(["é" * 6])
    with pytest.raises(DataError, match="text 0 of the batch is bytes, not a text"):
        pipeline([b"no"], INPUTS)
    assert pipeline(["é" * 5], INPUTS)["input_ids"].shape[0] == 1


def test_bad_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no tokenizer .*none\.json"):
        opened(tmp_path / "none.json")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(DataError, match=r"no readable tokenizer\.json"):
        opened(tmp_path / "t.json")


def test_clinc_questions_waste_little_padding(tokenizer: Path, assets: Path) -> None:
    texts = [t for t, _ in json.loads((assets / "nlp" / "clinc150_data_full.json").read_text())["test"]][:512]
    pipeline = opened(tokenizer)
    lengths = np.array(pipeline.lengths(texts))
    padded = sum(
        pipeline([texts[k] for k in rows], INPUTS)["input_ids"].size for rows in batches_by_length(lengths, 16)
    )
    assert padded <= 1.1 * lengths.sum()


@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 9))
def test_groups_hold_each_payload_once_in_order_of_length(lengths: list[int], batch: int) -> None:
    groups = batches_by_length(lengths, batch)
    flat = [int(k) for rows in groups for k in rows]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[k] for k in flat] == sorted(lengths)
    assert all(1 <= len(rows) <= batch for rows in groups)
    assert [list(rows) for rows in batches_by_length(None, batch, len(lengths))] == [
        list(range(k, min(k + batch, len(lengths)))) for k in range(0, len(lengths), batch)
    ]


def test_groups_of_nothing() -> None:
    with pytest.raises(ValueError, match="batch must be ≥ 1"):
        batches_by_length([1], 0)
    with pytest.raises(ValueError, match="give lengths or n"):
        batches_by_length(None, 2)
