"""Tokens by a folder's own settings are those of transformers, or the setting is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_folders import CONFIGS, TEXTS, write_tokenizer

from farthing.codec import from_plain, to_plain
from farthing.errors import DataError, ModelError
from farthing.load.workload.tokenizer_names import ALIASES, NOT_FOLLOWED, TYPES
from farthing.load.workload.tokenizer_settings import text_settings
from farthing.models.tokenizer_classes import AS_WRITTEN, CLASSES
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.text import TextPipeline

transformers = pytest.importorskip("transformers")
NAMES = ("input_ids", "attention_mask", "token_type_ids")
INPUTS = tuple(TensorSpec(name=name, dtype="int64", shape=(None, None)) for name in NAMES)


def spec_of(tokenizer: Path) -> PipelineSpec:
    spec = PipelineSpec(kind="text", tokenizer=str(tokenizer), **text_settings(tokenizer, tokenizer.parent))
    assert from_plain(PipelineSpec, json.loads(json.dumps(to_plain(spec)))) == spec  # a plan carries it whole
    return spec


def ours(tokenizer: Path, texts: list[str]) -> dict[str, np.ndarray]:
    return TextPipeline().open(spec_of(tokenizer))(texts, INPUTS)


def theirs(tokenizer: Path, texts: list[str]) -> dict[str, np.ndarray]:
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(str(tokenizer.parent), local_files_only=True)
    return dict(made(texts, padding=True, truncation=True, return_tensors="np", return_token_type_ids=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    tokenizer = write_tokenizer(tmp_path, CONFIGS[name])
    found, wanted = ours(tokenizer, TEXTS), theirs(tokenizer, TEXTS)
    for key in NAMES:
        np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
    for text in TEXTS:
        np.testing.assert_array_equal(ours(tokenizer, [text])["input_ids"], theirs(tokenizer, [text])["input_ids"])


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    texts=st.lists(st.text(max_size=60) | st.sampled_from(TEXTS), min_size=1, max_size=4),
    bounds=st.fixed_dictionaries(
        {},
        optional={
            "model_max_length": st.integers(4, 40),
            "padding_side": st.sampled_from(["left", "right"]),
            "truncation_side": st.sampled_from(["left", "right"]),
        },
    ),
)
def test_whatever_the_texts_and_bounds(
    tmp_path_factory: pytest.TempPathFactory, name: str, texts: list[str], bounds: dict[str, Any]
) -> None:
    config = {**CONFIGS[name], **bounds}
    config["class"] = (
        config["class"] or {"bert": "BertTokenizer", "xlm-roberta": "XLMRobertaTokenizer"}[config["model_type"]]
    )
    tokenizer = write_tokenizer(tmp_path_factory.mktemp("folder"), config)
    found, wanted = ours(tokenizer, texts), theirs(tokenizer, texts)
    for key in NAMES:
        np.testing.assert_array_equal(found[key][:, : wanted[key].shape[1]], wanted[key], err_msg=key)


def test_the_names_are_those_of_transformers() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES as names

    for model_type, name in names.items():
        wanted = AS_WRITTEN if name == "TokenizersBackend" else ALIASES.get(str(name), name)
        if wanted in CLASSES or wanted == AS_WRITTEN:
            assert TYPES[model_type] == wanted, model_type
        else:
            assert TYPES[model_type] not in (*CLASSES, AS_WRITTEN), model_type
            assert name is None or name.removesuffix("Fast") in NOT_FOLLOWED, name
    for name in (*CLASSES, *ALIASES):
        assert hasattr(transformers, name), name


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a class that is not followed": ({"class": "XLNetTokenizer"}, "tokenizer_class is 'XLNetTokenizer'"),
    "a type that is not followed": ({"class": None, "model_type": "xlnet"}, "model_type is 'xlnet'"),
    "a model of another class": (
        {"class": "RobertaTokenizer", "model_type": "roberta"},
        "tokenizer.json holds a WordPiece model",
    ),
    "a side that is none": ({"padding_side": "both"}, "padding_side is 'both'"),
    "another side that is none": ({"truncation_side": "middle"}, "truncation_side is 'middle'"),
    "nothing to pad with": (
        {
            "class": AS_WRITTEN,
            "document": {
                "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
                "added_tokens": [],
                "post_processor": None,
            },
        },
        "names no pad_token",
    ),
    "arguments by position": ({"init_inputs": ["vocab.txt"]}, "init_inputs is"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    changed, says = REFUSED[name]
    tokenizer = write_tokenizer(tmp_path, {**CONFIGS["BERT"], **changed})
    with pytest.raises(ModelError) as e:
        spec_of(tokenizer)
    assert says in str(e.value)
    assert e.value.hint


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({"tokenizer_config.json": {"model_max_length": 9}, "config.json": {"max_position_embeddings": 64}}, 9),
        ({"tokenizer_config.json": {"model_max_length": 99}, "config.json": {"max_position_embeddings": 64}}, 64),
        ({"tokenizer_config.json": {"max_len": 9}, "config.json": {}}, 9),
        ({"tokenizer_config.json": {"model_max_length": 10**30}, "config.json": {"max_position_embeddings": 64}}, 5),
        ({"tokenizer_config.json": {"model_max_length": 9}, "config.json": {}}, 9),
        ({}, 5),
    ],
)
def test_where_texts_are_cut(tmp_path: Path, files: dict[str, Any], length: int) -> None:
    """What the settings say, within the model's positions; tokenizer.json's own 5 only where they say nothing."""
    cut = {"truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}}
    tokenizer = write_tokenizer(tmp_path, {**CONFIGS["BERT"], "document": cut})
    (tmp_path / "config.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert text_settings(tokenizer, tmp_path)["max_length"] == length


def test_a_users_own_word_wins(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path, CONFIGS["BERT, both left"])
    spec = replace(spec_of(tokenizer), padding_side="right", truncation_side="right", pad_token="[MASK]", max_length=4)
    found = TextPipeline().open(spec)([TEXTS[0], ""], INPUTS)
    assert found["input_ids"][0, 0] == 2  # [CLS]
    assert found["input_ids"][1, -1] == 4  # [MASK]
    with pytest.raises(DataError, match="the padding token 'nothing' is none of the tokenizer's"):
        TextPipeline().open(replace(spec, pad_token="nothing"))
